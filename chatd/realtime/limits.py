"""Rates over all nodes: GCRA in Redis, one script call for many keys (protocol.md, section 7).

The state of a key is one number, the theoretical arrival time of the next request: constant memory, no
windows that can be gamed at their edges. While Redis is away each node counts for itself, so that a
limit is then at most as many times as high as there are nodes, and nobody waits.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import redis.asyncio
from redis.exceptions import NoScriptError, RedisError, ResponseError

from chatd.core.clock import Clock
from chatd.core.context import Admitted
from chatd.core.errors import RateLimited
from chatd.core.settings import Redis as RedisSettings
from chatd.realtime.channels import Channels

log = logging.getLogger("chatd.realtime.limits")

# KEYS: the rates. ARGV: interval ms, tolerance ms, then how many each key asks for.
# Returns for each key: how many may pass, and the ms until one more may.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local out = {}
for i, key in ipairs(KEYS) do
  -- No further ahead than this algorithm puts it: so it was put by a clock, or a limit, of before.
  local tat = math.min(math.max(tonumber(redis.call('GET', key) or '0'), now), now + tolerance)
  local asked = tonumber(ARGV[i + 2])
  local passed = math.min(asked, math.floor((now + tolerance - tat) / interval + 0.000001))
  if passed < 0 then passed = 0 end
  if passed > 0 then
    tat = tat + passed * interval
    redis.call('SET', key, string.format('%.3f', tat), 'PX', math.ceil(tat - now) + 1000)
  end
  out[#out + 1] = passed
  out[#out + 1] = math.max(0, math.ceil(tat + interval - tolerance - now))
end
return out
"""


def gcra(tat: float, now: float, asked: int, interval: float, tolerance: float) -> tuple[float, int, float]:
    """One key by the Generic Cell Rate Algorithm: (new tat, how many pass, wait until one more may)."""
    tat = min(max(tat, now), now + tolerance)
    passed = max(0, min(asked, math.floor((now + tolerance - tat) / interval + 1e-6)))
    tat += passed * interval
    return tat, passed, max(0.0, tat + interval - tolerance - now)


class LocalRates:
    """The same rates in this process alone: for one socket, and for all while Redis is away."""

    MAX_KEYS = 50_000

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tats: OrderedDict[str, float] = OrderedDict()

    def admit(self, key: str, asked: int, *, limit: int, period_s: float, burst: int = 0) -> Admitted:
        """How many of ``asked`` may pass."""
        interval = period_s * 1000 / limit
        tat, passed, wait = gcra(
            self._tats.pop(key, 0.0),
            self._clock.monotonic() * 1000,
            asked,
            interval,
            (burst or limit) * interval,
        )
        self._tats[key] = tat
        if len(self._tats) > self.MAX_KEYS:
            self._tats.popitem(last=False)
        return Admitted(passed, math.ceil(wait))


class RedisLimiter:
    """Rates in Redis, or here while it is away."""

    RETRY_S = 1.0  # how long Redis is not asked again after it failed
    TIMEOUT_S = 0.25  # at most, whatever the settings say: a message waits for this
    CONNECTIONS = 16

    def __init__(self, settings: RedisSettings, clock: Clock) -> None:
        self._channels = Channels(settings.prefix)
        self._local = LocalRates(clock)
        self._timeout_s = min(settings.timeout_s, self.TIMEOUT_S)
        self._redis: Any = redis.asyncio.from_url(
            settings.url,
            socket_timeout=self._timeout_s,
            socket_connect_timeout=self._timeout_s,
            max_connections=self.CONNECTIONS,
        )
        # One connection too many is an error to the pool; here it is no reason to count on this node alone.
        self._places = asyncio.Semaphore(self.CONNECTIONS)
        self._sha = ""
        self._away_until = 0.0
        self._told = ""
        self._clock = clock

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def require(self, bucket: str, key: str, *, limit: int, period_s: float, burst: int = 0) -> None:
        """Count one. Raises RateLimited with ``retry_after_ms``."""
        if limit <= 0:
            return
        admitted = await self.admit(bucket, {key: 1}, limit=limit, period_s=period_s, burst=burst)
        if admitted[key].count < 1:
            raise RateLimited(retry_after_ms=max(1, admitted[key].retry_after_ms))

    async def admit(
        self, bucket: str, counts: Mapping[str, int], *, limit: int, period_s: float, burst: int = 0
    ) -> dict[str, Admitted]:
        """Count many at once, in one round trip."""
        if limit <= 0:
            return {key: Admitted(asked, 0) for key, asked in counts.items()}
        names = [self._channels.rate(bucket, key) for key in counts]
        interval = period_s * 1000 / limit
        if self._clock.monotonic() >= self._away_until:
            try:
                async with asyncio.timeout(self._timeout_s), self._places:
                    flat = await self._call(names, [interval, (burst or limit) * interval, *counts.values()])
                self._told = ""
                return {key: Admitted(int(flat[2 * i]), int(flat[2 * i + 1])) for i, key in enumerate(counts)}
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = self._clock.monotonic() + self.RETRY_S
                # That Redis is away or slow is said elsewhere; that it refuses, once for each reason.
                refused = isinstance(error, ResponseError) and str(error) != self._told
                log.log(
                    logging.WARNING if refused else logging.DEBUG,
                    "rates are counted on this node alone: %s",
                    str(error) or "no answer in time",
                )
                self._told = str(error) if refused else self._told
        return {
            key: self._local.admit(name, asked, limit=limit, period_s=period_s, burst=burst)
            for name, (key, asked) in zip(names, counts.items(), strict=True)
        }

    async def _call(self, names: list[str], args: list[float]) -> Any:
        try:
            if self._sha:
                return await self._redis.evalsha(self._sha, len(names), *names, *args)
        except NoScriptError:
            pass  # Redis came back empty
        self._sha = await self._redis.script_load(_SCRIPT)
        return await self._redis.evalsha(self._sha, len(names), *names, *args)
