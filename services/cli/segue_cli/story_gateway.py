"""Tell what happens to gateways in words; all else is told in `segue_cli.story`."""

from collections.abc import Callable
from typing import Any

from segue.envelope import Record
from segue.events import gateway, request

from segue_cli.amounts import count
from segue_cli.story_nodes import Words


def _joined(record: Record) -> Words:
    said: Any = record.event
    does = "answers names and leads to services" if said.names else "leads to published ports"
    where = f", reached by others at {said.address}:{said.port}" if said.address else ""
    return f"its gateway {does}{where}", [*([said.proxy] if said.proxy else []), *said.limits]


def _unheard(said: Any) -> str:
    return f", {', '.join(said.unheard)} not waited for" if said.unheard else ""


def _ready(record: Record) -> Words:
    return f"every gateway leads to it{_unheard(record.event)}"


def _drained(record: Record) -> Words:
    said: Any = record.event
    open_still = f", {count(said.in_flight, 'connection')} still open" if said.in_flight else ""
    return f"no gateway leads to it any more{open_still}{_unheard(said)}"


def _waiting(record: Record) -> Words:
    said: Any = record.event
    verb = "waits" if said.waiting == 1 else "wait"
    return f"{count(said.waiting, 'request')} {verb} for a replica at {said.node}"


WORDS: dict[str, Callable[[Record], Words]] = {
    gateway.GatewayJoined.type: _joined,
    gateway.GatewayLeft.type: lambda _: "its gateway has left",
    gateway.EndpointReady.type: _ready,
    gateway.EndpointDrained.type: _drained,
    request.RequestWaiting.type: _waiting,
}
