"""What is found, how far, in which order, and who hears of it."""

from datetime import timedelta

import asyncpg
import msgspec
import pytest

from chatd.core.errors import ValidationFailed
from chatd.features.gp import discovery, discovery_store, geo, service
from chatd.features.gp.contract import ExploreGps, ListGps
from chatd.features.gp.errors import GpNotFound, MovingTooFast, PositionUnknown
from chatd.features.gp.frames import GpNearby, GpWatch
from chatd.features.gp.rows import Search
from tests.features.gp.conftest import DELHI

KM = 1 / 111.19  # degrees of latitude


def north(km, of=DELHI):
    return of[0] + km * KM, of[1]


@pytest.fixture
async def eve(world):
    world.set(min_active_groups=100, moves_per_hour=0)
    (eve,) = await world.people(1)
    return eve


async def look(world, user, at=DELHI):
    found = await service.list_near(world.as_(user), ListGps(latitude=at[0], longitude=at[1]))
    return found.radius, [gp.id for gp in found.gps]


async def explore(world, user, at=DELHI, **fields):
    return await service.explore(world.as_(user), ExploreGps(latitude=at[0], longitude=at[1], **fields))


async def gps_at(world, *places, **fields):
    users = await world.people(len(places))
    return [await world.create(user, at, **fields) for user, at in zip(users, places, strict=True)]


async def age(world, gp, minutes):
    """Leave the GP so many minutes to live."""
    await world.db.run(
        "UPDATE gps SET expires_at = $2, lifetime_ends_at = $2 WHERE id = $1",
        gp.id,
        world.clock.now() + timedelta(minutes=minutes),
    )


async def test_it_looks_further_until_there_are_seven(world, eve):
    near = await gps_at(world, *[north(1)] * 6)
    assert (await look(world, eve))[0] == 500
    for km, radius in ((400, 500), (80, 100), (40, 50), (20, 25), (7, 10)):
        far = await gps_at(world, north(km))
        found, ids = await look(world, eve)
        assert found == radius
        assert len(ids) == 7
        assert set(ids) == {gp.id for gp in near + far}
        # The next step nearer must find only the six again.
        await world.db.run("UPDATE gps SET status = 'expired', ended_at = now() WHERE id = $1", far[0].id)


async def test_the_documented_order_decides_one_after_the_other(world, eve):
    a, b, c, d, e, f = await gps_at(world, north(0), north(20), north(20), north(20), north(8), north(0))
    users = await world.people(9)
    await world.join(f, *users[:2])  # needs two: first, whatever else
    await world.join(b, *users[2:4])  # so does this one, which is further
    await world.join(c, *users[4:7])  # needs one, at the same place, but has said more
    await world.say(c, users[4], each=10)
    await service.update_activity(
        world.as_(users[4]), msgspec.convert({"gpId": c.id}, service.UpdateGpActivity)
    )
    await age(world, a, 80)  # nearest, but short of time
    _, ids = await look(world, eve)
    assert ids == [f.id, c.id, b.id, e.id, d.id, a.id]
    page = await explore(world, eve)
    assert [gp.id for gp in page.gps] == ids
    scores = [gp.priority_score for gp in page.gps]
    assert scores == sorted(scores, reverse=True)


async def test_explore_tells_time_in_quarter_hours(world, eve):
    a, b = await gps_at(world, north(0), north(9))
    await age(world, a, 200)
    await age(world, b, 230)
    assert (await look(world, eve))[1] == [a.id, b.id]  # both have time: the nearer
    assert [gp.id for gp in (await explore(world, eve)).gps] == [b.id, a.id]


async def test_full_and_past_ones_are_not_listed(world, eve):
    full, _ = await world.full_of(5)
    (past,) = await gps_at(world, DELHI)
    await age(world, past, 0)
    assert (await look(world, eve))[1] == []
    assert (await service.details(world.as_(eve), full.id)).gp.member_count == 5
    with pytest.raises(GpNotFound):
        await service.details(world.as_(eve), past.id)


