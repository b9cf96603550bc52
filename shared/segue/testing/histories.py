"""What can happen to a fleet, as plain triples that a test draws, repeats and shrinks.

Whatever the numbers in a triple are, it means something or nothing; it never fails by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

from segue.core import BusReturned, Core
from segue.envelope import Cause
from segue.events.container import (
    ContainerFailed,
    ContainerFinished,
    ContainerHealthy,
    ContainerStarted,
    ContainerStopped,
    ContainerUnhealthy,
    NodeContainerEvent,
)
from segue.events.deploy import DeployRequested, RemovalRequested
from segue.events.image import ImagePulled
from segue.events.load import LoadEvent, LoadHigh, LoadLow, LoadNormal
from segue.events.node import (
    NodeCordonRequested,
    NodeDegraded,
    NodeDrainRequested,
    NodeLabelRequested,
    NodeLeft,
    NodeRecovered,
    NodeRemovalRequested,
    NodeUncordonRequested,
)
from segue.events.rebalance import RebalanceRequested
from segue.events.rollout import (
    RollbackRequested,
    RolloutAbortRequested,
    RolloutPauseRequested,
    RolloutPromoteRequested,
    RolloutResumeRequested,
)
from segue.events.scale import ScalePauseRequested, ScaleRequested, ScaleResumeRequested
from segue.testing.fleet import BEAT_S, Fleet, Host

Act = tuple[str, int, int]
APPS = ("shop", "blog")
CPU_MILLICORES = 1_500
JOB = "migrate"
_SMALL = {"resources": {"reservations": {"cpus": "0.5", "memory": "256M"}}}
METRIC, TARGET = "lag", 10.0
_WEB = {"deploy": {"replicas": 2} | _SMALL}
_BOUNDS = {"min": 1, "max": 4, "target": {METRIC: TARGET}, "down": {"window": "20s"}}
_FOLLOWS = (_BOUNDS, _BOUNDS | {"down": {"window": "5s"}}, _BOUNDS | {"max": 3}, _BOUNDS)
_CHECK = {"test": ["CMD", "true"]}
SPECS: tuple[dict[str, Any], ...] = (
    {"web": {"image": "w:1", "deploy": {"replicas": 3} | _SMALL}},
    {"web": {"image": "w:2", "deploy": {"replicas": 2} | _SMALL, "healthcheck": _CHECK}},
    {
        "web": {
            "image": "w:1",
            "deploy": {"replicas": 4, "update_config": {"parallelism": 2, "monitor": "1s"}}
            | _SMALL,
            "x-segue": {"rollout": {"strategy": "canary", "promote": "manual"}},
        },
        "side": {"image": "s:1"},
    },
    {
        "agent": {"image": "a:1", "deploy": {"mode": "global"}},
        "db": {"image": "d", "volumes": ["data:/data"]},
    },
    {
        "agent": {"image": "a:2", "deploy": {"mode": "global"}, "healthcheck": _CHECK},
        "web": {
            "image": "w:1",
            "depends_on": {"agent": {"condition": "service_healthy"}},
            "deploy": {"placement": {"constraints": ["node.labels.zone == z1"]}} | _SMALL,
        },
    },
    {
        JOB: {"image": "m", "deploy": {"mode": "replicated-job"}},
        "web": {
            "image": "w:3",
            "depends_on": {JOB: {"condition": "service_completed_successfully"}},
            "deploy": _SMALL,
        },
    },
    {"web": {"image": "w:4", "deploy": {"replicas": 2} | _SMALL, "ports": []}},
    {
        "web": {
            "image": "w:5",
            "deploy": {"replicas": 3} | _SMALL,
            "healthcheck": _CHECK,
            "x-segue": {"rollout": {"strategy": "blue_green"}},
        },
    },
    *({"web": _WEB | {"image": f"w:{n}", "x-autoscale": how}} for n, how in enumerate(_FOLLOWS, 6)),
)
_LEVELS: tuple[tuple[float, type[LoadEvent]], ...] = (
    (25.0, LoadHigh),
    (15.0, LoadHigh),
    (10.0, LoadNormal),
    (2.0, LoadLow),
)
_FACTS: tuple[tuple[type[NodeContainerEvent], dict[str, Any]], ...] = (
    (ContainerStarted, {"engine_id": "x"}),
    (ContainerHealthy, {}),
    (ContainerUnhealthy, {"streak": 3}),
    (ContainerFailed, {"reason": "exited", "exit_code": 2}),
    (ContainerFinished, {}),
    (ContainerStopped, {}),
)


def hosts() -> list[Host]:
    """Give four hosts in two zones; three of them can carry everything, two of them cannot."""
    return [
        Host(name, cpu_millicores=CPU_MILLICORES, labels={"zone": f"z{number % 2}"})
        for number, name in enumerate("abcd")
    ]


def compose(number: int, app: str) -> dict[str, Any]:
    """Give one of the Compose files there are; its port on the nodes is the app's own."""
    services = SPECS[number % len(SPECS)]
    web = services.get("web", {})
    if "ports" in web:
        port = {"target": 80, "published": str(8080 + APPS.index(app)), "mode": "host"}
        services = services | {"web": web | {"ports": [port]}}
    made: dict[str, Any] = {"services": services}
    if "db" in services:
        made["volumes"] = {"data": {}}
    return made


