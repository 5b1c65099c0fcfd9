"""Shapes of GPs in the dialect of gp-groups.md: ``success``, camelCase, ``_id``. It is spoken here only.

The socket's commands and events (``frames``) are in the words of protocol.md, as all frames are.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.declarations import Dialect
from chatd.core.errors import AppError, FieldError
from chatd.core.ids import ChatId, UserId, id_meta
from chatd.features.gp.vocabulary import Category, Reason, Topic
from chatd.wire.frames import NO_NUL

GpId = Annotated[str, id_meta("gp")]
Status = Literal["active", "expired", "converted", "failed"]
Conversion = Literal["none", "eligible", "voting", "approved", "failed"]
Choice = Literal["yes", "no"]

Line = Annotated[str, Meta(max_length=100, pattern=NO_NUL)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class _Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """camelCase on the wire."""


# --------------------------------------------------------------------------------------------- requests


class GpPlace(_Shape, frozen=True):
    """Where a GP is. The coordinates are snapped to their cell on arrival and kept nowhere."""

    latitude: Latitude
    longitude: Longitude
    city: Line | None = None
    zone: Line | None = None


class CreateGp(_Shape, frozen=True):
    """A new GP. ``specificName`` or ``genre`` is needed where a movie's or anime's sub-type asks for it."""

    category: Category
    sub_type: Annotated[str, Meta(max_length=32)]
    talk_topics: Annotated[list[Topic], Meta(min_length=1, max_length=3)]
    location: GpPlace
    specific_name: Line | None = None
    genre: Annotated[str, Meta(max_length=32)] | None = None
    description: Annotated[str, Meta(max_length=200, pattern=NO_NUL)] | None = None
    creation_reason: Reason | None = None
    reason_note: Line | None = None


class GpRef(_Shape, frozen=True):
    """Which GP."""

    gp_id: GpId


class ConvertGp(_Shape, frozen=True):
    """``check`` tells what is missing, and opens the vote where nothing is; ``vote`` needs a ``vote``."""

    gp_id: GpId
    action: Literal["check", "vote"]
    vote: Choice | None = None


class UpdateGpActivity(_Shape, frozen=True):
    """Something was said. The count is advisory: the server counts what it stored."""

    gp_id: GpId
    message_count: Annotated[int, Meta(ge=0, le=2**53)] | None = None


class ListGps(_Shape, frozen=True):
    """Where to look; without coordinates, where the user last was."""

    latitude: Latitude | None = None
    longitude: Longitude | None = None


class ExploreGps(ListGps, frozen=True):
    """What to look for; ``minTimeRemaining`` in hours, ``maxDistance`` in km."""

    category: Category | None = None
    sub_type: Annotated[str, Meta(max_length=32, pattern=NO_NUL)] | None = None
    vibe_type: Annotated[str, Meta(max_length=32, pattern=NO_NUL)] | None = None
    topic: Topic | None = None
    min_time_remaining: Annotated[float, Meta(ge=0, le=168)] = 0
    max_distance: Annotated[float, Meta(gt=0, le=500)] = 500
    page: Annotated[int, Meta(ge=1, le=10_000)] = 1
    limit: Annotated[int, Meta(ge=1, le=50)] = 20


class GpLimitsQuery(_Shape, frozen=True):
    """For which category, if any."""

    category: Category | None = None


# ---------------------------------------------------------------------------------------------- answers


class GpMember(_Shape, frozen=True):
    """One who is in; ``_id`` is the user's."""

    id: UserId = msgspec.field(name="_id")
    display_name: str
    avatar_url: str | None
    joined_at: datetime
    is_creator: bool


class GpArea(_Shape, frozen=True):
    """What is told of a place: what its creator called it."""

    city: str | None
    zone: str | None


class GpConversion(_Shape, frozen=True):
    """How far the way to permanence has been gone. Votes are those of the open or the last vote."""

    status: Conversion
    eligible_at: datetime | None
    yes: int
    no: int
    voters: int
    needed: int
    closes_at: datetime | None
    #: After a vote that failed: when it may be asked again.
    retry_at: datetime | None


