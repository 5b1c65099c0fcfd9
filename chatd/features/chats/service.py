"""Chats: the rules of making them and of coming, going and ranks in them.

What changes a chat holds the chat's row from before it looks until it commits, so that rules and seqs
are right whoever else is at it. Functions that take a ``tx`` are for other rooms too: they write, put the
system message and the node feed's row beside it, and leave *who may* to the caller. The others ask in the
actor's name.

In the node feed, ``chat.updated`` with no ``user_ids`` is for every member.
"""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from chatd.core.context import Ctx, Tx
from chatd.core.errors import ChatNotFound, Conflict, Forbidden, UserNotFound, ValidationFailed
from chatd.core.ids import ChatId, UserId
from chatd.features.audit import service as audit
from chatd.features.chats import departing_store, erasing_store, rules, store
from chatd.features.chats.bans import (
    bans,
    lift_ban,
    mute,
    require_none_banned,
    require_unmuted,
    save_ban,
)
from chatd.features.chats.contract import (
    Chat,
    ChatDetail,
    ChatType,
    CreateChat,
    Member,
    Message,
    MessageNew,
    Role,
    Seat,
    SystemContent,
)
from chatd.features.chats.directs import accept, decline, open_direct
from chatd.features.chats.heads import head, heads_of
from chatd.features.chats.rows import Locked
from chatd.features.chats.settings import change_settings, settings_of, show_settings
from chatd.features.chats.views import (
    HEADS,
    detail,
    members_among,
    members_shared,
    messages_by_ids,
    page,
    reply_preview,
    requests,
    require_seat,
    view,
    views,
)
from chatd.features.relations import service as relations
from chatd.wire import codec

__all__ = (
    "HEADS",
    "accept",
    "add_members",
    "append_system",
    "assign_role",
    "bans",
    "change_settings",
    "convert",
    "create",
    "decline",
    "depart",
    "detail",
    "erase",
    "expel",
    "head",
    "heads_of",
    "invite",
    "leave",
    "lift_ban",
    "lock",
    "lock_seat",
    "members_among",
    "members_shared",
    "messages_by_ids",
    "mute",
    "open_chat",
    "page",
    "remove_member",
    "rename",
    "reply_preview",
    "requests",
    "require_seat",
    "save_ban",
    "set_read_only",
    "set_role",
    "settings_of",
    "show_settings",
    "view",
    "views",
)


#: Chats that somebody who goes for good leaves at once.
DEPARTURES = 20


# ------------------------------------------------------------------------------------- for other rooms too


async def lock(tx: Tx, chat_id: ChatId) -> Locked:
    """Hold the chat's row until the transaction ends. Raises ChatNotFound."""
    return await _lock(tx, chat_id)


async def lock_seat(tx: Tx, chat_id: ChatId, user_id: UserId) -> Seat:
    """Hold the chat's row, then read the user's place in it. Raises ChatNotFound."""
    # Two statements: the second sees what the last holder of the lock committed, the first might not.
    await _lock(tx, chat_id)
    return await require_seat(tx, chat_id, user_id)


async def append_system(tx: Tx, ctx: Ctx, chat_id: ChatId, actor_id: UserId, content: SystemContent) -> int:
    """Write what happened into the chat's log; the seq that it took. After commit the chat hears of it."""
    message_id = ctx.ids.new("msg")
    body = msgspec.json.encode(content)
    stamp = await store.append_system(tx, chat_id, message_id, actor_id, body)
    message = Message(
        id=message_id,
        chat_id=chat_id,
        seq=stamp.seq,
        updated_seq=stamp.seq,
        sender_id=actor_id,
        client_message_id=None,
        content=msgspec.Raw(body),
        reply_to=None,
        reactions=[],
        sent_at=stamp.at,
        edited_at=None,
        deleted_at=None,
        moderation_status="visible",
    )
    frame = codec.frame(MessageNew(chat_id=chat_id, seq=stamp.seq, message=message))
    tx.after_commit(ctx.broker.log, chat_id, stamp.seq, stamp.seq, [frame])
    return stamp.seq


