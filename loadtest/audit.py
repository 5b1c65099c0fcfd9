"""What a socket must receive, checked in a few words of memory; no I/O, so that any client can use it.

A chat's durable events carry ``seq`` 1, 2, 3 … without holes, and every socket gets each once, in order
(protocol.md, section 4). ``LogCheck`` holds one socket to that.
"""

import math
from array import array
from typing import Any, NamedTuple

import orjson

#: Events that carry a ``seq``.
DURABLE = frozenset(("message.new", "message.update", "message.delete", "system.moderation"))


class Tally(NamedTuple):
    """What went wrong, in events: never came, came again, came behind a later one."""

    lost: int = 0
    duplicated: int = 0
    disordered: int = 0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


class LogCheck:
    """One chat's log as one socket sees it: ``base`` is the seq it began after, ``last`` the newest seen.

    ``holes`` are the seqs in between that should have come and have not; ``skipped`` those that the
    server left out and said so (``chat.reset``): they are in REST history.
    """

    __slots__ = ("base", "disordered", "duplicated", "forgotten", "holes", "last", "skipped")

    def __init__(self, base: int) -> None:
        self.base = self.last = base
        self.holes: list[range] = []
        self.skipped: list[range] = []
        self.duplicated = 0
        self.disordered = 0
        self.forgotten = 0

    def take(self, seq: int) -> bool:
        """Count an event in; False for one that was here before."""
        if seq == self.last + 1:
            self.last = seq
            return True
        if seq > self.last:
            self.holes.append(range(self.last + 1, seq))
            self.last = seq
            return True
        if _take_out(self.holes, seq) or _take_out(self.skipped, seq):
            self.disordered += 1
            return True
        self.duplicated += 1
        return False

    def jump(self, head: int) -> None:
        """The log goes on after ``head`` (``chat.reset``); what lies before it is to be fetched."""
        if head > self.last:
            self.skipped.append(range(self.last + 1, head + 1))
            self.last = head

    def fill(self, seq: int) -> bool:
        """Count in what was fetched; False where it was not skipped."""
        return _take_out(self.skipped, seq)

    def resume(self, head: int) -> None:
        """A new socket says how long the log is; it cannot be shorter than what was seen of it."""
        self.forgotten = max(self.forgotten, self.last - head)

    def tally(self, head: int | None = None) -> Tally:
        """The faults so far; with the chat's true ``head``, the missing end counts as lost too."""
        lost = self.forgotten + sum(map(len, self.holes)) + sum(map(len, self.skipped))
        if head is not None and head > self.last:
            lost += head - self.last
        return Tally(lost, self.duplicated, self.disordered)


def _take_out(gaps: list[range], seq: int) -> bool:
    for i, gap in enumerate(gaps):
        if seq in gap:
            parts = (range(gap.start, seq), range(seq + 1, gap.stop))
            gaps[i : i + 1] = [part for part in parts if part]
            return True
    return False


class LogBook:
    """All chats' logs as one device sees them, over as many sockets as it takes."""

    __slots__ = ("logs", "past")

    def __init__(self, since: dict[str, int] | None = None) -> None:
        self.logs: dict[str, LogCheck] = {chat_id: LogCheck(seq) for chat_id, seq in (since or {}).items()}
        self.past: list[LogCheck] = []

    def since(self) -> dict[str, int]:
        """How far each log got, for ``connection.init``."""
        return {chat_id: log.last for chat_id, log in self.logs.items()}

    def open(self, ready: dict[str, Any]) -> None:
        """A new socket's ``connection.ready``: which chats there are, and how long their logs."""
        heads = {chat["chat_id"]: chat["head_seq"] for chat in ready["chats"]}
        for chat_id in [chat_id for chat_id in self.logs if chat_id not in heads]:
            self.past.append(self.logs.pop(chat_id))
        for chat_id, head in heads.items():
            if chat_id in self.logs:
                self.logs[chat_id].resume(head)
            else:
                self.logs[chat_id] = LogCheck(head)

    def take(self, frame: dict[str, Any]) -> None:
        """Count in any frame."""
        kind = frame["type"]
        if kind in DURABLE:
            log = self.logs.get(frame["chat_id"])
            if log is None:
                # An event of a chat that nothing announced: its announcement is behind it, or nowhere.
                log = self.logs[frame["chat_id"]] = LogCheck(frame["seq"] - 1)
                log.disordered += 1
            log.take(frame["seq"])
        elif kind == "chat.reset":
            log = self.logs[frame["chat_id"]]
            log.jump(frame["head_seq"])
            for message in frame["messages"]:
                log.fill(message["seq"])
        elif kind == "chat.joined":
            self.logs.setdefault(frame["chat"]["id"], LogCheck(frame["chat"]["head_seq"]))
        elif kind == "chat.left" and frame["chat_id"] in self.logs:
            self.past.append(self.logs.pop(frame["chat_id"]))

    def tally(self, heads: dict[str, int] | None = None) -> Tally:
        """Faults in all logs so far; with chats' true heads, what is missing at their ends too."""
        total = Tally()
        for chat_id, log in self.logs.items():
            total = total.plus(log.tally((heads or {}).get(chat_id)))
        for log in self.past:
            total = total.plus(log.tally())
        return total


class Histogram:
    """Durations by buckets that grow by 2 %: any number of them in 8 KB, quantiles within 2 %."""

    __slots__ = ("_counts", "count", "most")

    _FLOOR_S = 1e-6
    _STEP = math.log(1.02)

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * 1024))
        self.count = 0
        self.most = 0.0

    def add(self, seconds: float) -> None:
        at = int(math.log(seconds / self._FLOOR_S) / self._STEP) if seconds > self._FLOOR_S else 0
        self._counts[min(at, 1023)] += 1
        self.count += 1
        if seconds > self.most:
            self.most = seconds

    def quantile(self, q: float) -> float | None:
        """Seconds that the share ``q`` stayed under; None where there was nothing."""
        if not self.count:
            return None
        rank, seen = q * self.count, 0
        for at, n in enumerate(self._counts):
            seen += n
            if n and seen >= rank:
                return min(self._FLOOR_S * math.exp(self._STEP * (at + 1)), self.most)
        return self.most


class SharedDecoder:
    """JSON of frames, decoded once for all the sockets that got the same bytes.

    What it returns is shared, so it must not be changed. A chat's members get the same bytes, and a
    program that plays all of them would otherwise spend its time decoding copies.
    """

    __slots__ = ("_seen", "_size")

    def __init__(self, size: int = 2048) -> None:
        self._seen: dict[bytes, dict[str, Any]] = {}
        self._size = size

    def __call__(self, data: bytes) -> dict[str, Any]:
        """Raises ValueError for what is not a JSON object with a type."""
        frame = self._seen.get(data)
        if frame is None:
            frame = orjson.loads(data)
            if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
                raise ValueError(f"not a frame of the protocol: {data[:200]!r}")
            if len(self._seen) >= self._size:
                self._seen.clear()
            self._seen[data] = frame
        return frame
