"""Requests that fail when a container or a host dies, beside Swarm: `just bench mesh_losses`.

Three hosts of network namespaces run six containers of a web server, two on each. A client in a
container on host 1 asks them by the service's name: 16 at once, each with a connection of its own
for every request, as fast as a pause of 50 ms lets them; the name is looked up each time. Failed is
what is not answered in full within 5 s. First a container on host 2 is killed, then host 3: its
wire is cut, and everything on it ends at the same moment. The load goes on for 20 s each time, so
that what dies is long replaced. Swarm runs on the same hosts in the same run, after Segue, by engines of
its own. Its routing mesh needs IPVS: whether that works here is tried and told first; where it does
not, its other way counts, DNS round robin (`endpoint_mode: dnsrr`).
"""

import argparse
import asyncio
import collections
import contextlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import anyio
from dnslib import QTYPE, DNSRecord

from segue.testing.bench import Table, asked
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Host, HostEngine, Hosts
from segue.testing.load import ask
from segue.testing.mesh import HTTP_PORT, SERVE, Mesh, meshed, on, web
from segue.testing.nats_cluster import NatsCluster

LASTS_S, BEFORE_S, WITHIN_S, CLIENTS, PAUSE_S = 20.0, 3.0, 5.0, 16, 0.05

RESOLVER = "127.0.0.11"  # The engine's own, in every container.
OVERLAY = "10.90.0.0/16"
TABLES: list[Table] = []  # The one that this run fills.


# The client, as a process of its own in the network of a container.


async def resolved(name: str) -> str:
    loop = asyncio.get_running_loop()
    reply: asyncio.Future[bytes] = loop.create_future()

    class Reader(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, _: Any) -> None:
            if not reply.done():
                reply.set_result(data)

    way, _ = await loop.create_datagram_endpoint(Reader, remote_addr=(RESOLVER, 53))
    try:
        way.sendto(DNSRecord.question(name).pack())
        answers = DNSRecord.parse(await reply).rr
    finally:
        way.close()
    found = [str(one.rdata) for one in answers if one.rtype == QTYPE.A]
    if not found:
        raise OSError("no address")
    return found[0]


async def load(name: str, port: int, seconds: float) -> None:
    counts: collections.Counter[str] = collections.Counter()
    slowest = 0.0

    async def client() -> None:
        nonlocal slowest
        while time.monotonic() < end:
            since = time.monotonic()
            try:
                async with asyncio.timeout(WITHIN_S):
                    status, _ = await ask(await resolved(name), port)
                counts["answered" if status == 200 else str(status)] += 1
            except TimeoutError:
                counts["no answer in time"] += 1
            except OSError as error:
                counts[type(error).__name__] += 1
            slowest = max(slowest, time.monotonic() - since)
            await asyncio.sleep(PAUSE_S)

    end = time.monotonic() + seconds
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    print(json.dumps({"counts": counts, "slowest_s": round(slowest, 2)}))


class Load:
    """The client at work in a container's network."""

    def __init__(self, pid: int, name: str, port: int, seconds: float) -> None:
        words = [sys.executable, __file__, "--client", name, str(port), str(seconds)]
        enter = ["nice", "-n", "-10", "nsenter", f"--net=/proc/{pid}/ns/net", "--"]
        self.process = subprocess.Popen([*enter, *words], stdout=subprocess.PIPE, text=True)

    def result(self) -> dict[str, Any]:
        said, _ = self.process.communicate()
        found: dict[str, Any] = json.loads(said)
        found["asked"] = sum(found["counts"].values())
        found["failed"] = found["asked"] - found["counts"].get("answered", 0)
        return found


def show(what: str, found: dict[str, Any]) -> None:
    failed = {how: many for how, many in found["counts"].items() if how != "answered"}
    words = ", ".join(f"{many} {how}" for how, many in failed.items()) or "-"
    TABLES[0].add(f"{what}: failed of {found['asked']} ({words})", [found["failed"]], "")
    TABLES[0].add(f"{what}: slowest", [found["slowest_s"]])


