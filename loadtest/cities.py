"""Where people are: real cities with their populations in millions, and points around their middles."""

import math
import random

#: Latitude, longitude, millions of people.
CITIES = (
    (28.61, 77.21, 33.8),  # Delhi
    (35.68, 139.69, 37.1),  # Tokyo
    (31.23, 121.47, 29.9),  # Shanghai
    (23.81, 90.41, 23.9),  # Dhaka
    (-23.55, -46.63, 22.8),  # São Paulo
    (30.04, 31.24, 22.6),  # Cairo
    (19.43, -99.13, 22.5),  # Mexico City
    (39.90, 116.41, 22.2),  # Beijing
    (19.08, 72.88, 21.7),  # Mumbai
    (34.69, 135.50, 18.9),  # Osaka
    (24.86, 67.01, 17.6),  # Karachi
    (-4.32, 15.31, 17.0),  # Kinshasa
    (6.52, 3.38, 16.5),  # Lagos
    (41.01, 28.98, 16.0),  # Istanbul
    (-34.60, -58.38, 15.6),  # Buenos Aires
    (22.57, 88.36, 15.6),  # Kolkata
    (14.60, 120.98, 14.9),  # Manila
    (12.97, 77.59, 14.0),  # Bengaluru
    (55.76, 37.62, 12.7),  # Moscow
    (-6.21, 106.85, 11.4),  # Jakarta
    (48.86, 2.35, 11.3),  # Paris
    (13.76, 100.50, 11.2),  # Bangkok
    (51.51, -0.13, 9.7),  # London
    (40.71, -74.01, 8.3),  # New York
    (25.20, 55.27, 3.0),  # Dubai
    (-33.87, 151.21, 5.2),  # Sydney
    (52.52, 13.41, 3.6),  # Berlin
    (43.65, -79.38, 2.8),  # Toronto
    (28.46, 77.03, 1.2),  # Gurugram
    (26.91, 75.79, 4.2),  # Jaipur
    (27.18, 78.01, 2.2),  # Agra
    (64.15, -21.94, 0.14),  # Reykjavík
    (-54.80, -68.30, 0.08),  # Ushuaia
)
_WEIGHTS = [weight for *_, weight in CITIES]


def somewhere(rng: random.Random) -> tuple[float, float]:
    """A point around a city, most of them near to its middle; now and then one far out in the country."""
    latitude, longitude, weight = rng.choices(CITIES, _WEIGHTS)[0]
    km = rng.uniform(30, 300) if rng.random() < 0.05 else abs(rng.gauss(0, 6 + weight / 3))
    angle = rng.uniform(0, 2 * math.pi)
    degrees = km / 111.2
    return (
        latitude + degrees * math.sin(angle),
        longitude + degrees * math.cos(angle) / math.cos(math.radians(latitude)),
    )
