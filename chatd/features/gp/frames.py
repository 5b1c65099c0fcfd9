"""Commands and events of GPs on the socket, in the words of protocol.md, as all frames are."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import ChatId, UserId
from chatd.features.gp.contract import Conversion, GpId, Latitude, Longitude, Status
from chatd.features.gp.vocabulary import Category, Topic
from chatd.wire.frames import NO_NUL, Command, Event, Ref

# --------------------------------------------------------------------------------------------- commands


class GpWatch(Command, tag="gp.watch", kw_only=True):
    """Hear of GPs near a place (``gp.nearby``) for ``gp.watch_minutes``; replaces the user's last watch."""

    latitude: Latitude | None = None
    longitude: Longitude | None = None
    max_km: Annotated[float, Meta(gt=0, le=50)] = 25
    category: Category | None = None
    sub_type: Annotated[str, Meta(max_length=32, pattern=NO_NUL)] | None = None
    topic: Topic | None = None


class GpUnwatch(Command, tag="gp.unwatch", kw_only=True):
    """Hear no more of GPs nearby."""


# ----------------------------------------------------------------------------------------------- events


class GpMemberJoined(Event, tag="gp.member_joined", frozen=True, kw_only=True):
    """Somebody came in."""

    gp_id: GpId
    chat_id: ChatId
    user_id: UserId
    member_count: int


class GpMemberLeft(Event, tag="gp.member_left", frozen=True, kw_only=True):
    """Somebody went."""

    gp_id: GpId
    chat_id: ChatId
    user_id: UserId
    member_count: int


class GpEligible(Event, tag="gp.eligible", frozen=True, kw_only=True):
    """The GP may now ask for permanence."""

    gp_id: GpId
    chat_id: ChatId
    eligible_at: datetime


class GpVote(Event, tag="gp.vote", frozen=True, kw_only=True):
    """The vote as it stands. ``status``: voting · approved · failed."""

    gp_id: GpId
    chat_id: ChatId
    status: Conversion
    yes: int
    no: int
    voters: int
    needed: int
    closes_at: datetime
    retry_at: datetime | None


class GpExpiring(Event, tag="gp.expiring", frozen=True, kw_only=True):
    """The GP ends soon."""

    gp_id: GpId
    chat_id: ChatId
    expires_at: datetime


class GpExpired(Event, tag="gp.expired", frozen=True, kw_only=True):
    """The GP is over: its chat can be read, not written. ``status``: expired, or failed as its vote had."""

    gp_id: GpId
    chat_id: ChatId
    status: Status


class GpConverted(Event, tag="gp.converted", frozen=True, kw_only=True):
    """The GP is permanent: its chat is a group's now, with all that was said."""

    gp_id: GpId
    chat_id: ChatId
    admin_id: UserId
    moderator_id: UserId | None


class NearbyGp(msgspec.Struct, frozen=True, kw_only=True):
    """A GP as a list of what is near shows it."""

    gp_id: GpId
    category: str
    sub_type: str
    specific_name: str | None
    genre: str | None
    topics: list[str]
    description: str | None
    member_count: int
    max_members: int
    distance_km: float
    expires_at: datetime


class GpNearby(Event, tag="gp.nearby", frozen=True, kw_only=True):
    """``full``: all of the list, the best first (the answer to a watch); ``changed``: these are new or other
    than they were; ``removed``: these are full or over. ``until``: when the watch lapses.
    """

    change: Literal["full", "changed", "removed"]
    gps: tuple[NearbyGp, ...] = ()
    gp_ids: tuple[GpId, ...] = ()
    until: datetime | UnsetType = UNSET
    re: Ref = UNSET
