"""Jobs run on one worker of the cluster, and on another when that one goes."""

import asyncio

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.worker.runner import Runner
from tests.system.world import World


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
        async with asyncio.timeout(10):
            while len(ran) < 3:
                await asyncio.sleep(0.01)
        assert first.leads != second.leads
        assert len(set(ran)) == 1
        leader, other = (first, second) if first.leads else (second, first)
        await leader.stop()
        ran.clear()
        async with asyncio.timeout(10):
            while not ran:
                await asyncio.sleep(0.01)
        assert other.leads
    finally:
        await first.stop()
        await second.stop()


async def test_a_job_that_fails_runs_again(one: World) -> None:
    runs = 0

    async def fail(ctx: Ctx) -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("as it happens")

    made = Runner(one.nodes[0].db, one.nodes[0].ctx, [Job("fail", 0.01, fail, everywhere=True)])
    made.start()
    async with asyncio.timeout(10):
        while runs < 3:
            await asyncio.sleep(0.01)
    await made.stop()
