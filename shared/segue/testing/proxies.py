"""Real proxies that stand for hosts on loopback: node a asks, the others have the containers."""

import os
import pathlib

import anyio
from segue_cli.authority import Pair, founded, issued
from segue_gateway import runtime
from segue_gateway.certificates import Certificates
from segue_gateway.proxy import Proxy
from segue_gateway.render import NODES, Setting
from segue_gateway.table import (
    Endpoint,
    Inbound,
    Neighbour,
    Port,
    Route,
    Table,
    inbound_name,
)
from segue_gateway.vips import bind_ports

# Of each process its own, also of one that was killed and has left a proxy behind.
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
VIP, MESH, PORT, MESH_PORT = f"{NET}.1", f"{NET}.2", 18_080, 17_443
BOUND = bind_ports([PORT])[PORT]


def address(number: int) -> str:
    """Where a container listens."""
    return f"{NET}.{10 + number}"


def at(node: str) -> str:
    """Where a node's mesh listens."""
    return MESH if node == "b" else f"{NET}.{ord(node) - 92}"


class Proxies:
    """The proxies of nodes, and who signs their certificates."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Keep their files in a folder."""
        self.folder, self.authority = folder, founded("test")
        self.made: list[Proxy] = []

    def proxy(
        self,
        node: str,
        named: str = "",
        by: Pair | None = None,
        *,
        plain: bool = False,
        binary: str = "haproxy",
        mesh_address: str = "",
    ) -> Proxy:
        """Make a node's proxy, with a certificate for `named`, signed by `by`."""
        home = self.folder / node
        home.mkdir()
        shown = issued(
            by or self.authority, named or node, [f"*.{named or node}.node.segue.internal"]
        )
        (home / "node.pem").write_text(shown.certificate + shown.key)
        (home / "ca.pem").write_text(self.authority.certificate)
        setting = Setting(
            folder=str(home),
            certificate=str(home / "node.pem"),
            authority="" if plain else str(home / "ca.pem"),
            mesh_address=mesh_address or at(node),
        )
        self.made.append(Proxy(binary, setting, Certificates(home / "c", nothing)))
        return self.made[-1]


async def nothing(_: str) -> bytes | None:
    """Have no certificate of anybody's."""
    return None


def asks(*numbers: int, http: bool = True, draining: int = 0) -> Table:
    """Give node a's table: these containers are on b."""
    there = [
        Endpoint(
            slot=n,
            attempt=1,
            node="b",
            address=MESH,
            port=MESH_PORT,
            local=False,
            draining=n == draining,
        )
        for n in numbers
    ]
    route = Route(
        app="shop",
        service="web",
        vip=VIP,
        sources=["127.0.0.0/8"],
        ports=[Port(number=PORT, http=http)],
        endpoints=there,
    )
    near = [Neighbour(node="b", address=MESH, port=MESH_PORT)]
    return Table(node="a", routes=[route], neighbours=near, mesh_port=MESH_PORT)


def has(*numbers: int) -> Table:
    """Give node b's table: it has these containers."""
    return Table(
        node="b",
        mesh_port=MESH_PORT,
        inbound=[
            Inbound(
                name=inbound_name("shop", "web", f"{n}-1", PORT, "b"),
                address=address(n),
                port=PORT,
                app="shop",
                service="web",
            )
            for n in numbers
        ],
    )


async def health(proxy: Proxy, wanted: str, near: str = "b") -> None:
    """Wait until a neighbour's health is as wanted."""
    socket = str(proxy.folder / "worker.sock")
    with anyio.fail_after(30):
        while True:
            [said] = await runtime.ask_worker(socket, [f"show stat {NODES} 4 -1"])
            lines = said.splitlines()
            if any(line.startswith(f"{NODES},{near},") and wanted in line for line in lines):
                return
            await anyio.sleep(0.05)
