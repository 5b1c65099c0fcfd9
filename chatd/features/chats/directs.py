"""Direct chats: one for a pair, whoever asks; and the requests of strangers.

Who lets only people of shared chats write directly (``relations``, ``messages_from``) is asked first by
others: the stranger is seated in the chat and may say a few words there, the other only once they accept.
"""

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Blocked, Conflict, NotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import changes, guard_store, store
from chatd.features.chats.contract import RequestNew
from chatd.features.relations import service as relations


async def open_direct(ctx: Ctx, other: UserId) -> tuple[ChatId, bool]:
    """The direct chat of the actor and the other, and whether it is new.

    To open one that waits for the actor's answer is to accept it. Raises UserNotFound; Blocked where none
    is there and the other wants none, whatever the reason.
    """
    me = ctx.actor.user_id
    # Ids sort as their uuids do, so both sides name the pair alike.
    low, high = min(me, other), max(me, other)
    found = await store.find_direct(ctx.db, low, high)
    if found is not None:
        return await _enter(ctx, found), False
    chat_id = ctx.ids.new("cht")
    async with ctx.db.transaction() as tx:
        await relations.require_none_blocked(tx, me, [other])
        audience = (await relations.privacy(tx, other)).messages_from
        if audience == "nobody":
            raise Blocked
        known = audience == "everyone" or await relations.shares_a_chat(tx, me, other)
        if await store.insert_direct(tx, chat_id, low, high, me):
            await _seat(tx, ctx, chat_id, [low, high] if known else [me])
            if not known:
                await guard_store.insert_request(tx, chat_id, me, other)
                tx.after_commit(ctx.broker.to_users, [other], RequestNew(chat_id=chat_id, from_id=me))
            return chat_id, True
    # The other side was first, and has committed: direct chats are never deleted.
    found = await store.find_direct(ctx.db, low, high)
    if found is None:
        raise Conflict("The chat was made and unmade at this moment; ask again")
    return await _enter(ctx, found), False


async def accept(ctx: Ctx, chat_id: ChatId) -> None:
    """Let a stranger's chat in: all that was said in it is there, unread; twice is once.

    Raises NotFound where no request of this chat is for the actor, Blocked.
    """
    me = ctx.actor.user_id
    async with ctx.db.transaction() as tx:
        # The chat before the request, as everybody does who holds both.
        if await store.lock(tx, chat_id) is None:
            raise NotFound("There is no such request")
        request = await guard_store.lock_request(tx, chat_id, me)
        if request is None:
            raise NotFound("There is no such request")
        if request.status == "accepted":
            return
        await relations.require_none_blocked(tx, me, [request.from_id])
        await guard_store.answer_request(tx, chat_id, "accepted", ctx.clock.now())
        await _seat(tx, ctx, chat_id, [me])


async def decline(ctx: Ctx, chat_id: ChatId) -> None:
    """Put a stranger's chat away; the stranger is not told. Raises NotFound, Conflict once accepted."""
    async with ctx.db.transaction() as tx:
        request = await guard_store.lock_request(tx, chat_id, ctx.actor.user_id)
        if request is None:
            raise NotFound("There is no such request")
        if request.status == "accepted":
            raise Conflict("You have accepted this request; block the user instead")
        await guard_store.answer_request(tx, chat_id, "declined", ctx.clock.now())


async def _enter(ctx: Ctx, chat_id: ChatId) -> ChatId:
    if await store.find_seat(ctx.db, chat_id, ctx.actor.user_id) is None:
        await accept(ctx, chat_id)
    return chat_id


async def _seat(tx: Tx, ctx: Ctx, chat_id: ChatId, user_ids: list[UserId]) -> None:
    await store.insert_members(tx, chat_id, user_ids, ["member"] * len(user_ids), 0)
    await changes.tell(tx, ctx, "chat.joined", chat_id, user_ids)
