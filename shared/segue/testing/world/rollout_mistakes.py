"""Mistakes to plant in how versions are led in: the laws of rollouts must find each.

They patch the deployers of one world and touch nothing else.
"""

# Planting is replacing methods of live objects, private ones too.
# ruff: noqa: SLF001
# mypy: disable-error-code="method-assign"

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace
from segue_deployer import slots
from segue_deployer.core import Deployer
from segue_deployer.tally import Kind, Place, Tally

from segue.core import Decision
from segue.events.deploy import DeployAccepted, DeployReverted
from segue.events.rollout import RolloutAdvanced, RolloutStalled
from segue.picture import App, Picture
from segue.picture.state import Rollout, Service
from segue.testing.world.planting import Plant, each
from segue.testing.world.process import Process
from segue.testing.world.run import World
from segue.wants import wanted_slots

ABORTED = "it was aborted"
Decide = Callable[[float], list[Decision]]


def _deployers(world: World, patch: Callable[[Deployer], None]) -> None:
    def only(process: Process) -> None:
        if isinstance(process.core, Deployer):
            patch(process.core)

    each(world, only)


def _deciding(world: World, change: Callable[[Deployer, Decide, float], list[Decision]]) -> None:
    """Put something between a deployer and what it decides."""

    def patch(core: Deployer) -> None:
        decide = core.decide

        def changed(now: float) -> list[Decision]:
            return change(core, decide, now)

        core.decide = changed

    _deployers(world, patch)


def _rollouts(picture: Picture) -> Iterator[tuple[App, Service, Rollout]]:
    for app in picture.apps.values():
        for service in app.services.values():
            if service.rollout is not None:
                yield app, service, service.rollout


def rolls_over_unready(world: World) -> None:
    """A step follows the one before without waiting until that is ready."""

    def patch(core: Deployer) -> None:
        tally = core._tally

        def hasty(app: App, touched: list[str]) -> dict[str, Tally]:
            tallies = tally(app, touched)
            for one in tallies.values():
                places = one.places
                if "advancing" not in one.__dict__:

                    def without(kind: Kind, places: Any = places) -> list[Place]:
                        return [] if kind == "advancing" else places(kind)

                    one.__dict__.update(places=without, advancing=True)
            return tallies

        core._tally = hasty

    _deployers(world, patch)


def trusts_at_once(world: World) -> None:
    """What is ready is trusted at once, however long it is to be watched."""

    def hasty(core: Deployer, decide: Decide, now: float) -> list[Decision]:
        ready_at = [(rollout, rollout.ready_at) for _, _, rollout in _rollouts(core.picture)]
        for rollout, _ in ready_at:
            rollout.ready_at = 0.0
        owed = decide(now)
        for rollout, at in ready_at:
            rollout.ready_at = at
        return owed

    _deciding(world, hasty)


def advances_while_paused(world: World) -> None:
    """That a rollout is paused is not asked."""

    def deaf(core: Deployer, decide: Decide, now: float) -> list[Decision]:
        paused = [rollout for _, _, rollout in _rollouts(core.picture) if rollout.paused]
        for rollout in paused:
            rollout.paused = False
        owed = decide(now)
        for rollout in paused:
            rollout.paused = True
        return owed

    _deciding(world, deaf)


def ignores_the_budget(world: World) -> None:
    """All slots are advanced at once, as many as may be on their way."""

    def all_of_them(core: Deployer, decide: Decide, now: float) -> list[Decision]:
        return [_widened(core.picture, decision) for decision in decide(now)]

    _deciding(world, all_of_them)


def _widened(picture: Picture, decision: Decision) -> Decision:
    event = decision.event
    if not isinstance(event, RolloutAdvanced):
        return decision
    app, service = picture.apps[event.app], picture.apps[event.app].services[event.service]
    assert service.rollout is not None, "it was decided of it"
    left = [n for n in wanted_slots(picture, app, service) if n not in service.rollout.advanced]
    return replace(decision, event=replace(event, slots=left))


def relieves_unready(world: World) -> None:
    """An older version is stopped as soon as the newer is asked for."""

    def early(core: Deployer, decide: Decide, now: float) -> list[Decision]:
        owed = decide(now)
        return owed or list(_early(core.picture))

    _deciding(world, early)


def _early(picture: Picture) -> Iterator[Decision]:
    for _, service, rollout in _rollouts(picture):
        for number in rollout.advanced:
            slot = service.slots.get(number)
            old = slot.moving if slot is not None else None
            if old is not None and not old.retired and not old.ended and slot is not None:
                assert slot.container is not None, "it moves the older one"
                yield slots.retire(service, old, "replaced", slot.container.cause)


def never_reverts(world: World) -> None:
    """A rollout that has failed is left as it is."""

    def idle(_: Deployer, decide: Decide, now: float) -> list[Decision]:
        return [one for one in decide(now) if not _is_reverted(one)]

    _deciding(world, idle)


def _is_reverted(decision: Decision) -> bool:
    event = decision.event  # What people abort goes back all the same.
    return isinstance(event, DeployReverted) and event.reason != ABORTED


def waits_for_ever(world: World) -> None:
    """A rollout that comes no further is waited for without end."""

    def patient(_: Deployer, decide: Decide, now: float) -> list[Decision]:
        return [one for one in decide(now) if not isinstance(one.event, RolloutStalled)]

    _deciding(world, patient)


def forgets_the_scale(world: World) -> None:
    """What is restored has as many slots as its document says, whatever was asked for since."""

    def forgetful(core: Deployer, decide: Decide, now: float) -> list[Decision]:
        return [_as_written(core.picture, decision) for decision in decide(now)]

    _deciding(world, forgetful)


def _as_written(picture: Picture, decision: Decision) -> Decision:
    event = decision.event
    if not isinstance(event, DeployAccepted) or not event.restores:
        return decision
    return replace(
        decision, event=replace(event, spec=picture.apps[event.app].specs[event.restores])
    )


MISTAKES: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        rolls_over_unready,
        trusts_at_once,
        advances_while_paused,
        ignores_the_budget,
        relieves_unready,
        never_reverts,
        waits_for_ever,
        forgets_the_scale,
    )
}
