"""What one value of a Compose file may look like, and what it means in base units.

YAML gives plain scalars as text and JSON gives typed ones, so every reader takes both and coerces
by what the attribute wants. A reader never guesses: what it does not know is `Invalid`.
"""

import ipaddress
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

LARGEST: Final = 2**63 - 1

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_OCTAL = re.compile(r"(?:0o)?[0-7]{1,7}")
_DECIMAL = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}")
_SIZE = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s*(?:([kmgtp])(?:i?b)?|b)?", re.IGNORECASE)
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ns|us|µs|ms|s|m|h|d|w))+")
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h|d|w)")
_NS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_TRUE: Final = frozenset({"true", "yes", "on", "y"})
_FALSE: Final = frozenset({"false", "no", "off", "n"})


class Invalid(ValueError):  # noqa: N818 — it is an answer to the author, not a fault.
    """A value does not fit; `what` is wrong and `hint` says what to write instead."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def kind(value: Any) -> str:
    """Name a value's shape for a message."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else "a mapping"


def shown(value: Any) -> str:
    """Quote a value for a message, cut where it is long."""
    text = as_text(value) if isinstance(value, str | int | float) else kind(value)
    return f"'{text}'" if len(text) <= 60 else f"'{text[:57]}…'"


def as_text(value: Any) -> str:
    """Read text; a number or a truth value of JSON is spelt as YAML spells it."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid("has a NUL character in it")
        if not value.isascii() and value.encode(errors="replace").decode() != value:
            raise Invalid("has bytes in it that are not UTF-8", "put them into a secret")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**300 else "a huge number"
    raise Invalid(f"must be text, is {kind(value)}")


def as_flag(value: Any) -> bool:
    """Read a truth value."""
    if isinstance(value, bool):
        return value
    text = as_text(value).lower()
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise Invalid(f"{shown(value)} is neither true nor false")


def as_whole(value: Any, least: int = -LARGEST, most: int = LARGEST) -> int:
    """Read a whole number between two bounds."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        value = int(value)
    text = "" if isinstance(value, bool) else as_text(value).strip()
    if not _WHOLE.fullmatch(text):
        raise Invalid(f"{shown(value)} is not a whole number")
    number = int(text)
    if not least <= number <= most:
        bounds = f"at least {least}" if most == LARGEST else f"between {least} and {most}"
        raise Invalid(f"{number} is out of bounds", f"it must be {bounds}")
    return number


def as_decimal(value: Any) -> Decimal:
    """Read a number that is not negative, such as `0.5`."""
    text = "" if isinstance(value, bool) else as_text(value).strip()
    if not _DECIMAL.fullmatch(text):
        raise Invalid(f"{shown(value)} is not a number such as 0.5")
    try:
        return Decimal(text)
    except InvalidOperation as error:  # pragma: no cover — the pattern allows no such text.
        raise Invalid(f"{shown(value)} is not a number") from error


def as_size(value: Any) -> int:
    """Read a size such as `300m` as bytes; the units are powers of 1024."""
    text = "" if isinstance(value, bool) else as_text(value).strip()
    if isinstance(value, float) and value.is_integer() and 0 <= value <= LARGEST:
        return int(value)
    found = _SIZE.fullmatch(text)
    if not found:
        raise Invalid(f"{shown(value)} is not a size", "write it as 512k, 300m or 1g")
    unit = " kmgtp".index((found[2] or " ").lower())
    size = int(Decimal(found[1]) * 1024**unit)
    if size > LARGEST:
        raise Invalid(f"{shown(value)} is larger than any machine")
    return size


def as_duration(value: Any) -> int:
    """Read a duration such as `1m30s` as nanoseconds."""
    text = "" if isinstance(value, bool) else as_text(value).strip()
    if text in {"0", "0.0"}:
        return 0
    if _WHOLE.fullmatch(text):
        raise Invalid(f"{shown(value)} has no unit", f"write {text.lstrip('+-')}s for seconds")
    if not _DURATION.fullmatch(text):
        raise Invalid(f"{shown(value)} is not a duration", "write it as 10ms, 30s or 1m30s")
    parts = _DURATION_PART.findall(text)
    length = sum(int(Decimal(amount) * _NS[unit]) for amount, unit in parts)
    if length > LARGEST:
        raise Invalid(f"{shown(value)} is longer than 292 years")
    return length


def duration_text(nanoseconds: int) -> str:
    """Spell a duration in its one canonical form, `1h30m`."""
    text, left = "", nanoseconds
    for unit in ("h", "m", "s", "ms", "us", "ns"):
        amount, left = divmod(left, _NS[unit])
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"


def decimal_text(number: Decimal) -> str:
    """Spell a decimal in its one canonical form, without an exponent or trailing zeros."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def as_mode(value: Any) -> str:
    """Read a file's permission bits as canonical octal text: text is octal, a number is itself."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Invalid(f"must be permission bits such as 0440, is {kind(value)}")
    if isinstance(value, str) and not _OCTAL.fullmatch(value):
        raise Invalid(f"{shown(value)} is not octal", "write permission bits as 0440")
    bits = value if isinstance(value, int) else int(value.removeprefix("0o"), 8)
    if not 0 <= bits <= 0o7777:
        raise Invalid(f"{shown(value)} has more bits than a mode", "write it as 0440")
    return f"{bits:04o}"


def as_port(value: Any) -> int:
    """Read a port number."""
    return as_whole(value, 1, 65535)


def as_ports(value: Any) -> range:
    """Read a port or a range of them such as `8000-8010`."""
    first, dash, last = as_text(value).strip().partition("-")
    ports = range(as_port(first), as_port(last if dash else first) + 1)
    if not ports:
        raise Invalid(f"the range {shown(value)} ends before it begins")
    if len(ports) > 1024:
        raise Invalid(f"the range {shown(value)} has more than 1024 ports")
    return ports


def as_address(value: Any) -> str:
    """Read an IP address, with or without brackets."""
    text = as_text(value).strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise Invalid(f"{shown(value)} is not an IP address") from error
