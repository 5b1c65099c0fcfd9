"""Messages to be sent later, each exactly once.

Its id is the client_message_id that it is sent under, by the road of every other message: who sends it twice
(after a crash between the send and the note of it) gets the first ack again. Who asks for it twice under one
client_message_id of their own gets the first answer again.
"""

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.core.context import Actor, Ctx, Tx
from chatd.core.errors import AppError, Conflict, NotFound, Unavailable, ValidationFailed
from chatd.core.ids import ChatId, UserId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.chats import service as chats
from chatd.features.chats.contract import TextContent
from chatd.features.conversations import scheduled_store as store
from chatd.features.conversations.contract import (
    DueRow,
    ListScheduled,
    PatchScheduled,
    Scheduled,
    ScheduledId,
    ScheduledList,
    ScheduledUpdated,
    ScheduleMessage,
)
from chatd.features.media import service as media
from chatd.features.messages import service as messages

log = logging.getLogger("chatd.conversations")

MAX_PENDING = 100
#: So many ids of what a user has taken back are remembered.
MAX_CANCELLED = 1000
FARTHEST = timedelta(days=366)
#: After this many attempts that met an outage or a rate, some two days, it has failed.
MAX_ATTEMPTS = 600
LONGEST_WAIT_S = 300.0
SEND_TIMEOUT_S = 10.0
TAKEN_BACK = "This message was scheduled and taken back"
_content = msgspec.json.Decoder(TextContent).decode


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt."""

    row: DueRow
    status: str
    message_id: str | None = None
    failure: str | None = None
    due_at: datetime | None = None


# -------------------------------------------------------------------------------------- in the actor's name


async def schedule(ctx: Ctx, chat_id: ChatId, body: ScheduleMessage) -> tuple[Scheduled, bool]:
    """Say it later; and whether it is new: a repeat of a client_message_id gives what came of the first.

    Raises ChatNotFound, ValidationFailed, Conflict past MAX_PENDING, or where the same client_message_id was
    for something else, or for what was taken back. Whether one may speak there is asked when it is sent.
    """
    me = ctx.actor.user_id
    messages.require_sayable(body.content)
    named = body.client_message_id
    if named is None:
        _require_future(ctx, body.send_at)
    content = msgspec.json.encode(messages.tidy(body.content))
    mark = None if named is None else _fingerprint(content, body)
    async with ctx.db.transaction() as tx:
        await chats.require_seat(tx, chat_id, me)
        await store.take_turn(tx, me)
        known = await _asked_before(tx, chat_id, me, named, mark)
        if known is not None:
            return known, False
        _require_future(ctx, body.send_at)  # a repeat may come when its time has passed
        if await store.count_pending(tx, me) >= MAX_PENDING:
            raise Conflict(f"At most {MAX_PENDING} messages may wait for their time")
        made = await store.insert_scheduled(
            tx,
            ctx.ids.new("sch"),
            chat_id,
            me,
            content,
            body.reply_to,
            body.send_at,
            named,
            mark,
        )
        if made is None:  # between the look and the insert it was taken back
            raise Conflict(TAKEN_BACK)
        await media.keep_until(tx, ctx, messages.media_of(body.content), body.send_at)
        tx.after_commit(ctx.broker.to_users, [me], ScheduledUpdated(scheduled=made))
    return made, True


async def change(ctx: Ctx, scheduled_id: ScheduledId, body: PatchScheduled) -> Scheduled:
    """Change what waits. Raises NotFound, Conflict (sent or failed), ValidationFailed."""
    me = ctx.actor.user_id
    content = None
    if body.content is not None:
        messages.require_sayable(body.content)
        content = msgspec.json.encode(messages.tidy(body.content))
    if body.send_at is not None:
        _require_future(ctx, body.send_at)
    async with ctx.db.transaction() as tx:
        changed = await store.change_scheduled(tx, scheduled_id, me, content, body.send_at)
        if changed is None:
            raise await _gone(ctx, scheduled_id)
        attached = messages.media_of(_content(changed.content))
        await media.keep_until(tx, ctx, attached, changed.send_at)
        tx.after_commit(ctx.broker.to_users, [me], ScheduledUpdated(scheduled=changed))
    return changed


async def cancel(ctx: Ctx, scheduled_id: ScheduledId) -> None:
    """Take it back, or forget one that failed. Raises NotFound, Conflict (sent)."""
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        gone = await store.delete_scheduled(tx, scheduled_id, me)
        if gone is None:
            raise await _gone(ctx, scheduled_id)
        if gone.client_message_id is not None:
            # A repeat that is still on its way must not bring back what its author has taken back.
            await store.keep_cancelled(tx, gone, me, ctx.clock.now())
            await store.drop_cancelled(tx, me, MAX_CANCELLED)
        tx.after_commit(ctx.broker.to_users, [me], ScheduledUpdated(scheduled=gone, cancelled=True))


async def page(ctx: Ctx, query: ListScheduled) -> ScheduledList:
    """The actor's, by their time. Raises ValidationFailed for a cursor that is none."""
    at, after = None, None
    if query.cursor is not None:
        at, after = decode_cursor(query.cursor, tuple[Annotated[datetime, Meta(tz=True)], ScheduledId])
    rows = await store.page_of_scheduled(
        ctx.db, ctx.actor.user_id, query.chat_id, query.status, at, after, query.limit + 1
    )
    rows, last = cut(rows, query.limit)
    return ScheduledList(items=rows, next_cursor=encode_cursor(last.send_at, last.id) if last else None)


