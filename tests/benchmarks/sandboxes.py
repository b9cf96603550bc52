"""What a start costs when its network namespace is there already: `just bench sandboxes`.

A sandbox is a container that does nothing but hold a network namespace; what fills a slot is started
with `network_mode: container:…` and lives in it. Measured on a real engine, by its API alone:

- starts on a network of the user's, without any network, on the host's, and in sandboxes: ones that
  wait on that network (`sandbox`), ones made first (`sandbox, made first`: the whole price), and ones
  from a stock without a network that are connected when they are needed (`sandbox, connected`);
- a killed container's replacement: beside the old one's network, and in the sandbox that was kept;
- a stock that is filled up while containers start out of it;
- memory of a sandbox, with the engine's helper process for it.

The sandbox's program is 129 bytes that wait for ever.
"""

import argparse
import collections
import concurrent.futures
import functools
import io
import pathlib
import struct
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from segue.testing.bench import Table, asked, pss_mib
from segue.testing.engine import BUSYBOX, Engine, EngineRefusedError, running_engine

PAUSE, NETWORK = "pause:bench", "bench-sandboxes"
LABEL = {"bench": "sandboxes"}
CODE = {  # pause() again and again; and ppoll() of nothing, where that call is not there.
    "amd64": (62, "b8220000000f05ebf7"),
    "arm64": (183, "000080d2010080d2020080d2030080d2280980d2010000d4faffff17"),
}
HOST = {"NetworkMode": NETWORK, "Init": True, "RestartPolicy": {"Name": "no"}}


def program(machine: str) -> bytes:
    """Make the smallest program that waits for ever."""
    kind, code = CODE[machine][0], bytes.fromhex(CODE[machine][1])
    base, head = 0x400000, 64 + 56
    mark = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    elf = struct.pack("<HHIQQQIHHHHHH", 2, kind, 1, base + head, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = head + len(code)
    return mark + elf + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 4096) + code


def load_pause(engine: Engine) -> None:
    there = engine.ask("GET", "/version")["Arch"]
    content, archive = program(there), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("pause")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    name, tag = PAUSE.split(":")
    changes = 'ENTRYPOINT ["/pause"]'
    engine.ask(
        "POST",
        "/images/create",
        archive.getvalue(),
        fromSrc="-",
        repo=name,
        tag=tag,
        changes=changes,
    )


class Yard:
    """An engine with containers that come and go."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.count = engine, iter(range(1_000_000))
        load_pause(engine)
        engine.ask("POST", "/networks/create", {"Name": NETWORK})

    def begin(self, body: dict[str, Any]) -> str:
        """Create and start; give its id."""
        made = self.engine.ask("POST", "/containers/create", {"Labels": LABEL, **body})["Id"]
        self.engine.ask("POST", f"/containers/{made}/start")
        return str(made)

    def slot(self, network: str) -> str:
        """Run what fills a slot, as the node runner would have it."""
        aliases = {"Aliases": ["web"]} if network == NETWORK else {}
        ends = {"EndpointsConfig": {network: aliases}} if aliases else {}
        return self.begin(
            {
                "Image": BUSYBOX,
                "Cmd": ["sleep", "100000"],
                "HostConfig": HOST | {"NetworkMode": network},
                "NetworkingConfig": ends,
            }
        )

    def sandbox(self, network: str = NETWORK) -> str:
        """Run what holds a network namespace."""
        log = {"Type": "none", "Config": {}}
        host = HOST | {"NetworkMode": network, "Init": False, "LogConfig": log}
        return self.begin({"Image": PAUSE, "HostConfig": host})

    def connected(self, sandbox: str) -> str:
        """Give a sandbox without a network one, with the names that it has there."""
        self.engine.ask("POST", "/networks/none/disconnect", {"Container": sandbox, "Force": True})
        ends = {"Container": sandbox, "EndpointConfig": {"Aliases": ["web"]}}
        self.engine.ask("POST", f"/networks/{NETWORK}/connect", ends)
        return sandbox

    def end(self, container: str) -> None:
        self.engine.ask("DELETE", f"/containers/{container}", force=1)

    def clear(self) -> None:
        found = self.engine.ask("GET", "/containers/json", all=1, filters={"label": ["bench"]})
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(self.end, [one["Id"] for one in found]))


class Way:
    """One way of starting a slot's container: what is prepared beforehand, and what is timed."""

    def __init__(self, yard: Yard, name: str) -> None:
        self.yard, self.name = yard, name

    def prepare(self) -> str:
        match self.name:
            case "sandbox":
                return self.yard.sandbox()
            case "sandbox, connected":
                return self.yard.sandbox("none")
        return ""

    def start(self, ready: str) -> str:
        yard = self.yard
        match self.name:
            case "sandbox":
                return yard.slot(f"container:{ready}")
            case "sandbox, made first":
                return yard.slot(f"container:{yard.sandbox()}")
            case "sandbox, connected":
                return yard.slot(f"container:{yard.connected(ready)}")
            case "bridge":
                return yard.slot(NETWORK)
        return yard.slot(self.name)


WAYS = ("bridge", "none", "host", "sandbox", "sandbox, connected", "sandbox, made first")


def at_once(many: int, work: Callable[[Any], Any], over: list[Any]) -> float:
    """Do it for all, so many at a time; seconds for each."""
    begun = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(many) as pool:
        list(pool.map(work, over))
    return (time.perf_counter() - begun) / len(over)


