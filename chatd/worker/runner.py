"""Runs jobs: each every so often, on one worker of the cluster unless the job is for every node.

The workers elect that one by a session-level advisory lock, held on one connection for as long as it lives:
so a job costs no lock of its own, and the death of the leader frees the lock. Two may lead for a moment
(a leader cut off from PostgreSQL learns it late), which is why jobs must be safe to run twice. A failed run
is logged and the next one comes at its time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.errors import AppError
from chatd.core.metrics import JOB_SECONDS

log = logging.getLogger("chatd.worker")
_LOCK = (0x6368, 1)  # "ch", 1: the two keys of the leader's advisory lock


class Runner:
    """The jobs of one node, a task each, and its part in the election."""

    TIMEOUT_S = 300.0
    ELECTION_S = 2.0

    def __init__(self, db: Any, ctx: Ctx, jobs: Sequence[Job]) -> None:
        self._db, self._ctx, self._jobs = db, ctx, jobs
        self.leads = False
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start them all."""
        self.tasks = [asyncio.create_task(self._follow(job), name=f"job {job.name}") for job in self._jobs]
        self.tasks.append(asyncio.create_task(self._stand_for_election(), name="jobs' election"))

    async def stop(self) -> None:
        """End them all; a run is cut in the middle, and its transaction rolled back."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=2)
        for job in self._jobs:
            if job.everywhere:
                await self._run(job)  # what this node alone knows is written before it goes

    async def _stand_for_election(self) -> None:
        while True:
            try:
                async with self._db.connection() as connection:
                    await self._lead_on(connection)
            except AppError as error:
                log.debug("no election now: %s", error.code)
            except Exception:
                # Nobody would notice that this worker, and one day every worker, does not stand any more.
                log.exception("no election now")
            self.leads = False
            await asyncio.sleep(self.ELECTION_S)

    async def _lead_on(self, connection: Any) -> None:
        """Lead for as long as this connection holds the lock; at once back where another does."""
        try:
            won = await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", *_LOCK)
        except BaseException:
            connection.terminate()  # the answer is lost, the lock perhaps not: the pool must not keep it
            raise
        if not won:
            return
        try:
            self.leads = True
            log.info("this worker runs the cluster's jobs")
            while True:
                await asyncio.sleep(self.ELECTION_S)
                await connection.execute("SELECT 1")  # raises where the connection, and the lock, is gone
        finally:
            self.leads = False
            if not connection.is_closed():
                try:
                    await connection.execute("SELECT pg_advisory_unlock($1, $2)", *_LOCK)
                except BaseException:
                    connection.terminate()  # or it would keep the lock in the pool
                    raise

    async def _follow(self, job: Job) -> None:
        while True:
            await asyncio.sleep(job.every_s * random.uniform(0.9, 1.1))  # noqa: S311  nodes out of step
            if job.everywhere or self.leads:
                await self._run(job)

    async def _run(self, job: Job) -> None:
        started, outcome = time.perf_counter(), "done"
        try:
            async with asyncio.timeout(self.TIMEOUT_S):
                await job.run(self._ctx)
        except (AppError, TimeoutError) as error:
            outcome = "failed"
            log.warning("job %s: %s", job.name, error)
        except Exception:
            outcome = "failed"
            log.exception("job %s failed", job.name)
        JOB_SECONDS.labels(job.name, outcome).observe(time.perf_counter() - started)
