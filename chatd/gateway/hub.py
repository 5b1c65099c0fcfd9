"""Chat -> local sockets. Frames are encoded once, joined once a loop iteration, and written.

A room's fast path is a dict of bound ``transport.write``: no check, no branch per socket. What needs care
is kept out of it: sockets whose buffers are past the mark stand in ``slow`` (they lose ephemeral frames,
and past the second mark their connection), sockets that are still replaying stand in ``waiting``.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from chatd.core.context import Addressed
from chatd.core.metrics import DELIVERY_LATENCY, Stats
from chatd.gateway.withheld import Withheld
from chatd.wire import codec
from chatd.wire.frames import CloseCode

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection

log = logging.getLogger("chatd.gateway.hub")

Write = Callable[[bytes], None]
#: A frame for the next flush: (bytes, not for these users, only for these users, and where a slow socket is
#: spared it, whom it is about: "" for one that is then lost for good).
_Out = tuple[bytes, frozenset[str], frozenset[str] | None, str | None]
_NOBODY: frozenset[str] = frozenset()


class Waiting:
    """A socket that is not live in a room yet: what came meanwhile, and from which seq on it may have it."""

    __slots__ = ("cut", "log", "marks", "size")

    def __init__(self) -> None:
        self.cut: int | None = None
        self.log: list[tuple[int, list[bytes]]] = []
        self.marks: list[Addressed] = []
        self.size = 0

    @property
    def base(self) -> int | None:
        """The seq before the first captured one; None where nothing was captured."""
        return self.log[0][0] - 1 if self.log else None


class Room:
    """One chat's local sockets."""

    __slots__ = ("chat_id", "deflated", "live", "out", "slow", "waiting")

    def __init__(self, chat_id: str) -> None:
        self.chat_id = chat_id
        self.live: dict[Connection, Write] = {}
        self.deflated: dict[Connection, Write] = {}
        self.slow: set[Connection] = set()
        self.waiting: dict[Connection, Waiting] = {}
        self.out: list[_Out] = []

    @property
    def empty(self) -> bool:
        return not (self.live or self.deflated or self.slow or self.waiting)

    def everybody(self) -> Iterable["Connection"]:
        """All sockets that get frames as they come."""
        yield from self.live
        yield from self.deflated
        yield from self.slow


