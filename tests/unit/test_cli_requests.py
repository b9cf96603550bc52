"""What a person may write, and what is said of what he may not."""

import io
import pathlib
import sys

import anyio
import pytest
from segue.events.scale import ScaleRequested
from segue_cli.asking import seconds, unless_interrupted
from segue_cli.errors import InterruptedByUserError, InvalidError
from segue_cli.requests import _event, _scale, requests

GOOD = '{"app": "shop", "service": "web", "replicas": 3}'
WANTED = ScaleRequested(app="shop", service="web", replicas=3)


@pytest.mark.parametrize(
    ("text", "value_s"), [("5m", 300), ("90s", 90), ("1h30m", 5_400), ("10", 10), ("250ms", 0.25)]
)
def test_a_duration_is_read_as_people_write_it(text: str, value_s: float) -> None:
    assert seconds(text) == value_s


def test_a_wrong_duration_says_how_to_write_one() -> None:
    with pytest.raises(InvalidError) as caught:
        seconds("5 minutes")
    assert "30s" in caught.value.hint


def test_a_scale_is_read() -> None:
    assert _scale("shop/web=3") == WANTED


@pytest.mark.parametrize("word", ["shop=3", "shop/web", "shop/web=", "shop/web=-1", "/web=1", ""])
def test_a_wrong_scale_says_how_to_write_one(word: str) -> None:
    with pytest.raises(InvalidError) as caught:
        _scale(word)
    assert "segue scale shop/web=5" in caught.value.hint


def test_an_event_is_read_from_the_line_a_file_and_stdin(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "event.json"
    file.write_text(GOOD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    for data in (GOOD, f"@{file}", "-"):
        assert _event(ScaleRequested.type, data) == WANTED


@pytest.mark.parametrize(
    ("kind", "data", "text", "hint"),
    [
        ("scale.requsted", "{}", "there is no event called scale.requsted", "scale.requested?"),
        ("nonsense", "{}", "there is no event called nonsense", "removal.requested"),
        ("scale.requested", "{", "the data is not JSON", ""),
        ("scale.requested", "[]", "is wrong: Expected `object`", "it needs: app, service"),
        ("scale.requested", '{"app": "shop"}', "`service`", "it needs: app, service, replicas"),
        ("scale.requested", '{"apps": "x"}', "no field called apps", "did you mean app?"),
        ("scale.requested", '{"zz": "x"}', "no field called zz", "it has: app, service, replicas"),
        (
            "scale.requested",
            '{"app": "shop", "service": "web", "replicas": "3"}',
            "Expected `int`, got `str`",
            "",
        ),
        ("scale.requested", "@no/such/file", "no/such/file cannot be read", ""),
    ],
)
def test_what_is_wrong_with_an_event_is_said_precisely(
    kind: str, data: str, text: str, hint: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        _event(kind, data)
    assert text in str(caught.value)
    assert hint in caught.value.hint


def test_the_requests_are_those_that_anyone_may_make() -> None:
    assert {name.partition(".")[0] for name in requests()} == {
        "deploy",
        "rebalance",
        "removal",
        "scale",
        "node",
        "rollback",
        "rollout",
    }


async def test_whoever_presses_ctrl_c_while_waiting_hears_what_goes_on() -> None:
    async def wait() -> None:
        with anyio.CancelScope() as pressed:
            pressed.cancel()
            with unless_interrupted("the removal goes on", "`segue ps shop` shows it"):
                await anyio.sleep_forever()

    with pytest.raises(InterruptedByUserError) as told:
        await wait()
    assert str(told.value) == "not followed any longer; the removal goes on"
    assert (told.value.hint, told.value.code) == ("`segue ps shop` shows it", 130)
