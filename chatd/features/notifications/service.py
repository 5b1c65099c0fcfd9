"""The rules of notifications: whom to tell, once, and what follows from it."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta, structs

from chatd.core.context import Ctx, Tx
from chatd.core.errors import NotFound
from chatd.core.ids import UserId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.devices import service as devices
from chatd.features.devices.contract import Notice
from chatd.features.notifications import store
from chatd.features.notifications.contract import (
    SECURITY_TYPES,
    ListNotifications,
    Notification,
    NotificationId,
    NotificationNew,
    NotificationPage,
    NotificationsRead,
    Payload,
    Unread,
)

__all__ = ("notify", "page", "read", "read_all")

UNREAD_CAP = 999
#: Users told in one statement.
CHUNK = 1000
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")


async def notify(
    tx: Tx,
    ctx: Ctx,
    user_ids: Collection[UserId],
    type: str,
    payload: Payload,
    *,
    dedupe_key: str | None = None,
    actor_id: UserId | None = None,
) -> list[UserId]:
    """Tell these users of something, beside what else the transaction does; who was told.

    With a ``dedupe_key`` a user is told of it once, however often this is called. ``actor_id`` is whose
    doing it was: they are not told of it themselves, nor is anybody between whom and them a block stands.
    Who has turned the type off is left out, but for matters of security. After commit it is live on their
    sockets (``notification.new``); who has none gets a push, unless they read it first.
    """
    if not _TYPE.fullmatch(type):
        raise ValueError(f"{type!r} is no type of notifications")
    told: list[UserId] = []
    wanted = sorted(set(user_ids))
    for i in range(0, len(wanted), CHUNK):
        told += await _notify(tx, ctx, wanted[i : i + CHUNK], type, payload, dedupe_key, actor_id)
    return told


async def _notify(
    tx: Tx,
    ctx: Ctx,
    user_ids: list[UserId],
    type: str,
    payload: Payload,
    dedupe_key: str | None,
    actor_id: UserId | None,
) -> list[UserId]:
    stored = await store.insert(
        tx,
        [ctx.ids.new("ntf") for _ in user_ids],
        user_ids,
        type,
        payload.title,
        payload.message,
        payload.action_url,
        msgspec.json.encode(payload.data),
        dedupe_key,
        actor_id,
        type in SECURITY_TYPES,
        ctx.clock.now(),
    )
    for each in stored:
        shown = Notification(*structs.astuple(each)[1:])
        tx.after_commit(ctx.broker.to_users, [each.user_id], NotificationNew(notification=shown))
        data = {"type": "notification.new", "notification_id": each.id, "notification_type": type}
        if payload.action_url is not None:
            data["action_url"] = payload.action_url
        notice = Notice(key=each.id, title=payload.title, body=payload.message, data=data)
        await devices.notify(tx, ctx, [each.user_id], notice)
    return [each.user_id for each in stored]


async def page(ctx: Ctx, query: ListNotifications) -> NotificationPage:
    """The actor's, newest first. Raises ValidationFailed for a cursor that is none."""
    me = ctx.actor.user_id
    at, after_id = None, None
    if query.cursor is not None:
        at, after_id = decode_cursor(query.cursor, tuple[Annotated[datetime, Meta(tz=True)], NotificationId])
    found = await store.page(ctx.db, me, query.unread, at, after_id, query.limit + 1)
    found, last = cut(found, query.limit)
    return NotificationPage(
        notifications=found,
        unread_count=await store.count_unread(ctx.db, me, UNREAD_CAP),
        next_cursor=encode_cursor(last.created_at, last.id) if last else None,
    )


async def read(ctx: Ctx, notification_id: NotificationId) -> Unread:
    """The actor has seen this one; twice is once. Raises NotFound where it is not theirs."""
    return await _read(ctx, notification_id)


async def read_all(ctx: Ctx) -> Unread:
    """The actor has seen all there is."""
    return await _read(ctx, None)


async def _read(ctx: Ctx, notification_id: NotificationId | None) -> Unread:
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        if notification_id is not None and not await store.owned(tx, me, notification_id):
            raise NotFound("You have no such notification")
        fresh = await store.mark_read(tx, me, notification_id, ctx.clock.now())
        left = await store.count_unread(tx, me, UNREAD_CAP)
        if fresh:
            await devices.unnotify(tx, me, fresh)
            ids = None if notification_id is None else [notification_id]
            event = NotificationsRead(notification_ids=ids, unread_count=left)
            tx.after_commit(ctx.broker.to_users, [me], event)
    return Unread(unread_count=left)