async def _asked_before(
    tx: Tx, chat_id: ChatId, me: UserId, client_message_id: str | None, mark: bytes | None
) -> Scheduled | None:
    """What came of a request before. Raises Conflict where that was for another, or was taken back."""
    if client_message_id is None:
        return None
    asked = await store.find_asked(tx, chat_id, me, client_message_id)
    if asked is None:
        return None
    if asked.status != "cancelled" and asked.fingerprint != mark:
        raise Conflict("This client_message_id was used for another scheduled message")
    known = await store.find_scheduled(tx, asked.id, me)
    if known is None:
        raise Conflict(TAKEN_BACK)
    return known


def _fingerprint(content: bytes, body: ScheduleMessage) -> bytes:
    """64 bits of what was asked for, which may be changed since then."""
    more = f"{body.reply_to or ''} {body.send_at.astimezone(UTC).isoformat()}"
    return hashlib.blake2b(content + more.encode(), digest_size=8).digest()


def _require_future(ctx: Ctx, send_at: datetime) -> None:
    now = ctx.clock.now()
    if not now < send_at <= now + FARTHEST:
        raise ValidationFailed.at("$.send_at", "expected a time within the next year")


async def _gone(ctx: Ctx, scheduled_id: ScheduledId) -> AppError:
    if await store.find_scheduled(ctx.db, scheduled_id, ctx.actor.user_id) is None:
        return NotFound("There is no such scheduled message of yours")
    return Conflict("This message was sent, or could not be")


# ---------------------------------------------------------------------------------------------- sending


async def send_due(ctx: Ctx, limit: int) -> int:
    """Send up to ``limit`` messages whose time has come; how many were tried.

    The rows stay locked while they are sent: who cancels one meanwhile waits, and learns that it was sent.
    """
    async with ctx.db.transaction() as tx:
        rows = await store.take_due(tx, ctx.clock.now(), limit)
        if not rows:
            return 0
        outcomes = await asyncio.gather(*(_attempt(ctx, row) for row in rows))
        done = await _note(tx, outcomes)
        owners = {row.id: row.user_id for row in rows}
        for scheduled in done:
            if scheduled.status != "pending":
                event = ScheduledUpdated(scheduled=scheduled)
                tx.after_commit(ctx.broker.to_users, [owners[scheduled.id]], event)
    return len(rows)


async def _note(tx: Tx, outcomes: Sequence[Outcome]) -> list[Scheduled]:
    return await store.finish(
        tx,
        [o.row.id for o in outcomes],
        [o.status for o in outcomes],
        [o.message_id for o in outcomes],
        [o.failure for o in outcomes],
        [o.due_at for o in outcomes],
    )


async def _attempt(ctx: Ctx, row: DueRow) -> Outcome:
    if row.refusal is not None:
        return Outcome(row, "failed", failure=row.refusal)
    as_sender = replace(ctx, actor=Actor(row.user_id), origin=row.id)
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            stored = await messages.send(as_sender, row.chat_id, row.id, _content(row.content), row.reply_to)
    except TimeoutError:
        return _later(ctx, row, Unavailable())
    except AppError as error:
        return _later(ctx, row, error) if error.retryable else Outcome(row, "failed", failure=error.code)
    return Outcome(row, "sent", message_id=stored.message_id)


def _later(ctx: Ctx, row: DueRow, error: AppError) -> Outcome:
    if row.attempts + 1 >= MAX_ATTEMPTS:
        return Outcome(row, "failed", failure=error.code)
    wait_s = min(LONGEST_WAIT_S, 2.0 ** min(row.attempts, 16))
    wait_s = max(wait_s, (error.retry_after_ms or 0) / 1000)
    log.info("%s is tried again in %.0f s: %s", row.id, wait_s, error.code)
    return Outcome(row, "pending", due_at=ctx.clock.now() + timedelta(seconds=wait_s))
