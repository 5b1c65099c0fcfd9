"""The way to permanence: what it asks for, the vote, and what follows from it.

A vote's electorate are those who are in when it opens; who leaves is taken out of it and it is counted
again. It ends as soon as nothing can change its outcome, at the latest after ``gp.voting_minutes``, and the
GP lives until then. After one that failed the GP goes on until its own time is over, and may ask again after
``gp.vote_retry_minutes``; if it does not, it ends as ``failed``.
"""

from datetime import datetime, timedelta

from msgspec import structs

from chatd.core.context import Ctx, Tx
from chatd.features.chats import service as chats
from chatd.features.gp import discovery, ending, places, rules, store, views
from chatd.features.gp.contract import Choice, Conversion, GpConverting, GpCriteria, GpId
from chatd.features.gp.errors import GpNotFound, NotAMember, NotAVoter, VoteNotOpen
from chatd.features.gp.frames import GpConverted, GpEligible, GpVote
from chatd.features.gp.rows import Ballot, Gp
from chatd.features.messages import service as messages
from chatd.features.messages.contract import ChatActivity

LOOKED_AT, MAX_BATCHES = 100, 20
#: A living GP is looked at again by itself after so long; members' clients ask for it sooner.
LOOK_AGAIN = timedelta(minutes=1)


async def check(ctx: Ctx, gp_id: GpId) -> GpConverting:
    """What permanence still asks for; where nothing is missing, the vote is opened.

    Raises GpNotFound, GpNotActive, NotAMember.
    """
    async with ctx.db.transaction() as tx:
        gp = await _lock_member(tx, ctx, gp_id)
        now = ctx.clock.now()
        criteria, _ = await look(tx, ctx, gp)
        message, status = await _ask(tx, ctx, gp, criteria, now)
        ballots = await store.ballots(tx, gp.id)
    return await _answer(ctx, gp.id, status, message, ballots, criteria)


async def vote(ctx: Ctx, gp_id: GpId, choice: Choice) -> GpConverting:
    """Say yes or no, or the other after all, while the vote is open.

    Raises GpNotFound, GpNotActive, NotAMember, VoteNotOpen, NotAVoter.
    """
    async with ctx.db.transaction() as tx:
        gp = await _lock_member(tx, ctx, gp_id)
        now = ctx.clock.now()
        if rules.conversion_at(gp, now) != "voting":
            raise VoteNotOpen
        if not await store.cast(tx, gp.id, ctx.actor.user_id, choice, now):
            raise NotAVoter
        status = await decide(tx, ctx, gp)
        ballots = await store.ballots(tx, gp.id)
    words = {
        "approved": "The GP is permanent now",
        "failed": "The vote has failed",
        "voting": "Your vote is counted",
    }
    return await _answer(ctx, gp.id, status, words[status], ballots, None)


async def decide(tx: Tx, ctx: Ctx, gp: Gp) -> Conversion:
    """Count the open vote of a GP that the transaction holds, and do what follows; tell the members."""
    ballots = await store.ballots(tx, gp.id)
    tally = rules.tally(ballots, fewest=ctx.settings.gp.min_members)
    if tally.outcome == "approved":
        await _approve(tx, ctx, gp, tally)
    elif tally.outcome == "failed":
        await _fail(tx, ctx, gp, tally, ctx.clock.now())
    else:
        await _tell(tx, ctx, gp, tally, None)
    return tally.outcome


async def look(tx: Tx, ctx: Ctx, gp: Gp) -> tuple[GpCriteria, ChatActivity | None]:
    """What permanence asks for and what was said, by the server's own count; writes both down.

    Tells the members where the GP has just become eligible.
    """
    now = ctx.clock.now()
    said = (await messages.activity(tx, [gp.chat_id])).get(gp.chat_id)
    criteria = rules.criteria(
        gp,
        said.message_count if said else 0,
        len(said.writers) if said else 0,
        said.flagged if said else 0,
        now,
        ctx.settings.gp,
    )
    met = rules.all_met(criteria)
    count = said.message_count if said else 0
    await store.note_activity(tx, gp.id, count, said.last_message_at if said else None, met, now)
    if met and gp.conversion == "none":
        event = GpEligible(gp_id=gp.id, chat_id=gp.chat_id, eligible_at=now)
        tx.after_commit(ctx.broker.to_users, [seat.user_id for seat in await store.seats(tx, gp.id)], event)
    return criteria, said


async def look_around(ctx: Ctx) -> None:
    """Look at the living GPs that were longest not looked at."""
    for _ in range(MAX_BATCHES):
        now = ctx.clock.now()
        ids = await store.least_looked_at(ctx.db, now, now - LOOK_AGAIN, LOOKED_AT)
        for gp_id in ids:
            async with ctx.db.transaction() as tx:
                gp = await store.lock(tx, gp_id)
                if gp is not None and rules.status_at(gp, ctx.clock.now()) == "active":
                    await look(tx, ctx, gp)
        if len(ids) < LOOKED_AT:
            break


async def close_due(ctx: Ctx) -> int:
    """End the votes past their deadline: what they did not decide has failed. How many."""
    closed = 0
    for gp_id in await store.due_votes(ctx.db, ctx.clock.now(), 1000):
        async with ctx.db.transaction() as tx:
            gp = await store.lock(tx, gp_id)
            now = ctx.clock.now()
            if gp is not None and gp.status == "active" and _lapsed(gp, now):
                ballots = await store.ballots(tx, gp.id)
                tally = rules.tally(ballots, fewest=ctx.settings.gp.min_members)
                await _fail(tx, ctx, gp, tally._replace(outcome="failed"), gp.vote_closes_at or now)
                closed += 1
    return closed


