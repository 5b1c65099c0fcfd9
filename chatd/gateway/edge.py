"""What all sockets of a node share, and the node's say over them: open, too slow, closed, draining."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

from chatd.core.addresses import Proxies
from chatd.core.clock import Clock
from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Command
from chatd.core.ids import Ids
from chatd.core.metrics import Stats
from chatd.core.settings import Settings
from chatd.gateway.admission import Admission, Turnstile
from chatd.gateway.connection import Connection
from chatd.gateway.dispatch import Dispatch
from chatd.gateway.feed import FeedReader
from chatd.gateway.heartbeat import Heart
from chatd.gateway.hub import Hub
from chatd.gateway.opening import Opening
from chatd.gateway.ports import Backend
from chatd.gateway.session import Phase
from chatd.realtime.broker import NodeBroker
from chatd.realtime.presence import NodePresence
from chatd.wire import codec
from chatd.wire.frames import CloseCode, Drain


class Edge:
    """The gateway of one node."""

    CLOSE_WAIT_S = 5.0  # how long a client may take to answer a close frame
    STRANGER_WAIT_S = 1.0  # the same, of one who never was in
    #: For those who are not in yet: so much at once, then so many turns of the loop for those who are.
    PORTION_S, REST_TURNS = 0.001, 4

    def __init__(
        self,
        *,
        settings: Settings,
        node_id: str,
        clock: Clock,
        ids: Ids,
        stats: Stats,
        backend: Backend,
        commands: Sequence[Command],
        make_ctx: Callable[[Actor, str, str], Ctx],
    ) -> None:
        self.settings, self.node_id = settings, node_id
        self.clock, self.ids, self.stats = clock, ids, stats
        self.backend, self.make_ctx = backend, make_ctx
        self.connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self.draining = False
        self.by_id: dict[str, Connection] = {}
        #: Sockets past the first mark, in whatever phase.
        self.slow: set[Connection] = set()
        #: By user, the last socket that was closed as too slow and is not gone, and what its queue held then.
        self._parting: dict[str, tuple[Connection, int]] = {}
        self.proxies = Proxies(settings.server.trusted_proxies)
        self.extensions: Any = (
            [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]
            if settings.socket.compression
            else None
        )
        self.hub = Hub(
            stats=stats,
            close_mark=settings.socket.close_mark_bytes,
            typing_frame=backend.typing,
            too_slow=self.too_slow,
        )
        self.dispatch = Dispatch(self, commands)
        self.opening = Opening(self)
        self.heart = Heart(self)
        self.admission = Admission(settings.admission)
        self.doors = Turnstile(self.PORTION_S, self.REST_TURNS)
        self.feed: FeedReader
        self.broker: NodeBroker
        self.presence: NodePresence

    def attach(self, broker: NodeBroker, presence: NodePresence, feed: FeedReader) -> None:
        """The node's other half, which needed the hub to be made."""
        self.broker, self.presence, self.feed = broker, presence, feed

    @staticmethod
    def encode(event: msgspec.Struct) -> bytes:
        """The finished frame of an event."""
        return codec.frame(event)

    def log_fields(self, connection: Connection) -> dict[str, str]:
        """Who it is about, for a log line."""
        return {"connection_id": connection.id, "user_id": connection.user_id}

    # ------------------------------------------------------------------ life

    def arrived(self, connection: Connection) -> None:
        """A socket has shown a valid token; before its chats are read, so that no change is missed."""
        self.by_id[connection.id] = connection
        self.hub.by_user.setdefault(connection.user_id, set()).add(connection)

    def leave_all(self, connection: Connection) -> None:
        """Out of every room; what others see of its user may change."""
        for chat_id in list(connection.rooms):
            if self.hub.leave(connection, chat_id):
                self.broker.leave(chat_id)
        if self.by_id.pop(connection.id, None) is None:
            return
        sockets = self.hub.by_user.get(connection.user_id)
        if sockets is not None:
            sockets.discard(connection)
            if not sockets:
                del self.hub.by_user[connection.user_id]
        self.presence.disconnected(connection.user_id, connection.id)
        self.presence.unwatch(connection.id)

    def lost(self, connection: Connection) -> None:
        """The socket is gone."""
        self.connections.discard(connection)
        self.slow.discard(connection)
        if self._parting.get(connection.user_id, (None, 0))[0] is connection:
            del self._parting[connection.user_id]
        if not self.connections:
            self._empty.set()
        self.heart.drop(connection)
        self.leave_all(connection)
        self.presence.unwatch(connection.id)  # a watch may have been at work when the socket was closed

    def too_slow(self, connection: Connection) -> None:
        """Past the second mark: it resumes with ``since`` when it can read again (protocol.md, 4.5)."""
        if connection.phase is not Phase.CLOSING:
            self.stats.slow_closes += 1
            connection.close(CloseCode.SLOW_CONSUMER, "too slow; resume with since")
            if connection.user_id:
                self._forget_last(connection)

    def _forget_last(self, connection: Connection) -> None:
        """One who comes back and again does not read would leave a full queue behind each time, for as long
        as its close frame may be waited for: the one before goes at once, where nothing of it was taken.
        """
        before, size = self._parting.get(connection.user_id, (None, 0))
        self._parting[connection.user_id] = (connection, connection.buffered)
        if before is not None and before.buffered >= size:
            before.abort()

    def close_sessions(self, session_ids: set[str], code: CloseCode, reason: str) -> None:
        """These sessions have ended."""
        for connection in list(self.by_id.values()):
            if connection.ctx is not None and connection.ctx.actor.session_id in session_ids:
                connection.close(code, reason)

    def close_user(self, user_id: str, code: CloseCode, reason: str) -> None:
        """Every socket of a user."""
        for connection in list(self.hub.by_user.get(user_id, ())):
            connection.close(code, reason)

    def takes_ephemeral(self, connection_id: str) -> bool:
        """Whether this socket is to be told of presence now; a slow one is spared it until it reads on."""
        connection = self.by_id.get(connection_id)
        if connection is None or not connection.slow:
            return True
        self.stats.ephemeral_drops += 1
        return False

    def reads_on(self, connection: Connection) -> None:
        """Its buffer has drained: back on the fast path, and told what it was spared, newest values only."""
        if not connection.slow:
            self.hub.recovered(connection)
            self.presence.reads_on(connection.id)

    @property
    def queue_bytes(self) -> int:
        """Bytes in the write buffers of slow sockets; the others hold less than the mark."""
        return sum(connection.buffered for connection in self.slow)

    def announce_drain(self, within_s: float) -> None:
        """Tell every socket to go (``system.drain``) and read nothing more from it, so that what is at work
        comes to an end and is answered before the socket closes.
        """
        self.draining = True
        sockets = list(self.connections)
        spread_ms = max(1000, min(int(within_s * 500), 2 * len(sockets)))
        for connection in sockets:
            pause = random.randint(500, 500 + spread_ms)  # noqa: S311  spreading load, not a secret
            if connection.phase is Phase.HANDSHAKE:
                connection.abort()
            else:
                connection.write(codec.frame(Drain(reconnect_after_ms=pause)))
                connection.pause_reading()

    async def finish_work(self, within_s: float) -> None:
        """Wait for the commands at work, at most so long."""
        tasks = [task for connection in self.connections for task in connection.tasks or ()]
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)

    async def drain(self, within_s: float) -> None:
        """Close everything, spread over the time there is, so that the other nodes do not meet all of them
        in one second. Raises TimeoutError where some do not go.
        """
        sockets = list(self.connections)
        if not sockets:
            return
        self._empty.clear()
        step = max(1, len(sockets) // 20)
        for i in range(0, len(sockets), step):
            for connection in sockets[i : i + step]:
                connection.close(CloseCode.DRAINING, "draining")
            await asyncio.sleep(min(0.05, within_s / 40))
        async with asyncio.timeout(within_s):
            await self._empty.wait()
