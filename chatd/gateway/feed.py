"""The node feed: memberships, ended sessions and bans, read from PostgreSQL so that no node misses one.

Redis says when to look; without it every node looks each second. Rows are asked for by transaction id from
the last reading's xmin on, because a row of a long transaction appears later than rows with higher ids.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

from chatd.core.errors import AppError
from chatd.db import feed
from chatd.gateway.session import Phase
from chatd.wire.frames import CloseCode

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection
    from chatd.gateway.edge import Edge

log = logging.getLogger("chatd.gateway.feed")


class FeedReader:
    """Follows the feed for one node. Other readers (rooms' own caches) may ``listen`` too."""

    def __init__(self, edge: "Edge", db: Any, every_s: float) -> None:
        self._edge, self._db, self._every_s = edge, db, every_s
        self._look = asyncio.Event()
        self._xmin: int | None = None
        self._seen: set[int] = set()
        self._listeners: list[Callable[[feed.Row], None]] = []
        self._doubtful: dict[str, set[str]] = {}  # chat -> users put out of it on a word, not on a row
        #: Held by whoever lets sockets in and out of chats, so that two do not cross.
        self.turn = asyncio.Lock()

    def look(self) -> None:
        """There are new rows."""
        self._look.set()

    def listen(self, listener: Callable[[feed.Row], None]) -> None:
        """Call this for every row, too."""
        self._listeners.append(listener)

    def put_out(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        """These users are out of a chat, which a row will say too: nothing of it reaches them from now on.

        The word may come late, when they are in again already: that is looked up with the next reading.
        """
        here = [user_id for user_id in user_ids if user_id in self._edge.hub.by_user]
        if here:
            self._edge.opening.forestall(chat_id, here)
            self._mark_opening(chat_id, here, reason)
            self._let_out(chat_id, here, reason)
            self._doubtful.setdefault(chat_id, set()).update(here)
            self._look.set()

    async def start(self) -> None:
        """What happened before now is of no interest. Raises StoreUnavailable."""
        self._xmin = await feed.xmin(self._db)

    async def follow_forever(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            try:
                await self._read()
            except AppError as error:
                log.debug("the feed cannot be read now: %s", error.code)

    async def _read(self) -> None:
        if self._xmin is None:
            await self.start()
            return
        page = await feed.read(self._db, self._xmin)
        for row in page.rows:
            if row.id in self._seen:
                continue
            for listener in self._listeners:
                listener(row)
            # Where this fails, it and all rows behind it are read again next time.
            async with self.turn:
                await self._act(row)
            self._seen.add(row.id)
        self._seen = {row.id for row in page.rows if row.txid >= page.xmin}
        self._xmin = page.xmin
        await self._settle_doubts()

    async def _settle_doubts(self) -> None:
        edge = self._edge
        while self._doubtful:
            chat_id, user_ids = next(iter(self._doubtful.items()))
            del self._doubtful[chat_id]  # who is put out meanwhile is asked about anew
            try:
                async with self.turn:
                    await edge.opening.join(chat_id, self._sockets(user_ids))
            except AppError:
                self._doubtful.setdefault(chat_id, set()).update(user_ids)
                raise

    async def _act(self, row: feed.Row) -> None:
        edge = self._edge
        if row.kind in ("chat.joined", "chat.left"):
            left = (row.reason or "left") if row.kind == "chat.left" else None
            self._mark_opening(row.chat_id or "", row.user_ids, left)
        match row.kind:
            case "chat.joined":
                sockets = self._sockets(row.user_ids)
                if sockets and row.chat_id:
                    await edge.opening.join(row.chat_id, sockets)
            case "chat.left" if row.chat_id:
                for user_id in row.user_ids:
                    edge.broker.typists.heard(row.chat_id, user_id, False)
                self._let_out(row.chat_id, row.user_ids, row.reason or "left")
                await self._part_strangers(row.user_ids)
            case "chat.updated":
                await self._updated(row)
            case "session.ended":
                if row.session_id:
                    edge.close_sessions({row.session_id}, CloseCode.UNAUTHENTICATED, row.reason or "ended")
            case "users.hidden":
                self._hide(row.user_ids)
            case "user.banned":
                for user_id in row.user_ids:
                    edge.close_user(user_id, CloseCode.BANNED, row.reason or "banned")

    def _hide(self, user_ids: list[str]) -> None:
        """Two users are to see nothing of each other; of one alone, nobody sees when they were last there."""
        if len(user_ids) == 1:
            self._edge.presence.keep_last_seen(user_ids[0])
        for user_id, other in combinations(user_ids, 2):
            self._part(user_id, other)

    async def _part_strangers(self, user_ids: Collection[str]) -> None:
        """Only who shares a chat sees who is there: end what these users and others see of each other without
        one. Raises StoreUnavailable.
        """
        edge = self._edge
        for user_id in user_ids:
            sockets = edge.hub.by_user.get(user_id, ())
            watched = {other for c in sockets for other in edge.presence.watched_by(c.id)}
            watchers = {c.user_id: c for c in map(edge.by_id.get, edge.presence.watchers_of(user_id)) if c}
            others = (watched | watchers.keys()) - {user_id}
            if others:
                for other in others - await edge.backend.sharing(user_id, others):
                    self._part(user_id, other)

    def _part(self, user_id: str, other: str) -> None:
        for one, another in permutations((user_id, other)):
            for connection in self._edge.hub.by_user.get(one, ()):
                self._edge.presence.part(connection.id, another)

    def _sockets(self, user_ids: Collection[str]) -> list["Connection"]:
        by_user = self._edge.hub.by_user
        return [c for user_id in user_ids for c in by_user.get(user_id, ()) if c.phase is Phase.OPEN]

    def _mark_opening(self, chat_id: str, user_ids: Collection[str], left: str | None) -> None:
        """A socket that is opening may have read its chats before this change: it looks again. ``left`` is
        why the users are out; None where they are in.
        """
        for user_id in user_ids:
            for connection in self._edge.hub.by_user.get(user_id, ()):
                concerned = chat_id and connection.scope in (None, chat_id)
                if connection.phase is Phase.OPENING and concerned:
                    connection.recheck = (connection.recheck or {}) | {chat_id: left}

    def _let_out(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        edge = self._edge
        edge.hub.flush()  # what was said before is theirs
        frame = edge.backend.left(chat_id, reason)
        for user_id in user_ids:
            for connection in list(edge.hub.by_user.get(user_id, ())):
                was_in = edge.opening.let_out(chat_id, connection)
                if was_in and connection.phase is not Phase.OPENING:  # else told behind connection.ready
                    connection.write(frame)

    async def _updated(self, row: feed.Row) -> None:
        edge = self._edge
        room = edge.hub.rooms.get(row.chat_id or "")
        if room is None or row.chat_id is None:
            return
        sockets = list(room.everybody())
        frames = await edge.backend.updated(row.chat_id, {c.user_id for c in sockets})
        for connection in sockets:
            # Who was put out while this was read has been told so; this would let them believe they are in.
            if connection.user_id in frames and row.chat_id in connection.rooms:
                connection.write(frames[connection.user_id])
