"""Well-formed events in any order, by anyone, with any content: no core may stop over them."""

from typing import Any, Literal, get_args, get_origin

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from segue.beats import NodeBeat
from segue.compose import convert
from segue.core import BusReturned, Core, Decision
from segue.envelope import encode
from segue.events import REGISTRY, Event
from segue.events.capacity import Shortage
from segue.events.container import NOWHERE, FailureReason, Refusal
from segue.events.node import Held
from segue.picture import Picture
from segue.spec import AppSpec, Placement, Resources, Restart, ServiceSpec, digest
from segue.testing.board import Board
from segue.testing.histories import SPECS, compose
from segue.testing.shop import APP, plain
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_scheduler.core import Scheduler

ODD = AppSpec(
    services={
        "web": ServiceSpec(
            image="w",
            replicas=2,
            placement=Placement(constraints=["nonsense"], spread=["node.labels.zone", "nonsense"]),
            resources=Resources(cpu_millicores=-1, memory_bytes=1 << 62),
            restart=Restart(delay_s=-1.0, max_attempts=-1, window_s=-1.0),
        )
    }
)
APPS = [convert(compose(number, APP), app=APP).spec for number in range(len(SPECS))]
KNOWN = [spec for spec in (*APPS, ODD) if spec is not None]
DIGESTS = sorted({digest(spec, name) for spec in KNOWN for name in spec.services})
TIMES = st.sampled_from([0.0, -1.0, 1e9, 1_000_005.0, 1e300])
COUNTS = st.integers(-1, 4)
HELD = st.builds(
    Held,
    app=st.sampled_from([APP, "ghost"]),
    service=st.sampled_from(["web", "ghost"]),
    slot=COUNTS,
    attempt=COUNTS,
    running=st.booleans(),
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "app": st.sampled_from([APP, "blog", "ghost"]),
    "service": st.sampled_from(["web", "agent", "db", "ghost"]),
    "services": st.sampled_from([[], ["web"], ["web", "ghost"]]),
    "node": st.sampled_from(["a", "b", "ghost", NOWHERE]),
    "nodes": st.sampled_from([[], ["a"], ["a", "ghost"]]),
    "pinned": st.sampled_from([None, "a", "ghost"]),
    "spec": st.sampled_from(KNOWN),
    "compose": st.sampled_from([compose(number, APP) for number in range(len(SPECS))] + [{}]),
    "digest": st.sampled_from([*DIGESTS, "x", ""]),
    "revision": COUNTS,
    "slot": COUNTS,
    "attempt": COUNTS,
    "replicas": st.sampled_from([-1, 0, 1, 3, 3_000]),
    "refused": st.lists(st.builds(Refusal, reason=st.just("r"), count=COUNTS), max_size=2),
    "labels": st.sampled_from([{}, {"zone": "z1"}, {"role": "manager"}]),
    "platform": st.sampled_from(["linux/amd64", "", "x", "a/b/c/d"]),
    "inventory": st.lists(HELD, max_size=2),
    "problems": st.just([]),
    "notes": st.just([]),
    "runners_up": st.just([]),
    "shortages": st.lists(
        st.builds(Shortage, app=st.just(APP), service=st.sampled_from(["web", "x"]), slots=COUNTS),
        max_size=2,
    ),
    "reason": st.sampled_from(get_args(FailureReason)),
}
TYPES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.sampled_from([0, -1, 1, 4_000, 1 << 62]),
    float: TIMES,
    str: st.sampled_from(["", "x", "a"]),
    list[int]: st.lists(COUNTS, max_size=3),
}


def value(field: msgspec.structs.FieldInfo, kind: type[Event]) -> st.SearchStrategy[Any]:
    if field.name == "reason" and kind.type == "container.retired":
        return st.sampled_from(["scaled", "replaced", "removed", "superseded", "moved"])
    if field.name in FIELDS:
        return FIELDS[field.name]
    if field.type in TYPES:
        return TYPES[field.type]
    if field.default is msgspec.NODEFAULT and get_origin(field.type) is Literal:
        return st.sampled_from(get_args(field.type))
    return st.just(
        field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    )


def any_event(kind: type[Event]) -> st.SearchStrategy[Event]:
    fields = {field.name: value(field, kind) for field in msgspec.structs.fields(kind)}
    return st.fixed_dictionaries(fields).map(lambda told: kind(**told))


CONTENT = [any_event(kind) for name, kind in sorted(REGISTRY.items())]
EVENTS = st.lists(st.one_of(CONTENT), min_size=10, max_size=60)


class Anarchy(Board):
    """A board on which decisions are made between events, and not all of them are published."""

    def decide(self, core: Core) -> list[Decision]:
        owed = [one for one in core.decide(self.now) if isinstance(one, Decision)]
        assert len({decision.id for decision in owed}) == len(owed), "two decisions with one id"
        for decision in owed:
            encode(decision.event, id=decision.id, source="/segue/t/i", time=0.0)
        return owed


def played(events: list[Event], speak: int) -> Anarchy:
    made = Anarchy(Deployer(), Scheduler(), HealthMonitor())
    for number, event in enumerate(events):
        made.say(event)
        made.now += 0.7
        core = made.cores[number % 3]
        core.hear(NodeBeat("a", "s") if number % 5 else BusReturned(), made.now)
        for decision in made.decide(core)[: speak * 3]:
            if number % 2:
                made.say(decision.event, decision.cause, decision.id)
    return made


@settings(max_examples=60)
@given(EVENTS, st.integers(0, 2))
def test_no_core_stops_and_what_it_decides_can_be_said(events: list[Event], speak: int) -> None:
    made = played(events, speak)
    for core in made.cores:
        made.decide(core)


@settings(max_examples=40)
@given(EVENTS, st.integers(0, 2))
def test_a_snapshot_is_as_good_as_the_log_also_of_nonsense(events: list[Event], speak: int) -> None:
    made = played(events, speak)
    for core in made.cores:
        again = Picture()
        again.restore(core.picture.snapshot())
        assert plain(again) == plain(core.picture)
