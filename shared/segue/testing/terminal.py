"""A command on a terminal of its own, as a person would use it: what it shows, what it is typed."""

import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import anyio

# Of its own session, as each window has it: so it hears of sizes.
COMMAND = ["setsid", "--ctty", sys.executable, "-m", "segue_cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WITHIN_S = 90.0


class Terminal:
    """A command on a terminal of 100 columns and 30 lines."""

    def __init__(self, *arguments: str, cwd: pathlib.Path, env: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(30, 100)
        own = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=own | {"TERM": "xterm-256color"} | env,
        )
        os.close(theirs)
        os.set_blocking(self._ours, False)
        self.written = ""

    async def shows(self, *texts: str) -> str:
        """Wait until all of these have been written since the start; give everything so far."""
        give_up_at = time.monotonic() + WITHIN_S
        while any(text not in self.written for text in texts):
            assert time.monotonic() < give_up_at, f"waited for {texts} in:\n{self.written}"
            with anyio.move_on_after(0.5):
                await anyio.wait_readable(self._ours)
            if not self._read() and self.process.poll() is not None:
                break
        assert not [text for text in texts if text not in self.written], self.written
        return self.written

    def resize(self, rows: int, columns: int) -> None:
        """Make the terminal another size, as dragging its corner does."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._ours, text.encode())

    def mode(self) -> list[int]:
        """Give how the terminal treats what is typed and shown."""
        return [int(flags) for flags in termios.tcgetattr(self._ours)[:4]]

    async def ended(self) -> int:
        """Wait for its end."""
        code = await anyio.to_thread.run_sync(self.process.wait)
        while self._read():
            pass
        return code

    def _read(self) -> bool:
        try:
            piece = os.read(self._ours, 65_536)
        except OSError:
            return False
        self.written += ESCAPES.sub("", piece.decode("utf-8", "replace"))
        return bool(piece)

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
