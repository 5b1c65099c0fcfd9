"""The life of GPs: made, joined, left, looked at, over. In the actor's name.

What changes a GP holds its row from before it looks until it commits, then its chat's row; of a creation
the actor's row and then the census (``limits``). Time is read, never waited for: a GP past its end is over
for whoever asks, though no job has said so yet.
"""

from datetime import timedelta

from msgspec import UNSET, structs

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Forbidden, ValidationFailed
from chatd.features.accounts import service as accounts
from chatd.features.chats import service as chats
from chatd.features.gp import discovery, ending, geo, limits, places, rules, store, views, voting
from chatd.features.gp.contract import (
    ConvertGp,
    CreateGp,
    GpActivity,
    GpAnswer,
    GpConverting,
    GpId,
    GpLeft,
    GpsExpired,
    MyGps,
    UpdateGpActivity,
)
from chatd.features.gp.discovery import explore, list_near, unwatch, watch
from chatd.features.gp.errors import AlreadyMember, GpFull, GpNotActive, GpNotFound, NotAMember
from chatd.features.gp.frames import GpMemberJoined, GpMemberLeft
from chatd.features.gp.rows import Gp

__all__ = (
    "convert",
    "create",
    "details",
    "expire",
    "explore",
    "join",
    "leave",
    "leave_all",
    "limits",
    "list_near",
    "mine",
    "unwatch",
    "update_activity",
    "watch",
)

#: GPs of one user in ``my-gps``.
MINE = 100


async def create(ctx: Ctx, wanted: CreateGp) -> GpAnswer:
    """A new GP with its chat, and the actor in both.

    Raises ValidationFailed, GpDailyLimit, GpCooldown, GpCategoryLimit, GpSystemLimit.
    """
    me, gp_id, now = ctx.actor.user_id, ctx.ids.new("gp"), ctx.clock.now()
    subject = rules.subject(wanted)
    place = geo.snap(wanted.location.latitude, wanted.location.longitude)
    zone = (await accounts.get_profile(ctx, "me")).time_zone
    await limits.refresh_census(ctx, older_than=limits.STALE)
    async with ctx.db.transaction() as tx:
        await limits.take(tx, ctx, wanted.category, None if zone is UNSET else zone)
        title = rules.title(wanted.category, wanted.sub_type, subject.specific_name, subject.genre)
        chat_id = await chats.create(
            tx, ctx, type="gp", title=title, context_id=gp_id, members=[(me, "owner")], created_by=me
        )
        ends_at = now + timedelta(hours=ctx.settings.gp.lifetime_hours)
        await store.insert(tx, gp_id, chat_id, me, wanted, subject, place, now, ends_at)
        gp = await store.find(tx, gp_id)
        if gp is not None:
            await discovery.tell_watchers(tx, ctx, gp)
    await places.remember_first(ctx, place)
    return await _show(ctx, gp_id)


async def join(ctx: Ctx, gp_id: GpId) -> GpAnswer:
    """Come in, into its chat too. Raises GpNotFound, GpNotActive, AlreadyMember, GpFull."""
    me, now = ctx.actor.user_id, ctx.clock.now()
    async with ctx.db.transaction() as tx:
        gp = await _lock(tx, gp_id)
        if await discovery.hidden_gps(ctx, tx, gp_id):
            raise GpNotFound
        rules.require_active(gp, now)
        if any(seat.user_id == me for seat in await store.seats(tx, gp_id)):
            raise AlreadyMember
        if gp.member_count >= ctx.settings.gp.max_members:
            raise GpFull(f"This GP is full: {gp.member_count} of {ctx.settings.gp.max_members} are in")
        await store.add_member(tx, gp_id, me, now)
        await chats.add_members(tx, ctx, gp.chat_id, [me], by=me)
        gp = structs.replace(gp, member_count=gp.member_count + 1)
        event = GpMemberJoined(gp_id=gp.id, chat_id=gp.chat_id, user_id=me, member_count=gp.member_count)
        members = [seat.user_id for seat in await store.seats(tx, gp_id)]
        tx.after_commit(ctx.broker.to_users, members, event)
        await discovery.tell_watchers(tx, ctx, gp)
    return await _show(ctx, gp_id)


