"""Which bus a command speaks to."""

import pathlib
import socket
from collections.abc import Iterator

import pytest
from segue_cli.connect import BusFlags, actor, chosen, source
from segue_cli.datadir import DataDir, data_dir
from segue_cli.errors import FailedError

ELSEWHERE = "nats://elsewhere:4222"


@pytest.fixture
def home(tmp_path: pathlib.Path) -> dict[str, str]:
    """Give an environment in which nothing is configured."""
    return {"HOME": str(tmp_path), "SEGUE_DATA": str(tmp_path / "data")}


@pytest.fixture
def local(tmp_path: pathlib.Path) -> Iterator[str]:
    """Give the URL of a bus that a `segue up` of this host runs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"nats://127.0.0.1:{server.getsockname()[1]}"
        place = DataDir(tmp_path / "data")
        place.make()
        place.bus_url.write_text(url)
        yield url


def select_context(home: dict[str, str], name: str, url: str) -> None:
    folder = pathlib.Path(home["HOME"]) / ".config" / "nats"
    (folder / "context").mkdir(parents=True)
    (folder / "context.txt").write_text(name)
    (folder / "context" / f"{name}.json").write_text(f'{{"url": "{url}"}}')


def test_where_nothing_is_configured_the_bus_of_this_host_is_meant(
    home: dict[str, str], local: str
) -> None:
    assert chosen(BusFlags(), home).url == local


def test_a_bus_that_has_ended_without_a_word_is_not_meant(
    home: dict[str, str], tmp_path: pathlib.Path
) -> None:
    place = DataDir(tmp_path / "data")
    place.make()
    with socket.create_server(("127.0.0.1", 0)) as server:
        place.bus_url.write_text(f"nats://127.0.0.1:{server.getsockname()[1]}")
    assert chosen(BusFlags(), home).url == "nats://127.0.0.1:4222"


@pytest.mark.parametrize("word", ["", "not a url", "nats://127.0.0.1:99999", "nats://["])
def test_a_damaged_note_of_a_bus_is_passed_over(
    home: dict[str, str], tmp_path: pathlib.Path, word: str
) -> None:
    place = DataDir(tmp_path / "data")
    place.make()
    place.bus_url.write_text(word)
    assert chosen(BusFlags(), home).url == "nats://127.0.0.1:4222"


@pytest.mark.usefixtures("local")
def test_what_is_said_outright_goes_before_what_runs_here(home: dict[str, str]) -> None:
    assert chosen(BusFlags(nats=ELSEWHERE), home).url == ELSEWHERE
    assert chosen(BusFlags(), home | {"NATS_URL": ELSEWHERE}).url == ELSEWHERE
    select_context(home, "prod", ELSEWHERE)
    assert chosen(BusFlags(), home).url == ELSEWHERE
    assert chosen(BusFlags(context="prod"), home | {"NATS_URL": "nats://no"}).url == ELSEWHERE


def test_a_data_directory_goes_before_variables(home: dict[str, str], local: str) -> None:
    flags = BusFlags(data=pathlib.Path(home["SEGUE_DATA"]))
    assert chosen(flags, home | {"NATS_URL": ELSEWHERE}).url == local


def test_who_asks_is_user_at_host_and_never_speaks_as_a_service() -> None:
    assert "@" in actor()
    assert len(actor()) <= 256
    assert not source().startswith("/segue/"), "an unknown type from us would stop services"


def test_a_data_directory_is_held_by_one(tmp_path: pathlib.Path) -> None:
    place = data_dir(tmp_path / "new")
    assert place.holder() is None
    held = place.hold()
    assert held is not None
    assert place.hold() is None


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedError, match="cannot be made"):
        data_dir(tmp_path / "file" / "below").make()
