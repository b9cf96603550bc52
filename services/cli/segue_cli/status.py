"""What a person sees of a running `segue up`: a table that moves, or lines.

It shows what the supervisor and the bus tell, and changes nothing.
"""

import contextlib
import os
import sys
import time

import anyio
import msgspec
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text
from segue.envelope import Record
from segue.events.gateway import GatewayEvent, GatewayJoined
from segue.events.leader import LeaderElected
from segue.events.node import NodeEvent
from segue.picture import Picture

from segue_cli import rows
from segue_cli.amounts import age, count, span
from segue_cli.host import Host, Watcher
from segue_cli.plane import GATEWAY, LEADING, NODE_RUNNER, Plane
from segue_cli.story import about, tell
from segue_cli.supervisor import Program
from segue_cli.tables import Column, console, styled, table

DRAWN_EVERY_S = 0.5
NOTES_SHOWN = 5
COMPLAINT_AFTER_S = 5.0


class Lines(Watcher):
    """One line for each thing worth a line."""

    def note(self, text: str) -> None:
        """Print it."""
        print(text, flush=True)

    def show(self, record: Record) -> None:
        """Print who leads and what nodes and gateways do."""
        if isinstance(record.event, LeaderElected | NodeEvent | GatewayEvent):
            self.note(f"{about(record.event)}: {tell(record).point}")

    def ready(self, there: Host, took_s: float) -> None:
        """Print it, with what to do next."""
        self.note(f"ready in {span(took_s)}: bus at {there.url}, logs in {there.place.logs}")

    async def watch(self, there: Host) -> None:
        """Say what is missing when it takes long."""
        await anyio.sleep(COMPLAINT_AFTER_S)
        for line in missing(there):
            self.note(line)


def missing(there: Host) -> list[str]:
    """Say what has not come up yet, and its last words."""
    if there.plane is None:
        return ["the bus does not answer yet"]
    lines = []
    for name in there.plane.missing(there.wanted.services):
        program = there.supervisor.programs.get(NODE_RUNNER if name.startswith("node ") else name)
        complaint = program.complaint() if program else ""
        lines.append(f"{name} is not up yet" + (f": {complaint}" if complaint else ""))
    return lines