async def test_every_filter_of_explore(world, eve):
    (chill,) = await gps_at(world, north(1), talk_topics=["Meme talk", "Life stuff"])
    (fun,) = await gps_at(world, north(30), sub_type="Fun")
    (movie,) = await gps_at(world, north(2), category="Movie GP", sub_type="Genre", genre="Horror")
    await age(world, movie, 65)

    async def ids(**fields):
        return {gp.id for gp in (await explore(world, eve, **fields)).gps}

    assert await ids() == {chill.id, fun.id, movie.id}
    assert await ids(category="Vibe GP") == {chill.id, fun.id}
    assert await ids(sub_type="Genre") == {movie.id}
    assert await ids(vibe_type="Fun") == {fun.id}
    assert await ids(vibe_type="Fun", category="Movie GP") == set()
    assert await ids(topic="Meme talk") == {chill.id}
    assert await ids(max_distance=10) == {chill.id, movie.id}
    assert await ids(min_time_remaining=1) == {chill.id, fun.id, movie.id}
    assert await ids(min_time_remaining=1.5) == {chill.id, fun.id}


async def test_pages_are_whole_and_end(world, eve):
    made = await gps_at(world, *(north(3 * km) for km in range(13)))
    seen = []
    for page in (1, 2, 3):
        found = await explore(world, eve, page=page, limit=5)
        seen += [gp.id for gp in found.gps]
        assert (found.pagination.total, found.pagination.pages) == (13, 3)
        assert found.pagination.has_more == (page < 3)
    assert seen == [gp.id for gp in made]
    past = (await explore(world, eve, page=9, limit=5)).pagination
    assert (past.total, past.has_more) == (13, False)


async def test_a_crowd_is_cut_to_the_nearest(world, eve):
    world.set(min_active_groups=100, moves_per_hour=0, explore_candidates=4)
    made = await gps_at(world, *(north(3 * km) for km in range(8)))
    found = await explore(world, eve, limit=10)
    assert [gp.id for gp in found.gps] == [gp.id for gp in made[:4]]


async def test_a_list_without_a_position_uses_the_last_one_or_asks_for_one(world, eve):
    with pytest.raises(PositionUnknown):
        await service.list_near(world.as_(eve), ListGps())
    with pytest.raises(ValidationFailed, match="longitude"):
        await service.list_near(world.as_(eve), ListGps(latitude=1.0))
    (gp,) = await gps_at(world, DELHI)
    await look(world, eve)
    assert [each.id for each in (await service.list_near(world.as_(eve), ListGps())).gps] == [gp.id]
    # Who creates is where the GP is, if nothing else is known.
    creator = gp.created_by
    assert [each.id for each in (await service.list_near(world.as_(creator), ListGps())).gps] == [gp.id]


async def test_nobody_is_in_more_places_than_people_are(world, eve):
    world.set(moves_per_hour=3)
    for km in (0, 0, 10, 10, 20):
        await look(world, eve, north(km))
    with pytest.raises(MovingTooFast) as refused:
        await look(world, eve, north(30))
    assert refused.value.retry_after_ms
    await look(world, eve, north(20))  # where they are, as often as they like


# ---------------------------------------------------------------------------------------------- watching


def heard(world, user):
    return [event for users, event in world.broker.pushed if type(event) is GpNearby and user in users]


async def watch(world, user, at=DELHI, **fields):
    return await service.watch(world.as_(user), GpWatch(latitude=at[0], longitude=at[1], **fields))


async def test_a_watcher_hears_of_what_comes_changes_fills_and_goes(world, eve):
    assert (await watch(world, eve)).gps == ()
    gp, _ = await world.full_of(5)
    (second,) = await gps_at(world, north(20))
    await service.leave(world.as_(second.created_by), second.id)
    told = [(e.change, *(g.member_count for g in e.gps), *e.gp_ids) for e in heard(world, eve)]
    assert told == [
        *(("changed", n) for n in (1, 2, 3, 4)),
        ("removed", gp.id),
        ("changed", 1),
        ("removed", second.id),
    ]


