"""The way to permanence."""

import pytest

from chatd.features.gp import service, voting
from chatd.features.gp.contract import ConvertGp, UpdateGpActivity
from chatd.features.gp.errors import GpNotActive, NotAMember, NotAVoter, VoteNotOpen
from chatd.features.gp.frames import GpConverted, GpEligible, GpExpired, GpVote


async def open_vote(world, count=4):
    gp, users = await world.ripe(count)
    assert (await voting.check(world.as_(users[0]), gp.id)).status == "voting"
    return gp, users


async def vote(world, gp, user, choice="yes"):
    return await voting.vote(world.as_(user), gp.id, choice)


async def view(world, gp, user):
    return (await service.details(world.as_(user), gp.id)).gp


@pytest.mark.parametrize(
    ("spoil", "missing"),
    [
        ("members", "active_members"),
        ("age", "active_hours"),
        ("messages", "messages"),
        ("writers", "writers"),
    ],
)
async def test_each_criterion_is_asked_for(world, spoil, missing):
    gp, users = await world.full_of(2 if spoil == "members" else 3)
    if spoil == "writers":
        await world.say(gp, *users[:2], each=10)
    elif spoil != "messages":
        await world.say(gp, *users, each=10)
    world.pass_(hours=2 if spoil == "age" else 2.5)
    found = await voting.check(world.as_(users[0]), gp.id)
    assert (found.success, found.eligible, found.status) == (True, False, "none")
    unmet = {name for name in found.criteria.__struct_fields__ if not getattr(found.criteria, name).met}
    assert unmet == ({missing, "writers"} if spoil in ("members", "messages") else {missing})
    assert world.broker.told(GpEligible) == []


async def test_a_flagged_message_stands_against_permanence(world):
    gp, users = await world.ripe()
    await world.db.run("UPDATE chat_messages SET moderation_status = 'flagged' WHERE seq = 5")
    found = await voting.check(world.as_(users[0]), gp.id)
    assert (found.eligible, found.criteria.toxicity_flags.current) == (False, 1)
    assert "flagged" in found.message


async def test_what_the_server_writes_is_nobodys_message(world):
    gp, users = await world.full_of(5)
    world.pass_(hours=3)
    body = UpdateGpActivity(gp_id=gp.id, message_count=10_000)
    found = await service.update_activity(world.as_(users[0]), body)
    assert (found.message_count, found.eligible) == (0, False)


async def test_becoming_eligible_is_told_once_by_whoever_sees_it_first(world):
    gp, users = await world.ripe()
    await voting.look_around(world.base)
    await service.update_activity(world.as_(users[1]), UpdateGpActivity(gp_id=gp.id))
    world.pass_(minutes=2)
    await voting.look_around(world.base)
    assert len(world.broker.told(GpEligible)) == 1
    assert (await view(world, gp, users[0])).permanent_conversion.status == "eligible"


async def test_a_vote_can_be_changed_until_it_ends(world):
    gp, users = await open_vote(world)
    found = await vote(world, gp, users[0], "no")
    assert (found.my_vote, found.gp.permanent_conversion.no) == ("no", 1)
    found = await vote(world, gp, users[0], "yes")
    assert (found.gp.permanent_conversion.yes, found.gp.permanent_conversion.no) == (1, 0)


async def test_who_comes_after_the_opening_does_not_vote(world):
    gp, users = await open_vote(world)
    (eve,) = await world.people(1)
    await world.join(gp, eve)
    with pytest.raises(NotAVoter):
        await vote(world, gp, eve)
    assert (await view(world, gp, users[0])).permanent_conversion.voters == 4
    for user in users[:3]:
        found = await vote(world, gp, user)
    assert found.status == "approved"
    assert world.broker.told(GpConverted)[0].moderator_id == users[1]


async def test_who_leaves_is_not_counted_any_more(world):
    gp, users = await open_vote(world, 5)
    for user in users[:3]:
        assert (await vote(world, gp, user)).status == "voting"
    await service.leave(world.as_(users[4]), gp.id)
    assert (await view(world, gp, users[0])).status == "converted"  # 3 of 4


async def test_a_vote_fails_when_too_few_are_left(world):
    gp, users = await open_vote(world, 3)
    await vote(world, gp, users[0])
    await vote(world, gp, users[1])
    await service.leave(world.as_(users[2]), gp.id)
    found = await view(world, gp, users[0])
    assert (found.status, found.permanent_conversion.status) == ("active", "failed")


