"""Jobs run on one worker of the cluster, and on another when that one goes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.errors import StoreUnavailable
from chatd.worker.runner import Runner
from tests.system.world import World
from tests.waiting import until


async def test_one_node_runs_the_jobs_and_another_takes_over(two: World) -> None:
    ran: list[str] = []

    def runner(name: str) -> Runner:
        async def note(ctx: Ctx) -> None:
            ran.append(name)

        made = Runner(two.nodes[0].db, two.nodes[0].ctx, [Job("note", 0.02, note)])
        made.ELECTION_S = 0.05  # type: ignore[misc]
        made.start()
        return made

    for node in two.nodes:  # the nodes' own runners let the lock go
        await node.runner.stop()
    first, second = runner("first"), runner("second")
    try:
        await until(lambda: len(ran) >= 3)
        assert first.leads != second.leads
        assert len(set(ran)) == 1
        leader, other = (first, second) if first.leads else (second, first)
        await leader.stop()
        ran.clear()
        await until(lambda: ran)
        assert other.leads
    finally:
        await first.stop()
        await second.stop()


class Losing:
    """A connection whose answers are lost on their way."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def fetchval(self, *args: Any) -> None:
        await self.connection.fetchval(*args)
        raise StoreUnavailable

    def terminate(self) -> None:
        self.connection.terminate()


async def test_a_lock_whose_holder_does_not_know_of_it_is_not_kept(two: World) -> None:
    lost: list[Losing] = []

    class Db:
        """At what a runner asks of the pool."""

        @asynccontextmanager
        async def connection(self) -> AsyncIterator[Losing]:
            async with two.nodes[0].db.connection() as connection:
                lost.append(Losing(connection))
                yield lost[-1]

    for node in two.nodes:
        await node.runner.stop()
    unlucky = Runner(Db(), two.nodes[0].ctx, [])
    unlucky.start()
    await until(lambda: lost)
    await unlucky.stop()
    other = Runner(two.nodes[1].db, two.nodes[1].ctx, [])
    other.ELECTION_S = 0.05  # type: ignore[misc]
    other.start()
    try:
        await until(lambda: other.leads)
    finally:
        await other.stop()


async def test_a_job_that_fails_runs_again(one: World) -> None:
    runs = 0

    async def fail(ctx: Ctx) -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("as it happens")

    made = Runner(one.nodes[0].db, one.nodes[0].ctx, [Job("fail", 0.01, fail, everywhere=True)])
    made.start()
    await until(lambda: runs >= 3)
    await made.stop()
