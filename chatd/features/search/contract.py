"""Shapes of searches."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.core.ids import ChatId, UserId
from chatd.features.chats.contract import Message


class SearchMessages(msgspec.Struct, frozen=True, kw_only=True, rename={"after": "from", "until": "to"}):
    """What is looked for; all of it holds together, and something must be asked for.

    ``q`` is words, ``"phrases"``, ``or`` and ``-not``; ``from`` and ``to`` bound the time of sending.
    """

    q: Annotated[str, Meta(max_length=200)] | None = None
    chat_id: ChatId | None = None
    sender_id: UserId | None = None
    after: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None
    has_attachment: bool = False
    limit: Annotated[int, Meta(ge=1, le=50)] = 20
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was found. ``highlight`` is HTML: its text escaped, what matched inside ``<mark>``;
    null without words to look for.
    """

    message: Message
    highlight: str | None


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, newest first."""

    items: list[Hit]
    next_cursor: str | None
