"""Tell a running HAProxy worker which containers have come and gone, line by line.

Only what differs between what it does and what it is to do is said. A new server is added, its
health looked after, and enabled, in this order; one that drains keeps what flows; one that is gone
gets nothing more, its connections are cut, and it is deleted, now or later. A request that waits
for an answer is tried elsewhere when its connection is cut; one that is still about to connect
would be lost by that, and goes elsewhere by itself, so it is left alone for a while.
"""

import pathlib
import re
import time
from collections.abc import Collection, Iterator

from segue_gateway import runtime
from segue_gateway.render import Text

Pair = tuple[str, str]  # A backend and a server of it.
CUT_AFTER_S = 2.5  # Longer than a connection may take to be made.
_CONNECTED = re.compile(r"^(0x\w+): .*? be=(\S+) srv=(\S+) .*? scb=\[8,", re.MULTILINE)


class Refused(Exception):  # noqa: N818 — what the worker did, not what went wrong here.
    """The worker did not take a line."""


async def followed(
    socket: str, text: Text, before: Text, leaving: dict[Pair, float], folder: pathlib.Path
) -> None:
    """Say what has changed since `before`. Raises Refused and RuntimeAwayError.

    Servers that could not be deleted yet are added to `leaving`, with the time.
    """
    gone = list(_gone(text, before))
    lines = [
        *_mapped(text, before, folder),
        *_come(text, before),
        *_drained(text, before),
        *_closed(gone),
    ]
    if not lines:
        return
    answers = await runtime.ask_worker(socket, lines)
    clings = set[Pair]()
    for line, said in zip(lines, answers, strict=True):
        if line.startswith("del server"):
            if "deleted" not in said:
                backend, _, name = line.removeprefix("del server ").partition("/")
                clings.add((backend, name))
        elif said and "New server registered" not in said:
            raise Refused(f"{line.split(' ssl ')[0]}: {said}")
    if clings:
        leaving.update(dict.fromkeys(clings, time.monotonic()))
        await cut(socket, clings)


async def cut(socket: str, pairs: Collection[Pair]) -> None:
    """Cut what is connected to these servers. Raises RuntimeAwayError."""
    [said] = await runtime.ask_worker(socket, ["show sess"])
    found = [one for one, *pair in _CONNECTED.findall(said) if tuple(pair) in pairs]
    await runtime.ask_worker(socket, [f"shutdown session {one}" for one in found])


def _mapped(text: Text, before: Text, folder: pathlib.Path) -> Iterator[str]:
    file = folder / "inbound.map"
    for name, at in text.inbound.items():
        if name not in before.inbound:
            yield f"add map {file} {name} {at}"
        elif before.inbound[name] != at:
            yield f"set map {file} {name} {at}"
    for name in before.inbound:
        if name not in text.inbound:
            yield f"del map {file} {name}"


def _come(text: Text, before: Text) -> Iterator[str]:
    for backend, servers in text.servers.items():
        known, drained = before.servers[backend], before.draining.get(backend, set())
        for name, words in servers.items():
            one = f"{backend}/{name}"
            if name in drained:
                yield f"set server {one} state ready"
            elif name not in known:
                yield f"add server {one} {words}"
                if " check " in words:
                    yield f"enable health {one}"
                yield f"enable server {one}"
            elif known[name] != words:
                raise Refused(f"{one} is elsewhere now")


def _drained(text: Text, before: Text) -> Iterator[str]:
    for backend, names in text.draining.items():
        drained = before.draining.get(backend, set())
        for name in sorted(names - drained):
            if name in before.servers[backend]:
                yield f"set server {backend}/{name} state drain"


def _gone(text: Text, before: Text) -> Iterator[Pair]:
    for backend, servers in before.servers.items():
        stays = set(text.servers[backend]) | text.draining[backend]
        there = [*servers, *sorted(before.draining.get(backend, set()) - set(servers))]
        yield from ((backend, name) for name in there if name not in stays)


def _closed(gone: list[Pair]) -> Iterator[str]:
    yield from (f"set server {backend}/{name} state maint" for backend, name in gone)
    yield from (f"del server {backend}/{name}" for backend, name in gone)


async def forgotten(socket: str, leaving: dict[Pair, float]) -> None:
    """Delete what could not be deleted before, and cut what clings to it after a while."""
    cut = time.monotonic() - CUT_AFTER_S
    late = [pair for pair, since in leaving.items() if since <= cut]
    pairs = sorted(leaving)
    lines = [f"shutdown sessions server {backend}/{name}" for backend, name in late]
    lines += [f"del server {backend}/{name}" for backend, name in pairs]
    answers = await runtime.ask_worker(socket, lines)
    for pair, said in zip(pairs, answers[len(late) :], strict=True):
        if "deleted" in said or "No such server" in said:
            del leaving[pair]
