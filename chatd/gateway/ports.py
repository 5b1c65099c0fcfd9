"""What the gateway asks of the features, so that it need not import them. ``chatd.backend`` answers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatd.core.context import Actor, Ctx
from chatd.core.pending import Pending
from chatd.wire.frames import ChatHead


@dataclass(frozen=True, slots=True)
class Want:
    """What a socket has missed of a chat: everything after ``after`` up to ``head``."""

    chat_id: str
    after: int
    head: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A chat that a user is in now: the frame that says so, and the seq that live events go on from."""

    frame: bytes
    after: int
    head: int


class Backend(Protocol):
    """The features behind a socket."""

    def authenticate(self, token: str) -> Actor:
        """Who holds this token. Raises Unauthenticated."""
        ...

    async def require_live(self, ctx: Ctx) -> None:
        """Raises Unauthenticated or Banned where the actor's session has ended, StoreUnavailable."""
        ...

    def opened(self, actor: Actor, chat_id: str | None) -> Pending[list[ChatHead]]:
        """The chats of a user (or that one alone), after checking that the session still lives.

        Fails with Unauthenticated (revoked), Banned, StoreUnavailable.
        """
        ...

    def replay(self, user_id: str, wants: Sequence[Want]) -> Pending[list[bytes]]:
        """The frames that were missed, chat by chat in order, then the watermarks that may have moved."""
        ...

    async def joined(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Joined]:
        """Those of the users who are in the chat now, with their chat.joined."""
        ...

    async def updated(self, chat_id: str, user_ids: Collection[str]) -> dict[str, bytes]:
        """chat.updated for each of the users who are in the chat now."""
        ...

    async def sharing(self, user_id: str, others: Collection[str]) -> set[str]:
        """Those of the others who are in a chat with the user."""
        ...

    def left(self, chat_id: str, reason: str) -> bytes:
        """chat.left."""
        ...

    def typing(self, chat_id: str, user_id: str, on: bool) -> bytes:
        """typing.start or typing.stop."""
        ...

    def presence(self, user_id: str, status: str, since: float | None, shown: bool = True) -> bytes:
        """presence.update; it says since when only where that is ``shown``."""
        ...
