"""Gateways on every host of a bed, and an app that tells which of its containers answers.

    test, or a container on a host ── address or name ── gateway ══ mesh ══ gateway ── web.N

The app's server speaks HTTP and, after an upgrade or the line `echo`, says each line back with its
own name before it. It dies at once when it is told to stop: nothing but draining helps it.
"""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
from segue_cli.authority import founded, issued
from segue_gateway.table import inbound_name

from segue.events.deploy import DeployCompleted, DeployRequested
from segue.events.gateway import EndpointReady, GatewayJoined
from segue.testing.bed import Bed, built
from segue.testing.engine import BUSYBOX
from segue.testing.hosts import Host, Hosts
from segue.testing.load import Place
from segue.testing.nats_cluster import NatsCluster

HTTP_PORT, TCP_PORT = 8080, 9000
SITE = "shop.test"
Way = Literal["mtls", "plain"]
_LISTENERS = "-" + "l" * 64  # One alone waits for the kernel, so many wait for the program.
SERVE = f"""\
cat > /serve <<'END'
#!/bin/sh
me="$VERSION $HOSTNAME"
cr=$(printf '\\r')
say() {{ while read -r line; do echo "$me $line" || exit; done; exit; }}
while read -r method path rest; do
  [ "$method" = echo ] && say
  upgrade= last=
  while read -r key value && [ "$key" != "$cr" ]; do
    case "$key $value" in
      [Uu]pgrade:*) upgrade=1;;
      [Cc]onnection:*close*) last=1;;
    esac
  done
  if [ "$upgrade" ]; then
    printf 'HTTP/1.1 101 Changed\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n'
    say
  fi
  printf 'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s' ${{#me}} "$me"
  [ -z "$last" ] || exit
done
END
chmod +x /serve
nc {_LISTENERS} -p {TCP_PORT} -e /serve &
exec nc {_LISTENERS} -p {HTTP_PORT} -e /serve
"""


def web(replicas: int, *, version: str = "v1", **more: Any) -> dict[str, Any]:
    """Describe the service: it is published on every host, and is known by a host name."""
    return {
        "image": BUSYBOX,
        "command": ["sh", "-ec", SERVE],
        "environment": {"VERSION": version},
        "stop_signal": "SIGKILL",
        "ports": [
            {"target": HTTP_PORT, "published": str(HTTP_PORT), "app_protocol": "http"},
            {"target": TCP_PORT, "published": str(TCP_PORT)},
        ],
        "x-ingress": [{"host": SITE, "port": HTTP_PORT}],
        "x-segue": {"probe": {"readiness": {"tcp": HTTP_PORT}}},
        "deploy": {"replicas": replicas, "update_config": {"monitor": "1s"}},
        **more,
    }


def on(*hosts: Host, **deploy: Any) -> dict[str, Any]:
    """Keep a service to one host, or to any but others: a part of it for `deploy`."""
    [host] = hosts
    return {"placement": {"constraints": [f"node.id == {host.name}"]}, **deploy}


def in_all_ways(*hosts: Host) -> list[Place]:
    """Give where the service is asked on hosts: by GET, by POST, and over TCP connections."""
    http: list[Place] = [(one.address, HTTP_PORT, way) for way in ("GET", "POST") for one in hosts]
    return [*http, *((one.address, TCP_PORT, "TCP") for one in hosts)]


class Mesh(Bed):
    """A bed with a gateway on each host; use `meshed` to get one."""

    mesh: Way = "mtls"

    def start_gateways(self, mesh: Way = "mtls", *more: str) -> None:
        """Start them, each with a certificate for its node by one authority."""
        self.mesh = mesh
        authority = founded("nodes")
        for host in self.hosts:
            home = host.folder / "gateway"
            home.mkdir(exist_ok=True)
            words = ["--node", host.name, "--mesh", mesh]
            words += ["--state", str(home / "state"), "--runtime", str(home / "run")]
            if mesh == "mtls":
                pair = issued(authority, host.name, [f"*.{host.name}.node.segue.internal"])
                (home / "node.pem").write_text(pair.certificate + pair.key)
                (home / "ca.pem").write_text(authority.certificate)
                words += ["--certificate", str(home / "node.pem")]
                words += ["--authority", str(home / "ca.pem")]
            self.start("gateway", host.name, *words, *more, host=host)

    def lead_out(self) -> None:
        """Let containers reach what is beyond their host, as engines do that make rules."""
        for host in self.hosts:
            host.do("sysctl -qw net.ipv4.ip_forward=1")
            host.do(
                "nft 'table ip out { chain out { type nat hook postrouting priority srcnat; "
                "oifname eth0 masquerade; }; }'"
            )

    async def deploy(self, services: dict[str, Any], app: str = "shop") -> None:
        """Deploy and wait until all of it is done."""
        head = await self.head()
        await self.say(DeployRequested(app=app, compose={"services": services}))
        await self.wait_event(DeployCompleted, app=app, after=head, within_s=120)

    async def led_to(self, service: str, *slots: int, app: str = "shop", after: int = 0) -> None:
        """Wait until every gateway leads to these slots."""
        for slot in slots:
            fields = {"app": app, "service": service, "slot": slot}
            await self.wait_event(EndpointReady, after=after, **fields)

    async def inbound(self, service: str, slot: int, port: int, app: str = "shop") -> str:
        """Give the name by which gateways ask each other for a slot's container."""
        container = (await self.picture()).apps[app].services[service].slots[slot].container
        assert container is not None, f"{app}/{service}.{slot} is empty"
        endpoint = f"{slot}-{container.attempt}"
        return inbound_name(app, service, endpoint, port, container.node)

    def kill_gateway(self, host: Host) -> None:
        """End a host's gateway and its proxy at once."""
        self["gateway", host.name].kill()
        for pid in host.pids("haproxy"):
            os.kill(pid, signal.SIGKILL)

    def hosts_of(self, service: str) -> set[str]:
        """Tell on which hosts a service runs."""
        return {
            where
            for slot, places in self.running().items()
            for where in places
            if slot.startswith(f"{service}.")
        }

    def container(self, host: Host, service: str) -> str:
        """Give the engine's id of a container of a service on a host."""
        return next(
            one.container for one in host.processes() if one.labels["segue.service"] == service
        )

    async def run_in(self, host: Host, service: str, line: str) -> str:
        """Run a shell's line in the container of a service on a host; give what it prints."""
        return await anyio.to_thread.run_sync(self._run_in, host, service, line)

    def _run_in(self, host: Host, service: str, line: str) -> str:
        asked = {"Cmd": ["sh", "-c", line], "AttachStdout": True, "AttachStderr": True, "Tty": True}
        container = self.container(host, service)
        made = host.engine.ask("POST", f"/containers/{container}/exec", asked)
        said = host.engine.ask("POST", f"/exec/{made['Id']}/start", {"Tty": True})
        return str(said.decode(errors="replace")).replace("\r\n", "\n")


@asynccontextmanager
async def meshed(
    folder: Path, hosts: Hosts, servers: NatsCluster, mesh: Way = "mtls"
) -> AsyncIterator[Mesh]:
    """Give a Segue with everything running on every host."""
    async with built(Mesh, folder, hosts, servers) as bed:
        bed.start_instances(a=1)
        bed.start_runners()
        bed.start_gateways(mesh)
        await bed.joined()
        for host in hosts:
            await bed.wait_event(GatewayJoined, node=host.name)
        yield bed