async def create(
    tx: Tx,
    ctx: Ctx,
    *,
    type: ChatType,
    title: str | None,
    context_id: str | None = None,
    members: Sequence[tuple[UserId, Role]],
    created_by: UserId,
) -> ChatId:
    """A new chat that is not direct, with these members; its log is empty, so its first message has seq 1.

    Raises UserNotFound for a member without an account, Conflict past ``chats.max_members``; the
    transaction is of no further use then.
    """
    rules.require_room(0, len(members), ctx.settings.chats.max_members)
    chat_id = ctx.ids.new("cht")
    await store.insert_chat(tx, chat_id, type, title, context_id, created_by)
    user_ids = [user_id for user_id, _ in members]
    await store.insert_members(tx, chat_id, user_ids, [role for _, role in members], 0)
    await _tell(tx, ctx, "chat.joined", chat_id, user_ids)
    return chat_id


async def add_members(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_ids: Collection[UserId], *, by: UserId, role: Role = "member"
) -> list[UserId]:
    """Let these users in; who was not in before. They start with everything up to now read.

    Raises ChatNotFound, UserNotFound for one without an account, Forbidden for one who is banned from the
    chat, Conflict past ``chats.max_members``; the transaction is of no further use then.
    """
    chat = await _lock(tx, chat_id)
    there = set(await store.members_among(tx, chat_id, list(user_ids)))
    new = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in there]
    if not new:
        return []
    await require_none_banned(ctx, tx, chat_id, new)
    rules.require_room(chat.member_count, len(new), ctx.settings.chats.max_members)
    seq = await append_system(tx, ctx, chat_id, by, SystemContent(event="members_joined", user_ids=new))
    await store.insert_members(tx, chat_id, new, [role] * len(new), seq)
    await _tell(tx, ctx, "chat.joined", chat_id, new)
    return new


async def remove_member(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, *, by: UserId, reason: str
) -> bool:
    """Put the user out (or let go, where ``by`` is the user); False where the user was not in.

    ``reason`` goes into ``chat.left``: left · removed · banned · closed. Raises ChatNotFound.
    """
    await _lock(tx, chat_id)
    if not await store.delete_member(tx, chat_id, user_id):
        return False
    content = SystemContent(event="member_left" if by == user_id else "member_removed", user_ids=[user_id])
    await append_system(tx, ctx, chat_id, by, content)
    await _tell(tx, ctx, "chat.left", chat_id, [user_id], reason)
    return True


async def set_read_only(tx: Tx, ctx: Ctx, chat_id: ChatId, on: bool) -> None:
    """Close the chat for writing, or open it again. Raises ChatNotFound."""
    chat = await _lock(tx, chat_id)
    if chat.read_only != on:
        await store.set_read_only(tx, chat_id, on)
        await _tell(tx, ctx, "chat.updated", chat_id, [], "read_only" if on else "writable")


async def convert(
    tx: Tx,
    ctx: Ctx,
    chat_id: ChatId,
    *,
    type: ChatType,
    context_id: str | None = None,
    title: str | None | UnsetType = UNSET,
    by: UserId,
) -> None:
    """Make the chat one of another type; its id, members and messages stay. Raises ChatNotFound."""
    chat = await _lock(tx, chat_id)
    if "direct" in (type, chat.type):
        raise Conflict("A direct chat stays one, and no other becomes one")
    await store.set_kind(tx, chat_id, type, context_id)
    if title is not UNSET:
        await _retitle(tx, ctx, chat_id, chat.title, title, by)
    await _tell(tx, ctx, "chat.updated", chat_id, [], "converted")


async def assign_role(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, role: Role, *, by: UserId) -> None:
    """Give a member this rank. Raises ChatNotFound, UserNotFound where the user is not in the chat."""
    await _lock(tx, chat_id)
    if (await _member(tx, chat_id, user_id)).role != role:
        await store.set_role(tx, chat_id, user_id, role)
        content = SystemContent(event="role_changed", user_ids=[user_id], role=role)
        await append_system(tx, ctx, chat_id, by, content)
        await _tell(tx, ctx, "chat.updated", chat_id, [user_id], "role")


