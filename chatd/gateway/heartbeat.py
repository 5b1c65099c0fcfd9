"""Heartbeats that cost next to nothing: sockets in a ring, one segment a tick, one constant ping frame.

A socket that was silent for two heartbeats after a ping is gone (4408). The same ticks end sockets whose
token has run out (4401).
"""

import asyncio
import heapq
from typing import TYPE_CHECKING

from chatd.gateway.session import Phase
from chatd.wire.codec import PING_FRAME
from chatd.wire.frames import CloseCode

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection
    from chatd.gateway.edge import Edge


class Heart:
    """The heartbeats of a node."""

    TICK_S = 0.5
    LEFT = 1000  # entries of sockets that have gone, before they are swept out

    def __init__(self, edge: "Edge") -> None:
        self._edge = edge
        interval_s = edge.settings.socket.heartbeat_ms / 1000
        self._tick_s = min(self.TICK_S, interval_s / 4)
        self._ring: list[set[Connection]] = [set() for _ in range(max(1, round(interval_s / self._tick_s)))]
        self._at = 0
        self._expiries: list[tuple[float, str]] = []

    def add(self, connection: "Connection") -> None:
        """From now on; its first ping comes one interval from here."""
        self._ring[self._at].add(connection)
        connection.beat = self._at

    def drop(self, connection: "Connection") -> None:
        """No more."""
        if connection.beat >= 0:
            self._ring[connection.beat].discard(connection)

    def expires(self, connection: "Connection") -> None:
        """Its token runs out at ``connection.expires_at`` (Unix time)."""
        if len(self._expiries) > 2 * len(self._edge.by_id) + self.LEFT:
            # Sockets that have gone, and tokens that were renewed, must not stand here until they run out.
            # One that is still opening comes by itself once it is open.
            self._expiries = [(c.expires_at, c.id) for c in self._edge.by_id.values() if c.expires_at]
            heapq.heapify(self._expiries)
        heapq.heappush(self._expiries, (connection.expires_at, connection.id))

    async def beat_forever(self) -> None:
        """Runs until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            # Ticks that were slept over are not made up for: no socket could answer between them.
            due = max(due + self._tick_s, loop.time())
            await asyncio.sleep(max(0.0, due - loop.time()))
            self._at = (self._at + 1) % len(self._ring)
            self._visit(self._ring[self._at])
            self._expire(self._edge.clock.now().timestamp())

    def _visit(self, segment: "set[Connection]") -> None:
        for connection in list(segment):
            if connection.heard:
                connection.heard = False
                connection.missed = 0
            else:
                connection.missed += 1
                if connection.missed >= 2:
                    connection.close(CloseCode.TIMEOUT, "two heartbeats missed")
                    continue
            connection.write(PING_FRAME)

    def _expire(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            _, connection_id = heapq.heappop(self._expiries)
            connection = self._edge.by_id.get(connection_id)
            # A renewed token has an entry of its own, later.
            if (
                connection is not None
                and connection.expires_at <= now
                and connection.phase is not Phase.CLOSING
            ):
                connection.close(CloseCode.UNAUTHENTICATED, "the token has run out")