def happen(fleet: Fleet, act: Act, cores: Mapping[str, Callable[[], Core]]) -> None:
    """Let it happen."""
    kind, first, second = act
    if kind == "failover":
        _failover(fleet, first, cores)
    else:
        _ACTS[kind](fleet, first, second)


def _host(fleet: Fleet, number: int) -> Host:
    return list(fleet.hosts.values())[number % len(fleet.hosts)]


def _turn(fleet: Fleet, first: int, second: int) -> None:
    fleet.turn((first * 8 + second) % len(_everybody(fleet)))


def _think(fleet: Fleet, _: int, __: int) -> None:
    """Let all decide, and nothing of it reach the log yet."""
    for index in _everybody(fleet):
        if not fleet.has_decided(index):
            fleet.turn(index)


def _speak(fleet: Fleet, first: int, _: int) -> None:
    """Let what was decided reach the log, somebody's first."""
    order = [*_everybody(fleet)]
    for index in [*order[first:], *order[:first]]:
        if fleet.has_decided(index):
            fleet.turn(index)


def _everybody(fleet: Fleet) -> range:
    return range(len(fleet.cores) + len(fleet.hosts))


def _turns(fleet: Fleet, first: int, _: int) -> None:
    for _round in range(1 + first):
        for index in _everybody(fleet):
            fleet.turn(index)


def _wait(fleet: Fleet, first: int, second: int) -> None:
    """Let time pass in which only the judges work, who must never sleep."""
    for _step in range((1, 2, 3, 5, 8, 15, 40, 80)[first % 8]):
        fleet.now += BEAT_S
        fleet.beat()
        fleet.turn(len(fleet.cores) - 1)
        if second % 2:
            _turns(fleet, 0, 0)