class Hub:
    """All rooms of a node (realtime.broker.NodeSink)."""

    def __init__(
        self,
        *,
        stats: Stats,
        close_mark: int,
        typing_frame: Callable[[str, str, bool], bytes],
        too_slow: Callable[["Connection"], None],
    ) -> None:
        self._stats, self._close_mark = stats, close_mark
        self._typing_frame, self._too_slow = typing_frame, too_slow
        self.withheld = Withheld()
        self.rooms: dict[str, Room] = {}
        self.by_user: dict[str, set[Connection]] = {}
        self._dirty: list[Room] = []
        self._since = 0.0

    # ------------------------------------------------------------ membership

    def enter(self, connection: "Connection", chat_id: str) -> Waiting:
        """Put a socket into a room, waiting: what comes from now on is kept for it."""
        room = self.rooms.get(chat_id)
        if room is None:
            room = self.rooms[chat_id] = Room(chat_id)
        waiting = room.waiting[connection] = Waiting()
        connection.rooms.add(chat_id)
        return waiting

    def go_live(self, connection: "Connection", chat_id: str, cut: int, position: int) -> None:
        """Everything up to ``cut`` is written: pass on what was kept, and from now on what comes.

        ``position`` is how far this node is; where the socket is ahead of it, it skips up to ``cut``.
        """
        room = self.rooms.get(chat_id)
        waiting = room.waiting.get(connection) if room else None
        if room is None or waiting is None:
            return
        self._flush_room(room)  # what is on its way to the others is among what was kept for this one
        waiting.cut = cut
        kept = [f for first, frames in waiting.log for f in frames[max(0, cut + 1 - first) :]]
        kept += [m.frame for m in waiting.marks if m.is_for(connection.user_id)]
        waiting.log, waiting.marks = [], []
        connection.kept -= waiting.size
        if kept:
            self._stats.deliveries += len(kept)
            connection.write(b"".join(kept))
        if position >= cut:
            self._promote(room, connection)

    def leave(self, connection: "Connection", chat_id: str) -> bool:
        """Take a socket out of a room; True where it was in."""
        room = self.rooms.get(chat_id)
        if room is None or chat_id not in connection.rooms:
            return False
        connection.rooms.discard(chat_id)
        room.live.pop(connection, None)
        room.deflated.pop(connection, None)
        room.slow.discard(connection)
        waiting = room.waiting.pop(connection, None)
        if waiting is not None and waiting.cut is None:
            connection.kept -= waiting.size
        self.withheld.forget(connection, chat_id)
        if room.empty:
            del self.rooms[chat_id]
        return True

    def _promote(self, room: Room, connection: "Connection") -> None:
        if connection.is_closing():
            return  # the write that brought it here was one too many: it is out of every room
        room.waiting.pop(connection, None)
        if connection.slow:
            room.slow.add(connection)
        elif connection.deflates:
            room.deflated[connection] = connection.transport.write
        else:
            room.live[connection] = connection.transport.write

    def slowed(self, connection: "Connection") -> None:
        """Its buffer is past the mark: off the fast path."""
        if not connection.slow:
            return
        for chat_id in connection.rooms:
            room = self.rooms.get(chat_id)
            if room is not None and connection not in room.waiting:
                room.live.pop(connection, None)
                room.deflated.pop(connection, None)
                room.slow.add(connection)

    def recovered(self, connection: "Connection") -> None:
        """Its buffer has drained: back on the fast path, and told what it was spared."""
        for chat_id in connection.rooms:
            room = self.rooms.get(chat_id)
            if room is not None and connection in room.slow:
                # What is in ``out`` was put there for slow and live alike: it goes with the next flush.
                room.slow.discard(connection)
                self._promote(room, connection)
        owed = self.withheld.take(connection)
        if owed:
            connection.write(b"".join(owed))

    # ------------------------------------------------------------------ sink

    def log(self, chat_id: str, first_seq: int, frames: list[bytes]) -> None:
        """These frames are next for everybody in the chat."""
        room = self.rooms.get(chat_id)
        if room is None:
            return
        out = self._out(room)
        for frame in frames:
            out.append((frame, _NOBODY, None, None))
        if room.waiting:
            caught_up = self._keep(room, first_seq, frames)
            if caught_up:
                # They have these frames from their own copy: the room's goes out without them.
                self._flush_room(room)
                for connection in caught_up:
                    self._promote(room, connection)

    def _keep(self, room: Room, first_seq: int, frames: list[bytes]) -> list["Connection"]:
        """Keep frames for those who wait; returns who has caught up with the room by them."""
        size = sum(map(len, frames))
        caught_up = []
        for connection, waiting in list(room.waiting.items()):
            if waiting.cut is None:
                waiting.log.append((first_seq, frames))
                self._keep_bounded(connection, waiting, size)
            else:
                fresh = frames[max(0, waiting.cut + 1 - first_seq) :]
                if fresh:
                    self._stats.deliveries += len(fresh)
                    connection.write(b"".join(fresh))
                if first_seq + len(frames) - 1 >= waiting.cut:
                    caught_up.append(connection)
        return caught_up

    def _keep_bounded(self, connection: "Connection", waiting: Waiting, size: int) -> None:
        """Count what is kept for a socket, over all its rooms."""
        waiting.size += size
        connection.kept += size
        if connection.kept > self._close_mark:
            self._too_slow(connection)

    def marks(self, chat_id: str, frames: Sequence[Addressed]) -> None:
        """Watermark frames, to everybody or to some users of the chat."""
        room = self.rooms.get(chat_id)
        if room is None:
            return
        for connection, waiting in list(room.waiting.items()):
            own = [mark for mark in frames if mark.is_for(connection.user_id)]
            if waiting.cut is None:
                waiting.marks += own
                self._keep_bounded(connection, waiting, sum(len(mark.frame) for mark in own))
            elif own:
                connection.write(b"".join([mark.frame for mark in own]))
        out = self._out(room)
        for mark in frames:
            out.append((mark.frame, mark.but, mark.only, None))

    def ephemeral(self, chat_id: str, frame: bytes, but: str) -> None:
        """To the chat's sockets, not to user ``but``'s; the first thing a slow socket loses."""
        room = self.rooms.get(chat_id)
        if room is not None:
            self._out(room).append((frame, frozenset((but,)) if but else _NOBODY, None, ""))

    def typing(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str]) -> None:
        """Someone types or has stopped: to the chat's other sockets, but to none of a user in ``hidden``."""
        room = self.rooms.get(chat_id)
        if room is not None:
            frame = self._typing_frame(chat_id, user_id, on)
            self._out(room).append((frame, hidden | {user_id}, None, user_id))

    def users(self, user_ids: Collection[str], frame: bytes, chat_id: str = "") -> None:
        """To every socket of these users; one whose ``connection.ready`` is not out will ask for all. What is
        about a chat is not for the sockets of another one alone.
        """
        for user_id in user_ids:
            for connection in list(self.by_user.get(user_id, ())):  # one that is too slow goes
                if connection.ready and (not chat_id or connection.scope in (None, chat_id)):
                    connection.write(frame)

    def restart(self, chat_id: str) -> None:
        """Let all sockets of a chat come back and resume: what they have of it cannot be relied on."""
        room = self.rooms.get(chat_id)
        if room is not None:
            for connection in [*room.everybody(), *room.waiting]:
                connection.close(CloseCode.GOING_AWAY, "something went wrong on our side; resume")

    # ----------------------------------------------------------------- flush

    def _out(self, room: Room) -> list[_Out]:
        if not room.out:
            if not self._dirty:
                asyncio.get_running_loop().call_soon(self.flush)
                self._since = time.perf_counter()
            self._dirty.append(room)
        return room.out

    def flush(self) -> None:
        """Write now what is on its way; else it goes in the next turn of the loop.

        After a round of group commit, so that a sender's ack and its message leave in one write.
        """
        dirty, self._dirty = self._dirty, []
        if not dirty:
            return
        for room in dirty:
            try:
                self._flush_room(room)
            except Exception:
                # A defect of ours: nobody knows who has these frames.
                log.exception("the frames of %s could not be written", room.chat_id)
                self.restart(room.chat_id)
        DELIVERY_LATENCY.observe(time.perf_counter() - self._since)

    def _flush_room(self, room: Room) -> None:
        out, room.out = room.out, []
        if not out:
            return
        for item in out:
            if item[1] or item[2] is not None:
                self._flush_selectively(room, out)
                return
        joined = out[0][0] if len(out) == 1 else b"".join([item[0] for item in out])
        for write in room.live.values():
            write(joined)
        self._stats.deliveries += len(out) * len(room.live)
        if room.deflated:
            packed = codec.deflated(joined)
            for write in room.deflated.values():
                write(packed)
            self._stats.deliveries += len(out) * len(room.deflated)
        if room.slow:
            durable = [item[0] for item in out if item[3] is None]
            self._flush_slow(room, b"".join(durable), len(out), len(durable))

    def _flush_slow(self, room: Room, durable: bytes, count: int, kept: int) -> None:
        for connection in list(room.slow):
            self._stats.ephemeral_drops += count - kept
            if durable:
                connection.write(durable)
                self._stats.deliveries += kept

    def _flush_selectively(self, room: Room, out: list[_Out]) -> None:
        """Some frames are not for all: sockets that get the same get the same bytes."""
        named = set[str]().union(
            *(item[1] for item in out), *(item[2] for item in out if item[2] is not None)
        )
        general = b"".join([item[0] for item in out if item[2] is None])
        packed = codec.deflated(general) if room.deflated and general else b""
        for connection in list(room.everybody()):
            if connection.user_id in named or connection.slow:
                data = self._selection(room, connection, out)
                if data:
                    connection.write(data)
            elif general:
                connection.transport.write(packed if connection.deflates else general)
        durable_count = sum(1 for item in out if item[2] is None and item[3] is None)
        self._stats.deliveries += durable_count * (len(room.live) + len(room.deflated))

    def _selection(self, room: Room, connection: "Connection", out: list[_Out]) -> bytes:
        user = connection.user_id
        picked = []
        for frame, but, only, about in out:
            if user in but or (only is not None and user not in only):
                continue
            if about is not None and connection.slow:
                self._stats.ephemeral_drops += 1
                if about:
                    self.withheld.keep(connection, room.chat_id, about, frame)
                continue
            picked.append(frame)
        return b"".join(picked)
