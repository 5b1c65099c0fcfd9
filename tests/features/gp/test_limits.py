"""Who may create, until when not, and that check-limits tells what create then does."""

from datetime import datetime, timedelta

import pytest

from chatd.core.errors import AppError
from chatd.features.gp import limits, service, voting
from chatd.features.gp.errors import GpCategoryLimit, GpCooldown, GpDailyLimit, GpSystemLimit


async def refused(world, user, error, **fields):
    """Create is refused so, and check-limits has said so; until when."""
    said = await limits.look(world.as_(user), fields.get("category", "Vibe GP"))
    assert not said.can_create
    with pytest.raises(error) as caught:
        await world.create(user, **fields)
    assert caught.value.extra["limit"] == error.limit
    return caught.value


async def allowed(world, user, **fields):
    assert (await limits.look(world.as_(user), fields.get("category", "Vibe GP"))).can_create
    return await world.create(user, **fields)


async def test_two_a_day_with_an_hour_between_them(world):
    (ann,) = await world.people(1)
    # In the morning, so that three hours later it is the same day.
    world.clock.offset = (world.clock.now() + timedelta(days=1)).replace(hour=6) - world.clock.now()
    await allowed(world, ann)
    error = await refused(world, ann, GpCooldown, category="Other GP", sub_type="Trip")
    assert "in 60 minutes" in str(error)
    assert error.extra["until"] - world.clock.now() > timedelta(minutes=59)
    said = (await limits.look(world.as_(ann), None)).limits
    assert (said.daily.today_creations, said.daily.creations_remaining) == (1, 1)
    assert (said.cooldown.active, said.cooldown.minutes_remaining) == (True, 60)
    world.pass_(minutes=61)
    await allowed(world, ann, category="Other GP", sub_type="Trip")
    world.pass_(minutes=61)
    error = await refused(world, ann, GpDailyLimit, category="Movie GP", sub_type="Genre", genre="Horror")
    world.clock.offset += error.extra["until"] - world.clock.now() + timedelta(seconds=1)
    await allowed(world, ann, category="Movie GP", sub_type="Genre", genre="Horror")


async def test_the_day_is_the_users_own(world):
    (ann,) = await world.people(1, zone="Asia/Kolkata")
    await world.create(ann)
    until = (await limits.look(world.as_(ann), None)).limits.daily.resets_at
    assert f"{until:%H:%M}" == "18:30"


async def test_one_living_gp_of_a_category(world):
    (ann,) = await world.people(1)
    gp = await world.create(ann)
    world.pass_(minutes=61)
    error = await refused(world, ann, GpCategoryLimit)
    assert error.extra["until"] == gp.expires_at
    world.pass_(hours=4)
    # Nobody has expired it yet, and yet it is over; perhaps it is tomorrow by now too.
    await allowed(world, ann)


async def test_no_more_gps_than_the_active_users_can_fill(world):
    users = await world.people(6)
    world.set(min_active_groups=2)
    first = await world.create(users[0])
    world.pass_(minutes=1)
    await world.create(users[1])
    error = await refused(world, users[2], GpSystemLimit)
    assert error.extra["until"] == first.expires_at
    said = (await limits.look(world.as_(users[2]), "Vibe GP")).limits.system
    assert (said.limit_reached, said.current_groups, said.max_groups, said.active_users) == (True, 2, 2, 0)
    # Eight users were here today: 8 / 2.5 = 3.2, so three GPs.
    await world.people(8, active=world.clock.now() - timedelta(hours=2))
    await world.people(8, active=world.clock.now() - timedelta(hours=25))
    world.pass_(minutes=4)
    await allowed(world, users[2])
    assert (await refused(world, users[3], GpSystemLimit)).extra["until"] == first.expires_at
    # One ends by its time, another by its last member: both make room at once.
    world.clock.offset += first.expires_at - world.clock.now() + timedelta(seconds=1)
    await limits.refresh_census(world.base)
    await allowed(world, users[4])


async def test_a_gp_that_ended_makes_room_whichever_way_it_ended(world):
    users = await world.people(9)
    world.set(min_active_groups=1)
    gp = await world.create(users[0])
    await service.leave(world.as_(users[0]), gp.id)
    gp = await world.create(users[1])
    world.pass_(hours=4, seconds=1)
    assert (await world.expire()).expired == 1
    gp, members = await world.ripe()
    await voting.check(world.as_(members[0]), gp.id)
    for member in members[:3]:
        await voting.vote(world.as_(member), gp.id, "yes")
    assert await world.db.one(int, "SELECT active FROM gp_census") == 0
    await world.create(users[2])
    assert await world.db.one(int, "SELECT active FROM gp_census") == 1


async def test_a_creation_that_is_refused_leaves_nothing(world):
    (ann,) = await world.people(1)
    await world.create(ann)
    with pytest.raises(AppError):
        await world.create(ann)
    for table in ("gps", "gp_members", "chat_chats", "node_feed"):
        assert await world.db.one(int, f"SELECT count(*) FROM {table}") == 1


async def test_beginnings_are_times_too(world):
    (ann,) = await world.people(1)
    said = (await limits.look(world.as_(ann), None)).limits
    assert (said.daily.resets_at, said.cooldown.until, said.category.category) == (None, None, None)
    assert isinstance(world.clock.now(), datetime)
