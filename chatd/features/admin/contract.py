"""Shapes of the admin calls; what they show is defined by the rooms that own it."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatd.core.ids import UserId
from chatd.features.chats.contract import LogHead
from chatd.wire.frames import NO_NUL

#: The global roles (domain.md); everybody is a user.
Role = Literal["user", "moderator", "organizer", "admin"]


class SetRoles(msgspec.Struct, frozen=True, kw_only=True):
    """All the user's global roles from now on; ``user`` is always among them."""

    roles: Annotated[list[Role], Meta(max_length=4)]


class BanUser(msgspec.Struct, frozen=True, kw_only=True):
    """Until then, or for ever. The reason is for the audit log and the sockets that close."""

    until: Annotated[datetime, Meta(tz=True)] | None = None
    reason: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)] = "banned"


class HeadsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose chats."""

    user_id: UserId
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class Heads(msgspec.Struct, frozen=True, kw_only=True):
    """Newest activity first."""

    items: list[LogHead]


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes have been told; they take turns."""

    status: Literal["draining"] = "draining"
