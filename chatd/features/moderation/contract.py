"""Shapes of moderation (tribe-backend-plan.md, 4.3; community-area.md, reports and banned_users)."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatd.core.ids import ChatId, UserId, id_meta
from chatd.features.accounts.contract import BannedUser
from chatd.features.chats.contract import ChatBan
from chatd.wire.frames import NO_NUL, Event

CaseId = Annotated[str, id_meta("cas")]
ReportId = Annotated[str, id_meta("rep")]
FilterId = Annotated[str, id_meta("flt")]

Reason = Literal[
    "spam", "harassment", "hate", "violence", "sexual", "self_harm", "illegal", "impersonation", "other"
]
Note = Annotated[str, Meta(max_length=1000, pattern=NO_NUL)]
Status = Literal["pending", "claimed", "resolved", "dismissed"]
#: What a moderator does about a case. ``none``: the report was right, and nothing is left to do.
Resolution = Literal["none", "hide", "mute", "kick", "ban_chat", "ban_server"]
#: How long something lasts, at most ten years; left out: for ever.
Duration = Annotated[int, Meta(ge=1, le=315_360_000)]


class MemberMuted(Event, tag="chat.muted", frozen=True, kw_only=True):
    """You may read this chat but not write to it until then; null: you may write again."""

    chat_id: ChatId
    muted_until: datetime | None
    reason: str | None


# ----------------------------------------------------------------------------------------------- reports


class MakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """Why something should be looked at."""

    reason: Reason
    description: Note | None = None


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody will look at it. Reporting the same again changes nothing."""

    report_id: ReportId
    status: Literal["pending"] = "pending"


# ------------------------------------------------------------------------------------------------- cases


class Case(msgspec.Struct, frozen=True):
    """Something that moderators shall look at. ``snapshot`` is what it said when it was reported or found;
    ``author_id`` whose it is.
    """

    id: CaseId
    subject: Literal["message", "user", "post", "comment"]
    subject_id: str
    chat_id: ChatId | None
    author_id: UserId | None
    source: Literal["report", "filter", "classifier"]
    reason: str | None
    snapshot: msgspec.Raw | None
    report_count: int
    status: Status
    claimed_by: UserId | None
    claimed_at: datetime | None
    closed_by: UserId | None
    closed_at: datetime | None
    resolution: Resolution | None
    note: str | None
    created_at: datetime


class Report(msgspec.Struct, frozen=True):
    """One report of a case; who made it is shown to staff only."""

    id: ReportId
    reporter_id: UserId | None
    reason: str
    description: str | None
    created_at: datetime


class CaseDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A case and its reports, earliest first (the first 100)."""

    case: Case
    reports: list[Report]


class CasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Cases, oldest first: a queue."""

    items: list[Case]
    next_cursor: str | None


class ListCases(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the queue. Moderators of a chat name their chat; those of the server need not."""

    status: Status = "pending"
    chat_id: ChatId | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class Resolve(msgspec.Struct, frozen=True, kw_only=True):
    """Close a case with what is done about it; ``duration_s`` is for mute and ban, left out: for ever."""

    action: Resolution
    duration_s: Duration | None = None
    note: Note | None = None


class Dismiss(msgspec.Struct, frozen=True, kw_only=True):
    """Close a case with nothing to it; what a filter or the classifier had hidden is shown again."""

    note: Note | None = None


# --------------------------------------------------------------------------------------------- sanctions


class Sanction(msgspec.Struct, frozen=True, kw_only=True):
    """For how long (left out: for ever), and why; the reason is shown to whom it is about."""

    duration_s: Duration | None = None
    reason: Annotated[str, Meta(max_length=200, pattern=NO_NUL)] | None = None


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """Why; shown to whom it is about."""

    reason: Annotated[str, Meta(max_length=200, pattern=NO_NUL)] | None = None


class Sanctioned(msgspec.Struct, frozen=True, kw_only=True):
    """Until when it holds; null for ever."""

    user_id: UserId
    until: datetime | None


class ListById(msgspec.Struct, frozen=True, kw_only=True):
    """Query of a list that is sorted by id."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class ChatBanPage(msgspec.Struct, frozen=True, kw_only=True):
    """Who is banned from a chat, by id."""

    items: list[ChatBan]
    next_cursor: str | None


class BannedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Who is banned from the server, by id."""

    items: list[BannedUser]
    next_cursor: str | None


# ----------------------------------------------------------------------------------------------- filters

Word = Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)]
Host = Annotated[str, Meta(min_length=1, max_length=253, pattern=NO_NUL)]
Span = Annotated[int, Meta(ge=1, le=86_400)]
Count = Annotated[int, Meta(ge=1, le=10_000)]


class _Config(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """``silence_s``: for how long the action ``silence`` mutes a sender in the chat."""

    silence_s: Span = 300


class WordsConfig(_Config, frozen=True, tag="words"):
    """``words`` are compared whole, ``parts`` anywhere in a word; both as they look (folding.py)."""

    words: Annotated[list[Word], Meta(max_length=5000)] = []
    parts: Annotated[list[Word], Meta(max_length=500)] = []


class LinksConfig(_Config, frozen=True, tag="links"):
    """Links to these hosts and what is under them, to disguised hosts (``punycode``), to bare addresses, with
    a name before the host (``user_info``), or any; never to those in ``spare``.
    """

    domains: Annotated[list[Host], Meta(max_length=5000)] = []
    shorteners: Annotated[list[Host], Meta(max_length=500)] = []
    spare: Annotated[list[Host], Meta(max_length=5000)] = []
    punycode: bool = False
    addresses: bool = False
    user_info: bool = False
    any: bool = False


class RepeatConfig(_Config, frozen=True, tag="repeat"):
    """One sender's same text more than ``times`` in ``within_s``, from ``min_length`` characters on."""

    times: Count
    within_s: Span
    min_length: Annotated[int, Meta(ge=0, le=4000)] = 0


class FloodConfig(_Config, frozen=True, tag="flood"):
    """One sender's texts, more than ``messages`` in ``within_s``."""

    messages: Count
    within_s: Span


class NewAccountConfig(_Config, frozen=True, tag="new_account"):
    """Accounts younger than ``younger_than_s``: more than ``messages`` in ``within_s``, or any link."""

    younger_than_s: Annotated[int, Meta(ge=1, le=31_536_000)]
    messages: Count
    within_s: Span
    links: bool = True


Config = WordsConfig | LinksConfig | RepeatConfig | FloodConfig | NewAccountConfig
Action = Literal["allow", "flag", "hide", "block", "silence"]
Name = Annotated[str, Meta(min_length=1, max_length=60, pattern=NO_NUL)]


class Filter(msgspec.Struct, frozen=True):
    """What texts go through. The lowest ``position`` is asked first; ``allow`` ends the asking, of the others
    the most severe is heard: flag, hide, block, silence.
    """

    id: FilterId
    name: str
    action: Action
    config: Config
    enabled: bool
    position: int
    updated_at: datetime


class PutFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A filter whole."""

    name: Name
    action: Action
    config: Config
    enabled: bool = True
    position: Annotated[int, Meta(ge=0, le=10_000)] = 100


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, in the order in which they are asked."""

    items: list[Filter]
