"""What a gateway costs with 200 services of 5 containers each: `just bench gateway`.

A real HAProxy on the loopback: nobody is behind the addresses, which changes nothing of what is
measured: making the text, loading it, and telling the running proxy of one container more or less.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Awaitable
from typing import Any

import anyio
from segue.testing.bench import Table as Rows
from segue.testing.bench import asked, pss_mib
from segue_gateway import runtime
from segue_gateway.certificates import Certificates
from segue_gateway.proxy import Proxy
from segue_gateway.render import Setting, render
from segue_gateway.table import Endpoint, Port, Route, Table


def table(services: int, containers: int, more: int = 0) -> Table:
    routes = [
        Route(
            app=f"app-{n // 10}",
            service=f"s{n % 10}",
            vip=f"127.99.{n // 200}.{n % 200 + 1}",
            sources=["127.0.0.0/8"],
            ports=[Port(number=80, http=n % 2 == 0)],
            endpoints=[
                Endpoint(
                    slot=c,
                    attempt=1,
                    node="a",
                    address=f"127.98.{n // 200}.{n % 200 + 1}",
                    local=True,
                )
                for c in range(1, containers + 1 + (more if n == 0 else 0))
            ],
        )
        for n in range(services)
    ]
    return Table(node="a", routes=routes)


async def nothing(_: str) -> bytes | None:
    return None


async def measure(out: Rows, services: int, containers: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        setting = Setting(folder=place)
        proxy = Proxy("haproxy", setting, Certificates(pathlib.Path(place) / "c", nothing))
        full = table(services, containers)
        took: dict[str, list[float]] = {}

        async def timed(what: str, work: Awaitable[Any]) -> None:
            begun = time.perf_counter()
            await work
            took.setdefault(what, []).append(time.perf_counter() - begun)

        begun = time.perf_counter()
        text = render(full, setting)
        took["text"] = [time.perf_counter() - begun]
        try:
            await timed("start", proxy.apply(full))
            for _ in range(10):
                await timed("one more", proxy.apply(table(services, containers, 1)))
                await timed("one less", proxy.apply(full))
            for n in range(5):
                smaller = Table(node="a", routes=full.routes[: services - 1 - n])
                await timed("reload", proxy.apply(smaller))
                await anyio.sleep(0.3)
            there = await runtime.processes(f"{place}/master.sock")
            for name, pid in (("worker", there.worker), ("master", there.master)):
                out.add(f"HAProxy's {name}", [pss_mib(pid)], "MiB")
        finally:
            await proxy.stop()
        of = f"{services} services x {containers}"
        out.add(f"its file: {of}", [len(text.whole) / 1024], "KiB")
        for what, times in took.items():
            out.add(f"{what}: {of}", [one * 1000 for one in times], "ms")


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--services", type=int, default=200)
        flags.add_argument("--containers", type=int, default=5)

    given = asked(__doc__, more)
    sizes = (10, 2) if given.smoke else (given.services, given.containers)
    anyio.run(measure, Rows("gateway", given.out), *sizes)


if __name__ == "__main__":
    main()
