"""One socket: its life, what its messages set in motion, and all that is written to it.

Work that must wait runs as a task that this connection owns. How bytes become messages is in ``incoming``.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from websockets.protocol import State

from chatd.core.context import Ctx
from chatd.gateway import protocols
from chatd.gateway.incoming import Incoming
from chatd.gateway.session import Phase, Rates
from chatd.wire.frames import CloseCode, ErrorFrame

if TYPE_CHECKING:
    from chatd.gateway.edge import Edge


class Connection(Incoming):
    """A WebSocket from its upgrade request to its end."""

    __slots__ = (
        "__weakref__",
        "backlog",
        "beat",
        "ctx",
        "drained",
        "expires_at",
        "held",
        "id",
        "inflight",
        "joining",
        "kept",
        "line",
        "missed",
        "rates",
        "ready",
        "recheck",
        "rooms",
        "scope",
        "slow",
        "still_until",
        "tasks",
        "timer",
        "token",
        "user_id",
    )

    def __init__(
        self, edge: "Edge", scope: str | None, token: str | None, address: str, answered: bytes | None = None
    ) -> None:
        super().__init__(edge, address, answered)
        self.scope = scope  # the one chat of /chats/{chat_id}
        self.token = token
        self.id = ""
        self.user_id = ""
        self.ctx: Ctx | None = None
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
        self.backlog: list[bytes] | None = None
        self.beat = -1  # its place among the heartbeats
        self.missed = 0
        self.slow = False
        self.held = False
        self.still_until = 0.0  # it was refused a send, and told to come back then
        self.drained: asyncio.Future[None] | None = None
        self.expires_at = 0.0
        self.timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------ life

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
        if self.edge.draining:
            transport.close()  # it came just before the port was closed; another node takes it

    def eof_received(self) -> bool:
        """The client has closed its half: so do we."""
        self._end()
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

    def is_closing(self) -> bool:
        """It has ended, or its close frame is out."""
        return self.phase is Phase.CLOSING

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
        self.send_pending()
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(wait_s, self.abort)

    def abort(self) -> None:
        """End it without waiting for anything."""
        if self.transport is not None:
            self.transport.abort()

    def own(self, task: asyncio.Task[Any]) -> None:
        """This task ends with the connection."""
        if self.tasks is None:
            self.tasks = set()
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --------------------------------------------------------------- hearing

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

    def binary(self) -> None:
        """An error: commands are text."""
        self.edge.dispatch.not_a_command(self)

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

    def answer(self, error: ErrorFrame) -> None:
        """One command failed."""
        self.write(self.edge.encode(error))

    def send_pending(self) -> None:
        """What the library has to say."""
        for chunk in self.ws.data_to_send():
            if chunk:
                self.transport.write(chunk)
            else:
                self._end()
        if self.slow:
            self._bound()  # those were pongs, to one who asks and does not read

    def _end(self) -> None:
        """Nothing more is said: out of every room at once, and soon gone by force where the client does not
        read what is on its way.
        """
        self.phase = Phase.CLOSING
        self.edge.leave_all(self)
        self.transport.close()
        if self.timer is not None:
            self.timer.cancel()
        wait_s = self.edge.CLOSE_WAIT_S if self.ready else self.edge.STRANGER_WAIT_S
        self.timer = asyncio.get_running_loop().call_later(wait_s, self.abort)

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

    @property
    def buffered(self) -> int:
        """Bytes that the client has not taken yet."""
        return int(self.transport.get_write_buffer_size())

    async def until_drained(self, timeout_s: float) -> None:
        """Wait until the client has taken most of what was written. Raises TimeoutError."""
        if not self.slow:
            return
        if self.drained is None or self.drained.done():
            self.drained = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(self.drained)