async def erase(tx: Tx, ctx: Ctx, chat_id: ChatId) -> None:
    """The chat is gone with all that was said in it, its members out (``closed``). Raises ChatNotFound."""
    await _lock(tx, chat_id)
    members = [member.user_id for member in await store.members(tx, chat_id)]
    await erasing_store.keep_index(tx)
    await erasing_store.erase(tx, chat_id)
    await _tell(tx, ctx, "chat.left", chat_id, members, "closed")


async def depart(ctx: Ctx, user_id: UserId) -> bool:
    """Take a user who goes for good out of some of their chats; whether more are left.

    A chat whose last owner goes is the moderator's, or else the member's, of longest standing. A direct chat
    is closed for writing; both stay in it, for there is nobody else whose it could be.
    """
    places = await departing_store.places(ctx.db, user_id, DEPARTURES)
    for place in places:
        async with ctx.db.transaction() as tx:
            await _lock(tx, place.chat_id)
            if place.type == "direct":
                await set_read_only(tx, ctx, place.chat_id, True)
                continue
            heir = await departing_store.heir(tx, place.chat_id, user_id)
            if place.role == "owner" and heir is not None:
                await assign_role(tx, ctx, place.chat_id, heir, "owner", by=user_id)
            await remove_member(tx, ctx, place.chat_id, user_id, by=user_id, reason="left")
    return len(places) == DEPARTURES


# --------------------------------------------------------------------------------------- in the actor's name


async def open_chat(ctx: Ctx, body: CreateChat) -> tuple[Chat, bool]:
    """A new group, or the direct chat of a pair; and whether it is new.

    Of a pair there is one direct chat, whoever asks, however often and at once. It has no title; one that
    is given is not used. Raises ValidationFailed, UserNotFound, Blocked where one of the others wants nothing
    of the actor, Muted, Conflict past ``chats.max_members``.
    """
    me = ctx.actor.user_id
    others = [user_id for user_id in dict.fromkeys(body.member_ids) if user_id != me]
    if body.type == "direct":
        if len(others) != 1:
            raise ValidationFailed.at("$.member_ids", "a direct chat takes exactly one other user")
        chat_id, new = await open_direct(ctx, others[0])
        return await view(ctx, chat_id), new
    members: list[tuple[UserId, Role]] = [(me, "owner"), *((other, "member") for other in others)]
    title = rules.clean_title(body.title)
    async with ctx.db.transaction() as tx:
        await require_unmuted(ctx, tx, me)
        await relations.require_reachable(tx, me, others)
        chat_id = await create(tx, ctx, type="group", title=title, members=members, created_by=me)
    return await view(ctx, chat_id), True


async def rename(ctx: Ctx, chat_id: ChatId, title: str | None) -> Chat:
    """Owners and moderators give the title. Raises ChatNotFound, Forbidden, Muted, ValidationFailed."""
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        chat = await _lock(tx, chat_id)
        seat = await require_seat(tx, chat_id, me)
        rules.require_moderator(seat)
        rules.require_unmuted(seat, ctx.clock.now())
        if await _retitle(tx, ctx, chat_id, chat.title, rules.clean_title(title), me):
            await _tell(tx, ctx, "chat.updated", chat_id, [], "title")
    return await view(ctx, chat_id)


async def invite(ctx: Ctx, chat_id: ChatId, user_ids: Collection[UserId]) -> ChatDetail:
    """Owners and moderators of a group let others in; those already in are left as they are.

    Raises ChatNotFound, Forbidden, UserNotFound, Blocked where one of the others wants nothing of the actor,
    Conflict past ``chats.max_members``.
    """
    async with ctx.db.transaction() as tx:
        seat = await lock_seat(tx, chat_id, ctx.actor.user_id)
        rules.require_own_members(seat)
        rules.require_moderator(seat)
        there = await members_among(tx, chat_id, user_ids)
        await relations.require_reachable(tx, seat.user_id, set(user_ids) - there)
        await add_members(tx, ctx, chat_id, user_ids, by=seat.user_id)
    return await detail(ctx, chat_id)


