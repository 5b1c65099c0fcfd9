"""The hot path: sends, by group commit through append_messages.

protocol.md, section 4: an ack means committed; a retry is safe for ever; one order for all.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from chatd.core.context import Ctx
from chatd.core.declarations import Batch
from chatd.core.errors import (
    AppError,
    ChatNotFound,
    Conflict,
    Forbidden,
    Internal,
    MessageNotFound,
    Muted,
    RateLimited,
    ValidationFailed,
)
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.core.pending import Pending
from chatd.features.chats.contract import Message, MessageNew, TextContent
from chatd.features.messages import store
from chatd.wire import codec

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Sending:
    """One send on its way into a batch."""

    chat_id: ChatId
    sender_id: UserId
    client_message_id: str
    fingerprint: int
    message_id: MessageId
    content: bytes
    reply_to: MessageId | None


@dataclass(frozen=True, slots=True)
class Stored:
    """One send that is durable: now, or (``duplicate``) since an earlier time."""

    sending: Sending
    message_id: MessageId
    seq: int
    sent_at: datetime
    duplicate: bool

    @property
    def ack_token(self) -> str:
        """The same for every repeat, so that a first ack and a later one are equal."""
        return "ack_" + self.message_id.removeprefix("msg_")


def send(
    ctx: Ctx, chat_id: ChatId, client_message_id: str, content: TextContent, reply_to: MessageId | None
) -> Pending[Stored]:
    """Queue a message for the next round; resolves once it is durable.

    Fails with ChatNotFound, Muted, Forbidden (read-only chat), Conflict (the same client_message_id with
    other content), MessageNotFound (reply_to), RateLimited, Unavailable.
    """
    require_sayable(content)
    body = _encode(content)
    sending = Sending(
        chat_id,
        ctx.actor.user_id,
        client_message_id,
        fingerprint(body, reply_to),
        ctx.ids.new("msg"),
        body,
        reply_to,
    )
    return ctx.groups.submit(APPEND, sending)


def require_sayable(content: TextContent) -> None:
    """Something must be said."""
    if content.attachments:
        raise ValidationFailed.at("$.content.attachments[0].media_id", "there is no such medium")
    if not content.text:
        raise ValidationFailed.at("$.content.text", "expected 1 to 4000 characters")


def fingerprint(content: bytes, reply_to: str | None) -> int:
    """64 bits that tell a repeat from the same client_message_id with other content. The content as it was
    first sent, since edits change the stored one.
    """
    digest = blake2b(content + (reply_to or "").encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


_VERDICTS: dict[str, type[AppError]] = {
    "chat_not_found": ChatNotFound,
    "conflict": Conflict,
    "muted": Muted,
    "read_only": Forbidden,
    "reply_not_found": MessageNotFound,
}
_DETAILS = {
    "conflict": "This client_message_id was used for another message",
    "read_only": "This chat is read-only",
    "reply_not_found": "There is no message reply_to in this chat",
}


async def _append(ctx: Ctx, sendings: list[Sending]) -> Sequence[Stored | Exception]:
    outcomes: list[Stored | Exception | None] = await _refuse_floods(ctx, sendings)
    going = [i for i, refused in enumerate(outcomes) if refused is None]
    if going:
        passing = [sendings[i] for i in going]
        rows = await store.append(
            ctx.db,
            [s.chat_id for s in passing],
            [s.sender_id for s in passing],
            [s.client_message_id for s in passing],
            [s.fingerprint for s in passing],
            [s.message_id for s in passing],
            [s.content.decode() for s in passing],
            [s.reply_to for s in passing],
        )
        for i, sending, row in zip(going, passing, rows, strict=True):
            outcomes[i] = _outcome(sending, row)
    return [outcome or Internal() for outcome in outcomes]


async def _refuse_floods(ctx: Ctx, sendings: list[Sending]) -> list[Stored | Exception | None]:
    """A RateLimited in the place of each send that is over its sender's rate, over all nodes and edges."""
    limits = ctx.settings.limits
    refused: list[Stored | Exception | None] = [None] * len(sendings)
    if limits.sends_per_10s <= 0:
        return refused
    asked = Counter(s.sender_id for s in sendings)
    admitted = await ctx.limiter.admit(
        "sends", asked, limit=limits.sends_per_10s, period_s=10, burst=limits.sends_burst
    )
    left = {user: a.count for user, a in admitted.items()}
    for i, sending in enumerate(sendings):
        if left[sending.sender_id] > 0:
            left[sending.sender_id] -= 1
        else:
            wait = admitted[sending.sender_id].retry_after_ms
            refused[i] = RateLimited(retry_after_ms=max(1, wait))
    return refused


def _outcome(sending: Sending, row: store.AppendRow) -> Stored | Exception:
    error = _VERDICTS.get(row.outcome)
    if error is not None:
        return error(_DETAILS.get(row.outcome))
    if row.message_id is None or row.seq is None or row.sent_at is None:
        return Internal()
    return Stored(sending, row.message_id, row.seq, row.sent_at, row.outcome == "repeat")


def _broadcast(ctx: Ctx, outcomes: Sequence[Stored | Exception]) -> None:
    """Each chat's new messages, in seq order; repeats broadcast nothing."""
    by_chat: dict[str, list[Stored]] = {}
    for outcome in outcomes:
        if isinstance(outcome, Stored) and not outcome.duplicate:
            by_chat.setdefault(outcome.sending.chat_id, []).append(outcome)
    for chat_id, stored in by_chat.items():
        stored.sort(key=lambda s: s.seq)
        frames = [codec.frame(MessageNew(chat_id=chat_id, seq=s.seq, message=_fresh(s))) for s in stored]
        ctx.broker.log(chat_id, stored[0].seq, stored[-1].seq, frames)


def _fresh(stored: Stored) -> Message:
    """A message at its birth, as any later reading would show it."""
    sending = stored.sending
    return Message(
        id=stored.message_id,
        chat_id=sending.chat_id,
        seq=stored.seq,
        updated_seq=stored.seq,
        sender_id=sending.sender_id,
        client_message_id=sending.client_message_id,
        content=msgspec.Raw(sending.content),
        reply_to=sending.reply_to,
        reactions=[],
        sent_at=stored.sent_at,
        edited_at=None,
        deleted_at=None,
        moderation_status="visible",
    )


APPEND: Batch[Sending, Stored] = Batch(
    "append", _append, settled=_broadcast, key=lambda s: s.chat_id, max_batch=500, max_queue=20_000
)