def of_service(engine: HostEngine, service: str) -> list[str]:
    """Give what runs of a service, whoever has started it."""
    found = []
    for key in ("segue.service", "com.docker.swarm.service.name"):
        filters = {"label": [f"{key}={service}"], "status": ["running"]}
        found += [one["Id"] for one in engine.ask("GET", "/containers/json", filters=filters)]
    return found


def pid_of(engine: HostEngine, service: str) -> int:
    """Give the process of the one container of a service on an engine."""
    [container] = of_service(engine, service)
    return int(engine.ask("GET", f"/containers/{container}/json")["State"]["Pid"])


def losses(who: str, hosts: Hosts, engines: Sequence[HostEngine], rounds: int) -> None:
    pid = pid_of(engines[0], "asks")

    def during(what: str, break_it: Any) -> None:
        at_work = Load(pid, "web", HTTP_PORT, BEFORE_S + LASTS_S)
        time.sleep(BEFORE_S)
        break_it()
        show(f"{who}, {what}", at_work.result())

    def kill_one() -> None:
        container = of_service(engines[1], "web")[0]
        engines[1].ask("POST", f"/containers/{container}/kill")

    def kill_host() -> None:
        hosts[3].cut()
        hosts[3].kill()

    during("nothing dies", lambda: None)
    for _ in range(rounds):
        during("a container is killed", kill_one)
    during("a host dies", kill_host)


async def segue(hosts: Hosts, folder: pathlib.Path, rounds: int) -> None:
    with NatsCluster(hosts, folder / "bus") as servers:
        (own := folder / "segue").mkdir()
        async with meshed(own, hosts, servers) as bed:
            await servers.lead(1)
            asks = {"image": BUSYBOX, "command": ["sleep", "100000"]}
            most = {"replicas": 6, "placement": {"max_replicas_per_node": 3}}
            services = {"web": web(6, deploy=most), "asks": {**asks, "deploy": on(hosts[1])}}
            await bed.deploy(services)
            await bed.led_to("web", *range(1, 7))
            engines = [host.engine for host in hosts]
            await anyio.to_thread.run_sync(losses, "Segue", hosts, engines, rounds)


class SwarmEngine(HostEngine):
    """An engine on a host beside Segue's, with the rules that Swarm's networks need."""

    def __init__(self, host: Host) -> None:
        super().__init__(host.network.namespace(host.number), "", host.enter, live_restore=False)
        self.cgroup = host.cgroup  # Only now: an engine clears its own before it starts.
        self.address = f"{host.address}:2377"
        host.units.append(self)

    def _dockerd_arguments(self) -> list[str]:
        own = {"--ip-forward=false", "--iptables=false"}
        return [one for one in super()._dockerd_arguments() if one not in own]

    @property
    def running(self) -> bool:
        return self._runs("dockerd")

    def kill(self, process: str = "") -> None:
        for name in [process] if process else ["dockerd", "containerd"]:
            super().kill(name)


def until(what: Any, within_s: float = 120.0) -> None:
    end = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < end, "it did not come to rest"
        time.sleep(0.05)


