"""What `segue autoscale explain` draws: it fits the terminal, and says what a number means."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console
from segue.events import Event
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.scale import ScaleEvent, ScalePauseRequested
from segue.picture import Service
from segue.spec import Autoscale, ServiceSpec
from segue.testing.shop import Shop, accepted
from segue_autoscaler.core import Autoscaler
from segue_cli.autoscale import lines
from segue_cli.scaling_page import page
from segue_deployer.core import Deployer

WEB: dict[str, Any] = {"app": "shop", "service": "web"}


def drawn(width: int, *said: Event) -> list[str]:
    """Draw ten minutes in which these are said, a minute apart."""
    shop = Shop(Autoscaler(), Deployer())
    spec = Autoscale(max=10, target={"cpu": 70.0})
    shop.say(accepted(web=ServiceSpec(image="w", replicas=2, autoscale=spec)))
    shop.settle()
    service = shop.picture.apps["shop"].services["web"]
    before, begin, first = msgspec.json.encode(service), shop.now, len(shop.log)
    for event in said:
        shop.at(60.0)
        shop.tell(event)
    shop.at(60.0 * (10 - len(said)))
    told = [one for one in shop.log[first:] if isinstance(one.event, LoadEvent | ScaleEvent)]
    earlier = msgspec.json.decode(before, type=Service)
    shown = io.StringIO()
    screen = Console(file=shown, width=width)
    found = [line for line in lines(told, 2) if not line.type.endswith("requested")]
    for part in page("shop/web", service, earlier, found, span=(begin, shop.now), width=width):
        screen.print(part)
    return [line.rstrip() for line in shown.getvalue().splitlines()]


def cpu(kind: type[LoadEvent], value: float) -> LoadEvent:
    return kind(**WEB, metric="cpu", value=value)


SAID = (cpu(LoadNormal, 70.0), cpu(LoadHigh, 140.0), cpu(LoadLow, 20.0))


@pytest.mark.parametrize("width", [80, 120, 200])
def test_it_is_as_wide_as_the_terminal_and_no_wider(width: int) -> None:
    found = drawn(width, *SAID)
    assert max(map(len, found)) <= width
    axis = next(line for line in found if line.count(":") == 3 and "  " in line)
    assert len(axis) == min(width, 172) - 1


def test_it_says_what_is_what_there_was_at_most_and_what_is_to_be() -> None:
    found = drawn(80, *SAID)
    assert found[0] == "shop/web: 2 replicas, 1 to 10; they follow the load"
    at = found.index("cpu: 20 %, at most 140 %; its target is 70 %")
    labels = [line[:11].strip() for line in found[at + 1 : at + 7]]
    assert labels == ["200 %", "", "", "target", "", "0"]


def test_each_decision_has_its_second_and_its_reason_and_says_nothing_twice() -> None:
    found = drawn(80, *SAID)
    at = next(number for number, line in enumerate(found) if "4 replicas instead of 2" in line)
    assert found[at][:8].count(":") == 2
    assert found[at][8:10] == "  "
    assert found[at + 1] == "            cpu is high, asks for 4 (2 x 140 % / 70 %)"
    held = "\n".join(found[at + 2 :])
    assert "stays at 4 replicas, not 2" in held
    assert held.count("was recommended in the last") == 1


def test_what_goes_on_in_the_next_line_stands_below_itself() -> None:
    found = drawn(80, *SAID, ScalePauseRequested(**WEB))
    for line in found[found.index("replicas") + 9 :]:
        assert line.startswith("          ") or line[2] == line[5] == ":", line
