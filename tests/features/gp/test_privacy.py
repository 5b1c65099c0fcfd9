"""An attacker who may ask as often and from wherever they like learns the cell, and nothing within it."""

import random

import msgspec

from chatd.features.gp import geo, service
from chatd.features.gp.contract import ExploreGps, ListGps
from chatd.features.gp.frames import GpWatch
from tests.features.gp.conftest import DELHI


def points_in(cell, rng, count):
    """Random points of one cell."""
    found = []
    place = geo.place(cell)
    while len(found) < count:
        point = place.lat + rng.uniform(-0.02, 0.02), place.lng + rng.uniform(-0.02, 0.02)
        if geo.snap(*point).cell == cell:
            found.append(point)
    return found


def hold(world):
    """Stop the clock, so that looks differ by what is seen only."""
    now = world.clock.now()
    world.clock.now = lambda: now


async def everything_shown(world, attacker, probes):
    """All that the server says to an attacker who spoofs these positions, in order, as bytes."""
    ctx, shown = world.as_(attacker), []
    for lat, lng in probes:
        listed = await service.list_near(ctx, ListGps(latitude=lat, longitude=lng))
        shown.append(listed)
        # Bisecting by the filter is the same attack as reading the distance.
        for km in (0.5, 1.2, 1.3, 2.4, 2.5, 5.0, 10.0):
            shown.append(await service.explore(ctx, ExploreGps(latitude=lat, longitude=lng, max_distance=km)))
        shown.append(await service.watch(ctx, GpWatch(latitude=lat, longitude=lng, max_km=3)))
        shown.append([await service.details(ctx, gp.id) for gp in listed.gps])
    return msgspec.json.encode([msgspec.to_builtins(each) for each in shown])


async def test_where_in_its_cell_a_gp_is_cannot_be_seen_from_anywhere(world):
    """Trilateration, flips and spoofed moves: two GPs in one cell look the same from a hundred places."""
    rng = random.Random(11)
    world.set(moves_per_hour=0, min_active_groups=100)
    cell = geo.snap(*DELHI).cell
    (attacker,) = await world.people(1)
    probes = [(DELHI[0] + rng.uniform(-0.1, 0.1), DELHI[1] + rng.uniform(-0.1, 0.1)) for _ in range(20)]
    # A slow walk over a border, to and fro: what flips there is the walker's own cell.
    probes += [(DELHI[0] + 0.0005 * i, DELHI[1]) for i in (*range(0, 30, 2), *range(30, 0, -3))]
    hold(world)
    seen = set()
    for point in points_in(cell, rng, 3):
        (creator,) = await world.people(1)
        gp = await world.create(creator, point)
        shown = await everything_shown(world, attacker, probes)
        assert gp.id.encode() in shown
        seen.add(shown.replace(gp.id.encode(), b"GP").replace(creator.encode(), b"USER"))
        await service.leave(world.as_(creator), gp.id)
    assert len(seen) == 1


async def test_where_in_their_cell_the_asker_is_changes_nothing_of_what_they_see(world):
    rng = random.Random(13)
    world.set(moves_per_hour=0, min_active_groups=100)
    users = await world.people(4)
    for user, point in zip(users[1:], ((28.60, 77.21), (28.65, 77.25), (28.70, 77.10)), strict=True):
        await world.create(user, point)
    hold(world)
    probes = points_in(geo.snap(*DELHI).cell, rng, 12)
    assert len({await everything_shown(world, users[0], [probe]) for probe in probes}) == 1


async def test_the_coordinates_that_were_sent_are_stored_nowhere_and_shown_nowhere(world):
    point = (28.613912345, 77.209012345)
    ann, bob = await world.people(2)
    gp = await world.create(ann, point)
    await world.join(gp, bob)
    shown = await everything_shown(world, bob, [point])
    shown += await everything_shown(world, ann, [point])
    assert b"28.61" not in shown
    assert b"77.20" not in shown
    assert b"latitude" not in shown
    for table in await world.db.rows(
        str, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'"
    ):
        rows = " ".join(await world.db.rows(str, f"SELECT row_to_json(t)::text FROM {table} t"))
        assert "28.6139" not in rows, table
        assert "77.2090" not in rows, table


async def test_what_a_user_is_shown_says_nothing_of_where_others_are(world):
    """A member's own position is in no answer: moving it changes nothing for the others."""
    ann, bob = await world.people(2)
    gp = await world.create(ann)
    await world.join(gp, bob)
    hold(world)
    before = msgspec.json.encode((await service.details(world.as_(ann), gp.id)).gp)
    await service.list_near(world.as_(bob), ListGps(latitude=48.85, longitude=2.35))
    assert msgspec.json.encode((await service.details(world.as_(ann), gp.id)).gp) == before
