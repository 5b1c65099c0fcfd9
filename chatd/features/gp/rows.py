"""What the statements of GPs give, where it is not what the wire shows. No logic."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from chatd.core.ids import ChatId, UserId
from chatd.features.gp.contract import Choice, Conversion, GpId, Status
from chatd.features.gp.geo import Place


class Gp(msgspec.Struct, frozen=True):
    """A GP as the rules see it."""

    id: GpId
    chat_id: ChatId
    created_by: UserId | None
    status: Status
    member_count: int
    message_count: int
    created_at: datetime
    lifetime_ends_at: datetime
    expires_at: datetime
    conversion: Conversion
    eligible_at: datetime | None
    vote_closes_at: datetime | None
    vote_retry_at: datetime | None
    category: str
    sub_type: str
    specific_name: str | None
    genre: str | None
    topics: list[str]
    description: str | None
    cell: int


class Card(msgspec.Struct, frozen=True):
    """A GP as it is shown, with its members, earliest first, and the ballots of its vote."""

    id: GpId
    chat_id: ChatId
    created_by: UserId | None
    status: Status
    member_count: int
    created_at: datetime
    lifetime_ends_at: datetime
    expires_at: datetime
    conversion: Conversion
    eligible_at: datetime | None
    vote_closes_at: datetime | None
    vote_retry_at: datetime | None
    category: str
    sub_type: str
    specific_name: str | None
    genre: str | None
    topics: list[str]
    description: str | None
    creation_reason: str | None
    reason_note: str | None
    city: str | None
    zone: str | None
    cell: int
    member_ids: list[UserId] | None
    joined_ats: list[datetime] | None
    yes: int
    no: int
    voters: int


class Search(NamedTuple):
    """What is looked for around a place: at most ``most`` GPs are ranked, and a page of them given.

    ``fine`` ranks time left by quarter hours; ``hidden`` are not for who looks.
    """

    place: Place
    now: datetime
    max_members: int
    max_km: float
    most: int
    limit: int
    offset: int = 0
    topic: str | None = None
    min_left: timedelta = timedelta(0)
    fine: bool = False
    hidden: Sequence[str] = ()


class Ranked(msgspec.Struct, frozen=True):
    """A place in a list: how far, of what priority, and of how many that could be listed."""

    id: GpId
    km: float
    score: int
    total: int


class Seat(msgspec.Struct, frozen=True):
    """A member of a GP."""

    user_id: UserId
    joined_at: datetime


class Ballot(msgspec.Struct, frozen=True):
    """A voter and what they said, if they did."""

    user_id: UserId
    choice: Choice | None


class Creator(msgspec.Struct, frozen=True):
    """What limits a user's creations."""

    day_ends_at: datetime
    day_count: int
    cooldown_until: datetime


class Census(msgspec.Struct, frozen=True):
    """How many GPs live now, the active users of the last count, and when that was."""

    active: int
    active_users: int
    counted_at: datetime


class Watcher(msgspec.Struct, frozen=True):
    """Somebody who hears of GPs near a place; ``hidden``, of a GP in which they are not to meet somebody."""

    user_id: UserId
    cell: int
    hidden: bool
