"""The hot path: sends, by group commit through append_messages.

protocol.md, section 4: an ack means committed; a retry is safe for ever; one order for all.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

import msgspec
from msgspec import UNSET, UnsetType

from chatd.core.context import Ctx, Judgement
from chatd.core.declarations import Batch
from chatd.core.errors import (
    AppError,
    Blocked,
    ChatNotFound,
    Conflict,
    Forbidden,
    Internal,
    MessageNotFound,
    Muted,
    RateLimited,
    ValidationFailed,
)
from chatd.core.ids import ChatId, MediaId, MessageId, UserId
from chatd.core.pending import Pending
from chatd.features.chats import service as chats
from chatd.features.chats.contract import (
    ForwardedContent,
    Message,
    MessageNew,
    ReplyPreview,
    TextContent,
)
from chatd.features.messages import attaching_store, screening, store
from chatd.wire import codec

log = logging.getLogger("chatd.messages")
_encode = msgspec.json.Encoder().encode
#: What is shown of a message that a filter has hidden.
_TOMBSTONE = msgspec.Raw(b'{"type":"tombstone"}')


class Sending(msgspec.Struct, frozen=True):
    """One send on its way into a batch."""

    chat_id: ChatId
    sender_id: UserId
    client_message_id: str
    fingerprint: int
    message_id: MessageId
    content: bytes
    reply_to: MessageId | None
    text: str
    mentions: tuple[UserId, ...] = ()
    everybody: bool = False
    media: tuple[MediaId, ...] = ()

    @property
    def woven(self) -> bool:
        """Whether it replies to something or mentions somebody."""
        return self.reply_to is not None or self.everybody or bool(self.mentions)


class Stored(msgspec.Struct, frozen=True):
    """One send that is durable: now, or (``duplicate``) since an earlier time."""

    sending: Sending
    message_id: MessageId
    seq: int
    sent_at: datetime
    duplicate: bool
    status: str = "visible"
    thread_id: MessageId | UnsetType = UNSET
    reply_preview: ReplyPreview | UnsetType = UNSET
    #: As it was stored, where that says more than what was sent.
    content: msgspec.Raw | None = None

    @property
    def ack_token(self) -> str:
        """The same for every repeat, so that a first ack and a later one are equal."""
        return "ack_" + self.message_id.removeprefix("msg_")


def send(
    ctx: Ctx, chat_id: ChatId, client_message_id: str, content: TextContent, reply_to: MessageId | None
) -> Pending[Stored]:
    """Queue a message for the next round; resolves once it is durable.

    Fails with ChatNotFound, Muted, Forbidden (read-only chat, or everybody called by one who may not),
    Conflict (the same client_message_id with other content), MessageNotFound (reply_to), ValidationFailed
    (a mention of somebody who is not in the chat, an attachment that is not ready or not the sender's to
    send), RateLimited, Unavailable.
    """
    require_sayable(content)
    content = tidy(content)
    body = _encode(content)
    sending = Sending(
        chat_id,
        ctx.actor.user_id,
        client_message_id,
        fingerprint(body, reply_to),
        ctx.ids.new("msg"),
        body,
        reply_to,
        content.text,
        tuple(content.mentions or ()),
        content.mentions_all is True,
        media_of(content),
    )
    return ctx.groups.submit(APPEND, sending)


def forward(ctx: Ctx, chat_id: ChatId, client_message_id: str, content: ForwardedContent) -> Pending[Stored]:
    """Queue what was said elsewhere; fails as ``send`` does. The caller has asked whether the actor may
    read it.
    """
    body = _encode(content)
    mark = fingerprint(body, None)
    sending = Sending(
        chat_id,
        ctx.actor.user_id,
        client_message_id,
        mark,
        ctx.ids.new("msg"),
        body,
        None,
        content.text,
        media=media_of(content),
    )
    return ctx.groups.submit(APPEND, sending)


def tidy(content: TextContent) -> TextContent:
    """The content without mentions that say nothing: none, the same twice, ``mentions_all`` not set."""
    if content.mentions is UNSET and content.mentions_all is UNSET:
        return content
    return msgspec.structs.replace(
        content,
        mentions=list(dict.fromkeys(content.mentions)) if content.mentions else UNSET,
        mentions_all=content.mentions_all or UNSET,
    )


def require_sayable(content: TextContent) -> None:
    """Something must be said, or shown; nothing is shown twice."""
    media = media_of(content)
    if not content.text and not media:
        raise ValidationFailed.at("$.content.text", "expected 1 to 4000 characters, or an attachment")
    if len(set(media)) < len(media):
        raise ValidationFailed.at("$.content.attachments", "the same medium twice")


def media_of(content: TextContent | ForwardedContent) -> tuple[MediaId, ...]:
    """What is attached, in order."""
    return tuple(each.media_id for each in content.attachments)


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
    "blocked": Blocked,
    "read_only": Forbidden,
    "reply_not_found": MessageNotFound,
    "mention_forbidden": Forbidden,
    "mention_not_found": ValidationFailed,
    "attachment_not_found": ValidationFailed,
}
_DETAILS = {
    "conflict": "This client_message_id was used for another message",
    "read_only": "This chat is read-only",
    "reply_not_found": "There is no message reply_to in this chat",
    "mention_forbidden": "Only moderators of this chat may call everybody",
    "mention_not_found": "somebody who is not in this chat",
    "attachment_not_found": "there is no such medium for you, or it is not ready",
}
_PLACES = {"mention_not_found": "$.content.mentions", "attachment_not_found": "$.content.attachments"}


async def _append(ctx: Ctx, sendings: list[Sending]) -> Sequence[Stored | Exception]:
    outcomes: list[Stored | Exception | None] = await _refuse_floods(ctx, sendings)
    going = [i for i, refused in enumerate(outcomes) if refused is None]
    if going:
        passing = [sendings[i] for i in going]
        judged = await screening.judge(ctx, [(s.sender_id, s.text) for s in passing])
        rows = await _store(ctx, passing, judged)
        for place, (i, sending, row) in enumerate(zip(going, passing, rows, strict=True)):
            outcomes[i] = _outcome(sending, row, judged.get(place))
            if row.outcome == "silenced":
                await _silence(ctx, sending, judged[place])
    return [outcome or Internal() for outcome in outcomes]


async def _silence(ctx: Ctx, sending: Sending, judgement: Judgement) -> None:
    try:
        await screening.silence(ctx, sending.chat_id, sending.sender_id, judgement)
    except AppError as error:
        # The others of this batch are stored, and must hear so; who goes on is judged again.
        log.warning("somebody could not be silenced: %s", error.code)


async def _store(
    ctx: Ctx, sendings: list[Sending], judged: dict[int, Judgement]
) -> Sequence[store.AppendRow | store.WovenRow | attaching_store.AttachedRow]:
    """One statement; the dearer ones only where somebody replies or mentions, or attaches."""
    columns = (
        [s.chat_id for s in sendings],
        [s.sender_id for s in sendings],
        [s.client_message_id for s in sendings],
        [s.fingerprint for s in sendings],
        [s.message_id for s in sendings],
        [s.content.decode() for s in sendings],
        [s.reply_to for s in sendings],
        *_said(judged, len(sendings)),
        ctx.screen.scans,
    )
    attached = [(place, media_id) for place, s in enumerate(sendings, 1) for media_id in s.media]
    if not attached and not any(s.woven for s in sendings):
        return await store.append(ctx.db, *columns)
    mentions = [(place, user_id) for place, s in enumerate(sendings, 1) for user_id in s.mentions]
    woven = (
        [s.everybody for s in sendings],
        [place for place, _ in mentions],
        [user_id for _, user_id in mentions],
    )
    if not attached:
        return await store.append_conversation(ctx.db, *columns, *woven)
    places, media = [place for place, _ in attached], [media_id for _, media_id in attached]
    return await attaching_store.append_attached(ctx.db, *columns, *woven, places, media)


def _said(judged: dict[int, Judgement], count: int) -> tuple[list[str] | None, list[str | None] | None]:
    """The statuses and reasons of a batch, as the statement takes them: None, where nothing was said."""
    if not judged:
        return None, None
    statuses = ["visible"] * count
    reasons: list[str | None] = [None] * count
    for place, judgement in judged.items():
        # Who is muted everywhere is refused like the others; only the words for it differ.
        statuses[place] = "refused" if judgement.status == "muted" else judgement.status
        reasons[place] = judgement.reason
    return statuses, reasons


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


def _outcome(
    sending: Sending,
    row: store.AppendRow | store.WovenRow | attaching_store.AttachedRow,
    judgement: Judgement | None,
) -> Stored | Exception:
    if row.outcome in ("refused", "silenced"):
        return screening.refusal(judgement) or Internal()
    error = _VERDICTS.get(row.outcome)
    if error is ValidationFailed:
        return ValidationFailed.at(_PLACES[row.outcome], _DETAILS[row.outcome])
    if error is not None:
        return error(_DETAILS.get(row.outcome))
    if row.message_id is None or row.seq is None or row.sent_at is None:
        return Internal()
    status = judgement.status if judgement is not None else "visible"
    stored = Stored(sending, row.message_id, row.seq, row.sent_at, row.outcome == "repeat", status)
    if isinstance(row, attaching_store.AttachedRow):
        stored = msgspec.structs.replace(stored, content=row.content)
    if isinstance(row, store.WovenRow | attaching_store.AttachedRow):
        preview = chats.reply_preview(sending.reply_to, row.quoted_sender, row.quoted_text)
        return msgspec.structs.replace(stored, thread_id=row.root or UNSET, reply_preview=preview)
    return stored


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
        content=_TOMBSTONE if stored.status == "hidden" else stored.content or msgspec.Raw(sending.content),
        reply_to=sending.reply_to,
        reactions=[],
        sent_at=stored.sent_at,
        edited_at=None,
        deleted_at=None,
        moderation_status=stored.status,
        thread_id=stored.thread_id,
        reply_preview=stored.reply_preview,
    )


APPEND: Batch[Sending, Stored] = Batch(
    "append", _append, settled=_broadcast, key=lambda s: s.chat_id, max_batch=500, max_queue=20_000
)
