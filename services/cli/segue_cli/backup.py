"""Keep all that a cluster has said in a file, and bring it back: `segue backup`, `segue restore`.

A restored log is older than what runs. So it is put back only while nobody decides, and each node
refuses it and keeps its containers until a person accepts it there; see docs/backup.md.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import anyio
import anyio.lowlevel
import msgspec
from cyclopts import Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from segue.bus import STREAMS, Bus, StreamCopy

from segue_cli.amounts import count, size
from segue_cli.app import installed_version
from segue_cli.archive import ArchiveError, Kept, Manifest, Reader, Writer
from segue_cli.asking import interruptible
from segue_cli.connect import BusFlags, connected
from segue_cli.errors import FailedError, InvalidError, NotFoundError
from segue_cli.moment import clock, day
from segue_cli.plane import LEADING
from segue_cli.tables import AsJson, console, for_eyes, print_json

EVENTS = "EVENTS"
LISTENED_FOR_S = 1.2  # Leaders beat every 0.25 s.
HALF = "interrupted: what the bus had is gone, and what is in the file is not all there"
AGAIN = "run the same again, before deployer, scheduler or health monitor are started"


class Report(msgspec.Struct, frozen=True):
    """What was kept or brought back, for programs."""

    file: str
    cluster: str
    events: int
    first: int
    last: int
    bytes: int


async def backup(
    file: Annotated[Path, Parameter(help="Where to write it; a new file.")],
    /,
    *,
    overwrite: Annotated[
        bool, Parameter(help="Replace the file if it is there, once the new one is whole.")
    ] = False,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Keep the log and what belongs to it in a file.

    Everything goes on meanwhile; the file holds the log as it is at one moment, its snapshots, and
    the contents of secrets and configs. It is not encrypted: only its owner may read it. What
    containers keep in volumes is not in it.
    """
    if file.is_dir():
        raise InvalidError(f"{file} is a folder", f"name a file in it, such as {file}/segue.zip")
    if file.exists() and not overwrite:
        raise InvalidError(f"{file} is there already", "name another file, or give --overwrite")
    if not file.parent.is_dir():
        raise InvalidError(f"there is no folder {file.parent}", "make it, or name a file elsewhere")
    with interruptible(f"interrupted: {file} was not written"):
        async with connected(bus) as there:
            cluster = (await there.head()).cluster
            with Writer(file) as writer, Meter("keeps", shown=for_eyes(as_json=as_json)) as meter:
                for name in STREAMS:
                    await _keep(there, writer, name, meter)
                await anyio.lowlevel.checkpoint()  # From here on the file will be there.
                manifest = writer.finish(
                    cluster=cluster,
                    made_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                    made_by=installed_version(),
                )
    report = _report(file, manifest)
    if as_json:
        print_json([report])
        return
    words = f"{count(report.events, 'event')}, sequences {report.first} to {report.last}"
    print(f"{file}: {words}, {size(report.bytes)}")


async def _keep(bus: Bus, writer: Writer, name: str, meter: "Meter") -> None:
    async with bus.copy_of(name) as (copy, pieces):
        with writer.stream(name, copy.config, copy.state) as take, meter.of(_shown(name)) as seen:
            async for piece in pieces:
                take(piece)
                seen(len(piece))


async def restore(
    file: Annotated[Path, Parameter(help="What `segue backup` wrote.")],
    /,
    *,
    replace: Annotated[
        bool, Parameter(help="Delete the log that is there, with all its events, for this one.")
    ] = False,
    as_json: AsJson = False,
    bus: BusFlags | None = None,
) -> None:
    """Bring a log back from a backup. No container is stopped by it.

    Stop deployer, scheduler, health monitor and autoscaler first; node runners may go on. A runner
    that had read further than the backup goes refuses the log, keeps its containers and says which
    file to remove for the log to count. Do that on every node, then start the deciders again.
    """
    shown = for_eyes(as_json=as_json)
    try:
        with Reader(file) as reader:
            untouched = "interrupted: nothing was changed"
            with interruptible(untouched), Meter("compares", shown=shown) as meter:
                await _check(reader, meter)
            async with connected(bus) as there:
                await _may_restore(there, reader.manifest, replace=replace)
                with interruptible(HALF, AGAIN), Meter("restores", shown=shown) as meter:
                    for kept in reader.manifest.streams:
                        await _put_back(there, reader, kept, meter)
                last = (await there.head()).last
    except ArchiveError as error:
        raise InvalidError(str(error), "nothing was changed") from None
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {file}", "name what `segue backup` wrote") from None
    except (IsADirectoryError, PermissionError) as error:
        words = f"{file} cannot be read: {error.strerror}"
        raise InvalidError(words, "name what `segue backup` wrote") from None
    report = _report(file, reader.manifest)
    assert last >= report.last, "what was brought back is there"
    if as_json:
        print_json([report])
        return
    print(_told(report, reader.manifest))


