"""How long until what a lost host ran runs elsewhere, beside Swarm: `just bench host_loss`.

Three hosts of network namespaces run 60 containers, or as many as `--replicas` says. One host's
wire is cut and everything on it killed at the same moment. Measured is, by the hosts' own process
tables, until the program of the last of them has begun on the other two: from the cut, and for
Segue also from the last beat that was heard and from the first that was not. Of that, the starts
are what follows the last assignment; after each round the same two engines start as many of the
very same containers by themselves, at the best of three concurrencies: their own limit.
Swarm runs on the same hosts in the same run, after Segue, by engines of its own: as it is by
default, and tuned to heartbeats of one second without a delay. `leading`: the lost host led the
bus and all services of Segue, or the swarm.
"""

import argparse
import contextlib
import functools
import itertools
import pathlib
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import anyio

from segue.beats import NODE_BEAT_EVERY_S
from segue.events.container import ContainerAssigned
from segue.events.deploy import DeployCompleted
from segue.testing.bed import Bed, standing
from segue.testing.bench import Table, asked
from segue.testing.crowd import comes_back, crowd, led_from, lose
from segue.testing.engine import BUSYBOX, EngineRefusedError
from segue.testing.hosts import Host, HostEngine, Hosts
from segue.testing.nats_cluster import NatsCluster

SWARM_PORT = 2377
VICTIM = 3
GOALS = {"segue, since the cut": "≤ 4 s", "segue, the lost host led all, since the cut": "≤ 12 s"}
CALM_S = 12.0  # Longer than any grace after a start.


class SwarmEngine(HostEngine):
    """An engine on a host beside Segue's; live restore, which Swarm refuses, is off."""

    def __init__(self, host: Host) -> None:
        namespace = host.network.namespace(host.number)
        super().__init__(namespace, "", host.enter, live_restore=False)
        self.cgroup = host.cgroup  # Only now: an engine clears its own before it starts.
        self.address = f"{host.address}:{SWARM_PORT}"
        host.units.append(self)

    @property
    def running(self) -> bool:
        """Tell whether dockerd lives."""
        return self._runs("dockerd")

    def kill(self, process: str = "") -> None:
        """End dockerd and containerd, or one of them."""
        for name in [process] if process else ["dockerd", "containerd"]:
            super().kill(name)

    def is_leader(self) -> bool:
        nodes = self.ask("GET", "/nodes")
        own = self.ask("GET", "/info")["Swarm"]["NodeID"]
        return any(n["ID"] == own and n.get("ManagerStatus", {}).get("Leader") for n in nodes)


class Wanted(NamedTuple):
    """How much is to be measured."""

    replicas: int
    rounds: int
    leading_rounds: int


class Found(NamedTuple):
    """What one round has found, in seconds."""

    since_cut_s: float
    since_beat_s: float
    since_missed_s: float
    starts_s: float
    engines_s: float  # What the engines need for as many starts.


async def segue_rounds(
    hosts: Hosts, servers: NatsCluster, folder: pathlib.Path, given: Wanted, *, leading: bool
) -> list[Found]:
    """Lose a host in each round."""
    found: list[Found] = []
    for number in range(given.leading_rounds if leading else given.rounds):
        (own := folder / f"segue-{leading}-{number}").mkdir()
        for host in hosts:
            for name in ("state", "run"):
                (host.folder / name).mkdir(exist_ok=True)
        async with standing(own, hosts, servers) as bed:
            found.append(await one_round(bed, given.replicas, leading=leading))
            await comes_back(bed, hosts[VICTIM])
    return found


async def one_round(bed: Bed, replicas: int, *, leading: bool) -> Found:
    home, other = (VICTIM, 1) if leading else (1, 2)
    await led_from(bed, home, other)
    bed.start_runners()
    await bed.joined()
    await bed.insist(crowd(replicas))
    await bed.wait_event(DeployCompleted, within_s=90)
    await bed.servers.lead(home)
    await anyio.sleep(CALM_S)
    loss = await lose(bed, bed.hosts[VICTIM], replicas)
    starts_s = loss.since_cut_s - loss.stages[ContainerAssigned.type]
    left = [one for one in bed.hosts if one.number != VICTIM]
    share = replicas // 3
    engines_s = min(
        [await anyio.to_thread.run_sync(by_themselves, left, share, many) for many in (2, 4, 10)]
    )
    print(f"  segue {'leading' if leading else 'default'}: {loss}", flush=True)
    print(f"    {starts_s:.2f} s were starts, {engines_s:.2f} s by the engines alone", flush=True)
    missed_s = loss.since_beat_s - NODE_BEAT_EVERY_S
    return Found(loss.since_cut_s, loss.since_beat_s, missed_s, starts_s, engines_s)


def by_themselves(hosts: list[Host], share: int, concurrency: int) -> float:
    """Have the engines start as many more of what they run: the create call is Segue's own."""
    like = hosts[0].engine.ask("GET", f"/containers/{hosts[0].processes()[0].container}/json")
    ours = {"Image": BUSYBOX, "Hostname": "", "Labels": {}, "HostConfig": like["HostConfig"]}
    body = {**like["Config"], **ours}
    made: list[tuple[Host, str]] = []

    def start(host: Host) -> None:
        container = host.engine.ask("POST", "/containers/create", body)["Id"]
        made.append((host, container))
        host.engine.ask("POST", f"/containers/{container}/start")

    wanted = begun(hosts) + share
    since = time.monotonic()
    with contextlib.ExitStack() as stack:
        pools = {host: stack.enter_context(ThreadPoolExecutor(concurrency)) for host in hosts}
        starts = [
            pools[host].submit(start, host)
            for _, host in zip(range(share), itertools.cycle(hosts), strict=False)
        ]
        # Looked at all the while, as Segue's are: that takes its share of the processors too.
        took_s = until(lambda: begun(hosts) == wanted or any(map(failed, starts))) - since
        for one in starts:
            one.result()
    for host, container in made:
        host.engine.ask("DELETE", f"/containers/{container}", force=1)
    time.sleep(CALM_S / 4)
    return took_s