def _deploy(fleet: Fleet, first: int, second: int) -> None:
    app, number = APPS[first % 2], second + 8 * (first // 4)
    fleet.say(DeployRequested(app=app, compose=compose(number, app)))


def _scale(fleet: Fleet, first: int, second: int) -> None:
    service = ("web", "web", "side", JOB)[first // 2 % 4]
    fleet.say(ScaleRequested(app=APPS[first % 2], service=service, replicas=second % 4))


def _remove(fleet: Fleet, first: int, second: int) -> None:
    fleet.say(RemovalRequested(app=APPS[first % 2], volumes=bool(second % 2)))


def _cut(fleet: Fleet, first: int, _: int) -> None:
    _host(fleet, first).cut = True


def _mend(fleet: Fleet, first: int, _: int) -> None:
    host = _host(fleet, first)
    host.cut = False
    while host.unread:
        host.picture.fold(host.unread.pop(0))


def _restart(fleet: Fleet, first: int, second: int) -> None:
    """Start the runner again; the second number tells whether the whole host went down."""
    host = _host(fleet, first)
    host.session, host.flight = host.session + 1, []
    if second % 2:
        host.held, host.ended = {}, {}


def _end(fleet: Fleet, first: int, second: int) -> None:
    host = _host(fleet, first)
    if host.held:
        key = sorted(host.held)[second % len(host.held)]
        host.ended[key] = second % 2
        del host.held[key]


def _ill(fleet: Fleet, first: int, second: int) -> None:
    host = _host(fleet, first)
    if host.held:
        host.held[sorted(host.held)[second % len(host.held)]] = "ill"


def _about_node(fleet: Fleet, first: int, second: int) -> None:
    host = _host(fleet, first)
    if second % 8 < 4:
        kind = NodeCordonRequested if second % 2 else NodeUncordonRequested
        fleet.say(kind(node=host.name))
    elif not host.cut and host.name in fleet.picture.nodes:
        told = (
            NodeDegraded(node=host.name, reason="engine"),
            NodeRecovered(node=host.name),
            NodeLeft(node=host.name),
            ImagePulled(node=host.name, image="w:1"),
        )
        fleet.say(told[second % 4])


def _drain(fleet: Fleet, first: int, second: int) -> None:
    """Let a person empty a node, with little time or much, or want it forgotten or labelled."""
    name = _host(fleet, first).name
    told = (
        NodeDrainRequested(node=name, deadline_s=(5.0, 600.0)[second % 2]),
        NodeDrainRequested(node=name, deadline_s=30.0),
        NodeRemovalRequested(node=name, force=bool(second % 2)),
        NodeLabelRequested(node=name, set={"zone": f"z{second % 2}"}, remove=["disk"]),
    )
    fleet.say(told[second // 2 % 4])


def _rebalance(fleet: Fleet, _: int, __: int) -> None:
    fleet.say(RebalanceRequested())


def _steer(fleet: Fleet, first: int, second: int) -> None:
    """Let a person say something of a rollout, whether there is one or not."""
    app = APPS[first % 2]
    told = (
        RolloutPauseRequested(app=app),
        RolloutResumeRequested(app=app),
        RolloutPromoteRequested(app=app, service="web"),
        RolloutAbortRequested(app=app),
        RollbackRequested(app=app, revision=first // 2),
    )
    fleet.say(told[second % len(told)])


def _load(fleet: Fleet, first: int, second: int) -> None:
    """Let somebody say how much there is to do, as measured of so many replicas: now, or late."""
    value, kind = _LEVELS[first % len(_LEVELS)]
    which: dict[str, Any] = {"app": APPS[first // 4], "service": "web", "metric": METRIC}
    fleet.say(kind(**which, value=value, replicas=second % 4))


def _word(fleet: Fleet, first: int, second: int) -> None:
    """Let a person have a say in a number that follows its load, whether it does or not."""
    which: dict[str, Any] = {"app": APPS[first % 2], "service": "web"}
    told = (
        ScalePauseRequested(**which, for_s=(0.0, 5.0)[second // 4]),
        ScaleResumeRequested(**which),
        ScaleRequested(**which, replicas=second % 4, for_s=8.0),
        ScaleResumeRequested(**which),
    )
    fleet.say(told[second % 4])


def _lie(fleet: Fleet, first: int, second: int) -> None:
    """Let a node say what is not so, of containers that it has, had, or never knew."""
    kind, more = _FACTS[first % len(_FACTS)]
    node = _host(fleet, second).name
    service = ("web", "agent", "db", "ghost")[first // 2 % 4]
    slot, attempt = 1 + second % 3, 1 + first // 3
    fleet.say(kind(app=APPS[0], service=service, slot=slot, attempt=attempt, node=node, **more))


def _repeat(fleet: Fleet, first: int, second: int) -> None:
    """Let a fact about a container come once more; the log itself keeps decisions from that."""
    back = 1 + first * 8 + second
    if back <= len(fleet.log):
        record = fleet.log[-back]
        if isinstance(record.event, tuple(kind for kind, _ in _FACTS)):
            cause = Cause(record.cause, record.correlation) if record.cause else None
            fleet.say(record.event, cause, record.id)


def _blind(fleet: Fleet, _: int, __: int) -> None:
    for core in fleet.cores:
        core.hear(BusReturned(), fleet.now)


def _failover(fleet: Fleet, first: int, cores: Mapping[str, Callable[[], Core]]) -> None:
    """Let another instance lead on, from a snapshot; what was in flight is refused."""
    index = first % len(fleet.cores)
    old = fleet.cores[index]
    new = cores[old.service]()
    new.picture.restore(old.picture.snapshot())
    fleet.flights.pop(index, None)
    fleet.cores = (*fleet.cores[:index], new, *fleet.cores[index + 1 :])


_ACTS: dict[str, Callable[[Fleet, int, int], None]] = {
    "turn": _turn,
    "turns": _turns,
    "think": _think,
    "speak": _speak,
    "wait": _wait,
    "deploy": _deploy,
    "scale": _scale,
    "remove": _remove,
    "cut": _cut,
    "mend": _mend,
    "restart": _restart,
    "end": _end,
    "ill": _ill,
    "node": _about_node,
    "drain": _drain,
    "rebalance": _rebalance,
    "steer": _steer,
    "load": _load,
    "word": _word,
    "lie": _lie,
    "repeat": _repeat,
    "blind": _blind,
}
KINDS = (*_ACTS, "failover")
