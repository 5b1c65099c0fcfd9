"""Commands, events and REST shapes of presence and typing (protocol.md, sections 3, 5 and 6)."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chatd.core.ids import ChatId, UserId
from chatd.wire.frames import ChatCommand, Command, Event, Ref

#: What others may see of a user.
Status = Literal["online", "away", "offline"]
MAX_WATCHED = 500


class TypingStart(ChatCommand, tag="typing.start", kw_only=True):
    """I am writing; say it again at least every 5 s while it lasts."""


class TypingStop(ChatCommand, tag="typing.stop", kw_only=True):
    """I have stopped."""


class PresenceSet(Command, tag="presence.set", kw_only=True):
    """The state of this device; ``invisible`` looks offline to others."""

    status: Literal["online", "away", "invisible"]


class PresenceWatch(Command, tag="presence.watch", kw_only=True):
    """Replaces this socket's watch list: ``presence.state`` now, ``presence.update`` on change."""

    user_ids: Annotated[list[UserId], Meta(max_length=MAX_WATCHED)]


class UserPresence(msgspec.Struct, frozen=True, kw_only=True):
    """One user as others see them; ``last_active_at`` is null for one who was never here."""

    user_id: UserId
    status: Status
    last_active_at: datetime | None


class PresenceStateEvent(Event, tag="presence.state", frozen=True, kw_only=True):
    """The watched users now. Those you may not watch are left out."""

    re: Ref = UNSET
    users: list[UserPresence]


class PresenceUpdate(Event, tag="presence.update", frozen=True, kw_only=True):
    """A watched user's state has changed."""

    user_id: UserId
    status: Status
    last_active_at: datetime | None


class TypingStarted(Event, tag="typing.start", frozen=True, kw_only=True):
    """A member writes; without another start they have stopped after ``expires_in_ms``."""

    chat_id: ChatId
    user_id: UserId
    expires_in_ms: int


class TypingStopped(Event, tag="typing.stop", frozen=True, kw_only=True):
    """A member has stopped writing."""

    chat_id: ChatId
    user_id: UserId


class PostTyping(msgspec.Struct, frozen=True, kw_only=True):
    """Typing over REST. ``user_id`` may be sent and must be the token's user."""

    is_typing: bool
    user_id: UserId | None = None


class TypingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How long it holds."""

    expires_in_ms: int


class PresenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose presence: ids, separated by commas or as repeated parameters, at most 500."""

    user_ids: list[str]


class PresenceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """As ``presence.state``."""

    users: list[UserPresence]
