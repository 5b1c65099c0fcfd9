"""Messages that were not acked yet: each goes out under its one ``client_message_id`` until it is.

A repeat is safe for ever (protocol.md, section 4), so whatever is in doubt is sent again. No I/O;
times are of ``time.monotonic``, since a uvloop's own clock has only milliseconds.
"""

import asyncio
import heapq
from typing import Any, NamedTuple

import orjson

#: Errors that mean "not now"; the same message may be sent again after a while.
RETRYABLE = frozenset(("rate_limited", "unavailable"))


class Ack(NamedTuple):
    """The server has the message for good. ``took_s`` is from the first time it was sent."""

    chat_id: str
    client_message_id: str
    message_id: str
    seq: int
    duplicate: bool
    took_s: float
    tries: int
    refusals: int


class Pending:
    """One message on its way."""

    __slots__ = ("chat_id", "client_message_id", "data", "done", "number", "refusals", "sent_at", "tries")

    def __init__(
        self, number: int, chat_id: str, client_message_id: str, data: bytes, done: "asyncio.Future[Ack]"
    ) -> None:
        self.number = number
        self.chat_id = chat_id
        self.client_message_id = client_message_id
        self.data = data
        self.done = done
        self.tries = 0
        self.refusals = 0
        self.sent_at = 0.0

    def __lt__(self, other: "Pending") -> bool:
        return self.number < other.number


class Outbox:
    """What waits and what is in flight, at most ``window`` of it; oldest first.

    The order of one sender's messages is kept whatever happens to the socket. A window of more than one
    gives that up for a message that the server refuses for now, since the next may be past it.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._number = 0
        self._all: dict[str, Pending] = {}
        self._waiting: list[Pending] = []
        self._flying: dict[str, float] = {}
        self._hold_until = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def put(self, message: dict[str, Any], done: "asyncio.Future[Ack]") -> Pending:
        """Take a ``message.send`` frame in. Raises ValueError where its id is on its way already."""
        key = message["client_message_id"]
        if key in self._all:
            raise ValueError(f"{key} is on its way already")
        self._number += 1
        pending = Pending(self._number, message["chat_id"], key, orjson.dumps(message), done)
        self._all[key] = pending
        heapq.heappush(self._waiting, pending)
        return pending

    def next(self, now: float) -> Pending | None:
        """What to send now, noted as sent; None when nothing may be."""
        while self._waiting and now >= self._hold_until and len(self._flying) < self.window:
            pending = heapq.heappop(self._waiting)
            if self._all.get(pending.client_message_id) is not pending:
                continue  # given up in the meantime
            pending.tries += 1
            pending.sent_at = pending.sent_at or now
            self._flying[pending.client_message_id] = now
            return pending
        return None

    def overdue_at(self, patience_s: float) -> float | None:
        """When the oldest message in flight will have waited ``patience_s`` for its ack."""
        return next(iter(self._flying.values())) + patience_s if self._flying else None

    def held_until(self, now: float) -> float | None:
        """When sending may go on, if something waits for that."""
        return self._hold_until if self._waiting and self._hold_until > now else None

    def acked(self, frame: dict[str, Any], now: float) -> Ack | None:
        """Settle the message that this ``ack`` is for; None for one that is not waited for."""
        pending = self.drop(frame["client_message_id"])
        if pending is None:
            return None
        ack = Ack(
            chat_id=frame["chat_id"],
            client_message_id=pending.client_message_id,
            message_id=frame["message_id"],
            seq=frame["seq"],
            duplicate=frame["duplicate"],
            took_s=now - pending.sent_at,
            tries=pending.tries,
            refusals=pending.refusals,
        )
        if not pending.done.done():
            pending.done.set_result(ack)
        return ack

    def refused(self, key: str, code: str, retry_after_s: float, now: float) -> Pending | None:
        """Keep a message for later where the error allows it, and return it where it does not."""
        pending = self._all.get(key)
        if pending is None:
            return None
        if code not in RETRYABLE:
            return self.drop(key)
        # The rest waits with it: they would be refused as well, or overtake it.
        self._hold_until = max(self._hold_until, now + retry_after_s)
        pending.refusals += 1
        self._flying.pop(key, None)
        heapq.heappush(self._waiting, pending)
        return None

    def drop(self, key: str) -> Pending | None:
        self._flying.pop(key, None)
        return self._all.pop(key, None)

    def disconnected(self) -> None:
        """The socket is gone: everything in flight is in doubt, so it goes again, in the old order."""
        for key in self._flying:
            heapq.heappush(self._waiting, self._all[key])
        self._flying.clear()

    def fail(self, error: Exception) -> None:
        """Give everything up."""
        for pending in self._all.values():
            if not pending.done.done():
                pending.done.set_exception(error)
        self._all.clear()
        self._waiting.clear()
        self._flying.clear()