async def leave(ctx: Ctx, gp_id: GpId) -> GpLeft:
    """Go, from its chat too; an open vote is counted again without the actor. The last one ends the GP.

    Raises GpNotFound, GpNotActive, NotAMember.
    """
    me, now = ctx.actor.user_id, ctx.clock.now()
    async with ctx.db.transaction() as tx:
        gp = await _lock(tx, gp_id)
        if not await store.remove_member(tx, gp_id, me):
            raise NotAMember
        rules.require_active(gp, now)
        await _leave_chat(tx, ctx, gp)
        seats = await store.seats(tx, gp_id)
        gp = structs.replace(gp, member_count=len(seats))
        event = GpMemberLeft(gp_id=gp.id, chat_id=gp.chat_id, user_id=me, member_count=gp.member_count)
        tx.after_commit(ctx.broker.to_users, [me, *(seat.user_id for seat in seats)], event)
        if not seats:
            await ending.end(tx, ctx, [gp], "expired")
        else:
            await discovery.tell_watchers(tx, ctx, gp)
            if rules.conversion_at(gp, now) == "voting":
                await voting.decide(tx, ctx, gp)
    return GpLeft(gp_id=gp_id, message="You have left this GP")


async def leave_all(ctx: Ctx) -> int:
    """Leave every living GP, for one whose account goes; how many those were."""
    left = 0
    for gp_id in await store.ids_of_member(ctx.db, ctx.actor.user_id, ctx.clock.now(), MINE):
        try:
            await leave(ctx, gp_id)
        except (GpNotActive, NotAMember):
            continue  # over, or left meanwhile
        left += 1
    return left


async def details(ctx: Ctx, gp_id: GpId) -> GpAnswer:
    """One GP; one that is over is shown to those who were in it. Raises GpNotFound."""
    if await discovery.hidden_gps(ctx, ctx.db, gp_id):
        raise GpNotFound
    return await _show(ctx, gp_id)


async def mine(ctx: Ctx) -> MyGps:
    """The GPs that the actor is in, those that are over included while their history is kept."""
    ids = await store.ids_of_member(ctx.db, ctx.actor.user_id, ctx.clock.now(), MINE)
    return MyGps(gps=await views.show(ctx, ids, await places.find(ctx)))


async def convert(ctx: Ctx, wanted: ConvertGp) -> GpConverting:
    """Ask for permanence, or vote on it; see ``voting``."""
    if wanted.action == "check":
        return await voting.check(ctx, wanted.gp_id)
    if wanted.vote is None:
        raise ValidationFailed.at("$.vote", "yes or no?")
    return await voting.vote(ctx, wanted.gp_id, wanted.vote)


async def update_activity(ctx: Ctx, wanted: UpdateGpActivity) -> GpActivity:
    """Count what was said; the client's number is only a reason to look.

    Raises GpNotFound, GpNotActive, NotAMember.
    """
    async with ctx.db.transaction() as tx:
        gp = await _lock(tx, wanted.gp_id)
        if all(seat.user_id != ctx.actor.user_id for seat in await store.seats(tx, gp.id)):
            raise NotAMember
        rules.require_active(gp, ctx.clock.now())
        criteria, said = await voting.look(tx, ctx, gp)
    return GpActivity(
        gp_id=gp.id,
        message_count=said.message_count if said else 0,
        last_activity=said.last_message_at if said and said.last_message_at else gp.created_at,
        eligible=rules.all_met(criteria),
    )


async def expire(ctx: Ctx) -> GpsExpired:
    """End what is past its time, for the operator's own timer. Raises Forbidden."""
    if "operator" not in ctx.actor.roles:
        raise Forbidden("This is for the operator's programs")
    closed = await voting.close_due(ctx)
    return GpsExpired(
        expired=await ending.end_overdue(ctx), votes_closed=closed, warned=await ending.warn_expiring(ctx)
    )


# -------------------------------------------------------------------------------------------------- steps


async def _lock(tx: Tx, gp_id: GpId) -> Gp:
    gp = await store.lock(tx, gp_id)
    if gp is None:
        raise GpNotFound
    return gp


async def _leave_chat(tx: Tx, ctx: Ctx, gp: Gp) -> None:
    """Out of the chat; its owner hands it to the earliest of those who stay."""
    me = ctx.actor.user_id
    seat = await chats.lock_seat(tx, gp.chat_id, me)
    await chats.remove_member(tx, ctx, gp.chat_id, me, by=me, reason="left")
    heir = rules.successor(await store.seats(tx, gp.id))
    if seat.role == "owner" and heir is not None:
        await chats.assign_role(tx, ctx, gp.chat_id, heir, "owner", by=heir)


async def _show(ctx: Ctx, gp_id: GpId) -> GpAnswer:
    found = await views.show(ctx, [gp_id], await places.find(ctx))
    if not found or (found[0].status != "active" and not found[0].is_member):
        raise GpNotFound
    return GpAnswer(gp=found[0])
