"""Not everybody at once: what a node that has enough to do says to more of it.

Sends are refused at the door, before anything of them is made, with ``unavailable``. Refusing begins while
there is still room, at random and ever more often (random early detection): so some sockets keep still while
others are served, and not all or none. A refusal costs a third of a send, so refusing alone would leave
nothing for the sends that are taken. Hence a socket that was refused has one send at a time at work until it
may retry, and one that sends on meanwhile is not read for a moment after each: TCP holds the rest.

Connections are accepted a few at a time, all that they want before they are open is done in small portions,
address by address, and they are opened a few at once. So the messages of those who are in go between,
whatever comes.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from time import thread_time

from chatd.core.errors import Unavailable
from chatd.core.settings import Admission as AdmissionSettings


def _no_pressure(chat_id: str) -> float:
    """Nothing queues."""
    return 0.0


class Admission:
    """How late the event loop is and how full the queues are, and what follows for sends."""

    TICK_S = 0.05
    FADES = 0.7  # of the lag that was seen last, so much is believed a tick later
    BEGINS = 0.5  # refusing: from here on, seldom at first, always at 1
    HOLD_S = 0.1  # how long a socket that sends on though it was refused is not read

    def __init__(self, settings: AdmissionSettings) -> None:
        self._max_lag_s = settings.max_lag_ms / 1000
        self.lag_s = 0.0
        #: How near to their bound the queues of a chat's sends are: 0 is empty, 1 is full.
        self.pressure: Callable[[str], float] = _no_pressure

    async def watch_forever(self) -> None:
        """Measure the lag; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.TICK_S
            await asyncio.sleep(self.TICK_S)
            self.lag_s = max(loop.time() - due, self.lag_s * self.FADES)

    def refuses(self, chat_id: str) -> bool:
        """Whether one more send of this chat is one too many. Asked once a send: it throws dice."""
        if self.lag_s > self._max_lag_s > 0:
            return True
        over = (self.pressure(chat_id) - self.BEGINS) / (1 - self.BEGINS)
        # Squared, since one refusal quietens a socket for a second: one send in a hundred is often enough.
        return over > 0 and random.random() < over * over  # noqa: S311  not a secret


def too_much() -> Unavailable:
    """The answer to a send that is one too many."""
    return Unavailable("The server has too much to do", retry_after_ms=retry_after_ms())


def retry_after_ms() -> int:
    """Between half a second and a whole one and a half, so that they do not all come back at once."""
    return random.randint(500, 1500)  # noqa: S311  spreading load, not a secret


class Turnstile:
    """Does the work of those who are not in yet, in small portions with rests between them.

    Each address has a line, and the lines are served in turns: whoever comes a thousand times at once waits
    for himself. A portion is ``portion_s`` of CPU time, a rest so many turns of the event loop: a message
    takes some six of them through a round of group commit, and they must not each wait for a portion. Where
    nobody else has anything to do, turns are short, and so is the rest.
    """

    def __init__(self, portion_s: float, rest_turns: int) -> None:
        self._portion_s, self._rest_turns = portion_s, rest_turns
        self._rested = 0
        self._lines: dict[str, deque[Callable[[], None]]] = {}
        self._serving = False

    def enter(self, address: str, go: Callable[[], None]) -> None:
        """Call ``go`` in one of the next portions, after what this address has in line already."""
        line = self._lines.get(address)
        if line is None:
            line = self._lines[address] = deque()
        line.append(go)
        if not self._serving:
            self._serving = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        if not self._lines:
            self._serving = False
            return
        asyncio.get_running_loop().call_soon(self._serve)
        if self._rested:
            self._rested -= 1
        else:
            self._rested = self._rest_turns
            self._portion(thread_time() + self._portion_s)

    def _portion(self, end: float) -> None:
        while self._lines:
            address = next(iter(self._lines))
            line = self._lines.pop(address)
            go = line.popleft()
            if line:
                self._lines[address] = line  # behind the others
            go()
            if thread_time() >= end:
                return
