"""Feed the envelope's reader what a coverage-guided fuzzer makes of the corpus: `just fuzz`.

An input is a message as text: its subject, a header on each further line, an empty line, its body.
Whatever stands there, `decode` may raise nothing but `ERRORS`, and what it reads must be such that
an event caused by it can be written and read back. Inputs that once failed stay in the corpus and
are replayed by the unit tests.
"""

import sys

from segue.envelope import ERRORS, decode, encode
from segue.events.service import ServiceSteady
from segue.log import Stored

ANSWER = ServiceSteady(app="shop", service="web", quiet_s=1.0)


def message(text: bytes) -> Stored:
    """Make a stored message of an input."""
    head, _, body = text.partition(b"\n\n")
    subject, *lines = head.decode("utf-8", "surrogateescape").split("\n")
    headers = dict(line.partition(": ")[::2] for line in lines)
    return Stored(1, 1.0, subject, body, headers)


def read(text: bytes) -> None:
    """Read an input and answer it; any error that comes out is a bug."""
    try:
        record = decode(message(text))
    except ERRORS:
        return
    answer = encode(ANSWER, id="a", source="/fuzz", time=0.0, cause=record.as_cause())
    assert decode(Stored(2, 1.0, answer.subject, answer.data, answer.headers)).cause == record.id


def main() -> None:
    """Run until the fuzzer's own options say enough."""
    import atheris  # Only the dependency group `fuzz` has it.

    atheris.instrument_all()
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
