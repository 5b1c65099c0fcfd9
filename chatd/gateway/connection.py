"""One socket: bytes in, bytes out. ``websockets``' Sans-I/O protocol inside an asyncio.Protocol; one callback
a read, no task, queue or lock a socket. Work that must wait runs as a task that this connection owns.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]  # in C if built
from websockets.http11 import Request
from websockets.protocol import State

from chatd.core.context import Ctx
from chatd.gateway import closing, protocols
from chatd.gateway.session import Phase, Rates
from chatd.wire.frames import CloseCode, ErrorFrame

if TYPE_CHECKING:
    from chatd.gateway.edge import Edge

_TEXT, _BINARY, _CONT, _CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.CLOSE


class Connection(asyncio.Protocol):
    """A WebSocket from its upgrade request to its end."""

    __slots__ = (
        "__weakref__",
        "address",
        "answered",
        "backlog",
        "beat",
        "ctx",
        "deflates",
        "drained",
        "edge",
        "expires_at",
        "fragments",
        "heard",
        "held",
        "id",
        "in_line",
        "inflight",
        "joining",
        "kept",
        "line",
        "missed",
        "paused_reading",
        "phase",
        "rates",
        "ready",
        "recheck",
        "resuming",
        "rooms",
        "scope",
        "skip",
        "slow",
        "still_until",
        "tasks",
        "timer",
        "token",
        "transport",
        "unread",
        "user_id",
        "ws",
    )

    IN_LINE_BYTES = 65_536

    def __init__(
        self, edge: "Edge", scope: str | None, token: str | None, address: str, answered: bytes | None = None
    ) -> None:
        self.edge = edge
        self.answered = answered  # the 101 that opens it; without, the library is asked
        self.scope = scope  # the one chat of /chats/{chat_id}
        self.token = token
        self.address = address
        self.id = ""
        self.user_id = ""
        self.ctx: Ctx | None = None
        self.phase = Phase.HANDSHAKE
        self.ready = False  # its connection.ready is out
        self.rates = Rates()
        self.rooms: set[str] = set()
        self.tasks: set[asyncio.Task[Any]] | None = None
        #: Chats whose membership changed while this was opening, and why it ended where it did.
        self.recheck: dict[str, str | None] | None = None
        self.joining: dict[str, asyncio.Task[None]] = {}
        self.line: asyncio.Task[None] | None = None  # the last command that is worked on in order
        self.inflight = 0
        self.kept = 0  # bytes that rooms keep for it until it is live in them
        self.in_line = False  # before it is open, what it says waits its turn (edge.doors)
        self.backlog: list[bytes] | None = None
        self.fragments: list[bytes] | None = None
        self.beat = -1  # its place among the heartbeats
        self.heard = True
        self.missed = 0
        self.slow = False
        self.deflates = False
        self.paused_reading = False
        self.unread = b""
        self.skip = 0  # bytes of a frame that is not read any more
        self.held = False
        self.still_until = 0.0  # it was refused a send, and told to come back then
        self.resuming = False  # _read_on is on its way
        self.drained: asyncio.Future[None] | None = None
        self.expires_at = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.transport: Any = None
        self.ws: Any = None

    # ------------------------------------------------------------- transport

    def connection_made(self, transport: Any) -> None:
        """The first request has shown that this is a WebSocket."""
        self.transport = transport
        socket = self.edge.settings.socket
        transport.set_write_buffer_limits(
            high=socket.ephemeral_mark_bytes, low=socket.ephemeral_mark_bytes // 4
        )
        most = self.edge.dispatch.MAX_INIT_BYTES
        if self.answered is not None:
            self.ws = protocols.opened(most)
        else:
            self.ws = protocols.undecided(most, self.edge.extensions)
        self.timer = asyncio.get_running_loop().call_later(socket.init_timeout_s, self._late)
        self.edge.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """One read: answer what can be answered, as long as this socket may be read."""
        self.heard = True
        self.edge.stats.bytes_in += len(data)
        if self.phase is Phase.HANDSHAKE:
            head, end, data = data.partition(b"\r\n\r\n")
            if self.answered is not None:
                self.transport.write(self.answered)
                self.answered, self.phase = b"", Phase.INIT
            else:
                self._parse(head + end)
        if data and self.phase is Phase.INIT:
            self._stand_in_line(data)
        elif data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self.deflates:
            self._parse(data)
        elif self.phase is Phase.CLOSING:
            self._wait_for_close(self.unread + data)
        else:
            self._frames(self.unread + data)

    def _stand_in_line(self, data: bytes) -> None:
        """What a stranger says is heard in its turn."""
        self.unread += data
        if not self.in_line:
            self.in_line = True
            self.edge.doors.enter(self.address, self._served)
        elif len(self.unread) > self.IN_LINE_BYTES:
            self.pause_reading()

    def _served(self) -> None:
        self.in_line = False
        if self.transport.is_closing():
            return
        if self.paused_reading and not self.edge.draining:
            self.paused_reading = False
            self.transport.resume_reading()
        data, self.unread = self.unread, b""
        self._take(data)

    def _frames(self, data: bytes) -> None:
        """Cut whole frames off ``data``; the rest stays ``unread``.

        RFC 6455, 5.2. The library's parser is a generator that takes 10 µs a frame, a quarter of what a send
        costs. So the one kind of frame that nearly all are, a whole masked text message of allowed length, is
        taken here; any other is handed to the library, whole, so that it always stands between two frames.
        """
        ws, text, at, n = self.ws, self.text, 0, len(data)
        self.unread = b""
        while at < n:
            if self.paused_reading or n - at < 2:
                break
            length, head = data[at + 1] & 0x7F, 6
            if length >= 126:
                head = 8 if length == 126 else 14
                if n - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head - 4], "big")
            if ws.state is not State.OPEN or length > ws.max_message_size or not data[at + 1] & 0x80:
                self._parse(data[at:])  # which fails, or reads on for the close frame alone
                return
            body, at_next = at + head, at + head + length
            if at_next > n:
                break
            if data[at] == 0x81 and ws.current_size is None:  # else it is in the middle of fragments
                text(apply_mask(data[body:at_next], data[body - 4 : body]))
            else:
                self._parse(data[at:at_next])
            at = at_next
            if self.phase is Phase.CLOSING:
                self._wait_for_close(data[at:])
                return
        if at < n:
            self.unread = data[at:] if at else data

    def _wait_for_close(self, data: bytes) -> None:
        self.skip, self.unread, answer = closing.answer_in(data, self.skip)
        if answer:
            self._parse(answer)

    def _parse(self, data: bytes) -> None:
        """Let the library parse it all, and do what it says."""
        ws = self.ws
        try:
            ws.receive_data(data)
        except (ProtocolError, AssertionError, EOFError):  # data after its end
            return
        for event in ws.events_received():
            if type(event) is Frame:
                self._frame(event)
            elif isinstance(event, Request):
                self._upgrade(event)
        self._send_pending()

    def eof_received(self) -> bool:
        """The client has closed its half: so do we."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, for whatever reason."""
        self.phase = Phase.CLOSING
        self.ws.state = State.CLOSED
        if self.timer is not None:
            self.timer.cancel()
        for task in list(self.tasks or ()):
            if not task.done():
                task.cancel()
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)
        self.edge.lost(self)

    def pause_writing(self) -> None:
        """The buffer is past the mark: this socket is a slow consumer for now."""
        self.slow = True
        self.edge.slow.add(self)
        # Not at once: the hub may be iterating over the room that this write came from.
        asyncio.get_running_loop().call_soon(self.edge.hub.slowed, self)

    def resume_writing(self) -> None:
        """The buffer has drained."""
        self.slow = False
        self.edge.slow.discard(self)
        # Before who waits for ``drained`` writes: what was withheld is older than that.
        asyncio.get_running_loop().call_soon(self.edge.reads_on, self)
        if self.drained is not None and not self.drained.done():
            self.drained.set_result(None)

    def is_closing(self) -> bool:
        """It has ended, or its close frame is out."""
        return self.phase is Phase.CLOSING

    @property
    def buffered(self) -> int:
        """Bytes that the client has not taken yet."""
        return int(self.transport.get_write_buffer_size())

    # --------------------------------------------------------------- writing

    def write(self, frames: bytes) -> None:
        """Finished frames, now; nothing once the close frame is out.

        Every road to this socket but the hub's fast one, which a slow socket is not on, comes through here:
        one that was slow already, and has the second mark before it now, is closed by this call.
        """
        if self.ws.state is State.OPEN:
            slow = self.slow  # as it was: an idle reader may get one frame of any size
            self.transport.write(frames)
            if slow:
                self._bound()

    def _bound(self) -> None:
        if self.buffered > self.edge.settings.socket.close_mark_bytes:
            self.edge.too_slow(self)

    def close(self, code: int, reason: str = "") -> None:
        """End the socket with a code, and soon by force where the client does not answer."""
        if self.phase is Phase.HANDSHAKE:
            self.transport.close()
            return
        if self.ws.state is not State.OPEN:
            return
        wait_s = self.edge.CLOSE_WAIT_S if self.phase is Phase.OPEN else self.edge.STRANGER_WAIT_S
        self.phase = Phase.CLOSING
        self.edge.stats.closes[code] += 1
        self.edge.leave_all(self)
        self.held = False
        # The client's answer to the close frame must be read; and what it still says, too: data that nobody
        # has read when a socket ends resets it, and the close frame is lost with all that was on its way.
        self.resume_reading()
        self.ws.send_close(code, reason)
        self._send_pending()
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(wait_s, self.abort)

    def abort(self) -> None:
        """End it without waiting for anything."""
        if self.transport is not None:
            self.transport.abort()

    async def until_drained(self, timeout_s: float) -> None:
        """Wait until the client has taken most of what was written. Raises TimeoutError."""
        if not self.slow:
            return
        if self.drained is None or self.drained.done():
            self.drained = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(self.drained)

    def _send_pending(self) -> None:
        for chunk in self.ws.data_to_send():
            if chunk:
                self.transport.write(chunk)
            else:
                self.transport.close()
        if self.slow:
            self._bound()  # those were pongs, to one who asks and does not read

    def in_time(self) -> None:
        """Its connection.init was heard, and answered in time."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _late(self) -> None:
        """Not now: hundreds that came together are late together."""
        self.timer = None
        self.edge.doors.enter(self.address, self._too_late)

    def _too_late(self) -> None:
        if self.ready:
            return  # while this waited for its turn
        if self.phase is Phase.OPENING:  # it did say it, and we had no time
            self.close(CloseCode.GOING_AWAY, "not now; come back")
        elif self.phase < Phase.OPENING:
            self.close(CloseCode.TIMEOUT, "no connection.init in time")

    # --------------------------------------------------------------- reading

    def _upgrade(self, request: Request) -> None:
        response = self.ws.accept(request)
        response.headers["X-Chatd-Node"] = self.edge.node_id
        self.ws.send_response(response)
        if self.ws.state is State.OPEN:
            self.phase = Phase.INIT
            self.deflates = bool(self.ws.extensions)

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is _TEXT and frame.fin:
            self.text(frame.data)
        elif opcode is _TEXT:
            self.fragments = [bytes(frame.data)]
        elif opcode is _CONT and self.fragments is not None:
            self.fragments.append(bytes(frame.data))
            if frame.fin:
                parts, self.fragments = self.fragments, None
                self.text(b"".join(parts))
        elif opcode is _BINARY or opcode is _CONT:
            if frame.fin:
                self.edge.dispatch.not_a_command(self)
        elif opcode is _CLOSE:
            self.phase = Phase.CLOSING

    def text(self, data: Any) -> None:
        """A whole text message."""
        self.edge.stats.frames_in += 1
        phase = self.phase
        if phase is Phase.OPEN:
            self.edge.dispatch.command(self, data)
        elif phase is Phase.INIT:
            self.edge.dispatch.first(self, data)
        elif phase is Phase.OPENING:
            # A client may go on talking before it has its connection.ready; reading is paused, so this
            # is bounded by one read.
            if self.backlog is None:
                self.backlog = []
            self.backlog.append(bytes(data))

    def pause_reading(self) -> None:
        """Take no more bytes until ``resume_reading``: back-pressure for who sends too much."""
        self.resuming = False
        if not self.paused_reading and not self.transport.is_closing():
            self.paused_reading = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again, those first that came before the pause."""
        if self.edge.draining and self.phase is not Phase.CLOSING:
            return  # nothing new is begun
        if self.paused_reading and not self.resuming and not self.transport.is_closing():
            if self.unread:
                # Not at once: this may be in the middle of a round of group commit.
                self.resuming = True
                asyncio.get_running_loop().call_soon(self._read_on)
            else:
                self.paused_reading = False
                self.transport.resume_reading()

    def _read_on(self) -> None:
        if not self.resuming or self.transport.is_closing():
            return
        self.resuming = self.paused_reading = False
        data, self.unread = self.unread, b""
        self._take(data)
        if not self.paused_reading and not self.transport.is_closing():
            self.transport.resume_reading()

    def hold(self, seconds: float) -> None:
        """Take no more bytes for so long: this socket was told to keep still, and sends on."""
        if not self.held and self.phase is Phase.OPEN:
            self.held = True
            self.edge.stats.holds += 1
            self.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self._release)

    def _release(self) -> None:
        if self.held:
            self.held = False
            self.edge.dispatch.read_on(self)

    def work_on_backlog(self) -> None:
        """What was said while the socket was opening."""
        backlog, self.backlog = self.backlog, None
        for data in backlog or ():
            self.text(data)
        self.resume_reading()

    def own(self, task: asyncio.Task[Any]) -> None:
        """This task ends with the connection."""
        if self.tasks is None:
            self.tasks = set()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def answer(self, error: ErrorFrame) -> None:
        """One command failed."""
        self.write(self.edge.encode(error))