async def _check(reader: Reader, meter: "Meter") -> None:
    names = [kept.name for kept in reader.manifest.streams]
    if sorted(names) != sorted(STREAMS):
        raise ArchiveError(f"{reader.file} holds {', '.join(names) or 'nothing'}: not a whole log")
    with meter.of("checksums", sum(kept.bytes for kept in reader.manifest.streams)) as seen:
        for length in reader.compared():
            seen(length)
            await anyio.lowlevel.checkpoint()  # Ctrl-C is heard.


async def _may_restore(bus: Bus, manifest: Manifest, *, replace: bool) -> None:
    """Refuse while somebody decides, and where a log would be lost that nobody gave up."""
    found = await bus.stream(EVENTS)
    if found is not None and found.state.messages and not replace:
        cluster = (await bus.head()).cluster
        whose = "this cluster" if cluster == manifest.cluster else f"another cluster, {cluster}"
        events = count(found.state.messages, "event")
        raise FailedError(
            f"the bus has a log of {whose}: {events}, to sequence {found.state.last_seq}",
            "`segue backup` keeps it; --replace then deletes it for the one in the file",
        )
    if at_work := ", ".join(sorted(await _deciders(bus))):
        raise FailedError(
            f"still at work: {at_work}; from the older log they would decide at once",
            "stop deployer, scheduler, health monitor, autoscaler; the others may go on",
        )


async def _deciders(bus: Bus) -> set[str]:
    heard: set[str] = set()
    with bus.listen("beat.*.*") as beats, anyio.move_on_after(LISTENED_FOR_S):
        async for subject, _ in beats:
            _, service, instance = subject.split(".")
            if service in LEADING:
                heard.add(f"{service.replace('_', ' ')} {instance}")
    return heard


async def _put_back(bus: Bus, reader: Reader, kept: Kept, meter: "Meter") -> None:
    with meter.of(_shown(kept.name), kept.bytes) as seen:

        def pieces() -> Iterator[bytes]:
            for piece in reader.pieces(kept):
                yield piece
                seen(len(piece))

        made = await bus.put_copy(kept.name, StreamCopy(kept.config, kept.state), pieces())
    if made.state.last_seq != kept.state.get("last_seq"):
        raise FailedError(
            f"{kept.name} ends at {made.state.last_seq}, not at {kept.state.get('last_seq')} as in "
            "the backup",
            "run the same again; what runs goes on meanwhile",
        )


def _shown(stream: str) -> str:
    return stream.removeprefix("OBJ_").lower()


def _report(file: Path, manifest: Manifest) -> Report:
    events = manifest.stream(EVENTS)
    state = events.state if events else {}
    return Report(
        file=str(file),
        cluster=manifest.cluster,
        events=state.get("messages", 0),
        first=state.get("first_seq", 0),
        last=state.get("last_seq", 0),
        bytes=file.stat().st_size,
    )


def _told(report: Report, manifest: Manifest) -> str:
    at = dt.datetime.fromisoformat(manifest.made_at).timestamp()
    return (
        f"the log is as it was on {day(at)} at {clock(at)}: {count(report.events, 'event')}, "
        f"to sequence {report.last}\n"
        "Containers run on. Node runners that had read further refuse this log until it is\n"
        "accepted on their host; each says which file to remove. Do that first, on every node,\n"
        "and then start deployer, scheduler, health monitor and autoscaler."
    )


class Meter:
    """How far it is: a bar that moves on a terminal, nothing elsewhere."""

    def __init__(self, verb: str, *, shown: bool) -> None:
        self._verb = verb
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        self._bars = Progress(*columns, console=console(), transient=True, disable=not shown)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self._bars.stop()

    @contextmanager
    def of(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show one thing: give what is told of its bytes; without a total it only counts."""
        task = self._bars.add_task(f"{self._verb} {name}", total=total)
        yield lambda length: self._bars.update(task, advance=length)
        done = self._bars.tasks[task].completed
        self._bars.update(task, total=done, completed=done)