def starts(yard: Yard, table: Table, count: int, rounds: int, concurrencies: list[int]) -> None:
    """Start by every way in turn, so that what else the machine does hits all alike."""
    found: dict[tuple[int, str], list[float]] = collections.defaultdict(list)
    for _ in range(rounds):
        for many in concurrencies:
            for name in WAYS:
                way = Way(yard, name)
                with concurrent.futures.ThreadPoolExecutor(4) as pool:
                    ready = list(pool.map(lambda _, way=way: way.prepare(), range(count)))
                each_s = at_once(many, way.start, ready)
                found[many, name].append(each_s * 1000)
                yard.clear()
    for many in concurrencies:
        bridge = found[many, "bridge"]
        for name in WAYS:
            limit = bridge if name != "bridge" else []
            table.add(
                f"a start, {many} at once: {name}",
                found[many, name],
                "ms",
                beside="bridge",
                limit=limit,
            )


def killed(yard: Yard, container: str) -> None:
    """Kill, and wait until the engine has taken down what it had."""
    yard.engine.ask("POST", f"/containers/{container}/kill")
    yard.engine.ask("POST", f"/containers/{container}/wait")


def replacements(yard: Yard, table: Table, kills: int) -> None:
    """Kill and start anew, on a network and in a sandbox that is kept; the old one goes later."""
    took: dict[str, list[float]] = collections.defaultdict(list)
    sandbox = yard.sandbox()
    there = {"bridge": yard.slot(NETWORK), "sandbox": yard.slot(f"container:{sandbox}")}
    address = of(yard, sandbox)
    for _ in range(kills):
        for name, network in (("bridge", NETWORK), ("sandbox", f"container:{sandbox}")):
            begun = time.perf_counter()
            killed(yard, there[name])
            took[f"{name} dead"].append((time.perf_counter() - begun) * 1000)
            old, there[name] = there[name], yard.slot(network)
            took[name].append((time.perf_counter() - begun) * 1000)
            yard.end(old)
    assert of(yard, sandbox) == address, "a sandbox that is kept keeps its address"
    yard.clear()
    for part, words in ((" dead", "killed -> all of it gone"), ("", "killed -> started anew")):
        table.add(f"{words}: bridge", took[f"bridge{part}"], "ms")
        beside = took[f"bridge{part}"]
        table.add(
            f"{words}: sandbox kept", took[f"sandbox{part}"], "ms", beside="bridge", limit=beside
        )


def of(yard: Yard, container: str) -> str:
    found = yard.engine.ask("GET", f"/containers/{container}/json")["NetworkSettings"]["Networks"]
    return str(found[NETWORK]["IPAddress"])


def deploys(yard: Yard, table: Table, count: int, rounds: int, stock: int) -> None:
    """Deploy more than the stock has: what is taken from it is filled up meanwhile."""
    took: dict[str, list[float]] = collections.defaultdict(list)
    for _ in range(rounds):
        took["bridge"].append(count * at_once(4, lambda _: yard.slot(NETWORK), [""] * count))
        yard.clear()
        ready = collections.deque(yard.sandbox("none") for _ in range(stock))
        missing = threading.Semaphore(0)
        done = threading.Event()

        def fill() -> None:
            while not done.is_set():
                if missing.acquire(timeout=0.02):
                    ready.append(yard.sandbox("none"))

        def start(_: str) -> None:
            try:
                taken = ready.popleft()
            except IndexError:
                yard.slot(NETWORK)
                return
            missing.release()
            yard.slot(f"container:{yard.connected(taken)}")

        filler = threading.Thread(target=fill)
        begun = time.perf_counter()
        filler.start()
        at_once(4, start, [""] * count)
        took["sandbox"].append(time.perf_counter() - begun)
        done.set()
        filler.join()
        yard.clear()
    words = f"deploy {count} at 4 at once"
    table.add(f"{words}: bridge", took["bridge"], "s")
    stocked = f"{words}: a stock of {stock}, filled up meanwhile"
    table.add(stocked, took["sandbox"], "s", beside="bridge", limit=took["bridge"])


def shims(engine: Engine) -> float:
    """Give the memory of the helper processes of this engine's containers."""
    total = 0.0
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"containerd-shim" in command and str(engine.path.parent).encode() in command:
            total += pss_mib(int(folder.name))
    return total


def memory(yard: Yard, table: Table, count: int) -> None:
    """Add as many again to so many: what all shims share is then in neither of the two."""
    for _ in range(count):
        yard.sandbox()
    before = shims(yard.engine)
    began = time.perf_counter()
    made = [yard.sandbox() for _ in range(count)]
    each_ms = (time.perf_counter() - began) / count * 1000
    time.sleep(2)
    found = [yard.engine.ask("GET", f"/containers/{one}/json")["State"]["Pid"] for one in made]
    table.add("a sandbox's shim, memory", [(shims(yard.engine) - before) / count], "MiB")
    table.add("a sandbox's program, memory", [pss_mib(pid) for pid in found], "MiB")
    table.add("a sandbox made, one at a time", [each_ms], "ms")
    yard.clear()


def main() -> None:
    def more(flags: argparse.ArgumentParser) -> None:
        flags.add_argument("--count", type=int, default=24, help="starts in each round")
        flags.add_argument("--rounds", type=int, default=5)

    given = asked(__doc__, more)
    count, rounds = (2, 1) if given.smoke else (given.count, given.rounds)
    with running_engine() as engine:
        yard = Yard(engine)
        table = Table("sandboxes", given.out)
        try:
            starts(yard, table, count, rounds, [2] if given.smoke else [1, 4, 8])
            replacements(yard, table, 2 if given.smoke else 20)
            deploys(yard, table, 2 * count, rounds, max(2, count // 3))
            memory(yard, table, min(count, 20))
        finally:
            yard.clear()
            engine.ask("DELETE", f"/networks/{NETWORK}")


if __name__ == "__main__":
    main()
