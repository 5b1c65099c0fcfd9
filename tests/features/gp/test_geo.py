"""Cells: nothing that is near is missed, and what is measured is the middles."""

import random

from h3.api import basic_int as h3

from chatd.features.gp import geo
from chatd.features.gp.vocabulary import RADIUS_STEPS


def around(rng, latitude, longitude, km):
    """A random point within so many km, roughly."""
    reach = km / 111
    lat = max(-89.9, min(89.9, latitude + rng.uniform(-reach, reach)))
    return lat, (longitude + rng.uniform(-reach, reach) * 3 + 180) % 360 - 180


def test_every_place_within_the_radius_is_in_one_of_its_cells():
    rng = random.Random(7)
    for _ in range(12):
        here = geo.snap(rng.uniform(-80, 80), rng.uniform(-180, 180))
        for radius in (*RADIUS_STEPS, rng.uniform(1, 500)):
            cells = geo.cells_within(here.cell, radius)
            sevens, fives, threes = map(set, cells)
            for _ in range(60):
                other = geo.snap(*around(rng, here.lat, here.lng, radius))
                if geo.km_between(here.cell, other.cell) <= radius:
                    assert other.cell in sevens or other.cell_5 in fives or other.cell_3 in threes
                    assert other.cell_5 in geo.cells_5_within(here.cell, min(radius, 100)) or radius > 100


def test_a_search_looks_into_hundreds_of_cells_at_most():
    here = geo.snap(28.6139, 77.2090)
    for radius in RADIUS_STEPS:
        assert sum(map(len, geo.cells_within(here.cell, radius))) < 600


def test_the_nearest_cells_come_first():
    here = geo.snap(48.85, 2.35)
    sevens = geo.cells_within(here.cell, 10).sevens
    assert sevens[0] == here.cell
    distances = [geo.km_between(here.cell, cell) for cell in sevens]
    assert distances == sorted(distances)


def test_every_point_of_a_cell_is_the_same_place():
    rng = random.Random(3)
    here = geo.snap(28.6139, 77.2090)
    for _ in range(200):
        lat, lng = around(rng, here.lat, here.lng, 1.5)
        assert (geo.snap(lat, lng) == here) == (h3.latlng_to_cell(lat, lng, 7) == here.cell)


async def test_the_database_measures_as_we_do(db):
    rng = random.Random(5)
    for _ in range(50):
        one = geo.snap(rng.uniform(-90, 90), rng.uniform(-180, 180))
        other = geo.snap(*around(rng, one.lat, one.lng, rng.uniform(0, 2000)))
        measured = await db.one(float, "SELECT gp_km($1, $2, $3, $4)", one.lat, one.lng, other.lat, other.lng)
        assert abs(measured - geo.km_between(one.cell, other.cell)) < 1e-6
