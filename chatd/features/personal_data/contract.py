"""Shapes of exports and of leaving (community-area.md, "Privacy Features")."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import ChatId, UserId, id_meta

ExportId = Annotated[str, id_meta("exp")]


class DeleteAccount(msgspec.Struct, frozen=True, kw_only=True):
    """``password`` where the account has one."""

    password: Annotated[str, Meta(max_length=1024)] | None = None


class Deleting(msgspec.Struct, frozen=True, kw_only=True):
    """The account is nobody's any more; what was said goes step by step."""

    status: Literal["deleting"] = "deleting"


class Export(msgspec.Struct, frozen=True):
    """A copy of all that is held of me. It is there until ``expires_at``."""

    id: ExportId
    status: Literal["pending", "ready"]
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    #: How many parts there are (so far): 0, 1, 2 …
    parts: int


class PartQuery(msgspec.Struct, frozen=True, kw_only=True):
    """As JSON, or as a table whose cells no spreadsheet takes for formulas."""

    format: Literal["json", "csv"] = "json"


class ExportPart(msgspec.Struct, frozen=True, kw_only=True):
    """A bounded piece of the copy: ``rows`` of one section, or the same as ``csv`` (RFC 4180)."""

    section: str
    rows: msgspec.Raw | UnsetType = UNSET
    csv: str | UnsetType = UNSET


# --------------------------------------------------------------------------------- not on the wire of clients


class Work(msgspec.Struct, frozen=True):
    """An export that this run has taken, and how far it is."""

    id: ExportId
    user_id: UserId
    section: int
    position: str | None


class Part(msgspec.Struct, frozen=True):
    """A piece as it is stored."""

    section: str
    data: msgspec.Raw


class Membership(msgspec.Struct, frozen=True):
    """A chat that one is in."""

    chat_id: ChatId
    type: str
    title: str | None
    role: str
    joined_at: datetime
    last_read_seq: int
    last_read_at: datetime | None


class Row(msgspec.Struct, frozen=True):
    """A row of any table, without secrets."""

    section: str
    data: msgspec.Raw
