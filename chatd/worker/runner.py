"""Runs jobs: each every so often, by one worker of the cluster at a time (an advisory lock) unless the job
is for every node. A failed run is logged and the next one comes at its time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.errors import AppError
from chatd.core.metrics import JOB_SECONDS

log = logging.getLogger("chatd.worker")
_LOCK_SPACE = 0x6368  # "ch": our half of the two-key advisory locks


class Runner:
    """The jobs of one node, a task each."""

    TIMEOUT_S = 300.0

    def __init__(self, db: Any, ctx: Ctx, jobs: Sequence[Job]) -> None:
        self._db, self._ctx, self._jobs = db, ctx, jobs
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start them all."""
        self.tasks = [asyncio.create_task(self._follow(job), name=f"job {job.name}") for job in self._jobs]

    async def stop(self) -> None:
        """End them all; a run is cut in the middle, and its transaction rolled back."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=2)
        for job in self._jobs:
            if job.everywhere:
                await self._run(job)  # what this node alone knows is written before it goes

    async def _follow(self, job: Job) -> None:
        while True:
            await asyncio.sleep(job.every_s * random.uniform(0.9, 1.1))  # noqa: S311  nodes out of step
            await self._run(job)

    async def _run(self, job: Job) -> None:
        started, outcome = time.perf_counter(), "done"
        try:
            async with asyncio.timeout(self.TIMEOUT_S):
                if job.everywhere:
                    await job.run(self._ctx)
                elif not await self._run_alone(job):
                    return
        except (AppError, TimeoutError) as error:
            outcome = "failed"
            log.warning("job %s: %s", job.name, error)
        except Exception:
            outcome = "failed"
            log.exception("job %s failed", job.name)
        JOB_SECONDS.labels(job.name, outcome).observe(time.perf_counter() - started)

    async def _run_alone(self, job: Job) -> bool:
        key = crc32(job.name.encode()) - 2**31
        async with self._db.connection() as connection:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", _LOCK_SPACE, key):
                return False
            try:
                await job.run(self._ctx)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1, $2)", _LOCK_SPACE, key)
        return True
