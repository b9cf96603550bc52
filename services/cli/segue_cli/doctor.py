"""Look at everything that Segue stands on, and say what is not well and what to do about it.

It only asks: the bus who we are and how the log is, services how far they are, nodes for their
engines. What can be judged without asking stands in `segue_cli.checkup`.
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import anyio
import msgspec
from segue import asks
from segue.bus import Bus, BusError, BusSettingsError, Settings, connect
from segue.picture import Picture
from segue.shell.commands import Beat

from segue_cli import checkup
from segue_cli.asking import gateway_facts
from segue_cli.checkup import Disk, Facts, Finding, Service
from segue_cli.checkup_gateways import gateways
from segue_cli.connect import BusFlags, chosen, host, quiet
from segue_cli.datadir import DataDir, data_dir
from segue_cli.errors import FAILED
from segue_cli.plane import GATEWAY, LEADING, read_to
from segue_cli.reading import sight
from segue_cli.tables import AsJson, console, print_json, styled

LISTENED_FOR_S = 1.2  # Leaders beat every 0.25 s.
ASKED_WITHIN_S = 5.0
CHECKED_WITHIN_S = 10.0
_TONES = {"ok": "good", "warn": "warn", "fail": "bad"}


async def doctor(*, as_json: AsJson = False, bus: BusFlags | None = None) -> int:
    """Check bus, services, nodes and apps, and say what to do."""
    quiet()
    flags = bus or BusFlags()
    findings: list[Finding] = []
    try:
        settings = chosen(flags)
        async with await connect(settings, name=f"doctor.{host()}", wait=False) as there:
            await _examine(there, settings, _own(flags, settings), findings)
    except BusSettingsError as error:
        findings.append(Finding("settings", "fail", str(error)))
    except BusError as error:
        words = str(error).partition("; is it running?")[0]
        do = "`segue up` starts a bus here; NATS_URL or a nats context names another"
        findings.append(Finding("bus", "fail", words, do))
    _show(findings, as_json=as_json)
    return FAILED if any(finding.level == "fail" for finding in findings) else 0


def _own(flags: BusFlags, settings: Settings) -> DataDir | None:
    """Give the data directory of the bus, if it is one that a `segue up` runs here."""
    place = data_dir(flags.data)
    return place if place.running_bus() == settings.url else None


async def _examine(
    bus: Bus, settings: Settings, own: DataDir | None, findings: list[Finding]
) -> None:
    findings += checkup.bus(await _ask(bus, "$SYS.REQ.USER.INFO"), settings)
    domain = f"{settings.jetstream_domain}." if settings.jetstream_domain else ""
    stream = await _ask(bus, f"$JS.{domain}API.STREAM.INFO.EVENTS")
    if "config" not in stream:
        seen = stream.get("error", {}).get("description", "it does not answer")
        do = "it is made by the first service that runs: `segue up`"
        findings.append(Finding("log", "fail", f"there is no log on this bus: {seen}", do))
        return
    picture = (await sight(bus)).picture
    findings += checkup.log(stream, picture.state.log)
    findings += _storage(own)
    findings.append(checkup.clock(await _behind_s(bus)))
    findings += checkup.services(await _services(bus), stream["state"]["last_seq"])
    there = [name for name, node in picture.nodes.items() if node.phase in ("up", "suspected")]
    findings += checkup.nodes(picture, await _facts(bus, there))
    led = [name for name in there if picture.gateway(name) is not None]
    lacks = {name: _lack() for name in there if name not in led and _is_here(picture, name)}
    findings += gateways(picture, await gateway_facts(bus, led), lacks)
    findings += checkup.room(picture)
    findings += checkup.apps(picture)


def _storage(own: DataDir | None) -> list[Finding]:
    if own is None:
        return [checkup.sync(None)]
    config = (own.bus / "nats.conf").read_text(encoding="utf-8")
    usage = shutil.disk_usage(own.path)
    return [checkup.sync(config), checkup.disk(Disk(usage.free, usage.total))]


async def _ask(bus: Bus, subject: str) -> dict[str, Any]:
    """Ask the server itself; no answer is an empty one."""
    try:
        answer = await bus.ask(subject, timeout_s=ASKED_WITHIN_S)
        return msgspec.json.decode(answer, type=dict[str, Any])
    except (BusError, msgspec.MsgspecError):
        return {}


async def _behind_s(bus: Bus) -> float:
    """Compare clocks; half of the way there and back is taken off."""
    before = time.time()
    head = await bus.head()
    return head.time - (before + time.time()) / 2


async def _services(bus: Bus) -> dict[str, Service]:
    leaders: dict[str, Beat] = {}
    sequences: dict[str, int | None] = {}

    async def hear() -> None:
        decode = msgspec.json.Decoder(Beat).decode
        with bus.listen("beat.*.*") as beats, anyio.move_on_after(LISTENED_FOR_S):
            async for subject, data in beats:
                name = subject.split(".")[1]
                if name in LEADING:
                    leaders[name] = decode(data)
                    if len(leaders) == len(LEADING):
                        return

    async def ask(name: str) -> None:
        sequences[name] = await read_to(bus, name, timeout_s=ASKED_WITHIN_S)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hear)
        for name in LEADING:
            tasks.start_soon(ask, name)
    nobody = Beat("", 0)
    return {
        name: Service(
            leaders.get(name, nobody).instance, leaders.get(name, nobody).term, sequences.get(name)
        )
        for name in LEADING
    }


async def _facts(bus: Bus, names: Sequence[str]) -> dict[str, Facts | str]:
    found: dict[str, Facts | str] = {}

    async def ask(name: str) -> None:
        try:
            answer = await bus.ask(asks.subject(name, "facts"), timeout_s=ASKED_WITHIN_S)
            found[name] = msgspec.json.decode(answer, type=Facts)
        except (BusError, msgspec.MsgspecError) as error:
            found[name] = str(error)

    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(ask, name)
    return found


def _is_here(picture: Picture, node: str) -> bool:
    return picture.nodes[node].facts.hostname == socket.gethostname()


def _lack() -> str:
    """Say what a gateway would lack on this host, in its own words; nothing if that is nothing."""
    command = [sys.executable, "-m", f"segue_{GATEWAY}", "--check"]
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=CHECKED_WITHIN_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (done.stdout.splitlines() or [""])[0]


def _show(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        print_json(findings)
        return
    screen, width = console(), max(len(finding.what) for finding in findings)
    for finding in findings:
        name = styled(f" {finding.what:<{width}}  ", "name")
        level = styled(f"{finding.level:<5}", _TONES[finding.level])
        screen.print(level + name + styled(finding.seen, "plain"), soft_wrap=True)
        if finding.do:
            screen.print(styled(f"{'':{width + 8}}→ {finding.do}", "dim"), soft_wrap=True)
