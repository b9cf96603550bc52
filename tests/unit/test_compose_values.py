"""Single values of Compose files: what each kind reads, in base units, and what it refuses."""

from collections.abc import Callable
from typing import Any

import pytest
from segue.compose import values
from segue.compose.values import Invalid


@pytest.mark.parametrize(
    ("read", "written", "meant"),
    [
        (values.as_text, "x", "x"),
        (values.as_text, 5, "5"),
        (values.as_text, 1.5, "1.5"),
        (values.as_text, True, "true"),
        (values.as_flag, "yes", True),
        (values.as_flag, "Off", False),
        (values.as_flag, False, False),
        (values.as_whole, "012", 12),
        (values.as_whole, 3.0, 3),
        (values.as_whole, "-1", -1),
        (values.as_size, "2b", 2),
        (values.as_size, "1024kb", 1024**2),
        (values.as_size, "2048k", 2 * 1024**2),
        (values.as_size, "300m", 300 * 1024**2),
        (values.as_size, "1gb", 1024**3),
        (values.as_size, "1.5GiB", 3 * 1024**3 // 2),
        (values.as_size, "64", 64),
        (values.as_size, 64, 64),
        (values.as_duration, "10ms", 10_000_000),
        (values.as_duration, "40s", 40_000_000_000),
        (values.as_duration, "1m30s", 90_000_000_000),
        (values.as_duration, "1h5m30s20ms", 3_930_020_000_000),
        (values.as_duration, "1.5s", 1_500_000_000),
        (values.as_duration, "0", 0),
        (values.as_mode, "0440", "0440"),
        (values.as_mode, "0o440", "0440"),
        (values.as_mode, "440", "0440"),
        (values.as_mode, 288, "0440"),  # As a YAML 1.1 parser gives 0440.
        (values.as_mode, "1777", "1777"),
        (values.as_port, "80", 80),
        (values.as_ports, "80-82", range(80, 83)),
        (values.as_address, "[::1]", "::1"),
    ],
)
def test_a_value_is_read(read: Callable[[Any], Any], written: Any, meant: Any) -> None:
    assert read(written) == meant


@pytest.mark.parametrize(
    ("read", "written", "what"),
    [
        (values.as_text, [], "must be text, is a list"),
        (values.as_text, "a\0b", "has a NUL character in it"),
        (values.as_flag, "maybe", "'maybe' is neither true nor false"),
        (values.as_whole, "three", "'three' is not a whole number"),
        (values.as_whole, 3.5, "'3.5' is not a whole number"),
        (values.as_whole, True, "'true' is not a whole number"),
        (values.as_whole, float("inf"), "'a huge number' is not a whole number"),
        (values.as_whole, "9" * 19, f"{'9' * 19} is out of bounds"),
        (values.as_decimal, "1/2", "'1/2' is not a number such as 0.5"),
        (values.as_decimal, "1e3", "'1e3' is not a number such as 0.5"),
        (values.as_size, "10 parsecs", "'10 parsecs' is not a size"),
        (values.as_size, "-1", "'-1' is not a size"),
        (values.as_size, "9" * 19 + "p", f"'{'9' * 19}p' is larger than any machine"),
        (values.as_duration, "30", "'30' has no unit"),
        (values.as_duration, "30 s", "'30 s' is not a duration"),
        (values.as_duration, "-5s", "'-5s' is not a duration"),
        (values.as_duration, "999999w", "'999999w' is longer than 292 years"),
        (values.as_mode, "0999", "'0999' is not octal"),
        (values.as_mode, 99999, "'99999' has more bits than a mode"),
        (values.as_mode, None, "must be permission bits such as 0440, is nothing"),
        (values.as_port, "0", "0 is out of bounds"),
        (values.as_port, "65536", "65536 is out of bounds"),
        (values.as_ports, "82-80", "the range '82-80' ends before it begins"),
        (values.as_ports, "1-65535", "the range '1-65535' has more than 1024 ports"),
        (values.as_address, "localhost", "'localhost' is not an IP address"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    read: Callable[[Any], Any], written: Any, what: str
) -> None:
    with pytest.raises(Invalid) as refused:
        read(written)
    assert refused.value.what == what


def test_a_number_without_a_unit_is_told_which_to_write() -> None:
    with pytest.raises(Invalid) as refused:
        values.as_duration("30")
    assert refused.value.hint == "write 30s for seconds"


@pytest.mark.parametrize("text", ["0s", "1ns", "1m30s", "1h5m30s20ms", "24h", "999us"])
def test_a_durations_canonical_form_reads_back(text: str) -> None:
    assert values.duration_text(values.as_duration(text)) == text


@pytest.mark.parametrize(
    ("written", "canonical"), [("0.50", "0.5"), ("2.0", "2"), ("10", "10"), (".25", "0.25")]
)
def test_a_number_has_one_canonical_form(written: str, canonical: str) -> None:
    assert values.decimal_text(values.as_decimal(written)) == canonical