# -------------------------------------------------------------------------------------------------- steps


async def _lock_member(tx: Tx, ctx: Ctx, gp_id: GpId) -> Gp:
    gp = await store.lock(tx, gp_id)
    if gp is None:
        raise GpNotFound
    if all(seat.user_id != ctx.actor.user_id for seat in await store.seats(tx, gp_id)):
        raise NotAMember
    rules.require_active(gp, ctx.clock.now())
    return gp


async def _ask(tx: Tx, ctx: Ctx, gp: Gp, criteria: GpCriteria, now: datetime) -> tuple[str, Conversion]:
    if gp.conversion == "voting" and not _lapsed(gp, now):
        return f"A vote is open until {gp.vote_closes_at:%H:%M} UTC", "voting"
    retry_at = gp.vote_retry_at
    if _lapsed(gp, now) and gp.vote_closes_at is not None:
        # Nobody has written down yet that the last vote ran out.
        retry_at = await _fail(tx, ctx, gp, await _counted(tx, ctx, gp), gp.vote_closes_at)
    if rules.conversion_at(gp, now) == "failed" and retry_at is not None and retry_at > now:
        return f"The last vote failed; it may be asked again from {retry_at:%H:%M} UTC", "failed"
    missing = rules.unmet(criteria)
    if missing:
        status: Conversion = "failed" if rules.conversion_at(gp, now) == "failed" else "none"
        return "Not yet: " + ", ".join(missing), status
    closes_at = now + timedelta(minutes=ctx.settings.gp.voting_minutes)
    await store.open_vote(tx, gp.id, now, closes_at)
    opened = structs.replace(gp, conversion="voting", vote_closes_at=closes_at)
    await _tell(tx, ctx, opened, await _counted(tx, ctx, gp), None)
    return f"The vote is open until {closes_at:%H:%M} UTC", "voting"


def _lapsed(gp: Gp, now: datetime) -> bool:
    return gp.conversion == "voting" and rules.conversion_at(gp, now) == "failed"


async def _counted(tx: Tx, ctx: Ctx, gp: Gp) -> rules.Tally:
    return rules.tally(await store.ballots(tx, gp.id), fewest=ctx.settings.gp.min_members)


async def _approve(tx: Tx, ctx: Ctx, gp: Gp, tally: rules.Tally) -> None:
    """The GP is permanent: all of it in this transaction, the roles included."""
    seats = await store.seats(tx, gp.id)
    said = (await messages.activity(tx, [gp.chat_id])).get(gp.chat_id)
    present = [seat.user_id for seat in seats]
    admin = gp.created_by if gp.created_by in present else rules.successor(seats)
    if admin is None:  # nobody is in: then nobody voted
        raise NotAMember
    moderator = rules.moderator(seats, admin, said.writers if said else ())
    await store.end(tx, [gp.id], ["converted"], ctx.clock.now())
    await chats.convert(tx, ctx, gp.chat_id, type="group", context_id=gp.id, by=admin)
    await chats.assign_role(tx, ctx, gp.chat_id, admin, "owner", by=admin)
    if moderator is not None:
        await chats.assign_role(tx, ctx, gp.chat_id, moderator, "moderator", by=admin)
    await _tell(tx, ctx, gp, tally, None)
    await discovery.tell_watchers(tx, ctx, gp, gone=True)
    event = GpConverted(gp_id=gp.id, chat_id=gp.chat_id, admin_id=admin, moderator_id=moderator)
    tx.after_commit(ctx.broker.to_users, present, event)


async def _fail(tx: Tx, ctx: Ctx, gp: Gp, tally: rules.Tally, at: datetime) -> datetime:
    """The vote failed at that time; when it may be asked again. A GP past its own time ends with it."""
    retry_at = at + timedelta(minutes=ctx.settings.gp.vote_retry_minutes)
    await store.fail_vote(tx, gp.id, retry_at)
    await _tell(tx, ctx, gp, tally._replace(outcome="failed"), retry_at)
    if gp.lifetime_ends_at <= ctx.clock.now():
        await ending.end(tx, ctx, [gp], "failed")
    return retry_at


async def _tell(tx: Tx, ctx: Ctx, gp: Gp, tally: rules.Tally, retry_at: datetime | None) -> None:
    event = GpVote(
        gp_id=gp.id,
        chat_id=gp.chat_id,
        status=tally.outcome,
        yes=tally.yes,
        no=tally.no,
        voters=tally.voters,
        needed=tally.needed,
        closes_at=gp.vote_closes_at or ctx.clock.now(),
        retry_at=retry_at,
    )
    members = [seat.user_id for seat in await store.seats(tx, gp.id)]
    tx.after_commit(ctx.broker.to_users, members, event)


async def _answer(
    ctx: Ctx,
    gp_id: GpId,
    status: Conversion,
    message: str,
    ballots: list[Ballot],
    criteria: GpCriteria | None,
) -> GpConverting:
    views_ = await views.show(ctx, [gp_id], await places.find(ctx))
    if not views_:
        raise GpNotFound
    mine = next((ballot.choice for ballot in ballots if ballot.user_id == ctx.actor.user_id), None)
    return GpConverting(
        eligible=status in ("voting", "approved") or (criteria is not None and rules.all_met(criteria)),
        status=status,
        message=message,
        criteria=criteria,
        my_vote=mine,
        gp=views_[0],
    )
