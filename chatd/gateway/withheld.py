"""What slow sockets were spared, until they read on: of each subject the newest frame, and not many."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatd.gateway.connection import Connection


class Withheld:
    """Ephemeral frames of chats (typing) that were not written because a socket did not read.

    They are worth only their newest value, but that one is owed: who was shown a start must be shown the
    stop. (Presence keeps no frames: it knows what each socket was shown.)
    """

    MOST = 256  # subjects a socket; past it the oldest is lost, and a client ends a typing after 5 s itself

    def __init__(self) -> None:
        self._kept: dict[Connection, dict[tuple[str, str], bytes]] = {}

    def __len__(self) -> int:
        """Sockets that are owed something."""
        return len(self._kept)

    def keep(self, connection: "Connection", chat_id: str, subject: str, frame: bytes) -> None:
        """In place of what was kept of this chat's subject before."""
        kept = self._kept.setdefault(connection, {})
        kept.pop((chat_id, subject), None)
        kept[chat_id, subject] = frame
        if len(kept) > self.MOST:
            del kept[next(iter(kept))]

    def take(self, connection: "Connection") -> list[bytes]:
        """What it is owed, which is then forgotten."""
        return list(self._kept.pop(connection, {}).values())

    def forget(self, connection: "Connection", chat_id: str) -> None:
        """It has left this chat."""
        kept = self._kept.get(connection)
        if kept is not None:
            for key in [key for key in kept if key[0] == chat_id]:
                del kept[key]
            if not kept:
                del self._kept[connection]
