"""One window of a measurement, and what to make of many."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from loadtest.benches.load import Load
from loadtest.benches.machine import cpu_s


class Broken(Exception):
    """What was measured was wrong: lost, doubled, refused. No figure is worth anything then."""


@dataclass(frozen=True)
class Window:
    """What happened between two looks."""

    seconds: float
    got: int
    acked: int
    refused: int
    server_cpu_s: float
    load_cpu_s: float

    @property
    def client_bound(self) -> bool:
        """The load process was at the end of its core, and the server was not."""
        return self.load_cpu_s > 0.93 * self.seconds and self.server_cpu_s < 0.9 * self.seconds


async def window(load: Load, server_cpu: Callable[[], float], groups: list[str], seconds: float) -> Window:
    """Look, wait, look again."""
    first, cpu, own = await load("counts", groups=groups), server_cpu(), cpu_s(load.pid)
    await asyncio.sleep(seconds)
    last = await load("counts", groups=groups)
    return Window(
        seconds=last["at"] - first["at"],
        got=last["got"] - first["got"],
        acked=last["acked"] - first["acked"],
        refused=last["refused"] - first["refused"],
        server_cpu_s=server_cpu() - cpu,
        load_cpu_s=cpu_s(load.pid) - own,
    )


def quantile(histogram: str, before: Mapping[str, float], after: Mapping[str, float], share: float) -> float:
    """The upper end of the bucket in which a histogram of /metrics has this quantile, between two looks."""
    begin = f'{histogram}_bucket{{le="'
    buckets = sorted(
        (float(name[len(begin) :].partition('"')[0]), after[name] - before.get(name, 0.0))
        for name in after
        if name.startswith(begin)
    )
    if not buckets:
        return 0.0
    return next(bound for bound, count in buckets if count >= share * buckets[-1][1])


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over the rounds."""
    return {name: median(r[name] for r in rounds) for name in rounds[0]}


def rounded(result: Mapping[str, Any]) -> dict[str, Any]:
    """Figures for people: three digits after the point, whole numbers above a thousand."""
    return {name: _rounded(value) for name, value in result.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return rounded(value)
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return round(value) if abs(value) >= 1000 else round(value, 3)
    return value
