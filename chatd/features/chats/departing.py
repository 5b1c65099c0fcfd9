"""Chats of somebody who goes for good."""

from chatd.core.context import Ctx
from chatd.core.ids import UserId
from chatd.features.chats import changes, departing_store, store

#: Chats that they leave at once.
DEPARTURES = 20


async def depart(ctx: Ctx, user_id: UserId) -> bool:
    """Take a user who goes for good out of some of their chats; whether more are left.

    A chat whose last owner goes is the moderator's, or else the member's, of longest standing. A direct chat
    is closed for writing; both stay in it, for there is nobody else whose it could be.
    """
    places = await departing_store.places(ctx.db, user_id, DEPARTURES)
    for place in places:
        async with ctx.db.transaction() as tx:
            await changes.lock(tx, place.chat_id)
            if place.type == "direct":
                await changes.set_read_only(tx, ctx, place.chat_id, True)
                continue
            # Asked anew under the lock: the chat may have been handed to the user meanwhile.
            seat = await store.find_seat(tx, place.chat_id, user_id)
            heir = await departing_store.heir(tx, place.chat_id, user_id)
            if seat is not None and seat.role == "owner" and heir is not None:
                await changes.assign_role(tx, ctx, place.chat_id, heir, "owner", by=user_id)
            await changes.remove_member(tx, ctx, place.chat_id, user_id, by=user_id, reason="left")
    return len(places) == DEPARTURES
