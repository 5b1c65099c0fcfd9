"""Not everybody at once: what a node that has enough to do says to more of it.

Three gates. Sends past what may wait to be stored (``messages.max_queue``), or while the event loop is
late, are answered ``unavailable``, and the socket that was answered so is not read again until it may retry:
so a flood costs one refusal a socket and second, and TCP holds the rest. New connections are taken a few a
turn of the loop, and opened a few at once: so the messages of those who are in go between.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable

from chatd.core.errors import Unavailable
from chatd.core.settings import Admission as AdmissionSettings


class Admission:
    """How late the event loop is, and what follows for sends."""

    TICK_S = 0.05
    FADES = 0.7  # of the lag that was seen last, so much is believed a tick later

    def __init__(self, settings: AdmissionSettings) -> None:
        self._max_lag_s = settings.max_lag_ms / 1000
        self.lag_s = 0.0

    async def watch_forever(self) -> None:
        """Measure the lag; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.TICK_S
            await asyncio.sleep(self.TICK_S)
            self.lag_s = max(loop.time() - due, self.lag_s * self.FADES)

    def require(self) -> None:
        """Raises Unavailable while the loop is later than ``admission.max_lag_ms``."""
        if self.lag_s > self._max_lag_s > 0:
            raise Unavailable("The server has too much to do", retry_after_ms=retry_after_ms())


def retry_after_ms() -> int:
    """Between half a second and a whole one and a half, so that they do not all come back at once."""
    return random.randint(500, 1500)  # noqa: S311  spreading load, not a secret


class Turnstile:
    """Lets at most ``per_turn`` through in one turn of the event loop, in the order in which they came."""

    def __init__(self, per_turn: int) -> None:
        self._per_turn = self._left = per_turn
        self._queue: deque[Callable[[], None]] = deque()
        self._turning = False

    def enter(self, go: Callable[[], None]) -> bool:
        """Call ``go``: now, or in one of the next turns, and then it says False."""
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._left and not self._queue:
            self._left -= 1
            go()
            return True
        self._queue.append(go)
        return False

    def _turn(self) -> None:
        self._left, self._turning = self._per_turn, bool(self._queue)
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
        while self._queue and self._left:
            self._left -= 1
            self._queue.popleft()()
