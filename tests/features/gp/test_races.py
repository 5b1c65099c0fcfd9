"""Fifty at once on one GP, one user, one limit: rows and their locks decide, and nothing is half done."""

import asyncio
from collections import Counter

from chatd.core.errors import AppError
from chatd.features.gp import ending, service, voting
from chatd.features.gp.errors import (
    AlreadyMember,
    GpCooldown,
    GpFull,
    GpNotActive,
    GpSystemLimit,
    NotAMember,
    NotAVoter,
    VoteNotOpen,
)
from chatd.features.gp.frames import GpConverted, GpExpired, GpMemberJoined, GpVote


async def all_at_once(*calls):
    """How many succeeded, and the errors by type."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, AppError):
            raise outcome
    errors = Counter(type(outcome) for outcome in outcomes if isinstance(outcome, AppError))
    return len(outcomes) - errors.total(), errors


async def require_whole(world, gp):
    """The counts are the rows', and the chat's members are the GP's."""
    gp_count, rows = await asyncio.gather(
        world.db.one(int, "SELECT member_count FROM gps WHERE id = $1", gp.id),
        world.db.rows(str, "SELECT user_id::text FROM gp_members WHERE gp_id = $1 ORDER BY 1", gp.id),
    )
    in_chat = await world.db.rows(
        str,
        "SELECT p.user_id::text FROM chat_participants p JOIN gps g USING (chat_id) WHERE g.id = $1 "
        "ORDER BY 1",
        gp.id,
    )
    assert rows == in_chat
    assert gp_count == len(rows)
    census = await world.db.one(int, "SELECT active FROM gp_census")
    assert census == await world.db.one(int, "SELECT count(*) FROM gps WHERE status = 'active'")
    return rows


async def test_of_fifty_who_join_four_get_in_and_the_sixth_is_turned_away(world):
    ann, *others = await world.people(51)
    gp = await world.create(ann)
    joined, errors = await all_at_once(*(service.join(world.as_(user), gp.id) for user in others))
    assert (joined, errors) == (4, {GpFull: 46})
    assert len(await require_whole(world, gp)) == 5
    counts = [event.member_count for event in world.broker.told(GpMemberJoined)]
    assert sorted(counts) == [2, 3, 4, 5]


async def test_one_who_joins_fifty_times_is_in_once(world):
    ann, bob = await world.people(2)
    gp = await world.create(ann)
    joined, errors = await all_at_once(*(service.join(world.as_(bob), gp.id) for _ in range(50)))
    assert (joined, errors) == (1, {AlreadyMember: 49})
    await require_whole(world, gp)


async def test_one_who_creates_fifty_times_has_created_once(world):
    (ann,) = await world.people(1)
    made, errors = await all_at_once(*(world.create(ann) for _ in range(50)))
    assert (made, errors) == (1, {GpCooldown: 49})
    assert await world.db.one(int, "SELECT count(*) FROM chat_chats") == 1


async def test_fifty_creators_fill_the_system_to_its_limit_and_no_further(world):
    users = await world.people(50)
    made, errors = await all_at_once(*(world.create(user) for user in users))
    assert (made, errors) == (5, {GpSystemLimit: 45})
    assert await world.db.one(int, "SELECT count(*) FROM gps") == 5


async def test_joining_against_expiring_ends_with_everybody_told_or_nobody_in(world):
    ann, *others = await world.people(48)
    gp = await world.create(ann)
    world.pass_(hours=4)
    # The clock stands at the end of the GP: some joiners are before it by the clock, none after the job.
    joined, errors = await all_at_once(
        *(service.join(world.as_(user), gp.id) for user in others), ending.end_overdue(world.base)
    )
    assert set(errors) <= {GpNotActive, GpFull}
    await ending.end_overdue(world.base)
    members = await require_whole(world, gp)
    assert len(members) <= 5
    assert await world.db.one(str, "SELECT status FROM gps WHERE id = $1", gp.id) == "expired"
    assert await world.db.one(bool, "SELECT read_only FROM chat_chats") is True
    assert len(world.broker.told(GpExpired)) == 1
    assert joined >= 1


async def test_fifty_expirers_end_each_gp_once(world):
    world.set(min_active_groups=1000)
    for user in await world.people(30):
        await world.create(user)
    world.pass_(hours=4, seconds=1)
    ended = await asyncio.gather(*(ending.end_overdue(world.base) for _ in range(50)))
    assert sum(ended) == 30
    assert len(world.broker.told(GpExpired)) == 30
    assert await world.db.one(int, "SELECT active FROM gp_census") == 0


async def test_votes_against_leaving_decide_once_and_by_those_who_are_left(world):
    for round_ in range(6):
        gp, users = await world.ripe(5)
        await voting.check(world.as_(users[0]), gp.id)
        world.broker.pushed.clear()
        calls = [voting.vote(world.as_(user), gp.id, "yes") for user in users[:3] for _ in range(8)]
        calls += [service.leave(world.as_(user), gp.id) for user in users[3:] for _ in range(13)]
        _, errors = await all_at_once(*calls)
        assert set(errors) <= {NotAMember, GpNotActive, VoteNotOpen, NotAVoter}, round_
        outcomes = [event.status for event in world.broker.told(GpVote) if event.status != "voting"]
        assert outcomes == ["approved"]
        assert len(world.broker.told(GpConverted)) == 1
        status = await world.db.one(str, "SELECT status FROM gps WHERE id = $1", gp.id)
        assert status == "converted"
        await require_whole(world, gp)


async def test_fifty_checks_open_one_vote(world):
    gp, users = await world.ripe(5)
    asked, errors = await all_at_once(*(voting.check(world.as_(user), gp.id) for user in users * 10))
    assert (asked, errors) == (50, {})
    assert len(world.broker.told(GpVote)) == 1
    assert await world.db.one(int, "SELECT count(*) FROM gp_ballots") == 5


async def test_everybody_leaving_at_once_ends_the_gp_once(world):
    gp, users = await world.full_of(5)
    left, errors = await all_at_once(*(service.leave(world.as_(user), gp.id) for user in users * 10))
    assert left == 5
    assert set(errors) <= {NotAMember, GpNotActive}
    assert await require_whole(world, gp) == []
    assert await world.db.one(str, "SELECT status FROM gps") == "expired"
