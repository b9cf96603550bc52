"""Take a service from one version to another on a board, for tests of how that is done.

Deployer and scheduler decide; what is asked for starts at once, and time passes only when told.
"""

from typing import Any, TypeVar

from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

from segue.events import Event
from segue.events.rollout import RolloutAdvanced
from segue.picture.state import Rollout, Service
from segue.spec import Health, ServiceSpec
from segue.testing.shop import APP, Shop

STEP_S = 10.0  # So long a version has to be ready before it is trusted, unless told otherwise.
CHECK = Health(test=["CMD", "x"])
Said = TypeVar("Said", bound=Event)


def spec(image: str, **more: Any) -> ServiceSpec:
    """Give a service of four slots, unless told otherwise."""
    return ServiceSpec(image=image, **{"replicas": 4, **more})


def board(nodes: str = "ab") -> Shop:
    """Give nodes on which nothing runs."""
    return Shop(Deployer(), Scheduler(), nodes=nodes)


def shop(nodes: str = "ab", **more: Any) -> Shop:
    """Give an app whose first revision, of w:1, is up."""
    made = board(nodes)
    made.deploy(web=spec("w:1", **more))
    assert made.picture.apps[APP].completed, "it came up"
    return made


def service(there: Shop, name: str = "web") -> Service:
    """Give a service."""
    return there.picture.apps[APP].services[name]


def rollout(there: Shop, name: str = "web") -> Rollout:
    """Give a rollout that is under way."""
    found = service(there, name).rollout
    assert found is not None, "it is under way"
    return found


def said(events: list[Event], kind: type[Said]) -> list[Said]:
    """Give the events of a kind."""
    return [event for event in events if isinstance(event, kind)]


def steps(there: Shop) -> list[list[int]]:
    """Give which slots were advanced together, so far."""
    return [event.slots for event in there.all(RolloutAdvanced)]


def step(there: Shop, seconds: float = STEP_S) -> list[Event]:
    """Let time pass, and all that is asked for come up."""
    there.now += seconds
    return there.up(*there.settle())


def images(there: Shop, name: str = "web") -> list[str]:
    """Give what runs now, by slot: of one that is relieved right now, both."""
    found = []
    for slot in service(there, name).slots.values():
        for one in slot.containers():
            known = there.picture.spec(one)
            if not one.ended and not one.retired and known is not None:
                found.append(f"{slot.number} {known.image}")
    return found


def finish(there: Shop, most: int = 20) -> list[Event]:
    """Let it go to its end."""
    seen: list[Event] = []
    for _ in range(most):
        seen += step(there)
        if there.picture.apps[APP].phase == "running":
            return seen
    raise AssertionError(f"it goes on for ever: {[record.event for record in there.log[-8:]]}")
