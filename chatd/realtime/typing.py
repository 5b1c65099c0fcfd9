"""Who types where, as this node has heard it. Neither stored nor replayed (protocol.md, section 5).

Every node ends a typing by itself after 5 s, so that the death of the node that said it leaves nobody
typing for ever; and every node lets at most one ``typing.start`` per user and chat out in 2 s.
"""

import asyncio
from collections.abc import Callable

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
        #: (chat, user) -> (when it ends, when the last start went out, hidden from); in order of their ends.
        self._typing: dict[Key, tuple[float, float, frozenset[str]]] = {}

    def heard(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str] = frozenset()) -> None:
        """A start or stop, from here or from another node."""
        key = (chat_id, user_id)
        now = asyncio.get_running_loop().time()
        seen = self._typing.pop(key, None)
        if not on:
            if seen is not None:
                self._say(chat_id, user_id, False, seen[2])
            return
        if seen is None and len(self._typing) >= self.MAX_ENTRIES:
            return
        said = seen[1] if seen else float("-inf")
        if now - said >= self._every_s:
            self._say(chat_id, user_id, True, hidden)
            said = now
        self._typing[key] = (now + self._ttl_s, said, hidden)

    def is_typing(self, chat_id: str, user_id: str) -> bool:
        """As far as this node has heard."""
        return (chat_id, user_id) in self._typing

    async def expire_forever(self) -> None:
        """End what has not been renewed; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(0.25, self._ttl_s / 4))
            now = loop.time()
            due = []
            for key, (end, _, _) in self._typing.items():
                if end > now:
                    break
                due.append(key)
            for chat_id, user_id in due:
                self.heard(chat_id, user_id, False)
