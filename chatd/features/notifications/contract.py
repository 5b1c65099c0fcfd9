"""Shapes of notifications (community-area.md, "notifications" and Feature 2C.3)."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chatd.core.ids import UserId, id_meta
from chatd.wire.frames import Event

NotificationId = Annotated[str, id_meta("ntf")]

#: The document's: post_comment, comment_reply, reaction, mention, achievement, event_reminder, and
#: lesson_unlocked; ours: new_login, data_export. Rooms to come have their own.
SECURITY_TYPES = frozenset({"new_login"})


class Notification(msgspec.Struct, frozen=True):
    """One thing that happened. ``action_url`` is where to go when it is clicked, ``payload`` for apps."""

    id: NotificationId
    type: str
    title: str
    message: str
    action_url: str | None
    payload: dict[str, Any]
    is_read: bool
    created_at: datetime


class ListNotifications(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the list."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 10
    cursor: Annotated[str, Meta(max_length=512)] | None = None
    unread: bool = False


class NotificationPage(msgspec.Struct, frozen=True, kw_only=True):
    """Mine, newest first; the count is of all that are unread (up to 999)."""

    notifications: list[Notification]
    unread_count: int
    next_cursor: str | None


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """How many are left."""

    success: bool = True
    unread_count: int


class NotificationNew(Event, tag="notification.new", frozen=True, kw_only=True):
    """Something happened that concerns you."""

    notification: Notification


class NotificationsRead(Event, tag="notification.read", frozen=True, kw_only=True):
    """You have read these on one of your devices; null: all of them."""

    notification_ids: list[NotificationId] | None
    unread_count: int


# --------------------------------------------------------------------------------- not on the wire of clients


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What to tell. ``title`` and ``message`` are plain text; ``data`` goes to apps as it is."""

    title: str
    message: str
    action_url: str | None = None
    data: dict[str, Any] = {}


class Stored(msgspec.Struct, frozen=True):
    """A notification and whose it is."""

    user_id: UserId
    id: NotificationId
    type: str
    title: str
    message: str
    action_url: str | None
    payload: dict[str, Any]
    is_read: bool
    created_at: datetime


class DigestDue(msgspec.Struct, frozen=True):
    """Who gets a letter about what is unread."""

    user_id: UserId
    email: str
    since: datetime