async def leave(ctx: Ctx, chat_id: ChatId) -> None:
    """Go. Raises ChatNotFound, Forbidden for other chats than groups, Conflict for the last owner."""
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        seat = await lock_seat(tx, chat_id, me)
        rules.require_own_members(seat)
        rules.require_may_leave(seat, await store.owners(tx, chat_id))
        await remove_member(tx, ctx, chat_id, me, by=me, reason="left")


async def expel(ctx: Ctx, chat_id: ChatId, user_id: UserId) -> None:
    """Owners and moderators put out members of lower ranks.

    Raises ChatNotFound, Forbidden, UserNotFound where the other is not in the chat.
    """
    async with ctx.db.transaction() as tx:
        seat = await lock_seat(tx, chat_id, ctx.actor.user_id)
        rules.require_own_members(seat)
        rules.require_moderator(seat)
        target = await _member(tx, chat_id, user_id)
        rules.require_outranks(seat, target.role)
        await remove_member(tx, ctx, chat_id, user_id, by=seat.user_id, reason="removed")
        await _record(tx, seat, "member.removed", user_id)


async def set_role(ctx: Ctx, chat_id: ChatId, user_id: UserId, role: Role) -> Member:
    """The owner gives ranks; ``owner`` hands the chat over and makes the old owner a moderator.

    Raises ChatNotFound, Forbidden, UserNotFound where the other is not in the chat, Conflict for the
    owner's own rank, which goes by handing over only.
    """
    async with ctx.db.transaction() as tx:
        seat = await lock_seat(tx, chat_id, ctx.actor.user_id)
        rules.require_own_members(seat)
        if seat.role != "owner":
            raise Forbidden("Only the owner of this chat gives ranks")
        target = await _member(tx, chat_id, user_id)
        if target.role != role:
            if user_id == seat.user_id:
                raise Conflict("You are the owner: hand the chat over to another member instead")
            rules.require_outranks(seat, target.role)
            await _assign(tx, ctx, seat, user_id, role)
            await _record(tx, seat, "member.role", user_id, before=target.role, after=role)
            if role == "owner":
                await _assign(tx, ctx, seat, seat.user_id, "moderator")
        return await _member(tx, chat_id, user_id)


# -------------------------------------------------------------------------------------------------- steps


async def _lock(tx: Tx, chat_id: ChatId) -> Locked:
    chat = await store.lock(tx, chat_id)
    if chat is None:
        raise ChatNotFound
    return chat


async def _member(tx: Tx, chat_id: ChatId, user_id: UserId) -> Member:
    member = await store.find_member(tx, chat_id, user_id)
    if member is None:
        raise UserNotFound("This user is not in the chat")
    return member


async def _tell(
    tx: Tx, ctx: Ctx, kind: str, chat_id: ChatId, user_ids: Sequence[UserId], reason: str | None = None
) -> None:
    await store.feed(tx, kind, chat_id, user_ids, reason)
    if kind == "chat.left":
        tx.after_commit(ctx.broker.left, chat_id, user_ids, reason or "left")
    tx.after_commit(ctx.broker.feed_changed)


async def _assign(tx: Tx, ctx: Ctx, seat: Seat, user_id: UserId, role: Role) -> None:
    await store.set_role(tx, seat.chat_id, user_id, role)
    content = SystemContent(event="role_changed", user_ids=[user_id], role=role)
    await append_system(tx, ctx, seat.chat_id, seat.user_id, content)
    await _tell(tx, ctx, "chat.updated", seat.chat_id, [user_id], "role")


async def _record(tx: Tx, seat: Seat, action: str, user_id: UserId, **detail: Any) -> None:
    await audit.record(tx, seat.user_id, action, target=("user", user_id), chat_id=seat.chat_id, **detail)


async def _retitle(tx: Tx, ctx: Ctx, chat_id: ChatId, old: str | None, new: str | None, by: UserId) -> bool:
    if new == old:
        return False
    await store.set_title(tx, chat_id, new)
    await append_system(tx, ctx, chat_id, by, SystemContent(event="title_changed", title=new))
    return True
