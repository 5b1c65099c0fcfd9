"""Coming, going and being forgotten."""

import pytest

from chatd.core.errors import ChatNotFound, Forbidden
from chatd.features.chats import service as chats
from chatd.features.gp import ending, service
from chatd.features.gp.errors import GpNotActive, GpNotFound
from chatd.features.gp.frames import GpExpired, GpMemberLeft


async def test_a_gps_chat_is_entered_and_left_by_the_gp_only(world):
    gp, users = await world.full_of(2)
    with pytest.raises(Forbidden):
        await chats.leave(world.as_(users[1]), gp.chat_id)
    await service.leave(world.as_(users[1]), gp.id)
    with pytest.raises(ChatNotFound):
        await chats.require_seat(world.db, gp.chat_id, users[1])
    assert [(e.user_id, e.member_count) for e in world.broker.told(GpMemberLeft)] == [(users[1], 1)]


async def test_who_left_may_come_back(world):
    gp, users = await world.full_of(2)
    await service.leave(world.as_(users[1]), gp.id)
    await world.join(gp, users[1])
    assert (await service.details(world.as_(users[1]), gp.id)).gp.member_count == 2


async def test_the_last_to_leave_ends_the_gp(world):
    gp, users = await world.full_of(2)
    for user in users:
        await service.leave(world.as_(user), gp.id)
    with pytest.raises(GpNotFound):
        await service.details(world.as_(users[0]), gp.id)
    with pytest.raises(GpNotActive):
        await world.join(gp, users[0])


async def test_one_whose_account_goes_leaves_every_living_gp(world):
    (eve,) = await world.people(1)
    old, _ = await world.full_of(1)
    await world.join(old, eve)
    world.pass_(hours=5)
    for _ in range(2):
        gp, _ = await world.full_of(2)
        await world.join(gp, eve)
    assert await service.leave_all(world.as_(eve)) == 2
    assert [gp.id for gp in (await service.mine(world.as_(eve))).gps] == [old.id]


async def test_what_ended_is_kept_for_its_days_and_then_gone_with_its_chat(world):
    gp, users = await world.full_of(3)
    await world.say(gp, *users, each=3)
    kept, members = await world.ripe()
    await service.convert(world.as_(members[0]), _asked(kept, "check"))
    for member in members[:3]:
        await service.convert(world.as_(member), _asked(kept, "vote"))
    world.pass_(hours=2)
    await world.expire()
    assert len(world.broker.told(GpExpired)) == 1
    world.pass_(days=29)
    await ending.forget(world.base)
    assert (await service.details(world.as_(users[0]), gp.id)).gp.status == "expired"
    world.pass_(days=2)
    await ending.forget(world.base)
    with pytest.raises(GpNotFound):
        await service.details(world.as_(users[0]), gp.id)
    assert await world.db.rows(str, "SELECT type FROM chat_chats") == ["group"]
    assert await world.db.one(int, "SELECT count(DISTINCT chat_id) FROM chat_messages") == 1
    assert (await service.mine(world.as_(members[0]))).gps[0].status == "converted"


def _asked(gp, action):
    return service.ConvertGp(gp_id=gp.id, action=action, vote="yes")
