"""Shapes of privacy."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.features.relations.contract import Audience, Block


class PatchPrivacy(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out (or null) stays as it is."""

    last_seen: Audience | None = None
    read_receipts: bool | None = None
    messages_from: Audience | None = None
    profile: Audience | None = None


class BlockPage(msgspec.Struct, frozen=True, kw_only=True):
    """Whom you have blocked, by id."""

    items: list[Block]
    next_cursor: str | None


class ListBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the blocks."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None
