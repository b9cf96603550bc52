"""Why an instance must not go on: each ends the process with one line that says so."""


class OutdatedError(Exception):
    """Another Segue, newer than this one, wrote what this one cannot read: it must not decide."""


class UnableError(Exception):
    """The host lacks what the service needs: to start it again there is of no use."""


class LogReplacedError(Exception):
    """The log is not the one that was followed: it is another, or an older copy of it."""
