"""How the progress of a deploy is shown: lines, JSON lines, or a table that moves.

A screen only shows; how it ended is said once more by the command itself, whatever the screen.
"""

import sys
import time
from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from segue.envelope import Record

from segue_cli.amounts import span
from segue_cli.asking import json_line
from segue_cli.display import Moving, Shown
from segue_cli.progress import Progress, Tally
from segue_cli.story import about, tell
from segue_cli.tables import STYLES, styled

REASONS_SHOWN = 3
UNANSWERED = "no answer yet; is a deployer running? (`segue doctor`)"


class Screen(Shown):
    """Shows what happens as it happens."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def show(self, record: Record) -> None:
        """Show an event of the deploy."""
        raise NotImplementedError

    def complain(self) -> None:
        """Say that nobody has answered for a while."""
        if not self.progress.revision:
            print(UNANSWERED, file=sys.stderr, flush=True)


class Lines(Screen):
    """One line for each event, for files and other programs' terminals."""

    def show(self, record: Record) -> None:
        """Print it with the log's time since the request."""
        if record is not self.progress.ended_by or self.progress.end != "completed":
            for line in _lines(record, self.progress):
                print(line, flush=True)


class JsonLines(Screen):
    """One JSON object for each event; the last is the one that ended the deploy."""

    def show(self, record: Record) -> None:
        """Print it."""
        print(json_line(record), flush=True)

    def last(self, text: str, tone: str = "good") -> None:
        """Say nothing more."""


class Live(Moving, Screen):
    """A table of the services that moves; only what a person should not miss is left behind."""

    def show(self, record: Record) -> None:
        """Leave a line behind if it is bad news; the table shows the rest."""
        tone = tell(record).tone
        if tone in ("warn", "bad") and self.progress.end is None:
            for line in _lines(record, self.progress):
                self.leave(line, tone)

    def complain(self) -> None:
        """Leave it behind."""
        if not self.progress.revision:
            self.leave(UNANSWERED, "warn")

    def draw(self) -> RenderableType:
        """Draw the services, and what each waits for."""
        progress = self.progress
        tallies = progress.tallies() if progress.revision else []
        up, wanted = sum(t.up for t in tallies), sum(t.wanted for t in tallies)
        head = f"{progress.app}  revision {progress.revision}  {up} of {wanted} up"
        if not progress.revision:
            head = f"{progress.app}  asked"
        head += f"  {span(time.monotonic() - self.entered_at)}"
        return Group(styled(head, "head"), _table(tallies))


def _table(tallies: list[Tally]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column()
    made.add_column(justify="right")
    made.add_column(overflow="ellipsis", no_wrap=True)
    for tally in tallies:
        tone = "plain" if tally.missing else "good"
        made.add_row(
            styled(tally.service, "name"),
            styled(f"{tally.up}/{tally.wanted}", tone),
            styled(_reasons(tally), STYLES["dim"]),
        )
    return made


def _reasons(tally: Tally) -> str:
    """Sum up what slots wait for: the same words once, with how many."""
    counts = Counter(one.why for one in tally.missing)
    shown = [
        f"{why}, {number} times" if number > 1 else why
        for why, number in counts.most_common(REASONS_SHOWN)
    ]
    more = len(counts) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def _lines(record: Record, progress: Progress) -> list[str]:
    told = tell(record)
    name = about(record.event).removeprefix(f"{progress.app}/")
    since_s = max(0.0, record.time - progress.began_at) if progress.began_at else 0.0
    lines = [f"{since_s:8.3f} s  {name:<12} {told.point}"]
    return lines + [f"{'':26}{detail}" for detail in (told.details if told.tone == "bad" else [])]
