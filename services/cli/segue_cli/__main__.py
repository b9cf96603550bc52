"""The `segue` command: parse, run, and turn whatever happens into an exit code."""

import contextlib
import difflib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from cyclopts import CycloptsError, UnknownCommandError, UnusedCliTokensError

from segue_cli.app import build, members, names
from segue_cli.errors import INVALID, CommandError, debugging, innermost, sort

VALUED = ("--nats", "--server", "--context", "--data-dir")  # A value follows them.


def main() -> None:
    """Run the command in `sys.argv`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # No letter that a terminal lacks ends a command.
    loading = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt as error:
        code = _explain(error)  # It came while the application was made.
    finally:
        signal.signal(signal.SIGINT, loading)  # What is left to do takes no time.
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
        sys.exit(code)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `segue events | head`.
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; whatever goes wrong is said on stderr."""
    app = build()
    try:
        result = app(
            fenced(arguments), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except UnknownCommandError as error:
        _say(*_unknown((error.unused_tokens or [""])[0], arguments))
        return INVALID
    except UnusedCliTokensError as error:
        words = " ".join(error.unused_tokens or [])
        _say(f"too many words: {words}", f"`segue {_command(arguments)}--help` shows its use")
        return INVALID
    except CycloptsError as error:
        _say(" ".join(str(error).split()), f"`segue {_command(arguments)}--help` shows its use")
        return INVALID
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 — the last place to say it.
        return _explain(error)
    return result if isinstance(result, int) else 0


def fenced(arguments: Sequence[str]) -> list[str]:
    """Let what follows COMMAND in `segue exec SLOT COMMAND` be its own, also without a `--`."""
    given = list(arguments)
    if given[:1] != ["exec"] or "--" in given:
        return given
    words, is_value = 0, False
    for place, word in enumerate(given[1:], start=1):
        if not is_value and not word.startswith("-"):
            words += 1
        if words == 2:
            return [*given[:place], "--", *given[place:]]
        is_value = word in VALUED
    return given


def _unknown(word: str, arguments: Sequence[str]) -> tuple[str, str]:
    """Say that there is no such command, and which may be meant."""
    family = arguments[0] if members(arguments[0]) else ""
    near = difflib.get_close_matches(word, members(family) or names(), n=1, cutoff=0.5)
    head = f"{family} " if family else ""
    meant = f"did you mean `segue {head}{near[0]}`?" if near else ""
    return f"there is no command called {head}{word}", meant or f"`segue {head}--help` lists them"


def _command(arguments: Sequence[str]) -> str:
    """Name the command that is meant, as far as it is one."""
    first = next((word for word in arguments if word in names()), "")
    second = next((word for word in arguments if word in members(first)), "")
    return " ".join([*filter(None, (first, second)), ""])


def _explain(error: BaseException) -> int:
    if isinstance(innermost(error), BrokenPipeError):
        return 0  # Whoever reads has seen enough.
    if debugging():
        traceback.print_exception(error)
    known: CommandError = sort(error)
    _say(str(known), known.hint)
    return known.code


def _say(text: str, hint: str) -> None:
    if text:
        print(f"segue: {text}", file=sys.stderr)
    if hint:
        print(f"hint: {hint}", file=sys.stderr)


if __name__ == "__main__":
    main()
