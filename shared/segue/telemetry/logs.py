"""What a process says on stderr: one JSON object a line, or readable lines on a terminal.

It decides how a log line looks and which are kept. It never decides what is worth saying, and it
is not the event log: what a service decided stands there, with its causes.

`SEGUE_LOG` holds words separated by commas, in any order: `json` or `console` for the form
(otherwise the terminal decides) and one of `debug`, `info`, `warning`, `error` for the level.
"""

import contextlib
import logging
import os
import sys
from types import TracebackType
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor

FORMS = ("json", "console")
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# What these say below a warning is about themselves, connection by connection.
_TALKATIVE = ("asyncio", "docker", "nats", "urllib3")


def configure(service: str, instance: str = "") -> None:
    """Send structlog's lines and the standard library's to stderr in one form.

    A word in `SEGUE_LOG` that means nothing is said in a warning and stops nobody.
    """
    form, level, odd = _choice(os.environ.get("SEGUE_LOG", ""))
    shared: list[Processor] = [
        _Names(service, instance),
        structlog.contextvars.merge_contextvars,
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    stderr = sys.stderr
    if form == "json":
        shared.append(structlog.processors.EventRenamer("message"))
        last: Processor = _Json()
    else:
        last = structlog.dev.ConsoleRenderer(
            colors=stderr.isatty() and not os.environ.get("NO_COLOR"),
            # Locals, which the other formatter shows, may hold secrets.
            exception_formatter=structlog.dev.plain_traceback,
            timestamp_key="time",
        )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stderr),
    )
    _route(shared, last, level)
    sys.excepthook = _last_words
    if odd:
        known = ", ".join((*FORMS, *LEVELS))
        structlog.get_logger().warning("SEGUE_LOG is not understood", words=odd, known=known)


def _choice(words: str) -> tuple[str, int, str]:
    form, level, odd = "console" if sys.stderr.isatty() else "json", LEVELS["info"], []
    for word in filter(None, (part.strip().lower() for part in words.split(","))):
        if word in FORMS:
            form = word
        elif word in LEVELS:
            level = LEVELS[word]
        else:
            odd.append(word)
    return form, level, ", ".join(odd)


def _route(shared: list[Processor], last: Processor, level: int) -> None:
    """Let lines of the standard library's loggers come out in the same form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    quiet = level if level < LEVELS["info"] else max(level, LEVELS["warning"])
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(quiet)
    logging.captureWarnings(capture=True)


class _Names:
    """Says on each line when, how grave, and who speaks, in this order."""

    def __init__(self, service: str, instance: str) -> None:
        self.names = {"service": service} | ({"instance": instance} if instance else {})
        self.stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")

    def __call__(self, logger: Any, method: str, line: EventDict) -> EventDict:
        first: EventDict = self.stamp(logger, method, {})
        first = structlog.processors.add_log_level(logger, method, first)
        return {**first, **self.names, **line}


class _Json:
    """Renders the line as JSON; what JSON cannot say is said as `ascii` does."""

    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder(enc_hook=repr).encode

    def __call__(self, _logger: Any, _method: str, line: EventDict) -> str:
        try:
            return self.encode(line).decode()
        except (TypeError, UnicodeEncodeError, RecursionError):  # Keys, surrogates, cycles.
            return self.encode(
                {str(key): self._safe(value) for key, value in line.items()}
            ).decode()

    def _safe(self, value: object) -> object:
        try:
            self.encode(value)
        except (TypeError, UnicodeEncodeError, RecursionError):
            return ascii(value)
        return value


def _logger_name(_logger: Any, _method: str, line: EventDict) -> EventDict:
    line["logger"] = line["_record"].name
    return line


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Let the reason of a process's end be a log line too."""
    if issubclass(kind, Exception):
        with contextlib.suppress(Exception):  # Nothing may hide the reason.
            structlog.get_logger().critical("this process ends", exc_info=(kind, error, trace))
            return
    sys.__excepthook__(kind, error, trace)