class GpView(_Shape, frozen=True):
    """A GP as one user sees it. ``chatId`` is for members; ``timeLeft`` is in minutes, ``distance`` in km."""

    id: GpId = msgspec.field(name="_id")
    chat_id: ChatId | None
    category: str
    sub_type: str
    specific_name: str | None
    genre: str | None
    talk_topics: list[str]
    description: str | None
    creation_reason: str | None
    reason_note: str | None
    location: GpArea
    created_by: UserId | None
    members: list[GpMember]
    member_count: int
    max_members: int
    is_member: bool
    status: Status
    #: Between the middles of the GP's cell and of the user's; null where the user's is not known.
    distance: float | None
    time_left: int
    created_at: datetime
    expires_at: datetime
    message_count: int
    last_activity: datetime
    permanent_conversion: GpConversion
    #: What the list is sorted by, higher first (schema.sql, gp_priority).
    priority_score: int | UnsetType = UNSET


class GpAnswer(_Shape, frozen=True):
    """One GP."""

    gp: GpView
    success: bool = True


class GpList(_Shape, frozen=True):
    """The best first. ``radius`` is how far was looked, in km."""

    gps: list[GpView]
    radius: float
    success: bool = True


class MyGps(_Shape, frozen=True):
    """The living ones first, then the latest."""

    gps: list[GpView]
    success: bool = True


class GpPagination(_Shape, frozen=True):
    """``total`` counts what can be paged through: at most ``gp.explore_candidates``, the nearest."""

    page: int
    limit: int
    total: int
    pages: int
    has_more: bool


class GpPage(_Shape, frozen=True):
    """One page of what was found."""

    gps: list[GpView]
    pagination: GpPagination
    success: bool = True


class GpLeft(_Shape, frozen=True):
    """You are out."""

    gp_id: GpId
    message: str
    success: bool = True


class GpCriterion(_Shape, frozen=True):
    """One thing that permanence asks for."""

    met: bool
    current: float
    required: float


class GpCriteria(_Shape, frozen=True):
    """All that permanence asks for. ``activeHours`` is the age; ``writers`` are members who wrote."""

    active_members: GpCriterion
    active_hours: GpCriterion
    toxicity_flags: GpCriterion
    messages: GpCriterion
    writers: GpCriterion


class GpConverting(_Shape, frozen=True):
    """Where the conversion stands after what was asked. ``message`` says it in words."""

    eligible: bool
    status: Conversion
    message: str
    criteria: GpCriteria | None
    my_vote: Choice | None
    gp: GpView
    success: bool = True


class GpActivity(_Shape, frozen=True):
    """What the server counted."""

    gp_id: GpId
    message_count: int
    last_activity: datetime
    eligible: bool
    success: bool = True


class GpDailyState(_Shape, frozen=True):
    """GPs made in the user's day; ``resetsAt`` where some were."""

    can_create: bool
    creations_remaining: int
    today_creations: int
    resets_at: datetime | None


class GpCooldownState(_Shape, frozen=True):
    """The pause after a creation."""

    active: bool
    minutes_remaining: int
    until: datetime | None


class GpCategoryState(_Shape, frozen=True):
    """One living GP of a category; ``category`` is null where none was asked about."""

    has_active: bool
    category: str | None
    until: datetime | None


class GpSystemState(_Shape, frozen=True):
    """All GPs against all users active in the last 24 hours."""

    limit_reached: bool
    current_groups: int
    max_groups: int
    active_users: int


class GpLimits(_Shape, frozen=True):
    """The four limits."""

    daily: GpDailyState
    cooldown: GpCooldownState
    category: GpCategoryState
    system: GpSystemState


class GpLimitsAnswer(_Shape, frozen=True):
    """Whether ``create`` would be let through now."""

    can_create: bool
    limits: GpLimits
    success: bool = True


class GpsExpired(_Shape, frozen=True):
    """How many GPs ended, votes ran out, and GPs' members were warned."""

    expired: int
    votes_closed: int
    warned: int
    success: bool = True


class GpRefusal(_Shape, frozen=True):
    """Why not. ``limit`` and ``until`` are there where a limit of creating or of moving stands against it."""

    code: str
    message: str
    errors: list[FieldError] | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    limit: str | UnsetType = UNSET
    until: datetime | UnsetType = UNSET
    success: bool = False


def refusal(error: AppError) -> GpRefusal:
    """An error in this dialect."""
    known: dict[str, Any] = {name: error.extra[name] for name in ("limit", "until") if name in error.extra}
    return GpRefusal(
        code=error.code,
        message=error.detail,
        errors=list(error.errors) or UNSET,
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
        **known,
    )


DIALECT = Dialect(GpRefusal, refusal)
