"""Names and identities: what a token may be, and how an id is made before the first try.

Ids of requests and facts are uuid7 (time-ordered, their random part unguessable); ids of decisions
are derived from what caused them, so that a repeat has the same id and the bus drops it.
"""

import functools
import hashlib
import re
import uuid

_TOKEN = re.compile(r"[a-z0-9_-]{1,63}")


@functools.lru_cache(maxsize=4_096)  # Names of apps, services and nodes come again and again.
def is_token(text: str) -> bool:
    """Tell whether `text` can stand between two dots of a subject."""
    return _TOKEN.fullmatch(text) is not None


def token(text: str) -> str:
    """Make the nearest token of a name from outside, such as a host name: `a.b` becomes `a_b`."""
    return re.sub(r"[^a-z0-9_-]", "_", text.lower())[:63] or "_"


def uuid7(unix_ms: int, random_bytes: bytes) -> str:
    """Make a version 7 UUID (RFC 9562 §5.7) from milliseconds since 1970 and 10 random bytes."""
    value = (unix_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(random_bytes[:10], "big")
    return _versioned(value, 7)


@functools.lru_cache(maxsize=4_096, typed=True)  # Many are asked for again and again.
def derived(*parts: object) -> str:
    """Make a version 8 UUID (RFC 9562 §5.8) that equal parts make again."""
    text = "\x1f".join(map(str, parts)).encode()
    return _versioned(int.from_bytes(hashlib.sha256(text).digest()[:16], "big"), 8)


def _versioned(value: int, version: int) -> str:
    value = value & ~(0xF << 76) | version << 76
    return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))
