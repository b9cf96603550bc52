"""What probing costs a node: CPU for each probe of a listener on loopback: `just bench probe_cost`.

Prints one table. The listener runs in a process of its own; nothing is asserted about time.
"""

import asyncio
import multiprocessing
import resource
import socket
import time

import anyio
from segue.spec import Probe
from segue.testing.bench import Table, asked
from segue_node_runner.effects import Ask, Asked
from segue_node_runner.labels import Identity
from segue_node_runner.prober import Prober

CONTAINERS, EVERY_S, LASTS_S = 100, 0.5, 10.0


async def _serve(line: socket.socket) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async with await asyncio.start_server(answer, sock=line) as server:
        await server.serve_forever()


def _listen(line: socket.socket) -> None:
    asyncio.run(_serve(line))


async def _cost(kind: str, port: int, lasts_s: float) -> tuple[float, float]:
    probe = Probe(kind=kind, port=port, every_s=EVERY_S)  # type: ignore[arg-type]  # Of two kinds.
    told: list[object] = []
    prober = Prober(told.append)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prober.run)
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        asked = [
            Asked(
                identity=Identity("shop", "web", slot, 1),
                engine_id=str(slot),
                address="127.0.0.1",
                readiness=probe,
                liveness=probe,
            )
            for slot in range(CONTAINERS)
        ]
        prober.want(Ask(asked))
        await anyio.sleep(lasts_s)
        after, took_s = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
        tasks.cancel_scope.cancel()
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 2 * CONTAINERS / EVERY_S, used_s / took_s


def main() -> None:
    """Measure both kinds."""
    given = asked(__doc__)
    table = Table("probe_cost", given.out)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as line:
        listener = multiprocessing.get_context("fork").Process(target=_listen, args=(line,))
        listener.start()
        try:
            for kind in ("http", "tcp"):
                lasts_s = 0.6 if given.smoke else LASTS_S
                rate, used = anyio.run(_cost, kind, line.getsockname()[1], lasts_s)
                table.add(f"a probe by {kind}, {rate:.0f} a second", [used / rate * 1e6], "us")
        finally:
            listener.kill()
            listener.join()


if __name__ == "__main__":
    main()
