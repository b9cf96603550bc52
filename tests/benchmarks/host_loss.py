"""How long until what a lost host ran runs elsewhere, beside Swarm: `just bench host_loss`.

Three hosts of network namespaces run 60 containers. One host's wire is cut and everything on it
killed at the same moment. Measured is, by the hosts' own process tables, until the last of the 60
runs on the other two: from the cut, and for Segue from the last beat too. Swarm runs on the same
hosts in the same run, after Segue, by engines of its own: as it is by default, and tuned to
heartbeats of one second without a delay. `leading`: the lost host led the bus and all services
of Segue, or the swarm.
"""

import argparse
import functools
import pathlib
import statistics
import tempfile
import time
from typing import Any

import anyio

from segue.events.deploy import DeployCompleted
from segue.testing.bed import Bed, standing
from segue.testing.crowd import comes_back, crowd, led_from, lose
from segue.testing.engine import BUSYBOX, EngineRefusedError
from segue.testing.hosts import Host, HostEngine, Hosts
from segue.testing.nats_cluster import NatsCluster

REPLICAS = 60
SWARM_PORT = 2377
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


async def segue_rounds(
    hosts: Hosts, servers: NatsCluster, folder: pathlib.Path, rounds: int, *, leading: bool
) -> list[tuple[float, float]]:
    """Lose a host in each round; seconds since the cut and since the last beat."""
    found: list[tuple[float, float]] = []
    for number in range(rounds):
        (own := folder / f"segue-{leading}-{number}").mkdir()
        for host in hosts:
            for name in ("state", "run"):
                (host.folder / name).mkdir(exist_ok=True)
        async with standing(own, hosts, servers) as bed:
            victim, other = (3, 1) if leading else (3, 2)
            await one_round(bed, servers, victim, other, found, leading=leading)
            await comes_back(bed, hosts[victim])
    return found


async def one_round(
    bed: Bed,
    servers: NatsCluster,
    victim: int,
    other: int,
    found: list[tuple[float, float]],
    *,
    leading: bool,
) -> None:
    await led_from(bed, victim if leading else 1, other)
    bed.start_runners()
    await bed.joined()
    await bed.insist(crowd(REPLICAS))
    await bed.wait_event(DeployCompleted, within_s=90)
    await servers.lead(victim if leading else 1)
    await anyio.sleep(CALM_S)
    loss = await lose(bed, bed.hosts[victim], REPLICAS)
    found.append((loss.since_cut_s, loss.since_beat_s))
    print(f"  segue {'leading' if leading else 'default'}: {loss}", flush=True)


def until(what: Any, within_s: float = 120.0) -> float:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "Swarm did not come to rest"
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


def swarm_round(hosts: Hosts, engines: list[SwarmEngine], *, leading: bool, tuned: bool) -> float:
    """Start 60, lose a host, wait; seconds since the cut."""
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
        "Mode": {"Replicated": {"Replicas": REPLICAS}},
    }
    service = boss.ask("POST", "/services/create", body)["ID"]
    until(lambda: sum(len(host.processes()) for host in hosts) == REPLICAS)
    time.sleep(CALM_S)
    lost = hosts[victim + 1]
    lost.cut()
    cut_at = time.monotonic()
    lost.kill()
    whole_at = until(lambda: sum(len(host.processes()) for host in hosts) == REPLICAS)
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


def show(name: str, found: list[float]) -> None:
    middle = statistics.median(found)
    print(f"| {name} | {middle:.1f} | {min(found):.1f} | {max(found):.1f} | {len(found)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--leading-rounds", type=int, default=3)
    given = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp())
    results: dict[str, list[float]] = {}
    with Hosts(3, folder) as hosts:
        with NatsCluster(hosts, folder / "bus") as servers:
            for leading, rounds in ((False, given.rounds), (True, given.leading_rounds)):
                play = functools.partial(segue_rounds, leading=leading)
                losses = anyio.run(play, hosts, servers, folder, rounds)
                name = "segue, the lost host led all" if leading else "segue"
                results[f"{name}, since the cut"] = [one for one, _ in losses]
                results[f"{name}, since the last beat"] = [one for _, one in losses]
        engines = swarm_of(hosts)
        try:
            for name, leading, tuned, rounds in (
                ("swarm", False, False, given.rounds),
                ("swarm, tuned", False, True, given.rounds),
                ("swarm, the lost host led", True, False, given.leading_rounds),
            ):
                results[name] = []
                for _ in range(rounds):
                    took = swarm_round(hosts, engines, leading=leading, tuned=tuned)
                    results[name].append(took)
                    print(f"  {name}: {took:.2f}", flush=True)
        finally:
            for engine in engines:
                engine.stop()
    print("| what | median s | min | max | rounds |\n|---|---|---|---|---|")
    for name, found in results.items():
        if found:
            show(name, found)


if __name__ == "__main__":
    main()
