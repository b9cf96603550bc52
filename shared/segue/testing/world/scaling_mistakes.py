"""Mistakes to plant in how numbers follow loads: the laws of scaling must find each.

They patch the autoscalers and health monitors of one world and touch nothing else.
"""

# Planting is replacing methods of live objects, private ones too.
# ruff: noqa: SLF001
# mypy: disable-error-code="method-assign"

from collections.abc import Callable, Iterator

from msgspec.structs import replace
from segue_autoscaler.core import Autoscaler
from segue_health_monitor.core import HealthMonitor
from segue_health_monitor.loads import EVERY_S

from segue.core import Decision
from segue.events.scale import ScaleDecided
from segue.picture import Picture, Service
from segue.picture.scaling import Scaling
from segue.samples import GatewaySample, NodeSample, ServiceSample
from segue.testing.world.planting import Plant, each
from segue.testing.world.process import Process
from segue.testing.world.run import World

Bend = Callable[[Service, Scaling], Scaling]


def _following(picture: Picture) -> Iterator[tuple[Service, Scaling]]:
    for app in picture.apps.values():
        for service in app.services.values():
            if service.scaling is not None:
                yield service, service.scaling


def _bent(picture: Picture, bend: Bend) -> Callable[[], None]:
    """Bend what is known of all services; give what puts it straight again."""
    straight = list(_following(picture))
    for service, scaling in straight:
        service.scaling = bend(service, scaling)

    def straighten() -> None:
        for service, scaling in straight:
            service.scaling = scaling

    return straighten


def _deciding_on(world: World, bend: Bend) -> None:
    """Let autoscalers decide on what is bent."""

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, Autoscaler):
            return
        decide = core.decide

        def misled(now: float) -> list[Decision]:
            straighten = _bent(core.picture, bend)
            owed = decide(now)
            straighten()
            return owed

        core.decide = misled

    each(world, patch)


def steps_twice(world: World) -> None:
    """A load is reckoned from the replicas that there are, whatever it was measured of."""

    def forget(service: Service, scaling: Scaling) -> Scaling:
        loads = {
            name: [replace(load, replicas=service.replicas) for load in loads]
            for name, loads in scaling.loads.items()
        }
        return replace(scaling, loads=loads)

    _deciding_on(world, forget)


def ignores_the_window(world: World) -> None:
    """What was recommended a while ago is forgotten."""

    def forget(_: Service, scaling: Scaling) -> Scaling:
        loads = {name: [replace(loads[-1], at=0.0)] for name, loads in scaling.loads.items()}
        sizes = [replace(scaling.sizes[-1], at=0.0)]
        return replace(scaling, loads=loads, sizes=sizes, since=0.0)

    _deciding_on(world, forget)


def scales_while_paused(world: World) -> None:
    """That a person has paused it, or given the number, is not asked."""
    _deciding_on(world, lambda _, scaling: replace(scaling, override=None))


def deaf_to_loads(world: World) -> None:
    """Whatever is said of a load, the number stays."""

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, Autoscaler):
            return
        decide = core.decide

        def idle(now: float) -> list[Decision]:
            return [one for one in decide(now) if not isinstance(one.event, ScaleDecided)]

        core.decide = idle

    each(world, patch)


def repeats_loads(world: World) -> None:
    """A load is said again each second, moved or not."""

    def forget(_: Service, scaling: Scaling) -> Scaling:
        loads = {
            name: [*loads[:-1], replace(loads[-1], target=-1.0)]
            for name, loads in scaling.loads.items()
        }
        return replace(scaling, loads=loads)

    def patch(process: Process) -> None:
        core = process.core
        if not isinstance(core, HealthMonitor):
            return
        decide = core._loads.decide

        def misled(now: float) -> list[Decision]:
            straighten = _bent(core.picture, forget)
            owed = decide(now)
            straighten()
            if owed:
                core._loads._look_at = core._loads.wake_at = now + EVERY_S
            return owed

        core._loads.decide = misled

    each(world, patch)


def deaf_to_samples(world: World) -> None:
    """The health monitor hears no sample."""

    def ignore(sample: NodeSample | ServiceSample | GatewaySample, now: float) -> None:
        del sample, now

    def patch(process: Process) -> None:
        core = process.core
        if isinstance(core, HealthMonitor):
            core._loads.hear = ignore

    each(world, patch)


MISTAKES: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        steps_twice,
        ignores_the_window,
        scales_while_paused,
        deaf_to_loads,
        repeats_loads,
        deaf_to_samples,
    )
}
