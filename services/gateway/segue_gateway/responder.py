"""Listen for questions on every app bridge, by UDP and TCP, and pass on what is for the host.

A bridge is listened on from the moment its address is there, known to the table or not: a container
may ask as soon as it starts. What cannot be told yet waits for up to `WAIT_S`; every wait, every
number at once and every size has a limit. What is answered decides `names`.
"""

import anyio
import msgspec
import structlog
from anyio.abc import Listener, SocketStream, TaskGroup, TaskStatus, UDPSocket
from segue.bridges import MARK

from segue_gateway import interfaces, names
from segue_gateway.commands import CommandError
from segue_gateway.names import View
from segue_gateway.resolvers import Resolvers, framed, receive_framed
from segue_gateway.table import Table

WAIT_S = 3.0  # The engine's own resolver gives up after 4 s.
IDLE_S = 10.0  # Of a TCP connection.
AGAIN_S = 5.0  # After so long an address that was taken is tried again.
QUESTIONS_MOST = 512  # At once, of all containers of the host.
CONNECTIONS_MOST = 64  # At once, on one bridge.
_GONE = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError)
_log = structlog.get_logger("segue")


class Seat(msgspec.Struct):
    """One address of a bridge that is listened on."""

    bridge: str
    address: str
    scope: anyio.CancelScope = msgspec.field(default_factory=anyio.CancelScope)
    left: anyio.Event = msgspec.field(default_factory=anyio.Event)
    connections: int = 0


class Names:
    """The responder: `run` it, and `apply` what it is to answer from."""

    def __init__(self, resolvers: Resolvers | None = None, port: int = 53) -> None:
        self._resolvers, self._port = resolvers or Resolvers(), port
        self._views: dict[str, View] = {}
        self._seats: dict[str, Seat] = {}  # By address.
        self._taken: dict[str, str] = {}  # Why an address is not listened on.
        self._trouble = ""
        self._changed = anyio.Event()
        self._looking = anyio.Lock()
        self._tasks: TaskGroup | None = None
        self._questions = 0

    async def apply(self, table: Table) -> list[str]:
        """Answer from this table from now on; tell where nobody listens."""
        self._views = names.views(table)
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
        await self._look()
        trouble = [self._trouble] if self._trouble else []
        return trouble + [f"names: {self._taken[one]}" for one in sorted(self._taken)]

    async def clear(self) -> None:
        """Leave it: it ends with the process."""

    async def run(self) -> None:
        """Listen on bridges as they come, until cancelled."""
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._try_again)
            async for _ in interfaces.changes():
                await self._look()

    async def _try_again(self) -> None:
        while True:
            await anyio.sleep(AGAIN_S)
            if self._taken or self._trouble:
                await self._look()

    async def _look(self) -> None:
        """Listen where a bridge of an app is, and nowhere else."""
        if self._tasks is None:
            return
        async with self._looking:
            try:
                found = await interfaces.look()
            except CommandError as error:
                self._trouble = f"names: nobody answers on new networks: {error}"
                return
            self._trouble = ""
            wanted = {one.address: one.name for one in found if self._is_ours(one)}
            for address in self._seats.keys() - wanted.keys():
                seat = self._seats.pop(address)
                seat.scope.cancel()
                await seat.left.wait()
            self._taken = {one: why for one, why in self._taken.items() if one in wanted}
            for address in wanted.keys() - self._seats.keys():
                await self._sit(Seat(wanted[address], address), self._tasks)

    def _is_ours(self, one: interfaces.Interface) -> bool:
        return one.name.startswith(MARK) or one.address in self._views

    async def _sit(self, seat: Seat, tasks: TaskGroup) -> None:
        try:
            await tasks.start(self._serve, seat)
        except OSError as error:
            words = f"nobody answers them on {seat.bridge}: port 53 of {seat.address}: "
            words += f"{error.strerror or error}"
            if self._taken.get(seat.address) != words:
                _log.warning("names are not answered", bridge=seat.bridge, error=words)
            self._taken[seat.address] = words
        else:
            self._seats[seat.address] = seat
            self._taken.pop(seat.address, None)

    async def _serve(self, seat: Seat, *, task_status: TaskStatus[None]) -> None:
        """Listen at one address until its scope is cancelled. Raises OSError if it is taken."""
        host, port = seat.address, self._port
        try:
            async with (
                await anyio.create_udp_socket(local_host=host, local_port=port) as udp,
                await anyio.create_tcp_listener(local_host=host, local_port=port) as tcp,
            ):
                task_status.started()
                with seat.scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._hear_udp, seat, udp, tasks)
                        tasks.start_soon(self._hear_tcp, seat, tcp)
        finally:
            seat.left.set()

    async def _hear_udp(self, seat: Seat, udp: UDPSocket, tasks: TaskGroup) -> None:
        sending = anyio.Lock()  # One at a time may write to a socket.

        async def reply(request: bytes, asker: tuple[str, int]) -> None:
            answer = await self._answer(request, seat, udp=True)
            if answer is not None:
                try:
                    async with sending:
                        await udp.sendto(answer, *asker)
                except _GONE:
                    return  # The asker is gone, or its bridge; it asks again or not at all.

        async for request, asker in udp:
            if self._questions < QUESTIONS_MOST:
                tasks.start_soon(reply, request, asker)

    async def _hear_tcp(self, seat: Seat, tcp: Listener[SocketStream]) -> None:
        async def converse(line: SocketStream) -> None:
            async with line:
                if seat.connections >= CONNECTIONS_MOST:
                    return
                seat.connections += 1
                try:
                    await self._converse(seat, line)
                except _GONE:
                    return
                finally:
                    seat.connections -= 1

        await tcp.serve(converse)

    async def _converse(self, seat: Seat, line: SocketStream) -> None:
        while True:
            with anyio.move_on_after(IDLE_S) as idle:
                request = await receive_framed(line)
            if idle.cancelled_caught or self._questions >= QUESTIONS_MOST:
                return
            answer = await self._answer(request, seat, udp=False)
            if answer is None:
                return
            await line.send(framed(answer))

    async def _answer(self, request: bytes, seat: Seat, *, udp: bool) -> bytes | None:
        self._questions += 1
        try:
            said = names.answer(request, self._view(seat), udp=udp)
            with anyio.move_on_after(WAIT_S):
                while said.verdict == "wait":
                    await self._changed.wait()
                    said = names.answer(request, self._view(seat), udp=udp)
            if said.verdict == "wait":
                said = names.answer(request, self._view(seat), udp=udp, waited=True)
            if said.verdict == "forward":
                reply = await self._resolvers.ask(request, udp=udp, but=self._seats)
                return reply or names.failed(request)
            return said.content or None
        finally:
            self._questions -= 1

    def _view(self, seat: Seat) -> View:
        return self._views.get(seat.address) or self._views.get(seat.bridge) or View()
