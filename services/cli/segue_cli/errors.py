"""What can go wrong for the person at the keyboard: an exit code, one line and one hint each.

    0 done  1 failed  2 usage or invalid input  3 not found  4 timed out
    5 the bus cannot be reached  130 interrupted

Whatever a command raises ends here; a traceback is for whoever sets `SEGUE_DEBUG=1`.
"""

import os
import sys

FAILED, INVALID, NOT_FOUND, TIMED_OUT, UNREACHABLE, INTERRUPTED = 1, 2, 3, 4, 5, 130


class CommandError(Exception):
    """A command did not do what it was asked. `hint` says what to do instead."""

    code = FAILED

    def __init__(self, text: str = "", hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint


class FailedError(CommandError):
    """It was tried and did not work."""


class InvalidError(CommandError):
    """What was asked makes no sense; nothing was tried."""

    code = INVALID


class NotFoundError(CommandError):
    """There is nothing of that name."""

    code = NOT_FOUND


class TimedOutError(CommandError):
    """It did not happen in time, and may still happen."""

    code = TIMED_OUT


class UnreachableError(CommandError):
    """There is no bus to speak to."""

    code = UNREACHABLE


class InterruptedByUserError(CommandError):
    """The person pressed Ctrl-C; the text says what goes on all the same."""

    code = INTERRUPTED


class Silent(CommandError):  # noqa: N818 — not an error: all there was to say is said.
    """End with a code and without another word."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code


_NO_BUS = "`segue up` starts one here; NATS_URL or a nats context names another"
_OF_THE_BUS: dict[str, tuple[int, str]] = {
    "BusUnreachableError": (UNREACHABLE, _NO_BUS),
    "BusSettingsError": (INVALID, ""),
    "BusTimeoutError": (TIMED_OUT, "`segue doctor` tells who does not answer"),
    "NobodyAnswersError": (FAILED, "`segue doctor` tells which service is not running"),
    "BusTooOldError": (FAILED, ""),
    "BusRefusedError": (FAILED, "`segue doctor` tells what this user may do"),
    "BusSetupError": (FAILED, ""),
    "LogReplacedError": (FAILED, ""),
    "AnswerError": (FAILED, ""),
}
_NO_LOG = (10039, 10059, 10076)  # JetStream is off here or there, or has no such stream.


def sort(error: BaseException) -> CommandError:
    """Give the error as a person is to see it, whatever it was."""
    error = innermost(error)
    if isinstance(error, CommandError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedByUserError("interrupted")
    code, hint = FAILED, ""
    if _is_of_the_bus(error):
        code, hint = _OF_THE_BUS.get(type(error).__name__, (FAILED, ""))
        text = str(error).partition("; is it running?")[0]  # The hint says more.
        if getattr(error, "code", 0) in _NO_LOG:
            text = f"there is no log on this bus: {text}"
            hint = "the first service that runs makes it; `segue up` runs them all"
    elif isinstance(error, OSError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
        hint = "this is a mistake in segue; SEGUE_DEBUG=1 shows where"
    made = CommandError(text, hint)
    made.code = code
    return made


def innermost(error: BaseException) -> BaseException:
    """Unwrap what task groups wrap; of several, a person can use the first that is meant for him.

    Only the first of the others would be shown anyway.
    """
    while isinstance(error, BaseExceptionGroup):
        meant = error.subgroup(CommandError)
        error = (meant or error).exceptions[0]
    return error


def _is_of_the_bus(error: BaseException) -> bool:
    """Know the bus's errors without loading it: only who has used it can have raised one."""
    errors = sys.modules.get("segue.bus.errors")
    return errors is not None and isinstance(error, errors.BusError)


def debugging() -> bool:
    """Tell whether somebody wants to see the inside."""
    return os.environ.get("SEGUE_DEBUG", "") not in ("", "0")
