"""Questions with one answer, in the form that `nats request` and NATS services understand.

Answers go to inboxes only: a question cannot make its answerer write elsewhere. What goes wrong in
a handler costs one answer; the asker gets the text of an `AnswerError`, of anything else its kind.
"""

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import structlog

from segue.bus.connection import Connection
from segue.bus.errors import AnswerError, BusError, BusRefusedError
from segue.bus.listen import Ear, Heard
from segue.bus.protocol import is_subject, read_headers

ERROR, ERROR_CODE = "Nats-Service-Error", "Nats-Service-Error-Code"
AT_ONCE, WAITING = 64, 1024

Handler = Callable[[bytes], Awaitable[bytes]]

log: structlog.stdlib.BoundLogger = structlog.get_logger("segue.bus")


async def ask(connection: Connection, subject: str, data: bytes, timeout_s: float) -> bytes:
    """Give the answer, or raise the answerer's error."""
    reply = await connection.query(subject, data, timeout_s=timeout_s)
    raise_error(read_headers(reply.headers))
    return reply.data


def raise_error(headers: dict[str, str]) -> None:
    """Raise the error that an answer carries, if it does."""
    if ERROR_CODE in headers or ERROR in headers:
        raise AnswerError(headers.get(ERROR) or "the answerer failed and does not say how")


async def serve(
    connection: Connection,
    subject: str,
    handler: Handler,
    *,
    queue: str = "",
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer questions on `subject` until cancelled, up to 64 at once."""
    ear = Ear(connection, subject, WAITING, queue)
    places = anyio.Semaphore(AT_ONCE)
    try:
        await ready(connection)
        task_status.started()
        async with anyio.create_task_group() as tasks:
            while (heard := await ear.next()) is not None:
                await places.acquire()
                tasks.start_soon(_answer, connection, handler, heard, places)
    finally:
        ear.close()


async def ready(connection: Connection) -> None:
    """Wait until the bus knows of a subscription, if it is there at all."""
    try:
        await connection.barrier()
    except BusError as error:
        log.debug("serving begins while the bus is away", why=str(error))


async def _answer(
    connection: Connection, handler: Handler, heard: Heard, places: anyio.Semaphore
) -> None:
    try:
        inbox = inbox_of(connection, heard)
        if not inbox:
            return
        try:
            data, headers = await handler(heard.data), {}
        except Exception as error:  # noqa: BLE001 — it is told to the asker and to the log.
            data, headers = b"", told(error, heard)
        answer(connection, inbox, data, headers)
    finally:
        places.release()


def inbox_of(connection: Connection, heard: Heard) -> str:
    """Give where to answer; empty for what is not an inbox: answering it would be a forgery."""
    reply = heard.reply.decode("utf-8", "replace")
    inboxes = ("_INBOX", "_R_.", f"{connection.settings.inbox_prefix}.")
    return reply if reply.startswith(inboxes) and is_subject(reply) else ""


def told(error: Exception, heard: Heard) -> dict[str, str]:
    """Put an error into an answer's headers. What a stranger may not read stays in the log."""
    if isinstance(error, AnswerError):
        return {ERROR: str(error), ERROR_CODE: "400"}
    where = heard.subject.decode("utf-8", "replace")
    log.error("a question could not be answered", subject=where, exc_info=error)
    text = f"the answerer failed ({type(error).__name__}); its own log says how"
    return {ERROR: text, ERROR_CODE: "500"}


def answer(connection: Connection, inbox: str, data: bytes, headers: dict[str, str]) -> None:
    """Send an answer, or at least why there is none; while the bus is away there is nobody."""
    try:
        connection.send(inbox, data, headers=headers)
    except BusRefusedError as error:
        connection.send(inbox, headers={ERROR: str(error), ERROR_CODE: "500"})
    except BusError as error:
        log.debug("an answer could not be sent", why=str(error))