def failed(start: Future[None]) -> bool:
    return start.done() and start.exception() is not None


def begun(hosts: Iterable[Host]) -> int:
    return sum(one.begun for host in hosts for one in host.processes())


def until(what: Any, within_s: float = 120.0) -> float:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come to rest"
        time.sleep(0.02)
    return time.monotonic()


def swarm_of(hosts: Hosts) -> list[SwarmEngine]:
    """Join three engines to a swarm, each a manager."""
    engines = [SwarmEngine(host) for host in hosts]
    for engine in engines:
        engine.start()
        engine.load_busybox()
    first = engines[0]
    first.ask("POST", "/swarm/init", {"ListenAddr": first.address, "AdvertiseAddr": first.address})
    token = first.ask("GET", "/swarm")["JoinTokens"]["Manager"]
    for engine in engines[1:]:
        words = {"ListenAddr": engine.address, "AdvertiseAddr": engine.address}
        engine.ask(
            "POST", "/swarm/join", {**words, "RemoteAddrs": [first.address], "JoinToken": token}
        )
    until(lambda: len(first.ask("GET", "/nodes")) == len(engines))
    return engines


def swarm_round(
    hosts: Hosts, engines: list[SwarmEngine], replicas: int, *, leading: bool, tuned: bool
) -> float:
    """Start containers, lose a host, wait; seconds since the cut."""
    leader = next(number for number, one in enumerate(engines) if one.is_leader())
    victim = leader if leading else (leader + 1) % 3
    boss = engines[(victim + 1) % 3]
    retrying(lambda: set_heartbeat(boss, 1 if tuned else 5))
    task: dict[str, Any] = {"ContainerSpec": {"Image": BUSYBOX, "Command": ["sleep", "100000"]}}
    if tuned:
        task["RestartPolicy"] = {"Condition": "any", "Delay": 0}
    body = {
        "Name": "shop",
        "TaskTemplate": task,
        "Mode": {"Replicated": {"Replicas": replicas}},
    }
    service = boss.ask("POST", "/services/create", body)["ID"]
    until(lambda: begun(hosts) == replicas)
    time.sleep(CALM_S)
    lost = hosts[victim + 1]
    lost.cut()
    cut_at = time.monotonic()
    lost.kill()
    whole_at = until(lambda: begun(hosts) == replicas)
    lost.restore()
    retrying(lambda: boss.ask("DELETE", f"/services/{service}"))
    until(lambda: not any(host.processes() for host in hosts))
    until(lambda: all(node["Status"]["State"] == "ready" for node in nodes_of(boss)))
    return whole_at - cut_at


def nodes_of(engine: SwarmEngine) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = retrying(lambda: engine.ask("GET", "/nodes"))
    return found


def retrying(ask: Any) -> Any:
    """Ask again while Swarm elects or has a newer version."""
    for _ in range(60):
        try:
            return ask()
        except (EngineRefusedError, OSError):
            time.sleep(0.5)
    return ask()


def set_heartbeat(engine: SwarmEngine, seconds: int) -> None:
    swarm = engine.ask("GET", "/swarm")
    spec = swarm["Spec"]
    spec["Dispatcher"] = {"HeartbeatPeriod": seconds * 10**9}
    engine.ask("POST", f"/swarm/update?version={swarm['Version']['Index']}", spec)


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--replicas", type=int, default=60)
        flags.add_argument("--rounds", type=int, default=10)
        flags.add_argument("--leading-rounds", type=int, default=3)

    words = asked(__doc__, more)
    given = Wanted(words.replicas, words.rounds, words.leading_rounds)
    table = Table("host_loss", words.out)
    folder = pathlib.Path(tempfile.mkdtemp())
    results: dict[str, list[float]] = {}
    with Hosts(3, folder) as hosts:
        with NatsCluster(hosts, folder / "bus") as servers:
            for leading in (False, True):
                play = functools.partial(segue_rounds, leading=leading)
                losses = anyio.run(play, hosts, servers, folder, given)
                name = "segue, the lost host led all" if leading else "segue"
                results[f"{name}, since the cut"] = [one.since_cut_s for one in losses]
                results[f"{name}, since the last beat"] = [one.since_beat_s for one in losses]
                missed = f"{name}, since the first beat that was missed"
                results[missed] = [one.since_missed_s for one in losses]
                results[f"{name}, its starts"] = [one.starts_s for one in losses]
                alone = f"{name}, as many starts by the engines alone"
                results[alone] = [one.engines_s for one in losses]
        engines = swarm_of(hosts)
        try:
            for name, leading, tuned, rounds in (
                ("swarm", False, False, given.rounds),
                ("swarm, tuned", False, True, given.rounds),
                ("swarm, the lost host led", True, False, given.leading_rounds),
            ):
                results[name] = []
                for _ in range(rounds):
                    took = swarm_round(hosts, engines, given.replicas, leading=leading, tuned=tuned)
                    results[name].append(took)
                    print(f"  {name}: {took:.2f}", flush=True)
        finally:
            for engine in engines:
                engine.stop()
    for name, found in results.items():
        if found:
            table.add(name, found, goal=GOALS.get(name, ""))


if __name__ == "__main__":
    main()
