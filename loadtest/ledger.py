"""What was sent to a chat, to hold every frame of every socket against."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from loadtest.audit import Histogram, LogCheck
from loadtest.outbox import Ack


@dataclass(slots=True)
class Sent:
    """One message: who sent which words when, and where the server put it."""

    sender_id: str
    text: str
    at: float
    seq: int | None = None
    message_id: str | None = None
    acked: bool = False
    refused: bool = False


@dataclass
class Ledger:
    """All that was sent to one chat, in the order in which it was sent."""

    sent: dict[str, Sent] = field(default_factory=dict)
    altered: int = 0
    """Frames whose words, sender, place or id are not what was sent and acked."""
    duplicate_acks: int = 0
    acks: Histogram = field(default_factory=Histogram)
    deliveries: Histogram = field(default_factory=Histogram)

    def send(self, key: str, sender_id: str, text: str, at: float) -> None:
        self.sent[key] = Sent(sender_id, text, at)

    def ack(self, ack: Ack) -> None:
        sent = self.sent[ack.client_message_id]
        self._place(sent, ack.seq, ack.message_id)
        sent.acked = True
        sent.refused = ack.refusals > 0
        self.duplicate_acks += ack.duplicate
        self.acks.add(ack.took_s)

    def receive(self, message: dict[str, Any], at: float | None = None) -> None:
        """A message as a socket got it, and when, if it was live.

        Those of nobody here (``system`` ones) are not judged.
        """
        key = message["client_message_id"]
        if key is None:
            return
        sent = self.sent.get(key)
        if sent is None:
            self.altered += 1
            return
        self._place(sent, message["seq"], message["id"])
        if message["content"].get("text") != sent.text or message["sender_id"] != sent.sender_id:
            self.altered += 1
        if at is not None:
            self.deliveries.add(at - sent.at)

    def _place(self, sent: Sent, seq: int, message_id: str) -> None:
        # Whoever speaks first, the ack or a delivery: all others must say the same.
        if sent.seq is None:
            sent.seq, sent.message_id = seq, message_id
        elif sent.seq != seq or sent.message_id != message_id:
            self.altered += 1

    def acked_seqs(self) -> list[int]:
        """Ascending; a seq that was given out twice is there twice."""
        return sorted(sent.seq for sent in self.sent.values() if sent.acked and sent.seq is not None)

    def reused_seqs(self) -> int:
        """How many messages were acked with a seq that another has."""
        return sum(n - 1 for n in Counter(self.acked_seqs()).values())

    def overtaken(self) -> int:
        """Messages that stand behind a later one of the same sender.

        Not counted are those that the server refused for a while: the next was on its way already.
        """
        last: dict[str, int] = {}
        behind = 0
        for sent in self.sent.values():
            if sent.seq is None or sent.refused:
                continue
            before = last.get(sent.sender_id, 0)
            behind += sent.seq < before
            last[sent.sender_id] = max(before, sent.seq)
        return behind


def received(log: LogCheck, acked: list[int]) -> int:
    """How many of the acked seqs (ascending) one socket got."""
    n = bisect_left(acked, log.last + 1) - bisect_left(acked, log.base + 1)
    for gap in (*log.holes, *log.skipped):
        n -= bisect_left(acked, gap.stop) - bisect_left(acked, gap.start)
    return n
