"""The chats that this node listens to: what each has delivered, and how a loss heals.

A stream is one chat with at least one local socket. It follows two sequences: the log (one frame a seq)
and the watermarks (one group of frames a receipt version). Redis promises nothing, so a jump in either
is normal life: the missing part is read from PostgreSQL. A last event with nothing after it leaves no
jump; the sweep finds it by comparing heads.
"""

import asyncio
import logging
from collections.abc import Iterable
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Protocol

from chatd.core.context import Addressed
from chatd.core.errors import AppError
from chatd.core.metrics import Stats
from chatd.realtime.sequence import Sequence

log = logging.getLogger("chatd.realtime.streams")


@dataclass(frozen=True, slots=True)
class Head:
    """How far a chat is, by PostgreSQL."""

    chat_id: str
    seq: int
    receipt_seq: int


@dataclass(frozen=True, slots=True)
class Missing:
    """What a stream has not seen: the log after ``seq``, the watermarks after ``receipt_seq``."""

    chat_id: str
    seq: int
    receipt_seq: int


@dataclass(slots=True)
class Found:
    """What PostgreSQL has of it, in order; perhaps not yet all (``more``)."""

    chat_id: str
    first_seq: int
    frames: list[bytes] = field(default_factory=list)
    receipt_seq: int = 0
    marks: list[Addressed] = field(default_factory=list)
    more: bool = False


class LogReader(Protocol):
    """The log in PostgreSQL, for many chats in one statement."""

    async def heads(self, chat_ids: Items[str]) -> list[Head]:
        """The heads of these chats; those that are gone are left out."""
        ...

    async def missing(self, wanted: Items[Missing]) -> list[Found]:
        """What came after, in bounded portions."""
        ...


class Sink(Protocol):
    """The local sockets. Calls return at once."""

    def log(self, chat_id: str, first_seq: int, frames: list[bytes]) -> None:
        """These frames are next for everybody in the chat."""
        ...

    def marks(self, chat_id: str, frames: Items[Addressed]) -> None:
        """Watermark frames, to everybody or to some users of the chat."""
        ...

    def restart(self, chat_id: str) -> None:
        """What these sockets have of the chat is no more so: let them resume."""
        ...


class Stream:
    """One chat on this node."""

    __slots__ = ("chat_id", "log", "marks", "opened", "users")

    def __init__(self, chat_id: str) -> None:
        self.chat_id = chat_id
        self.users = 0
        self.log: Sequence[bytes] = Sequence()
        self.marks: Sequence[Items[Addressed]] = Sequence()
        self.opened: asyncio.Future[None] | None = None

    @property
    def live(self) -> bool:
        """Where it stands is known: what comes passes on, and what is missing can be told."""
        return self.log.position is not None

    @property
    def gap(self) -> bool:
        """Something came early."""
        return self.log.gap or self.marks.gap


