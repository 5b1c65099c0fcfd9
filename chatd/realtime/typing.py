"""Who types where, as this node has heard it. Neither stored nor replayed (protocol.md, section 5).

Every node ends a typing by itself after 5 s, so that the death of the node that said it leaves nobody
typing for ever; and every node lets at most one ``typing.start`` per user and chat out in 2 s.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from itertools import takewhile
from typing import Any

Key = tuple[str, str]


class TypingBoard:
    """``say(chat_id, user_id, on, hidden)`` is called for each change that the local sockets shall see, but
    none of a user in ``hidden``.
    """

    MAX_ENTRIES = 100_000

    def __init__(
        self, say: Callable[[str, str, bool, frozenset[str]], None], *, ttl_s: float, every_s: float
    ) -> None:
        self._say, self._ttl_s, self._every_s = say, ttl_s, every_s
        #: (chat, user) -> (when it ends, whom it is hidden from); in order of their ends.
        self._typing: dict[Key, tuple[float, frozenset[str]]] = {}
        #: (chat, user) -> when their last start went out, as long as it holds back the next; in that order.
        self._said: dict[Key, float] = {}
        self._shown: set[Key] = set()

    def heard(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str] = frozenset()) -> None:
        """A start or stop, from here or from another node."""
        key = (chat_id, user_id)
        now = asyncio.get_running_loop().time()
        seen = self._typing.pop(key, None)
        if not on:
            if seen is not None and key in self._shown:
                self._shown.discard(key)
                self._say(chat_id, user_id, False, seen[1])
            return
        if seen is None and len(self._typing) >= self.MAX_ENTRIES:
            return
        self._typing[key] = (now + self._ttl_s, hidden)
        self._start(key, now)

    def _start(self, key: Key, now: float) -> None:
        """Let a start out, where none has gone out for long enough; else it goes when its time has come."""
        if now - self._said.get(key, float("-inf")) < self._every_s:
            return
        self._said.pop(key, None)
        self._said[key] = now
        self._shown.add(key)
        self._say(*key, True, self._typing[key][1])

    def is_typing(self, chat_id: str, user_id: str) -> bool:
        """As far as this node has heard."""
        return (chat_id, user_id) in self._typing

    async def expire_forever(self) -> None:
        """End what has not been renewed; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.25, self._ttl_s / 4))
            now = loop.time()
            due = [key for key, (end, _) in self._until(self._typing.items(), now)]
            for chat_id, user_id in due:
                self.heard(chat_id, user_id, False)
            self._forget(now)
            for key in [key for key in self._typing if key not in self._shown]:
                self._start(key, now)

    @staticmethod
    def _until(entries: Iterable[tuple[Key, tuple[float, Any]]], now: float) -> Iterator[tuple[Key, Any]]:
        """Those whose time is over; entries stand in the order of their ends."""
        return takewhile(lambda entry: entry[1][0] <= now, entries)

    def _forget(self, now: float) -> None:
        for key, said in list(self._said.items()):
            if now - said < self._every_s:
                break
            del self._said[key]