def swarm(hosts: Hosts, rounds: int) -> None:
    engines = [SwarmEngine(host) for host in hosts]
    try:
        first = engines[0]
        for engine in engines:
            engine.start()
        first.load_busybox()
        image = first.ask("GET", f"/images/{BUSYBOX}/get")
        for engine in engines[1:]:  # By its id, which no registry has to confirm.
            engine.ask("POST", "/images/load", image)
        here = {"ListenAddr": first.address, "AdvertiseAddr": first.address}
        first.ask("POST", "/swarm/init", {**here, "DefaultAddrPool": [OVERLAY], "SubnetSize": 24})
        token = first.ask("GET", "/swarm")["JoinTokens"]["Worker"]
        for engine in engines[1:]:
            words: dict[str, Any] = {"ListenAddr": engine.address, "AdvertiseAddr": engine.address}
            words |= {"RemoteAddrs": [first.address], "JoinToken": token}
            engine.ask("POST", "/swarm/join", words)
        until(lambda: len(first.ask("GET", "/nodes")) == len(engines))
        net = first.ask("POST", "/networks/create", {"Name": "app", "Driver": "overlay"})["Id"]
        start(first, "asks", net, 1, ["sleep", "100000"], where=["node.role==manager"])
        until(lambda: of_service(first, "asks"))
        mesh_works(hosts, engines, net)
        start(first, "web", net, 6, ["sh", "-ec", SERVE], mode="dnsrr")
        until(lambda: sum(len(of_service(one, "web")) for one in engines) == 6)
        time.sleep(5)
        losses("Swarm, DNS round robin", hosts, engines, rounds)
    finally:
        for engine in engines:
            engine.stop()


def start(
    engine: HostEngine,
    name: str,
    net: str,
    replicas: int,
    command: list[str],
    *,
    mode: str = "vip",
    ports: bool = False,
    where: list[str] | None = None,
) -> None:
    container = {
        "Image": engine.ask("GET", f"/images/{BUSYBOX}/json")["Id"],
        "Command": command,
        "Env": ["VERSION=v1"],
        "StopSignal": "SIGKILL",
    }
    task = {
        "ContainerSpec": container,
        "Networks": [{"Target": net}],
        "Placement": {"Constraints": where or []},
        "RestartPolicy": {"Condition": "any", "Delay": 0},
    }
    endpoint: dict[str, Any] = {"Mode": mode}
    if ports:
        endpoint["Ports"] = [{"TargetPort": HTTP_PORT, "PublishedPort": 8088}]
    body = {"Name": name, "TaskTemplate": task, "Mode": {"Replicated": {"Replicas": replicas}}}
    engine.ask("POST", "/services/create", {**body, "EndpointSpec": endpoint})


def mesh_works(hosts: Hosts, engines: list[SwarmEngine], net: str) -> None:
    """Tell what of the routing mesh answers on this kernel."""
    engine = engines[0]
    start(engine, "probe", net, 2, ["sh", "-ec", SERVE], ports=True)
    time.sleep(15)
    running = sum(len(of_service(one, "probe")) for one in engines)
    tasks = engine.ask("GET", "/tasks", filters={"service": ["probe"]})
    errors = {one["Status"].get("Err", "") for one in tasks} - {""}
    print(f"Swarm's mesh: {running} of 2 containers of a service with a published port run")
    for words in sorted(errors):
        print(f"  {words}")
    pid = pid_of(engine, "asks")
    show("Swarm, by virtual address", Load(pid, "probe", HTTP_PORT, 3).result())
    for host in hosts:
        with contextlib.suppress(OSError, TimeoutError):
            found = asyncio.run(asyncio.wait_for(ask(host.address, 8088), 5))
            print(f"  the published port of {host.name} answers {found}")
    engine.ask("DELETE", "/services/probe")
    until(lambda: not any(of_service(one, "probe") for one in engines))


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--rounds", type=int, default=3, help="containers to kill")
        flags.add_argument("--only", choices=("segue", "swarm"))
        flags.add_argument("--client", nargs=3, help=argparse.SUPPRESS)

    given = asked(__doc__, more)
    if given.client:
        name, port, seconds = given.client
        asyncio.run(load(name, int(port), float(seconds)))
        return
    folder = pathlib.Path(tempfile.mkdtemp())
    TABLES.append(Table("mesh_losses", given.out))
    with Hosts(3, folder) as hosts:
        if given.only != "swarm":
            anyio.run(segue, hosts, folder, given.rounds)
            hosts.restore()
        if given.only != "segue":
            swarm(hosts, given.rounds)


if __name__ == "__main__":
    main()
