"""GCRA: never more than the burst at once, never more than the rate for long."""

import asyncio
import os
import time

import pytest
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.clock import SystemClock
from chatd.core.settings import Redis
from chatd.embedded import Embedded
from chatd.realtime.channels import Channels
from chatd.realtime.limits import LocalRates, RedisLimiter, gcra
from tests.databases import redis_of
from tests.waiting import PATIENCE_S


@given(st.lists(st.tuples(st.floats(0, 500), st.integers(1, 20)), max_size=60))
def test_in_any_span_at_most_the_burst_and_what_the_rate_lets_in(asks: list[tuple[float, int]]) -> None:
    interval, tolerance = 100.0, 1000.0  # 10 a second, bursts of 10
    tat, now = 0.0, 10_000.0
    passed: list[tuple[float, int]] = []
    for pause, asked in asks:
        now += pause
        tat, count, wait = gcra(tat, now, asked, interval, tolerance)
        assert 0 <= count <= asked
        if count < asked:
            assert wait > 0
            _, one, _ = gcra(tat, now + wait + 0.01, 1, interval, tolerance)
            assert one == 1
        passed.append((now, count))
    for i, (begin, _) in enumerate(passed):
        total = 0
        for at, count in passed[i:]:
            total += count
            assert total <= 10 + (at - begin) / interval + 1e-6


async def test_redis_and_the_fallback_count_alike(services: Embedded) -> None:
    limiter = RedisLimiter(Redis(url=services.redis.url, prefix=f"t{os.urandom(4).hex()}"), SystemClock())
    local = LocalRates(SystemClock())
    try:
        far = await limiter.admit("b", {"k": 7, "other": 3}, limit=5, period_s=60)
        near = local.admit("k", 7, limit=5, period_s=60)
        assert (far["k"].count, far["other"].count) == (5, 3)
        assert near.count == 5
        assert abs(far["k"].retry_after_ms - near.retry_after_ms) < 200
        assert (await limiter.admit("b", {"k": 1}, limit=5, period_s=60))["k"].count == 0
        assert (await limiter.admit("b", {"k": 9}, limit=0, period_s=60))["k"].count == 9
    finally:
        await limiter.close()


async def test_without_redis_each_node_counts_for_itself() -> None:
    limiter = RedisLimiter(Redis(url="unix:///nowhere/at/all.sock"), SystemClock())
    try:
        counts = [(await limiter.admit("b", {"k": 1}, limit=2, period_s=60))["k"].count for _ in range(3)]
        assert counts == [1, 1, 0]
    finally:
        await limiter.close()


async def test_however_many_ask_at_once_redis_is_who_counts(
    services: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisLimiter, "TIMEOUT_S", PATIENCE_S)
    limiter = RedisLimiter(redis_of(services), SystemClock())
    try:
        asked = (limiter.admit("b", {"k": 1}, limit=10, period_s=3600) for _ in range(100))
        admitted = await asyncio.gather(*asked)
        assert sum(each["k"].count for each in admitted) == 10
    finally:
        await limiter.close()


async def test_a_clock_that_was_ahead_locks_nobody_out_for_longer_than_the_limit_does(
    services: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RedisLimiter, "TIMEOUT_S", PATIENCE_S)
    settings = redis_of(services)
    limiter = RedisLimiter(settings, SystemClock())
    store = redis.asyncio.from_url(settings.url)
    try:
        hours_ahead = time.time() * 1000 + 5 * 3_600_000
        await store.set(Channels(settings.prefix).rate("b", "k"), hours_ahead)
        admitted = await limiter.admit("b", {"k": 1}, limit=10, period_s=60)
        assert admitted["k"].count == 0
        assert admitted["k"].retry_after_ms <= 6_000
    finally:
        await store.aclose()
        await limiter.close()
    assert gcra(1e9, 1000.0, 1, 100.0, 1000.0)[2] == 100.0
