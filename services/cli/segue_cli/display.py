"""A screen on which something is shown as it goes on: begun, ended, and given back in any case."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import RenderableType
from rich.live import Live

from segue_cli.tables import console, styled


class Shown:
    """Lines, one below the other; enter it before the first event."""

    def __init__(self) -> None:
        self.entered_at = time.monotonic()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End; what was shown stays readable."""

    def last(self, text: str, tone: str = "good") -> None:
        """Say how it ended; `tone` is for eyes."""
        del tone
        print(text, flush=True)


class Moving(Shown):
    """A part of a terminal that is drawn again and again, and is gone in the end."""

    def __init__(self, *what: Any) -> None:
        super().__init__(*what)
        self.display = Live(
            console=console(), get_renderable=self.draw, refresh_per_second=8, transient=True
        )

    def draw(self) -> RenderableType:
        """Give what is to be seen now."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the terminal back."""
        self.display.stop()

    def leave(self, text: str, tone: str) -> None:
        """Leave a line behind, above what moves."""
        self.display.console.print(styled(text, tone))

    def last(self, text: str, tone: str = "good") -> None:
        """Say it where the moving part was."""
        self.display.stop()
        self.leave(text, tone)
