"""A program of ours as a process of its own, with a log file that outlives it.

It is started, asked to stop, killed, frozen, thawed and started again with the same words; its
log goes on where it was. It is ended by its own handle only.
"""

import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping, Sequence

STOP_WITHIN_S = 60.0


class Process:
    """Starts at once; `environment` is added to one's own."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: pathlib.Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.command, self.log = name, list(command), log
        self.environment = dict(environment or {})
        self.process = self._begun()

    def start(self) -> None:
        """Start it again if it has ended."""
        if not self.running:
            self.process = self._begun()

    @property
    def running(self) -> bool:
        """Tell whether it lives."""
        return self.process.poll() is None

    def send(self, what: signal.Signals) -> None:
        """Send a signal if it still runs."""
        if self.running:
            self.process.send_signal(what)

    def freeze(self) -> None:
        """Stop its clock; it keeps its connections and answers nothing."""
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop; give its exit code."""
        self.thaw()
        self.send(signal.SIGTERM)
        try:
            return self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop:\n{self.tail()}") from None

    def tail(self, lines: int = 30) -> str:
        """Give the end of its log."""
        return "\n".join(self.log.read_text().splitlines()[-lines:])

    def _begun(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
