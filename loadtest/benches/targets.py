"""What chatd is to reach, as data: bench, figure, comparison, bound."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """One figure's bound. ``path`` leads through the result; "ratio.w1" is result["ratio"]["w1"]."""

    bench: str
    path: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def bound(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured."""

    target: Target
    value: float
    met: bool


TARGETS = (
    Target("fanout", "hub.ratio.w1", at_least=0.8),
    Target("fanout", "hub.ratio.w32", at_least=8),
    Target("durable", "ratio_append", at_least=0.5),
    Target("durable", "ratio_single_tx", at_least=5),
    Target("latency", "ack_ms.p99", at_most=25),
    Target("latency", "deliver_ms.p99", at_most=25),
    Target("latency", "cross_ms.p99", at_most=50),
    Target("latency", "drift.ack_p50_ratio", at_most=1.25),
    Target("latency", "refused", at_most=0),
    Target("idle", "rss_kb_per_socket", at_most=9),
    Target("idle", "cpu_percent", at_most=3),
    Target("storm", "connects_per_core_s", at_least=1500),
    Target("storm", "resumed_ok", at_least=1),
    Target("storm", "p99_live_ms", at_most=250),
    Target("growth", "worst_spread", at_most=1.25),
    Target("growth", "seq_scans", at_most=0),
    Target("overload", "obedient.goodput_ratio", at_least=0.8),
    Target("overload", "obedient.ack_ms_from_due.p99", at_most=1000),
    Target("overload", "obedient.rss_growth_mb", at_most=64),
    Target("overload", "stubborn.goodput_ratio", at_least=0.8),
    Target("overload", "stubborn.ack_p99_ms_from_read", at_most=1000),
    Target("overload", "stubborn.rss_growth_mb", at_most=64),
    Target("overload", "slow_reader.cost_ratio", at_least=0.9),
    Target("overload", "slow_reader.others_lost", at_most=0),
    # The second mark (1 MiB) and a write past it: of the socket that it has, and of the last one it had.
    Target("overload", "slow_reader.queue_mb_worst", at_most=2.5),
    Target("overload", "hostile.good_lost", at_most=0),
    Target("overload", "hostile.added_p99_ms", at_most=25),
    Target("overload", "hostile.bad_left", at_most=0),
    Target("overload", "hostile.slowest_to_go_s", at_most=13),
    Target("search", "largest_p95_ms", at_most=50),
)


def verdicts(bench: str, result: Mapping[str, Any]) -> list[Verdict]:
    """Every target of a bench, with what was measured; a figure that is not there is missed."""
    return [_judge(target, result) for target in TARGETS if target.bench == bench]


def _judge(target: Target, result: Mapping[str, Any]) -> Verdict:
    value: Any = result
    for step in target.path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        value = len(value)
    if value is None:
        return Verdict(target, float("nan"), False)
    met = value >= target.at_least if target.at_least is not None else value <= (target.at_most or 0)
    return Verdict(target, float(value), met)
