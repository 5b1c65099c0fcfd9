"""Group commit: many callers, one statement (declarations.Batch).

While a round is in flight, entries queue; when it returns, all that queued is the next round. There is
no timer, so an idle server answers at once and a busy one in bigger batches.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar
from zlib import crc32

from chatd.core.declarations import Batch
from chatd.core.errors import AppError, Internal, StoreUnavailable, Unavailable, ValidationFailed
from chatd.core.pending import Pending

In = TypeVar("In")
Out = TypeVar("Out")
log = logging.getLogger("chatd.db.group_commit")
#: PostgreSQL that says nothing for so long is away; a connection that broke or a deadlock is told sooner.
SILENT_S = 1.0
#: (entries in one round, entries that may wait)
Bounds = tuple[int, int]
Observe = Callable[[str, int], None]


def _ignore(name: str, size: int) -> None:
    """Nobody counts the batches."""


class _Lane:
    """One queue and the one task that drains it."""

    def __init__(self, batch: Batch[Any, Any], bounds: Bounds, groups: "GroupCommit") -> None:
        self.batch, self.ctx, self.observe = batch, groups.ctx, groups.observe
        self.flush = groups.flush
        self.max_batch, self.max_queue = bounds
        self.max_wait_s = groups.max_wait_s
        #: (entry, who waits for it, since when)
        self.queue: deque[tuple[Any, Pending[Any], float]] = deque()
        self.task: asyncio.Task[None] | None = None

    def submit(self, entry: Any) -> Pending[Any]:
        if len(self.queue) >= self.max_queue:
            # Spread, so that they do not all come back at once.
            wait = random.randint(500, 1500)  # noqa: S311  not a secret
            raise Unavailable("Too much is waiting to be stored", retry_after_ms=wait)
        pending: Pending[Any] = Pending()
        self.queue.append((entry, pending, monotonic()))
        if self.task is None:
            self.task = asyncio.create_task(self._drain(), name=f"batch {self.batch.name}")
        return pending

    @property
    def pressure(self) -> float:
        """How near to its bound the queue is, by length or by how long its first entry has waited."""
        length = len(self.queue) / self.max_queue
        if self.queue and self.max_wait_s:
            return max(length, (monotonic() - self.queue[0][2]) / self.max_wait_s)
        return length

    async def _drain(self) -> None:
        try:
            while self.queue:
                size = min(len(self.queue), self.max_batch)
                round_ = [self.queue.popleft() for _ in range(size)]
                await self._round(round_)
        finally:
            self.task = None
            if self.queue:  # only when cancelled: what waits must not wait for ever
                for _, pending, _ in self.queue:
                    pending.fail(Unavailable("The server is going away"))
                self.queue.clear()

    async def _round(self, round_: list[tuple[Any, Pending[Any], float]]) -> None:
        self.observe(self.batch.name, len(round_))
        entries = [entry for entry, _, _ in round_]
        try:
            outcomes: Sequence[Any] = await self._outcomes(entries)
        except BaseException:
            for _, pending, _ in round_:
                pending.fail(Unavailable("The server is going away"))
            raise
        for (_, pending, _), outcome in zip(round_, outcomes, strict=True):
            try:
                if isinstance(outcome, Exception):
                    pending.fail(outcome)
                else:
                    pending.resolve(outcome)
            except Exception:
                log.exception("a listener of %s failed", self.batch.name)
        if self.batch.settled is not None:
            try:
                self.batch.settled(self.ctx, outcomes)
            except Exception:
                log.exception("what follows %s failed", self.batch.name)
            self.flush()

    def _give_up(self, error: StoreUnavailable) -> None:
        """What queues behind a round that PostgreSQL did not answer is told so now: it would wait as long
        again, one round after the other, to be told the same.
        """
        waiting, self.queue = self.queue, deque()
        for _, pending, _ in waiting:
            try:
                pending.fail(error)
            except Exception:
                log.exception("a listener of %s failed", self.batch.name)

    async def _outcomes(self, entries: list[Any]) -> Sequence[Any]:
        began = monotonic()
        try:
            return await self.batch.run(self.ctx, entries)
        except ValidationFailed as error:
            # One entry that PostgreSQL will not take must not fail its neighbours.
            if len(entries) == 1:
                return [error]
            alone = [await self._outcomes([entry]) for entry in entries]
            return [outcome for outcomes in alone for outcome in outcomes]
        except StoreUnavailable as error:
            if monotonic() - began >= SILENT_S:
                self._give_up(error)
            return [error] * len(entries)
        except AppError as error:
            return [error] * len(entries)
        except Exception:
            log.exception("a round of %s failed", self.batch.name)
            return [Internal()] * len(entries)


def _of(lanes: list[_Lane], key: str) -> _Lane:
    return lanes[crc32(key.encode()) % len(lanes)]


class GroupCommit:
    """The queues of every Batch on this node.

    Entries of a batch go to one of ``lanes`` by their key, so that one key's keep their order while
    different keys may be in flight on several connections. ``flush`` is called after each round that had
    effects (``Batch.settled``), so that they leave with the answers. ``max_wait_s`` is how long an entry
    should wait at most (0: however long): it is not enforced here, but ``pressure`` tells of it.
    """

    def __init__(
        self,
        *,
        lanes: int = 2,
        observe: Observe = _ignore,
        bounds: Mapping[str, Bounds] | None = None,
        flush: Callable[[], None] = lambda: None,
        max_wait_s: float = 0.0,
    ) -> None:
        self.lanes_each = lanes
        self.max_wait_s = max_wait_s
        self.observe = observe
        self.flush = flush
        self._bounds = bounds or {}  # by the batch's name, where settings say other than its declaration
        self.ctx: Any = None  # the system Ctx; boot sets it once everything stands
        self._lanes: dict[str, list[_Lane]] = {}

    def submit(self, batch: Batch[In, Out], entry: In) -> Pending[Out]:
        """Queue ``entry``. Raises Unavailable at once where the queue is at its bound."""
        lanes = self._lanes.get(batch.name)
        if lanes is None:
            count = self.lanes_each if batch.key else 1
            bounds = self._bounds.get(batch.name, (batch.max_batch, batch.max_queue))
            lanes = [_Lane(batch, bounds, self) for _ in range(count)]
            self._lanes[batch.name] = lanes
        if len(lanes) == 1 or batch.key is None:
            return lanes[0].submit(entry)
        return _of(lanes, batch.key(entry)).submit(entry)

    def pressure(self, name: str, key: str) -> float:
        """How near to their bound the entries of this key are: 0 nothing queues, 1 and more it is full."""
        lanes = self._lanes.get(name)
        return _of(lanes, key).pressure if lanes else 0.0

    @property
    def waiting(self) -> int:
        """Entries that queue, over all batches: for /metrics and admission."""
        return sum(len(lane.queue) for lanes in self._lanes.values() for lane in lanes)

    async def drain(self, timeout_s: float) -> None:
        """Wait until nothing queues, at most so long; then fail what is left."""
        tasks = [lane.task for lanes in self._lanes.values() for lane in lanes if lane.task]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)
