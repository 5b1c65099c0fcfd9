"""Open loop: messages are sent when they are due, however long the answers take, and each answer's time
counts from when its message was due. (A closed loop would wait out every pause and hide it.)
"""

import asyncio
import time
from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from loadtest.benches.lean import _ACK, _ERROR, _TYPE_AT, Sender

_CMID = b'"client_message_id":"'
_RETRY = b'"retry_after_ms":'
_NEW = ord("m")


class Stamped(Sender):
    """A sender whose messages carry when they were due (ns) and from which node they came."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.acks: array[int] = array("Q")
        self.same: array[int] = array("Q")
        self.cross: array[int] = array("Q")
        self.now = 0
        self.still_until = 0  # it was refused, and told to come back then

    def say(self, due_ns: int) -> None:
        """Send the message that was due then."""
        self.sent += 1
        self.transport.write(self.message(f"{due_ns}-{self.node[-26:]}-{self.name}"))

    def _send(self, count: int) -> None:
        """In a closed loop a message is due when the one before it is answered."""
        for _ in range(count):
            self.say(time.perf_counter_ns())

    def heard(self, n: int) -> None:
        self.now = time.perf_counter_ns()
        super().heard(n)

    def text(self, data: bytes | bytearray, begin: int, end: int) -> None:
        kind = data[begin + _TYPE_AT]
        if kind == _ERROR:
            self.refused += 1
            self._due += 1
            at = data.find(_RETRY, begin, end)
            if at >= 0:
                wait_ms = int(bytes(data[at + len(_RETRY) : end]).partition(b"}")[0].partition(b",")[0])
                self.still_until = max(self.still_until, self.now + wait_ms * 1_000_000)
            return
        if kind not in (_ACK, _NEW):
            return
        at = data.find(_CMID, begin, end) + len(_CMID)
        due, _, origin = bytes(data[at : data.find(b'"', at, end)]).partition(b"-")
        took = self.now - int(due)
        if kind == _ACK:
            self.acked += 1
            self._due += 1
            self.acks.extend((int(due), took))
        else:
            self.got += 1
            near = origin.startswith(self.node[-26:].encode())
            (self.same if near else self.cross).extend((int(due), took))


class Pacer:
    """Sends ``rate`` messages a second over a group of Stamped senders, in turn.

    ``obedient`` senders say nothing before they may retry, and what was due meanwhile is withheld; others
    send on.
    """

    STEP_S = 0.002
    HELD = 65_536  # bytes that TCP has not taken: a client that is pushed back sends no more

    def __init__(self, senders: Sequence[Stamped], *, obedient: bool = False) -> None:
        self._senders = senders
        self._obedient = obedient
        self._held = self._withheld = 0

    async def run(self, *, rate: float, seconds: float, patience_s: float = 10.0) -> dict[str, Any]:
        """Percentiles in ms of ack, delivery on the sender's node, and delivery on another; over the whole,
        and of the first and the last third. ``late_ms`` is how late the load process itself was.
        """
        for sender in self._senders:
            sender.acks, sender.same, sender.cross = array("Q"), array("Q"), array("Q")
        before = [(s.sent, s.acked, s.refused) for s in self._senders]
        began = time.perf_counter_ns()
        late = await self._send(began, rate, seconds)
        took_s = (time.perf_counter_ns() - began) / 1e9
        acked_meanwhile = sum(s.acked for s in self._senders) - sum(b[1] for b in before)
        end = time.perf_counter() + patience_s
        while sum(s.flying for s in self._senders) and time.perf_counter() < end:  # noqa: ASYNC110  a sum
            await asyncio.sleep(0.01)
        return {
            "sent": sum(s.sent for s in self._senders) - sum(b[0] for b in before),
            "acked": sum(s.acked for s in self._senders) - sum(b[1] for b in before),
            "refused": sum(s.refused for s in self._senders) - sum(b[2] for b in before),
            "unanswered": sum(s.flying for s in self._senders),
            "acked_meanwhile": acked_meanwhile,
            "held": self._held,
            "withheld": self._withheld,
            "s": took_s,
            "late_ms": percentiles(late),
            **{name: self._times(name, began, seconds) for name in ("acks", "same", "cross")},
        }

    async def _send(self, began: int, rate: float, seconds: float) -> "array[int]":
        late: array[int] = array("Q")
        gap, number = 1e9 / rate, 0
        last = int(rate * seconds)
        while number < last:
            now = time.perf_counter_ns()
            while number < last and (due := began + int(number * gap)) <= now:
                sender = self._senders[number % len(self._senders)]
                if self._obedient and sender.still_until > now:
                    self._withheld += 1
                elif sender.transport.get_write_buffer_size() > self.HELD:
                    self._held += 1
                else:
                    sender.say(due)
                    late.append(now - due)
                number += 1
            await asyncio.sleep(self.STEP_S)
        return late

    def _times(self, name: str, began: int, seconds: float) -> dict[str, Any]:
        third = int(seconds * 1e9 / 3)
        whole: array[int] = array("Q")
        thirds: tuple[array[int], ...] = (array("Q"), array("Q"), array("Q"))
        for sender in self._senders:
            series = getattr(sender, name)
            for due, took in zip(series[::2], series[1::2], strict=True):
                whole.append(took)
                thirds[min(2, (due - began) // third)].append(took)
        return {
            **percentiles(whole),
            "first_third": percentiles(thirds[0]),
            "last_third": percentiles(thirds[2]),
        }


def percentiles(ns: "array[int]") -> dict[str, float]:
    """p50, p99, p999 and the worst, in ms."""
    if not ns:
        return {}
    ordered = sorted(ns)
    found = {
        name: round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6, 3)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))
    }
    return {**found, "max": round(ordered[-1] / 1e6, 3)}


def ascending(seqs: Sequence[int]) -> bool:
    """Whether each follows the one before by one."""
    return all(b == a + 1 for a, b in pairwise(seqs))
