"""Watermarks: how far each member has read and received, by group commit through advance_marks.

A chat's watermarks carry a version of their own (``receipt_seq``), so that nodes notice a lost move as
they notice a lost message. They never move back, and the furthest of many asked for at once is the one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chatd.core.context import Addressed, Ctx
from chatd.core.declarations import Batch
from chatd.core.errors import ChatNotFound, MessageNotFound
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.core.pending import Pending
from chatd.features.messages import marks_store
from chatd.features.messages.contract import DeliveryRead, DeliveryReceived
from chatd.wire import codec


@dataclass(frozen=True, slots=True)
class Mark:
    """A watermark that someone wants to move."""

    chat_id: ChatId
    user_id: UserId
    kind: Literal["read", "received"]
    message_id: MessageId


@dataclass(frozen=True, slots=True)
class Marked:
    """Where it stands in the log, and whether it moved (None: it was there or further already)."""

    mark: Mark
    seq: int
    version: int | None
    at: datetime | None
    senders: frozenset[str]
    #: Who is not to know.
    hidden_from: frozenset[str]
    read_receipts: bool
    #: Who in the chat shows nobody what they have read, and so does not see it of others.
    secretive: frozenset[str] = frozenset()


def read(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Pending[Marked]:
    """The actor has read up to this message. Fails with ChatNotFound, MessageNotFound, Unavailable."""
    return ctx.groups.submit(ADVANCE, Mark(chat_id, ctx.actor.user_id, "read", message_id))


def received(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> Pending[Marked]:
    """A device of the actor has everything up to this message. Fails as ``read`` does."""
    return ctx.groups.submit(ADVANCE, Mark(chat_id, ctx.actor.user_id, "received", message_id))


async def _advance(ctx: Ctx, marks: list[Mark]) -> Sequence[Marked | Exception]:
    rows = await marks_store.advance(
        ctx.db,
        [m.chat_id for m in marks],
        [m.user_id for m in marks],
        [m.kind for m in marks],
        [m.message_id for m in marks],
    )
    secretive = {
        mark.chat_id: frozenset(row.secretive) for mark, row in zip(marks, rows, strict=True) if row.secretive
    }
    return [
        _outcome(mark, row, secretive.get(mark.chat_id, frozenset()))
        for mark, row in zip(marks, rows, strict=True)
    ]


def _outcome(mark: Mark, row: marks_store.MarkRow, secretive: frozenset[str]) -> Marked | Exception:
    if row.outcome == "chat_not_found":
        return ChatNotFound()
    if row.outcome == "message_not_found" or row.seq is None:
        return MessageNotFound()
    moved = row.outcome == "moved"
    return Marked(
        mark,
        row.seq,
        row.version if moved else None,
        row.at,
        frozenset(row.senders or ()),
        frozenset(row.hidden_from),
        row.read_receipts,
        secretive,
    )


def _broadcast(ctx: Ctx, outcomes: Sequence[Marked | Exception]) -> None:
    """Each chat's moves as one group under their version."""
    versions: dict[tuple[str, int], list[Addressed]] = {}
    for outcome in outcomes:
        if isinstance(outcome, Marked) and outcome.version is not None:
            group = versions.setdefault((outcome.mark.chat_id, outcome.version), [])
            frame = _frame(outcome)
            if frame is not None:
                group.append(frame)
    for (chat_id, version), frames in versions.items():
        ctx.broker.marks(chat_id, version, frames)


def _frame(marked: Marked) -> Addressed | None:
    mark, at = marked.mark, marked.at
    if at is None:
        return None
    if mark.kind == "read":
        shown = read_frame(mark.chat_id, mark.user_id, mark.message_id, marked.seq, at)
        hidden_from = marked.hidden_from | marked.secretive if marked.hidden_from else marked.secretive
        return concealed(shown, mark.user_id, hidden_from, marked.read_receipts)
    if not marked.senders:
        return None
    return received_frame(
        mark.chat_id, mark.user_id, mark.message_id, marked.seq, at, marked.senders, marked.hidden_from
    )


def read_frame(chat_id: str, user_id: str, message_id: str, seq: int, at: datetime) -> bytes:
    """delivery.read."""
    return codec.frame(
        DeliveryRead(
            chat_id=chat_id, user_id=user_id, last_read_message_id=message_id, last_read_seq=seq, read_at=at
        )
    )


def concealed(frame: bytes, user_id: str, hidden_from: frozenset[str], read_receipts: bool) -> Addressed:
    """A delivery.read for everybody in the chat who may see it; the user's own devices always do."""
    if not read_receipts:
        return Addressed(frame, frozenset((user_id,)))
    # Many have the same few in common: no set of its own for each of them.
    return Addressed(frame, None, hidden_from - {user_id} if user_id in hidden_from else hidden_from)


def received_frame(
    chat_id: str,
    user_id: str,
    message_id: str,
    seq: int,
    at: datetime,
    only: frozenset[str] | None,
    hidden_from: frozenset[str],
) -> Addressed:
    """delivery.received, for those whose messages it covers and who may see it."""
    event = DeliveryReceived(chat_id=chat_id, user_id=user_id, message_id=message_id, seq=seq, received_at=at)
    return Addressed(codec.frame(event), only, hidden_from)


ADVANCE: Batch[Mark, Marked] = Batch("marks", _advance, settled=_broadcast, key=lambda m: m.chat_id)
