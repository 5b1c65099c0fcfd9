"""Shapes of the audit log."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chatd.core.ids import ChatId, UserId
from chatd.wire.frames import NO_NUL


class Entry(msgspec.Struct, frozen=True):
    """One deed. ``actor_id`` is null for chatd itself (a filter, the outside classifier); ``target_id`` is of
    the kind that ``target_kind`` says.
    """

    id: int
    at: datetime
    actor_id: UserId | None
    action: str
    target_kind: str | None
    target_id: str | None
    chat_id: ChatId | None
    detail: dict[str, Any]


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries, newest first."""

    items: list[Entry]
    next_cursor: str | None


class ListAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the log; all that is given holds together."""

    actor_id: UserId | None = None
    target_user_id: UserId | None = None
    action: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None
