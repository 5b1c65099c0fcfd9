"""The workers and the private servers, kept alive."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from chatd.core import metrics
from chatd.core.settings import Settings
from chatd.embedded import EmbeddedError, Service
from chatd.supervisor.process import READY_S, Worker

BACKOFF_S = 0.1
MAX_BACKOFF_S = 10.0
HEALTHY_S = 30.0
"""Who lived so long starts with a clean record."""
START_ATTEMPTS = 3
"""How often one worker may die while chatd starts, before that is the answer."""
LOOK_S = 0.2
"""How often to look whether a private server still runs."""

log = logging.getLogger("chatd.supervisor")


class GaveUp(Exception):
    """chatd does not come up; the message says why."""


def backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 0.1, 0.2, 0.4 … 10."""
    return min(MAX_BACKOFF_S, BACKOFF_S * 2.0 ** min(failures - 1, 30))


class Fleet:
    """The workers on one port. ``settings`` are what the next worker is started with."""

    def __init__(self, settings: Settings, *, port: int, metrics: Path) -> None:
        self.settings = settings
        self.size = settings.server.workers or len(os.sched_getaffinity(0))
        #: Set: who is stopping stops at once.
        self.hurry = asyncio.Event()
        #: All workers have been ready once.
        self.up = False
        self._port = port
        self._metrics = metrics
        self._environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        self._slots = [_Slot(self, index) for index in range(self.size)]

    async def run(self, came_up: Callable[[], None]) -> None:
        """Keep the workers alive until cancelled, then drain them all; ``came_up`` when all are ready.

        Raises GaveUp where they do not come up at first. Later a worker that dies is replaced for ever.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for slot in self._slots:
                    group.create_task(slot.keep(), name=f"slot {slot.index}")
                try:
                    async with asyncio.timeout(READY_S * START_ATTEMPTS):
                        for slot in self._slots:
                            await slot.ready.wait()
                except TimeoutError:
                    raise GaveUp("the workers did not come up in time") from None
                self.up = True
                came_up()
        except BaseExceptionGroup as errors:
            if gave_up := errors.subgroup(GaveUp):
                raise _first(gave_up) from None
            raise

    async def roll(self) -> None:
        """Replace the workers one by one, each by one that is ready first, with the present settings."""
        for slot in self._slots:
            if problem := await slot.replace():
                log.error("the new worker %d %s; the workers that run stay as they are", slot.index, problem)
                return
        log.info("all workers are new")

    async def spawn(self, index: int) -> Worker:
        """A worker with the present settings."""
        return await Worker.spawn(index, self._port, self.settings, self._environ, self.hurry)

    def bury(self, worker: Worker) -> None:
        """What a dead worker leaves in the metrics: counts stay, its gauges go."""
        metrics.forget(worker.pid, self._metrics)

    def mourn(self, index: int, what: str, failures: int, pid: int | None = None) -> float:
        """Say that a worker has died, or was not even born; seconds until the next try. Raises GaveUp."""
        if not self.up and failures >= START_ATTEMPTS:
            raise GaveUp(f"worker {index} does not start: it {what}, {failures} times in a row")
        delay = backoff(failures)
        who = f"worker {index}" if pid is None else f"worker {index} (process {pid})"
        log.error("%s %s; the next starts in %g s", who, what, delay)
        return delay


class _Slot:
    """The place of one worker."""

    def __init__(self, fleet: Fleet, index: int) -> None:
        self.fleet, self.index = fleet, index
        self.ready = asyncio.Event()
        self.worker: Worker | None = None
        self._leaving: list[Worker] = []
        # Between a new worker's birth and its place in the slot: either it replaces, or it is replaced.
        self._lock = asyncio.Lock()

    async def keep(self) -> None:
        """Have a worker, and another when it dies, until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    worker = await self._fill()
                except OSError as error:
                    # No memory or no process is left, or the interpreter is just being replaced. The other
                    # workers serve, and this one comes when it can.
                    failures += 1
                    await asyncio.sleep(self.fleet.mourn(self.index, _unborn(error), failures))
                    continue
                if not await asyncio.shield(worker.start):
                    self.ready.set()
                ended = await asyncio.shield(worker.life)
                self.fleet.bury(worker)
                if worker is self.worker:  # else a rolling restart has put another here
                    failures = 1 if time.monotonic() - worker.began > HEALTHY_S else failures + 1
                    await asyncio.sleep(self.fleet.mourn(self.index, ended, failures, worker.pid))
        finally:
            present = [*self._leaving, *([self.worker] if self.worker else [])]
            await asyncio.gather(*(worker.stop() for worker in present))
            for worker in present:
                self.fleet.bury(worker)

    async def replace(self) -> str:
        """Put a new worker here and let the old one finish; why not, if it does not come up."""
        async with self._lock:
            try:
                fresh = await self.fleet.spawn(self.index)
            except OSError as error:
                return _unborn(error)
            try:
                if problem := await asyncio.shield(fresh.start):
                    self.fleet.bury(fresh)
                    return problem
            except asyncio.CancelledError:
                await fresh.stop()
                raise
            old, self.worker = self.worker, fresh
        if old is not None:
            self._leaving.append(old)
            await old.stop()
            self._leaving.remove(old)
        return ""

    async def _fill(self) -> Worker:
        async with self._lock:
            if self.worker is None or self.worker.life.done():
                self.worker = await self.fleet.spawn(self.index)
            return self.worker


async def keep(service: Service) -> None:
    """Start a private server again whenever it has died, until cancelled."""
    failures = 0
    while True:
        await asyncio.sleep(LOOK_S)
        if service.running():
            continue
        log.error("%s has died (%s may say why); starting it again", service.name, service.log)
        try:
            await asyncio.to_thread(service.start)
        except (EmbeddedError, OSError) as error:  # OSError: no process, no memory, or no binary for a moment
            failures += 1
            log.error("%s; the next try is in %g s", error, backoff(failures))
            await asyncio.sleep(backoff(failures))
        except asyncio.CancelledError:
            # A recovery may take minutes, and the thread would hold up the end; the next start takes it up.
            service.stop(immediate=True)
            raise
        else:
            failures = 0
            log.warning("%s is back", service.name)


def _unborn(error: OSError) -> str:
    return f"cannot be started: {error}"


def _first(group: BaseExceptionGroup[GaveUp]) -> GaveUp:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
