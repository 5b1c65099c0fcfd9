"""Places as H3 cells (https://h3geo.org), and distances between their middles. Pure.

Resolution 7 cells are some 5 km² (edges of 1.4 km). Everything about distance is computed from them: a
position is snapped here on arrival, and its coordinates go no further.
"""

from functools import lru_cache
from math import asin, ceil, cos, radians, sin, sqrt
from typing import NamedTuple

from h3.api import basic_int as h3

RESOLUTION = 7
#: H3's authalic radius doubled, in km; schema.sql's gp_km has the same.
_DIAMETER_KM = 2 * 6371.007180918475
#: Mean edges in km. The smallest are some 0.8 of it, the largest 1.2.
_EDGE_KM = {7: 1.406475763, 5: 9.85409099, 3: 68.97922179}
#: The finest resolution that covers so many km in some hundreds of cells.
_LEVELS = ((25.0, 7), (100.0, 5), (float("inf"), 3))


class Place(NamedTuple):
    """A cell, its parents, and its middle."""

    cell: int
    cell_5: int
    cell_3: int
    lat: float
    lng: float


class Cells(NamedTuple):
    """The cells to look into, nearest first, in the one resolution that suits the distance."""

    sevens: list[int]
    fives: list[int]
    threes: list[int]


def snap(latitude: float, longitude: float) -> Place:
    """The place that stands for these coordinates."""
    return place(h3.latlng_to_cell(latitude, longitude, RESOLUTION))


@lru_cache(maxsize=65_536)
def place(cell: int) -> Place:
    """A cell of ours with what belongs to it."""
    lat, lng = h3.cell_to_latlng(cell)
    return Place(cell, h3.cell_to_parent(cell, 5), h3.cell_to_parent(cell, 3), lat, lng)


def km_between(one: int, other: int) -> float:
    """Between the middles of two cells; 0 for the same."""
    return 0.0 if one == other else _haversine(h3.cell_to_latlng(one), h3.cell_to_latlng(other))


def shown_km(km: float) -> float:
    """A distance as people see it."""
    return round(km, 1)


@lru_cache(maxsize=4096)
def cells_within(cell: int, km: float, finest: int = RESOLUTION) -> Cells:
    """Cells that together hold every resolution-7 cell whose middle is within ``km``, nearest first."""
    level = min(finest, next(level for most, level in _LEVELS if km <= most))
    found = _disk(cell, km, level)
    return Cells(*(found if level == each else [] for each in (7, 5, 3)))


def cells_5_within(cell: int, km: float) -> list[int]:
    """The same in resolution 5, for distances that it suits."""
    return cells_within(cell, km, 5).fives


def _disk(cell: int, km: float, level: int) -> list[int]:
    edge = _EDGE_KM[level]
    # A child's middle may lie a little outside of its parent, and both ends have that parent's slack.
    slack = 0.0 if level == RESOLUTION else 2.6 * edge
    rings = ceil((km + slack) / (1.5 * 0.8 * edge))
    here = h3.cell_to_latlng(cell)
    around = h3.grid_disk(h3.cell_to_parent(cell, level), rings)
    near = sorted((_haversine(here, h3.cell_to_latlng(each)), each) for each in around)
    return [each for distance, each in near if distance <= km + slack + 1e-9]


def _haversine(one: tuple[float, float], other: tuple[float, float]) -> float:
    (lat1, lng1), (lat2, lng2) = one, other
    across = sin(radians(lat2 - lat1) / 2) ** 2
    along = cos(radians(lat1)) * cos(radians(lat2)) * sin(radians(lng2 - lng1) / 2) ** 2
    return _DIAMETER_KM * asin(min(1.0, sqrt(across + along)))
