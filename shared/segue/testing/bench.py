"""What benchmarks share: their flags, and their table, printed line by line and written as JSON.

A line has the median, least and most of what was measured, and where something was measured beside
it (a peer, or the limit of what lies below) that one's median and the ratio of the two. Nothing
here judges a time.
"""

import argparse
import json
import logging
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import structlog

FOLDER = pathlib.Path(".bench")


class Row(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the table."""

    work: str
    unit: str
    median: float
    least: float
    most: float
    figures: int
    beside: str = ""  # What was measured in the same run to compare with.
    limit: float | None = None
    ratio: float | None = None
    goal: str = ""

    def line(self) -> str:
        """Write it for people, as a line of a Markdown table."""
        compared = "| |" if self.limit is None else f"{amount(self.limit)} {self.beside} |"
        ratio = "" if self.ratio is None else f" {self.ratio:.2f} |"
        figures = f"{amount(self.median)} | {amount(self.least)} | {amount(self.most)}"
        return f"| {self.work} | {self.unit} | {figures} | {compared}{ratio} {self.goal} |"


HEAD = (
    "| work | unit | median | least | most | beside it | ratio | goal |\n"
    "|---|---|---|---|---|---|---|---|"
)


class Table:
    """The lines of one benchmark."""

    def __init__(self, name: str, out: pathlib.Path) -> None:
        self.name, self.out, self.rows = name, out, list[Row]()
        quiet = structlog.make_filtering_bound_logger(logging.WARNING)
        structlog.configure(wrapper_class=quiet)
        self.begun, self.load = time.time(), os.getloadavg()[0]
        print(f"\n{name}\n\n{HEAD}", flush=True)

    def add(
        self,
        work: str,
        figures: Sequence[float],
        unit: str = "s",
        *,
        beside: str = "",
        limit: Sequence[float] = (),
        goal: str = "",
    ) -> Row:
        """Add a line and print it; `limit` is what was measured of `beside`."""
        median = statistics.median(figures)
        row = Row(
            work=work,
            unit=unit,
            median=median,
            least=min(figures),
            most=max(figures),
            figures=len(figures),
            goal=goal,
        )
        if limit:
            row.beside, row.limit = beside, statistics.median(limit)
            row.ratio = median / row.limit if row.limit else None
        self.rows.append(row)
        print(row.line(), flush=True)
        self.write()
        return row

    def write(self) -> None:
        """Write what there is so far, so that a run that breaks off leaves it."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "benchmark": self.name,
            "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.begun)),
            "took_s": round(time.time() - self.begun, 1),
            "load_at_begin": round(self.load, 2),
            "command": sys.argv,
            "machine": machine(),
            "rows": msgspec.to_builtins(self.rows),
        }
        self.out.write_text(json.dumps(content, indent=1) + "\n")


def asked(
    document: str | None, more: Callable[[argparse.ArgumentParser], object] = lambda _: None
) -> argparse.Namespace:
    """Read the flags that every benchmark has, and its own."""
    name = pathlib.Path(sys.argv[0]).stem
    flags = argparse.ArgumentParser(description=document)
    flags.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    flags.add_argument(
        "--out", type=pathlib.Path, default=FOLDER / f"{name}.json", help="(default: %(default)s)"
    )
    more(flags)
    return flags.parse_args()


def amount(value: float) -> str:
    """Write a number with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or not value else f"{value:.2g}"


def share(figures: Sequence[float], part: float) -> float:
    """Give the figure that such a part of all do not exceed: 0.99 for the 99th percentile."""
    return sorted(figures)[max(0, min(len(figures), round(part * len(figures))) - 1)]


def pss_mib(pid: int) -> float:
    """Give a process's part of memory: what it shares is divided by those who share it."""
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024


def cpu_s(pid: int) -> float:
    """Give the processor time that a process has used."""
    text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Say what it ran on."""
    return {
        "system": platform.release(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "commit": _said("git", "describe", "--always", "--dirty"),
        "nats": _said("nats-server", "--version"),
        "docker": _said("dockerd", "--version"),
    }


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
