"""How a socket opens and how it comes into a chat: subscribe first, then read, then go live.

Between the statement that says where a chat stands (its head H) and the moment the socket is live, events
may pass. The socket stands in the room as ``waiting`` meanwhile, so whatever this node delivers after that
is kept for it; whatever this node delivered before is read from the log. So: replay from ``since`` (or H)
to ``cut``, the further of H and what was kept; then what was kept past ``cut``; then live.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec import UNSET

from chatd.core.context import Actor
from chatd.core.errors import AppError, Banned, ChatNotFound, Unauthenticated, Unavailable
from chatd.gateway.ports import Joined, Want
from chatd.gateway.session import Phase
from chatd.wire import codec
from chatd.wire.frames import ChatHead, CloseCode, ConnectionInit, ConnectionReady, SyncComplete

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection
    from chatd.gateway.edge import Edge

log = logging.getLogger("chatd.gateway.opening")


class Opening:
    """connection.init to connection.ready, and chats that are joined later."""

    DRAIN_S = 30.0  # how long a replay waits for a slow reader
    MISSED_AT_ONCE = 1000  # events that are read for one socket at once, where more than one chat has them
    PORTION = 65_536  # bytes of replay written before looking whether the reader reads

    def __init__(self, edge: "Edge") -> None:
        self._edge = edge
        self._asking: list[tuple[str, set[str]]] = []  # chats whose members are being read; who is out since
        self._turn = asyncio.Semaphore(edge.settings.admission.opening_at_once)

    async def open(self, connection: "Connection", init: ConnectionInit) -> None:
        """The whole of it. Errors are answered with an error frame, then the close code they carry."""
        edge = self._edge
        try:
            actor = self._authenticate(connection, init)
            connection.id = edge.ids.new("con")
            connection.ctx = edge.make_ctx(actor, connection.id, connection.address)
            connection.user_id = actor.user_id
            edge.arrived(connection)
            async with self._turn:
                chats = await edge.backend.opened(actor, connection.scope)
            if connection.is_closing():
                return
            # Who was put out while this was read is out, whatever it says.
            chats = [chat for chat in chats if not (connection.recheck or {}).get(chat.chat_id)]
            if connection.scope is not None and not chats:
                raise ChatNotFound()
            await self._go_live(connection, init, chats)
        except AppError as error:
            self._refuse(connection, init, error)
        except TimeoutError:
            edge.too_slow(connection)
        except Exception:
            log.exception("a socket could not be opened", extra=edge.log_fields(connection))
            connection.close(CloseCode.GOING_AWAY, "something went wrong on our side")

    def renew(self, connection: "Connection", actor: Actor) -> None:
        """A new token for an open socket."""
        connection.ctx = self._edge.make_ctx(actor, connection.id, connection.address)
        connection.expires_at = actor.expires_at
        self._edge.heart.expires(connection)

    def _authenticate(self, connection: "Connection", init: ConnectionInit) -> Actor:
        token = init.token or connection.token
        connection.token = None
        if not token:
            raise Unauthenticated("connection.init needs a token")
        return self._edge.backend.authenticate(token)

    def _refuse(self, connection: "Connection", init: ConnectionInit, error: AppError) -> None:
        self._edge.dispatch.fail(connection, error, init)
        match error:
            case Unavailable():
                connection.close(CloseCode.GOING_AWAY, "not now; come back")
            case Banned():
                connection.close(CloseCode.BANNED, "banned")
            case Unauthenticated():
                connection.close(CloseCode.UNAUTHENTICATED, error.detail)
            case _:
                connection.close(CloseCode.BANNED, error.code)

    async def _go_live(self, connection: "Connection", init: ConnectionInit, chats: list[ChatHead]) -> None:
        edge = self._edge
        heads = {chat.chat_id: chat.head_seq for chat in chats}
        since = {c: seq for c, seq in (init.since or {}).items() if c in heads}
        wants, cuts = await self._enter(connection, heads, since)
        for i, portion in enumerate(_portions(wants)):
            # Of a chat that it was put out of meanwhile it hears nothing more.
            some = [want for want in portion if want.chat_id in connection.rooms]
            frames = await edge.backend.replay(connection.user_id, some) if some else []
            if connection.is_closing():
                return
            if i == 0:
                # It has been heard and let in. From here on its own pace counts, a portion at a time: a slow
                # network must not be cut off at the same place of the same replay again and again.
                connection.in_time()
                connection.write(self._ready(connection, init, chats))
                connection.ready = True
            await self._write_paced(connection, frames)
            for want in some:
                self._live(connection, want.chat_id, cuts.pop(want.chat_id))
        if init.since is not None:
            connection.write(codec.frame(SyncComplete()))
        for chat_id, cut in cuts.items():
            self._live(connection, chat_id, cut)
        if connection.is_closing():
            return  # while it was slow to read its replay, or what was kept for it was too much
        connection.phase = Phase.OPEN
        edge.stats.sockets_opened += 1
        edge.heart.add(connection)
        if connection.ctx is not None:
            connection.expires_at = connection.ctx.actor.expires_at
            edge.heart.expires(connection)
        edge.presence.connected(connection.user_id, connection.id)
        if connection.recheck:
            connection.own(asyncio.create_task(self._recheck(connection), name="recheck memberships"))
        connection.work_on_backlog()

    async def _enter(
        self, connection: "Connection", heads: dict[str, int], since: dict[str, int]
    ) -> tuple[list[Want], dict[str, int]]:
        """Into the rooms, waiting; what must be replayed, and up to where."""
        edge = self._edge
        # No await between the answer that named the chats and this: nothing is delivered in between.
        waiting = {chat_id: edge.hub.enter(connection, chat_id) for chat_id in heads}
        try:
            # Nor between this and being counted: who is in a room counts, and who leaves it does no more,
            # so that a socket which closes meanwhile has been taken off already.
            await edge.broker.listen(list(heads))
        except BaseException:
            for chat_id in heads:
                self._leave(connection, chat_id)
            raise
        wants, cuts = [], {}
        for chat_id, head in heads.items():
            stream = edge.broker.streams.get(chat_id)
            position = stream.log.position if stream is not None else None
            base = waiting[chat_id].base
            begins = base if base is not None else (head if position is None else position)
            cuts[chat_id] = max(head, begins)
            after = since.get(chat_id, head)
            if after != cuts[chat_id] or chat_id in since:
                wants.append(Want(chat_id, after, cuts[chat_id]))
        return wants, cuts

    def _leave(self, connection: "Connection", chat_id: str) -> bool:
        if not self._edge.hub.leave(connection, chat_id):
            return False
        self._edge.broker.leave(chat_id)
        return True

    def _live(self, connection: "Connection", chat_id: str, cut: int) -> None:
        stream = self._edge.broker.streams.get(chat_id)
        position = stream.log.position if stream is not None else None
        self._edge.hub.go_live(connection, chat_id, cut, cut if position is None else position)

    def _ready(self, connection: "Connection", init: ConnectionInit, chats: list[ChatHead]) -> bytes:
        settings = self._edge.settings.socket
        return codec.frame(
            ConnectionReady(
                connection_id=connection.id,
                user_id=connection.user_id,
                server_time=self._edge.clock.now(),
                heartbeat_ms=settings.heartbeat_ms,
                max_frame_bytes=settings.max_frame_bytes,
                chats=chats,
                re=UNSET if init.id is None else init.id,
            )
        )

    async def _write_paced(self, connection: "Connection", frames: list[bytes]) -> None:
        portion: list[bytes] = []
        size = 0
        for frame in frames:
            portion.append(frame)
            size += len(frame)
            if size >= self.PORTION:
                connection.write(b"".join(portion))
                portion, size = [], 0
                await connection.until_drained(self.DRAIN_S)
        if portion:
            connection.write(b"".join(portion))

    # ---------------------------------------------------------------- joining

    async def _recheck(self, connection: "Connection") -> None:
        """Memberships that changed while the socket was opening."""
        edge = self._edge
        chats, connection.recheck = connection.recheck or {}, None
        # What the feed says of the same chats meanwhile comes before or after, not between.
        async with edge.feed.turn:
            for chat_id, left in chats.items():
                try:
                    joined = await self._in(chat_id, [connection.user_id])
                except AppError:
                    connection.close(CloseCode.GOING_AWAY, "not now; come back")
                    return
                if connection.user_id in joined:
                    self._let_in(chat_id, connection, joined[connection.user_id])
                elif self._leave(connection, chat_id) or left is not None:
                    # connection.ready may have named it, so this must come, and behind it.
                    connection.write(edge.backend.left(chat_id, left or "left"))

    async def join(self, chat_id: str, connections: list["Connection"]) -> None:
        """Users of these sockets may have come into a chat: let those in who are, each at its own pace.

        Raises StoreUnavailable where it cannot be told who is.
        """
        joined = await self._in(chat_id, {connection.user_id for connection in connections})
        for connection in connections:
            if connection.user_id in joined:
                self._let_in(chat_id, connection, joined[connection.user_id])

    def forestall(self, chat_id: str, user_ids: Collection[str]) -> None:
        """These users are out of a chat: whoever is reading just now that they are in reads what was."""
        for asked, gone in self._asking:
            if asked == chat_id:
                gone.update(user_ids)

    async def _in(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Joined]:
        """Those of the users who are in the chat, and were not put out while this was read."""
        if not user_ids:
            return {}
        gone: set[str] = set()
        asking = (chat_id, gone)
        self._asking.append(asking)
        try:
            joined = await self._edge.backend.joined(chat_id, user_ids)
        finally:
            self._asking = [each for each in self._asking if each is not asking]
        return {user_id: seat for user_id, seat in joined.items() if user_id not in gone}

    def _let_in(self, chat_id: str, connection: "Connection", joined: Joined) -> None:
        if self._may_enter(connection, chat_id):
            task = asyncio.create_task(self._join(connection, chat_id, joined), name="join a chat")
            connection.own(task)
            connection.joining[chat_id] = task
            task.add_done_callback(lambda done: _forget(connection.joining, chat_id, done))

    def let_out(self, chat_id: str, connection: "Connection") -> bool:
        """Out of a chat, or out of the way into it; True where the socket was in."""
        joining = connection.joining.pop(chat_id, None)
        if joining is not None:
            joining.cancel()
        return self._leave(connection, chat_id)

    def _may_enter(self, connection: "Connection", chat_id: str) -> bool:
        return (
            connection.phase is Phase.OPEN
            and chat_id not in connection.rooms
            and chat_id not in connection.joining
            and connection.scope in (None, chat_id)
        )

    async def _join(self, connection: "Connection", chat_id: str, joined: Joined) -> None:
        try:
            _, cuts = await self._enter(connection, {chat_id: joined.head}, {chat_id: joined.after})
            wants = [Want(chat_id, joined.after, cuts[chat_id])]
            frames = await self._edge.backend.replay(connection.user_id, wants)
            connection.write(joined.frame)
            await self._write_paced(connection, frames)
            self._live(connection, chat_id, cuts[chat_id])
        except (AppError, TimeoutError):
            # Half in is worse than out: the client comes back and is told everything.
            connection.close(CloseCode.GOING_AWAY, "not now; come back")


def _portions(wants: Sequence[Want]) -> Iterator[list[Want]]:
    """What is replayed at once, so that a socket that was away from hundreds of chats for long costs no more
    memory than one chat or two; one portion at least.
    """
    some: list[Want] = []
    missed = 0
    for want in wants:
        if some and missed + want.head - want.after > Opening.MISSED_AT_ONCE:
            yield some
            some, missed = [], 0
        some.append(want)
        missed += max(0, want.head - want.after)
    yield some


def _forget(joining: dict[str, "asyncio.Task[None]"], chat_id: str, done: "asyncio.Task[None]") -> None:
    if joining.get(chat_id) is done:
        del joining[chat_id]