class Streams:
    """All streams of a node and the two tasks that keep them whole."""

    MAX_HEADS = 5000  # chats a sweep statement asks for
    MAX_HEAL = 100  # chats a healing statement reads

    def __init__(
        self, reader: LogReader, sink: Sink, *, patience_s: float, sweep_s: float, stats: Stats | None = None
    ) -> None:
        self._reader, self._sink = reader, sink
        self._patience_s, self._sweep_s = patience_s, sweep_s
        self._streams: dict[str, Stream] = {}
        self._suspects: dict[str, Head] = {}
        #: Streams with a gap that PostgreSQL has nothing for, until more of them is heard.
        self._hopeless: set[str] = set()
        self._sick = asyncio.Event()
        self._sweep_now = asyncio.Event()
        self._gap_timer: asyncio.TimerHandle | None = None
        self._stats = stats or Stats()
        self.last_sweep: float = 0.0

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, chat_id: str) -> Stream | None:
        """The stream of a chat, if this node listens to it."""
        return self._streams.get(chat_id)

    def add(self, chat_id: str) -> Stream:
        """Listen to a chat; everything is held until ``start``."""
        stream = self._streams[chat_id] = Stream(chat_id)
        return stream

    def drop(self, chat_id: str) -> None:
        """Listen no more."""
        self._streams.pop(chat_id, None)
        self._suspects.pop(chat_id, None)
        self._hopeless.discard(chat_id)

    def start(self, stream: Stream, head: Head) -> None:
        """Go live after ``head``, which was read after the subscription stood: nothing falls between."""
        self._pass_log(stream, stream.log.start(head.seq))
        self._pass_marks(stream, stream.marks.start(head.receipt_seq))
        if stream.gap:
            self._note_gap(stream)

    def offer_log(self, chat_id: str, first: int, frames: list[bytes]) -> None:
        """Committed events of a chat, from here or from Redis, perhaps again, perhaps early."""
        stream = self._streams.get(chat_id)
        if stream is not None:
            self._pass_log(stream, stream.log.offer(first, frames))
            if stream.log.gap:
                self._note_gap(stream)

    def offer_marks(self, chat_id: str, version: int, frames: Items[Addressed]) -> None:
        """Committed watermark moves of a chat."""
        stream = self._streams.get(chat_id)
        if stream is not None:
            self._pass_marks(stream, stream.marks.offer(version, [frames]))
            if stream.marks.gap:
                self._note_gap(stream)

    def sweep_soon(self) -> None:
        """Compare all heads now: Redis has come back."""
        self._sweep_now.set()

    async def sweep_forever(self) -> None:
        """Compare heads every ``sweep_s``; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(self._sweep_s):
                    await self._sweep_now.wait()
            except TimeoutError:
                pass
            self._sweep_now.clear()
            try:
                await self._sweep()
                self.last_sweep = loop.time()
            except AppError as error:
                log.debug("no sweep now: %s", error.code)  # PostgreSQL is away; readyz says so

    async def heal_forever(self) -> None:
        """Read what streams miss from PostgreSQL; runs until cancelled."""
        while True:
            await self._sick.wait()
            self._sick.clear()
            try:
                while await self._heal():
                    pass
            except AppError as error:
                log.debug("no healing now: %s; the sweep will come back for it", error.code)

    async def _sweep(self) -> None:
        ids = list(self._streams)
        for i in range(0, len(ids), self.MAX_HEADS):
            some = ids[i : i + self.MAX_HEADS]
            passed = {c: stream.log.position or 0 for c in some if (stream := self._streams.get(c))}
            for head in await self._reader.heads(some):
                if self._behind(head):
                    self._suspects[head.chat_id] = head
                elif head.seq < passed.get(head.chat_id, 0):
                    self._rewind(head)
        if self._suspects:
            # What was committed a moment ago may be on its way: only what stays behind is lost.
            asyncio.get_running_loop().call_later(self._patience_s, self._sick.set)

    def _behind(self, head: Head) -> bool:
        stream = self._streams.get(head.chat_id)
        if stream is None or stream.log.position is None or stream.marks.position is None:
            return False
        return stream.log.position < head.seq or stream.marks.position < head.receipt_seq

    def _rewind(self, head: Head) -> None:
        """What this node had delivered before it asked is not in the log: it was restored from a copy that
        lagged. What comes next would be taken for what has been here, so all begin anew.
        """
        stream = self._streams.get(head.chat_id)
        if stream is not None:
            log.error("the log of %s went back from %s to %d", head.chat_id, stream.log.position, head.seq)
            stream.log, stream.marks = Sequence(), Sequence()
            self._sink.restart(head.chat_id)
            self.start(stream, head)

    def _note_gap(self, stream: Stream) -> None:
        self._hopeless.discard(stream.chat_id)
        if self._gap_timer is None:
            self._stats.gaps += 1
            self._gap_timer = asyncio.get_running_loop().call_later(self._patience_s, self._gaps_due)

    def _gaps_due(self) -> None:
        self._gap_timer = None
        self._sick.set()

    async def _heal(self) -> bool:
        """One portion; True where there may be more to do."""
        self._suspects = {c: head for c, head in self._suspects.items() if self._behind(head)}
        sick = list(self._suspects) or [
            c for c, s in self._streams.items() if s.live and s.gap and c not in self._hopeless
        ]
        wanted = list(self._wanted(sick[: self.MAX_HEAL]))
        if not wanted:
            return False
        for found in await self._reader.missing(wanted):
            self._take(found)
        healing = [w for w in wanted if self._moved(w)]
        for want in wanted:
            if want not in healing:
                # PostgreSQL has no more of it (the chat is gone): asking on would never end.
                self._suspects.pop(want.chat_id, None)
                self._hopeless.add(want.chat_id)
        return len(sick) > self.MAX_HEAL or any(self._still_sick(w.chat_id) for w in healing)

    def _moved(self, want: Missing) -> bool:
        stream = self._streams.get(want.chat_id)
        return stream is not None and (
            stream.log.position != want.seq or stream.marks.position != want.receipt_seq
        )

    def _wanted(self, chat_ids: Iterable[str]) -> Iterable[Missing]:
        for chat_id in chat_ids:
            stream = self._streams.get(chat_id)
            if stream is not None and stream.log.position is not None and stream.marks.position is not None:
                yield Missing(chat_id, stream.log.position, stream.marks.position)

    def _take(self, found: Found) -> None:
        stream = self._streams.get(found.chat_id)
        if stream is None:
            return
        before = stream.log.position or 0
        if found.frames:
            self._pass_log(stream, stream.log.offer(found.first_seq, found.frames))
        self._stats.heals += (stream.log.position or 0) - before
        if found.receipt_seq > (stream.marks.position or 0):
            self._sink.marks(stream.chat_id, found.marks)
            self._pass_marks(stream, stream.marks.skip_to(found.receipt_seq))
        log.info(
            "healed a chat from PostgreSQL", extra={"chat_id": found.chat_id, "events": len(found.frames)}
        )

    def _still_sick(self, chat_id: str) -> bool:
        stream = self._streams.get(chat_id)
        if stream is None:
            return False
        head = self._suspects.get(chat_id)
        return stream.gap or (head is not None and self._behind(head))

    def _pass_log(self, stream: Stream, frames: list[bytes]) -> None:
        if frames and stream.log.position is not None:
            self._sink.log(stream.chat_id, stream.log.position - len(frames) + 1, frames)

    def _pass_marks(self, stream: Stream, groups: list[Items[Addressed]]) -> None:
        for frames in groups:
            self._sink.marks(stream.chat_id, frames)