class Told(Lines):
    """Lines for a log file, and the news of being ready for whoever waits at the other end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def warn(self, text: str) -> None:
        """Tell the one who waits, too."""
        self.note(text)
        self._tell({"missing": text})

    def ready(self, there: Host, took_s: float) -> None:
        """Tell the one who waits."""
        super().ready(there, took_s)
        self._tell({"ready_s": took_s, "url": there.url})
        os.close(self._descriptor)
        self._descriptor = -1

    async def watch(self, there: Host) -> None:
        """Tell what is missing when it takes long."""
        await anyio.sleep(COMPLAINT_AFTER_S)
        for line in missing(there):
            self.note(line)
            self._tell({"missing": line})

    def _tell(self, what: dict[str, object]) -> None:
        with contextlib.suppress(OSError):  # Whoever waited has lost patience: it goes on.
            os.write(self._descriptor, msgspec.json.encode(what) + b"\n")


class Moving(Watcher):
    """A table that moves, on a terminal."""

    folds = True

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._there: Host | None = None
        self._ready = "starting …"
        self._began = time.time()
        self._display: Live | None = None

    def note(self, text: str) -> None:
        """Keep it below the table; say it outright while there is none."""
        if self._display is None:
            print(text, file=sys.stderr, flush=True)
        self._notes = [*self._notes[-NOTES_SHOWN + 1 :], f"{time.strftime('%H:%M:%S')}  {text}"]

    def ready(self, there: Host, took_s: float) -> None:
        """Show it in the head."""
        del there
        self._ready = f"ready in {span(took_s)}"
        if self._display is not None:
            self._display.refresh()

    async def watch(self, there: Host) -> None:
        """Draw until cancelled, and leave the last state behind."""
        self._there = there
        assert there.plane is not None, "there is a bus by now"
        with Live(console=console(), auto_refresh=False, get_renderable=self._draw) as display:
            self._display = display
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(there.plane.ask_sequences)
                while True:
                    display.refresh()
                    await anyio.sleep(DRAWN_EVERY_S)

    def _draw(self) -> RenderableType:
        there = self._there
        if there is None or there.plane is None:
            return Text("")
        plane = there.plane
        up = span(time.time() - self._began)
        head = f"segue up  {self._ready}  {there.url}  up {up}  log at {plane.last}"
        parts: list[RenderableType] = [styled(head, "head"), Text("")]
        parts += [table(processes(there, plane), _PROCESS), Text("")]
        if plane.picture is not None:
            parts += _cluster(plane.picture)
        parts += [styled(line, "warn") for line in self._notes]
        foot = f"Ctrl-C stops this; containers go on running.  Logs: {there.place.logs}"
        return Group(*parts, styled(foot, "dim"))


class ProcessRow(msgspec.Struct, frozen=True):
    """One of the processes of a host."""

    name: str
    pid: int
    up_s: float
    restarts: int
    role: str
    read_to: int


def processes(there: Host, plane: Plane) -> list[ProcessRow]:
    """Give the processes as they are now."""
    return [_process(program, plane) for program in there.supervisor.programs.values()]


def _process(program: Program, plane: Plane) -> ProcessRow:
    role = ""
    if program.name in LEADING:
        leader = plane.leader(program.name)
        role = f"{leader} leads" if leader else "nobody leads"
    elif program.name == NODE_RUNNER:
        complaint = program.complaint()
        role = f"node {plane.node}" + ("" if plane.joined else ", not joined yet")
        role += f": {complaint}" if complaint else ""
    elif program.name == GATEWAY:
        role = _gateway(plane.gateway)
    return ProcessRow(
        name=program.name,
        pid=program.pid,
        up_s=time.time() - program.started_at if program.pid else 0.0,
        restarts=program.restarts,
        role=role if program.pid else program.unable or "does not run",
        read_to=plane.sequences.get(program.name, 0),
    )


def _gateway(said: GatewayJoined | None) -> str:
    """Say what the gateway does here."""
    if said is None:
        return "not joined yet"
    does = "names, addresses and ports" if said.names else "published ports only"
    return "; ".join([f"{does}, by {said.proxy}", *said.limits])


_PROCESS: list[Column[ProcessRow]] = [
    Column("PROCESS", lambda row: (row.name, "name")),
    Column("PID", lambda row: str(row.pid or "-"), right=True),
    Column("UP", lambda row: age(row.up_s) if row.pid else "-", right=True),
    Column("RESTARTS", lambda row: (str(row.restarts), "warn" if row.restarts else "plain")),
    Column("ROLE", lambda row: (row.role, "plain" if row.pid else "bad"), folds=True),
    Column("READ TO", lambda row: str(row.read_to or ""), right=True),
]


class NameRow(msgspec.Struct, frozen=True):
    """An app or a node in short."""

    name: str
    state: str
    what: str


def _cluster(picture: Picture) -> list[RenderableType]:
    nodes = [
        NameRow(row.node, row.state, count(row.containers, "container") + _noted(row.note))
        for row in rows.nodes(picture)
    ]
    services: dict[str, list[rows.ServiceRow]] = {}
    for row in rows.services(picture):
        services.setdefault(row.app, []).append(row)
    apps = [
        NameRow(name, picture.apps[name].phase, f"{_sum(of)} slots up" + _noted(_notes(of)))
        for name, of in services.items()
    ]
    shown = [
        table(lines, _NAMES[title]) for title, lines in (("NODE", nodes), ("APP", apps)) if lines
    ]
    return [part for made in shown for part in (made, Text(""))]


def _sum(services: list[rows.ServiceRow]) -> str:
    return f"{sum(row.up for row in services)} of {sum(row.wanted for row in services)}"


def _notes(services: list[rows.ServiceRow]) -> str:
    return "; ".join(f"{row.service}: {row.note}" for row in services if row.note)


def _noted(text: str) -> str:
    return f", {text}" if text else ""


def _names(title: str) -> list[Column[NameRow]]:
    return [
        Column(title, lambda row: (row.name, "name")),
        Column("STATE", lambda row: (row.state, rows.TONES.get(row.state, "plain"))),
        Column("", lambda row: row.what),
    ]


_NAMES = {"NODE": _names("NODE"), "APP": _names("APP")}
