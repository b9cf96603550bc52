"""What can go wrong on the way to the bus and back, one class for each thing a caller can do.

Writes never raise these: `Bus.append` answers with an `Outcome`. Every text says what, where and
what to do instead, and stands on its own in a terminal.
"""


class BusError(Exception):
    """Anything that the bus, or the way to it, did not do."""


class BusSettingsError(BusError):
    """A setting is wrong; the text names its variable or file."""


class BusUnreachableError(BusError):
    """There is no connection now. Nothing was sent."""


class BusTooOldError(BusError):
    """The server lacks what Segue is built on."""


class BusTimeoutError(BusError):
    """No answer in time. What was asked may have been done."""


class NobodyAnswersError(BusError):
    """Nobody serves this subject now; known at once, not after a time-out."""


class AnswerError(BusError):
    """The other side answered with an error. A handler raises it to send its text to the asker."""


class BusRefusedError(BusError):
    """The server will not do this: permissions, limits or a wrong argument.

    `code` is the server's own, 0 where this side knew it; `lasting`: trying again cannot help.
    """

    def __init__(self, text: str, code: int = 0, *, lasting: bool = True) -> None:
        super().__init__(text)
        self.code = code
        self.lasting = lasting


class BusSetupError(BusError):
    """The server lacks JetStream or room, or its stream cannot hold the log."""


class LogReplacedError(BusError):
    """The log is not the one that was followed: another, an older copy, or purged past the reader.

    Nothing is stopped because of it; a person, or a start from a newer snapshot, resolves it.
    """