async def test_a_watcher_from_whom_a_block_hides_it_is_told_that_it_is_removed(world, eve):
    blocked, blocker, bob, cee = await world.people(4)
    await watch(world, eve)
    await watch(world, bob)
    await world.db.run(
        "INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2), ($3, $1)", eve, blocked, blocker
    )
    for met in (blocked, blocker):
        world.broker.pushed.clear()
        (gp,) = await gps_at(world, DELHI)
        await world.join(gp, met)
        await world.join(gp, cee)
        await service.leave(world.as_(met), gp.id)
        told = {
            user: [(e.change, *(g.member_count for g in e.gps), *e.gp_ids) for e in heard(world, user)]
            for user in (eve, bob)
        }
        assert told[bob] == [("changed", n) for n in (1, 2, 3, 2)]
        # Said of each change while they are there, and of none who they are.
        assert told[eve] == [("changed", 1), *[("removed", gp.id)] * 2, ("changed", 2)]


async def test_a_watch_has_a_reach_filters_and_an_end(world, eve):
    full = await watch(world, eve, max_km=15, category="Vibe GP", topic="Meme talk")
    assert full.until > world.clock.now()
    await gps_at(world, north(1))
    await gps_at(world, north(30), talk_topics=["Meme talk"])
    assert heard(world, eve) == []
    (gp,) = await gps_at(world, north(1), talk_topics=["Meme talk"])
    assert [event.gps[0].gp_id for event in heard(world, eve)] == [gp.id]
    again = await watch(world, eve, max_km=15, topic="Meme talk")
    assert [each.gp_id for each in again.gps] == [gp.id]
    world.pass_(minutes=11)
    await gps_at(world, north(1), talk_topics=["Meme talk"])
    assert len(heard(world, eve)) == 1
    await discovery.forget_lapsed(world.base)
    assert await world.db.one(int, "SELECT count(*) FROM gp_watches") == 0


async def test_a_change_is_told_to_so_many_at_most(world, eve):
    world.set(watch_fanout=3, moves_per_hour=0)
    for user in await world.people(5):
        await watch(world, user)
    await gps_at(world, DELHI)
    assert sum(len(users) for users, event in world.broker.pushed if type(event) is GpNearby) == 3


async def test_who_stops_watching_hears_nothing(world, eve):
    await watch(world, eve)
    await service.unwatch(world.as_(eve))
    await gps_at(world, DELHI)
    assert heard(world, eve) == []


# -------------------------------------------------------------------------------------------------- plans


async def test_searching_walks_the_indexes_of_the_three_resolutions(world, eve):
    """With twenty thousand GPs around, nothing is read but what the cells hold."""
    await world.db.run(
        """
        INSERT INTO gps (id, chat_id, created_by, category, sub_type, topics, cell, cell_5, cell_3, lat, lng,
                         last_activity_at, looked_at, created_at, lifetime_ends_at, expires_at)
        SELECT gen_random_uuid(), gen_random_uuid(), NULL, 'Vibe GP', 'Chill', '{Life stuff}', n, n / 49,
               n / 2401, 20, 70, $1, $1, $1, $1::timestamptz + interval '4 hours',
               $1::timestamptz + interval '4 hours'
        FROM generate_series(1, 20000) n
        """,
        world.clock.now(),
    )
    await world.db.run("ANALYZE gps")
    sql = ""

    class Seen:
        async def rows(self, kind, statement, *args):
            nonlocal sql
            sql = statement
            return args

    for radius, index in ((10, "gps_near_7"), (100, "gps_near_5"), (500, "gps_near_3")):
        place = geo.snap(*DELHI)
        search = Search(place, world.clock.now(), 5, radius, most=1000, limit=7)
        args = await discovery_store.ranked(Seen(), geo.cells_within(place.cell, radius), 40, search)
        async with world.db.connection() as connection:
            assert isinstance(connection, asyncpg.pool.PoolConnectionProxy)
            plan = "\n".join(r[0] for r in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {sql}", *args))
        assert "Seq Scan" not in plan
        assert index in plan
