"""The SQL of sends with attachments."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import MessageId, UserId


class AttachedRow(msgspec.Struct, frozen=True):
    """What append_attached says of one input."""

    outcome: str
    message_id: MessageId | None
    seq: int | None
    sent_at: datetime | None
    root: MessageId | None
    quoted_sender: UserId | None
    quoted_text: str | None
    content: msgspec.Raw


async def append_attached(
    q: Queries,
    chats: Sequence[str],
    senders: Sequence[str],
    client_ids: Sequence[str],
    fingerprints: Sequence[int],
    ids: Sequence[str],
    contents: Sequence[str],
    replies: Sequence[str | None],
    statuses: Sequence[str] | None,
    reasons: Sequence[str | None] | None,
    scan: bool,
    everybody: Sequence[bool],
    mention_places: Sequence[int],
    mentioned: Sequence[str],
    media_places: Sequence[int],
    media: Sequence[str],
) -> list[AttachedRow]:
    """``append_conversation`` for sends of which some attach media: these are held with them."""
    return await q.rows(
        AttachedRow,
        """
        SELECT outcome, message_id, message_seq, message_sent_at, root, quoted_sender, quoted_text,
               stored_content
        FROM append_attached($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        """,
        chats,
        senders,
        client_ids,
        fingerprints,
        ids,
        contents,
        replies,
        statuses,
        reasons,
        scan,
        everybody,
        mention_places,
        mentioned,
        media_places,
        media,
    )
