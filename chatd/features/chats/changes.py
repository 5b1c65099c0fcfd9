"""What changes a chat: its making, coming, going and ranks in it, its title, its end.

What changes a chat holds the chat's row from before it looks until it commits, so that rules and seqs
are right whoever else is at it. These write, put the system message and the node feed's row beside it, and
leave *who may* to the caller.

In the node feed, ``chat.updated`` with no ``user_ids`` is for every member.
"""

from collections.abc import Collection, Sequence

import msgspec
from msgspec import UNSET, UnsetType

from chatd.core.context import Ctx, Tx
from chatd.core.errors import ChatNotFound, Conflict, UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import erasing_store, rules, store
from chatd.features.chats.bans import require_none_banned
from chatd.features.chats.contract import ChatType, Member, Message, MessageNew, Role, Seat, SystemContent
from chatd.features.chats.rows import Locked
from chatd.features.chats.views import require_seat
from chatd.wire import codec


async def lock(tx: Tx, chat_id: ChatId) -> Locked:
    """Hold the chat's row until the transaction ends. Raises ChatNotFound."""
    chat = await store.lock(tx, chat_id)
    if chat is None:
        raise ChatNotFound
    return chat


async def lock_seat(tx: Tx, chat_id: ChatId, user_id: UserId) -> Seat:
    """Hold the chat's row, then read the user's place in it. Raises ChatNotFound."""
    # Two statements: the second sees what the last holder of the lock committed, the first might not.
    await lock(tx, chat_id)
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
    await tell(tx, ctx, "chat.joined", chat_id, user_ids)
    return chat_id


async def add_members(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_ids: Collection[UserId], *, by: UserId, role: Role = "member"
) -> list[UserId]:
    """Let these users in; who was not in before. They start with everything up to now read.

    Raises ChatNotFound, UserNotFound for one without an account, Forbidden for one who is banned from the
    chat, Conflict past ``chats.max_members``; the transaction is of no further use then.
    """
    chat = await lock(tx, chat_id)
    there = set(await store.members_among(tx, chat_id, list(user_ids)))
    new = [user_id for user_id in dict.fromkeys(user_ids) if user_id not in there]
    if not new:
        return []
    await require_none_banned(ctx, tx, chat_id, new)
    rules.require_room(chat.member_count, len(new), ctx.settings.chats.max_members)
    seq = await append_system(tx, ctx, chat_id, by, SystemContent(event="members_joined", user_ids=new))
    await store.insert_members(tx, chat_id, new, [role] * len(new), seq)
    await tell(tx, ctx, "chat.joined", chat_id, new)
    return new


async def remove_member(
    tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, *, by: UserId, reason: str
) -> bool:
    """Put the user out (or let go, where ``by`` is the user); False where the user was not in.

    ``reason`` goes into ``chat.left``: left · removed · banned · closed. Raises ChatNotFound.
    """
    await lock(tx, chat_id)
    if not await store.delete_member(tx, chat_id, user_id):
        return False
    content = SystemContent(event="member_left" if by == user_id else "member_removed", user_ids=[user_id])
    await append_system(tx, ctx, chat_id, by, content)
    await tell(tx, ctx, "chat.left", chat_id, [user_id], reason)
    return True


async def set_read_only(tx: Tx, ctx: Ctx, chat_id: ChatId, on: bool) -> None:
    """Close the chat for writing, or open it again. Raises ChatNotFound."""
    chat = await lock(tx, chat_id)
    if chat.read_only != on:
        await store.set_read_only(tx, chat_id, on)
        await tell(tx, ctx, "chat.updated", chat_id, [], "read_only" if on else "writable")


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
    chat = await lock(tx, chat_id)
    if "direct" in (type, chat.type):
        raise Conflict("A direct chat stays one, and no other becomes one")
    await store.set_kind(tx, chat_id, type, context_id)
    if title is not UNSET:
        await retitle(tx, ctx, chat_id, chat.title, title, by)
    await tell(tx, ctx, "chat.updated", chat_id, [], "converted")


async def assign_role(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, role: Role, *, by: UserId) -> None:
    """Give a member this rank. Raises ChatNotFound, UserNotFound where the user is not in the chat."""
    await lock(tx, chat_id)
    if (await get_member(tx, chat_id, user_id)).role != role:
        await give_role(tx, ctx, chat_id, user_id, role, by=by)


async def erase(tx: Tx, ctx: Ctx, chat_id: ChatId) -> None:
    """The chat is gone with all that was said in it, its members out (``closed``). Raises ChatNotFound."""
    # Before the chat's row: who sends what was scheduled holds that, too, and then waits for the chat.
    await erasing_store.hold_scheduled(tx, chat_id)
    await lock(tx, chat_id)
    members = [member.user_id for member in await store.members(tx, chat_id)]
    await erasing_store.keep_index(tx)
    await erasing_store.erase(tx, chat_id)
    await tell(tx, ctx, "chat.left", chat_id, members, "closed")


# -------------------------------------------------------------------- under the lock that the caller holds


async def get_member(tx: Tx, chat_id: ChatId, user_id: UserId) -> Member:
    """Raises UserNotFound where the user is not in the chat."""
    member = await store.find_member(tx, chat_id, user_id)
    if member is None:
        raise UserNotFound("This user is not in the chat")
    return member


async def give_role(tx: Tx, ctx: Ctx, chat_id: ChatId, user_id: UserId, role: Role, *, by: UserId) -> None:
    """This rank to a member, who has another."""
    await store.set_role(tx, chat_id, user_id, role)
    content = SystemContent(event="role_changed", user_ids=[user_id], role=role)
    await append_system(tx, ctx, chat_id, by, content)
    await tell(tx, ctx, "chat.updated", chat_id, [user_id], "role")


async def retitle(tx: Tx, ctx: Ctx, chat_id: ChatId, old: str | None, new: str | None, by: UserId) -> bool:
    """Another title; False where it has this one."""
    if new == old:
        return False
    await store.set_title(tx, chat_id, new)
    await append_system(tx, ctx, chat_id, by, SystemContent(event="title_changed", title=new))
    return True


async def tell(
    tx: Tx, ctx: Ctx, kind: str, chat_id: ChatId, user_ids: Sequence[UserId], reason: str | None = None
) -> None:
    """The nodes, and the sockets of this one at once where users are put out."""
    await store.feed(tx, kind, chat_id, user_ids, reason)
    if kind == "chat.left":
        tx.after_commit(ctx.broker.left, chat_id, user_ids, reason or "left")
    tx.after_commit(ctx.broker.feed_changed)
