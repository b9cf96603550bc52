"""Make the first golden sample of an event that has none: a message as it stands on the bus.

A sample is written once, read by a person, and never again by this code: from then on it is what
a log out there holds, and every later version must read it.
"""

import json
from typing import Any

import msgspec
from msgspec import inspect
from segue.core import Decision
from segue.envelope import Cause, encode
from segue.events import Event

# What fields of these names hold in samples; any other is filled by its type.
NAMES: dict[str, Any] = {
    "app": "shop",
    "app_protocol": "http",
    "attempt": 7,
    "blocking": "web.3",
    "condition": "healthy",
    "constraints": "node.labels.disk == ssd",
    "cpu_millicores": 4_000,
    "digest": "4f1c2ab90d3e",
    "disk_bytes": 250_000_000_000,
    "engine": "docker 28.2.2, API 1.50",
    "engine_id": "9c1e4b7d2a60",
    "exit_code": 137,
    "host_ip": "127.0.0.1",
    "image": "registry.example/shop/web:1.4",
    "images": "registry.example/shop/web:1.4",
    "instance": "deployer-a",
    "last_exit_code": 137,
    "logs": "panic: out of paper",
    "memory_bytes": 8_000_000_000,
    "message": "exit status 137",
    "metric": "cpu",
    "node": "node-a",
    "nodes": "node-b",
    "on": "deploy.requested.shop",
    "pinned": "node-a",
    "platform": "linux/arm64",
    "previous": 2,
    "replicas": 5,
    "revision": 4,
    "service": "web",
    "session": "0190e7f4-7a70-7000-8000-00000000000a",
    "slot": 3,
    "spread": "node.labels.zone",
    "target": "/data",
    "test": "CMD",
    "where": "services.web.ports[0]",
}
SCALARS: dict[type[inspect.Type], Any] = {
    inspect.AnyType: "anything",
    inspect.BoolType: True,
    inspect.FloatType: 2.5,
    inspect.IntType: 12,
}
CAUSE = Cause("0190e7f4-7a70-7c6e-8a51-3c5f9d2b1e00", "0190e7f4-0000-7000-8000-000000000001")


def sample(event: type[Event]) -> str:
    """Give the text of a sample in which no field that may be left out is."""
    made = msgspec.convert(_filled(inspect.type_info(event), ""), event)
    decision = Decision(made, CAUSE)
    message = encode(
        made, id=decision.id, source="/segue/sample/1", time=1_782_000_000.25, cause=CAUSE
    )
    return json.dumps(json.loads(message.data), indent=2, ensure_ascii=False) + "\n"


def _filled(kind: inspect.Type, name: str) -> Any:
    """Fill a type with what its field's name or else the type itself suggests."""
    match kind:
        case inspect.StructType(fields=fields):
            return {field.encode_name: _filled(field.type, field.name) for field in fields}
        case inspect.ListType(item_type=item):
            return [_filled(item, name)]
        case inspect.DictType(value_type=value):
            return {"web" if name == "services" else "some": _filled(value, name)}
        case inspect.UnionType(types=types):
            return _filled(next(t for t in types if not isinstance(t, inspect.NoneType)), name)
        case inspect.LiteralType(values=values):
            return values[-1]
    return _scalar(kind, name)


def _scalar(kind: inspect.Type, name: str) -> Any:
    named = NAMES.get(name)
    if isinstance(kind, inspect.StrType):
        return named if isinstance(named, str) else f"some {name}"
    if isinstance(kind, inspect.IntType) and isinstance(named, int):
        return named
    assert type(kind) in SCALARS, f"{name} is a {kind}: say in SCALARS what a sample of it is"
    return SCALARS[type(kind)]
