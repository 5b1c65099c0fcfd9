"""What a socket may do now, without any I/O: its phase, its rates, its refs.

init -> opening -> open -> closing. protocol.md, sections 3 and 7.
"""

import time
from enum import IntEnum

from chatd.core.settings import Limits
from chatd.realtime.limits import gcra


class Phase(IntEnum):
    """Where a socket is in its life."""

    HANDSHAKE = 0  # the HTTP upgrade is not done
    INIT = 1  # waiting for connection.init
    OPENING = 2  # its chats are being looked up
    OPEN = 3
    CLOSING = 4


class Rates:
    """The rates of one socket (rates of a user are counted in Redis): commands, bad frames, floods."""

    __slots__ = ("_bad_tat", "_command_tat", "_flood_last", "_flood_since")

    QUIET_S = 5.0  # so long without a refusal ends a flood

    def __init__(self) -> None:
        self._command_tat = 0.0
        self._bad_tat = 0.0
        self._flood_since = 0.0
        self._flood_last = float("-inf")

    def command(self, limits: Limits, now: float) -> float:
        """0 where one more command may pass, else the ms until it may."""
        if limits.commands_per_10s <= 0:
            return 0.0
        interval = 10_000 / limits.commands_per_10s
        self._command_tat, passed, wait = gcra(self._command_tat, now * 1000, 1, interval, 10_000.0)
        return 0.0 if passed else max(1.0, wait)

    def bad_frame(self, limits: Limits, now: float) -> bool:
        """Count a frame that decodes to nothing; False where it is one too many."""
        if limits.bad_frames_per_minute <= 0:
            return True
        interval = 60_000 / limits.bad_frames_per_minute
        self._bad_tat, passed, _ = gcra(self._bad_tat, now * 1000, 1, interval, 60_000.0)
        return passed == 1

    def refused(self, limits: Limits, now: float) -> bool:
        """Note a rate_limited answer; True where the socket has been flooding on for too long."""
        if now - self._flood_last > self.QUIET_S:
            self._flood_since = now
        self._flood_last = now
        return now - self._flood_since >= limits.flood_close_s


def now() -> float:
    """Monotonic seconds for rates and latencies."""
    return time.monotonic()
