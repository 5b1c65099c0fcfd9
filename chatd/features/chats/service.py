"""What users may do with chats; and, by name, all that other rooms may use of this one.

Functions that take a ``tx`` are of ``changes``, and leave *who may* to the caller. The ones here ask in the
actor's name.
"""

from collections.abc import Collection
from typing import Any

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Conflict, Forbidden, ValidationFailed
from chatd.core.ids import ChatId, UserId
from chatd.features.audit import service as audit
from chatd.features.chats import changes, rules, store
from chatd.features.chats.bans import (
    bans,
    lift_ban,
    mute,
    require_unmuted,
    save_ban,
)
from chatd.features.chats.changes import (
    add_members,
    assign_role,
    convert,
    create,
    erase,
    lock,
    lock_seat,
    remove_member,
    set_read_only,
)
from chatd.features.chats.contract import (
    Chat,
    ChatDetail,
    CreateChat,
    Member,
    Role,
    Seat,
)
from chatd.features.chats.departing import depart
from chatd.features.chats.directs import accept, decline, open_direct
from chatd.features.chats.heads import head, heads_of
from chatd.features.chats.settings import change_settings, show_settings
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

__all__ = (
    "HEADS",
    "accept",
    "add_members",
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
    "show_settings",
    "view",
    "views",
)


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
        chat = await lock(tx, chat_id)
        seat = await require_seat(tx, chat_id, me)
        rules.require_moderator(seat)
        rules.require_unmuted(seat, ctx.clock.now())
        if await changes.retitle(tx, ctx, chat_id, chat.title, rules.clean_title(title), me):
            await changes.tell(tx, ctx, "chat.updated", chat_id, [], "title")
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
        target = await changes.get_member(tx, chat_id, user_id)
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
        target = await changes.get_member(tx, chat_id, user_id)
        if target.role != role:
            if user_id == seat.user_id:
                raise Conflict("You are the owner: hand the chat over to another member instead")
            rules.require_outranks(seat, target.role)
            await changes.give_role(tx, ctx, chat_id, user_id, role, by=seat.user_id)
            await _record(tx, seat, "member.role", user_id, before=target.role, after=role)
            if role == "owner":
                await changes.give_role(tx, ctx, chat_id, seat.user_id, "moderator", by=seat.user_id)
        return await changes.get_member(tx, chat_id, user_id)


async def _record(tx: Tx, seat: Seat, action: str, user_id: UserId, **detail: Any) -> None:
    await audit.record(tx, seat.user_id, action, target=("user", user_id), chat_id=seat.chat_id, **detail)