async def test_a_vote_that_failed_may_be_asked_again_later(world):
    gp, users = await open_vote(world, 3)
    found = await vote(world, gp, users[1], "no")  # 3 of 3 would be needed
    assert (found.status, found.gp.status) == ("failed", "active")
    retry_at = found.gp.permanent_conversion.retry_at
    assert world.broker.told(GpVote)[-1].retry_at == retry_at
    with pytest.raises(VoteNotOpen):
        await vote(world, gp, users[0])
    again = await voting.check(world.as_(users[0]), gp.id)
    assert (again.status, again.gp.permanent_conversion.retry_at) == ("failed", retry_at)
    world.pass_(minutes=31)
    again = await voting.check(world.as_(users[0]), gp.id)
    assert (again.status, again.my_vote) == ("voting", None)
    for user in users:
        again = await vote(world, gp, user)
    assert again.status == "approved"


async def test_a_vote_has_a_deadline_and_is_over_then_though_nobody_has_written_it_down(world):
    gp, users = await open_vote(world)
    await vote(world, gp, users[0])
    world.pass_(minutes=30)
    with pytest.raises(VoteNotOpen):
        await vote(world, gp, users[1])
    found = (await view(world, gp, users[0])).permanent_conversion
    assert found.status == "failed"
    assert await voting.close_due(world.base) == 1
    assert (await view(world, gp, users[0])).permanent_conversion.retry_at == found.retry_at
    assert [event.status for event in world.broker.told(GpVote)][-1] == "failed"
    assert await voting.close_due(world.base) == 0


async def test_asking_again_closes_a_vote_that_ran_out(world):
    gp, users = await open_vote(world)
    world.pass_(minutes=31)
    assert (await voting.check(world.as_(users[0]), gp.id)).status == "failed"
    world.pass_(minutes=30)
    assert (await voting.check(world.as_(users[0]), gp.id)).status == "voting"


async def test_a_vote_that_outlives_the_expiry_defers_it(world):
    gp, users = await world.ripe()
    world.pass_(hours=1, minutes=25)  # five minutes are left
    await voting.check(world.as_(users[0]), gp.id)
    world.pass_(minutes=10)
    assert (await world.expire()).expired == 0
    assert (await view(world, gp, users[0])).status == "active"
    for user in users[:3]:
        await vote(world, gp, user)
    assert (await view(world, gp, users[0])).status == "converted"


async def test_a_gp_whose_vote_fails_after_its_time_ends_with_it_as_failed(world):
    gp, users = await world.ripe()
    world.pass_(hours=1, minutes=25)
    await voting.check(world.as_(users[0]), gp.id)
    world.pass_(minutes=10)
    for user in users[:2]:
        found = await vote(world, gp, user, "no")
    assert (found.status, found.gp.status) == ("failed", "failed")
    assert [event.status for event in world.broker.told(GpExpired)] == ["failed"]
    assert await world.db.one(bool, "SELECT read_only FROM chat_chats") is True


@pytest.mark.parametrize("job", [True, False])
async def test_a_vote_that_runs_out_after_the_gps_time_ends_it_as_failed(world, job):
    gp, users = await world.ripe()
    world.pass_(hours=1, minutes=25)
    await voting.check(world.as_(users[0]), gp.id)
    world.pass_(minutes=31)
    if job:
        done = await world.expire()
        assert (done.votes_closed, done.expired) == (1, 0)
    assert (await view(world, gp, users[0])).status == "failed"


async def test_a_gp_whose_vote_failed_ends_as_failed_at_its_own_time(world):
    gp, users = await open_vote(world, 3)
    await vote(world, gp, users[1], "no")
    world.pass_(hours=2)
    assert (await world.expire()).expired == 1
    assert (await view(world, gp, users[0])).status == "failed"


async def test_strangers_neither_ask_nor_vote(world):
    gp, _ = await open_vote(world)
    (eve,) = await world.people(1)
    for call in (voting.check(world.as_(eve), gp.id), voting.vote(world.as_(eve), gp.id, "yes")):
        with pytest.raises(NotAMember):
            await call


async def test_when_the_creator_has_gone_the_earliest_who_stayed_answers_for_the_gp(world):
    gp, users = await world.full_of(5)
    await service.leave(world.as_(users[0]), gp.id)
    role = "SELECT p.role FROM chat_participants p WHERE p.user_id = $1"
    assert await world.db.one(str, role, users[1]) == "owner"
    await world.say(gp, *users[2:], each=7)
    world.pass_(hours=2.5)
    await voting.check(world.as_(users[1]), gp.id)
    for user in users[1:4]:
        found = await service.convert(world.as_(user), ConvertGp(gp_id=gp.id, action="vote", vote="yes"))
    assert found.status == "approved"
    done = world.broker.told(GpConverted)[0]
    assert (done.admin_id, done.moderator_id) == (users[1], users[2])
    assert await world.db.one(str, role, users[1]) == "owner"
    assert await world.db.one(str, role, users[2]) == "moderator"


async def test_a_permanent_gp_takes_no_more_votes(world):
    gp, users = await open_vote(world)
    for user in users[:3]:
        await vote(world, gp, user)
    with pytest.raises(GpNotActive):
        await vote(world, gp, users[3])
