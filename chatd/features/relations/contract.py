"""Shapes of relations. None of them is on the wire by itself but ``Privacy``."""

from datetime import datetime
from typing import Literal

import msgspec

from chatd.core.ids import UserId

#: Whom something is for. ``shared_chats``: who is in a chat with the user that is no direct one.
Audience = Literal["everyone", "shared_chats", "nobody"]


class Privacy(msgspec.Struct, frozen=True):
    """What a user lets others see and do.

    ``last_seen``: who is shown ``last_active_at``. ``read_receipts``: whether others see what the user has
    read; who hides it sees nothing of what others have read. ``messages_from``: who may open a direct chat
    with the user, or let them into a group; ``shared_chats`` lets strangers ask first, ``nobody`` ends the
    direct chats that there are, too. ``profile``: who sees more of the user than the name.
    """

    last_seen: Audience = "everyone"
    read_receipts: bool = True
    messages_from: Audience = "everyone"
    profile: Audience = "everyone"


class Block(msgspec.Struct, frozen=True):
    """Somebody whom a user wants nothing of, since when."""

    user_id: UserId
    created_at: datetime


class Sight(msgspec.Struct, frozen=True):
    """What one user sees of another: nothing where ``hidden``; ``last_seen`` as the other has set it."""

    user_id: UserId
    hidden: bool
    last_seen: Audience
