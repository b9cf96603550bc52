"""What a gateway costs with 200 services of 5 containers each: time to apply, and memory.

    python tests/benchmarks/gateway.py [SERVICES] [CONTAINERS]

A real HAProxy on the loopback: nobody is behind the addresses, which changes nothing of what is
measured: making the text, loading it, and telling the running proxy of one container more or less.
"""

import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable
from typing import Any

import anyio
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


def resident(pid: int) -> int:
    """Give the bytes of memory that a process has."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line)


async def main(services: int, containers: int) -> None:
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
                print(f"{name} memory: {resident(pid) / 1e6:.0f} MB")
        finally:
            await proxy.stop()
        print(f"{services} services x {containers}: file of {len(text.whole) / 1e3:.0f} kB")
        for what, times in took.items():
            print(
                f"{what}: median {statistics.median(times) * 1e3:.0f} ms, worst {max(times) * 1e3:.0f} ms"
            )


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:3]]
    services, containers = (*given, *(200, 5)[len(given) :])
    anyio.run(main, services, containers)
