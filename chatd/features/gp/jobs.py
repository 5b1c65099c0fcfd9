"""Periodic work of GPs. Each may run on several nodes at once; row locks share it out."""

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.features.gp import discovery, ending, limits, voting


async def expire(ctx: Ctx) -> None:
    """Votes that ran out, then GPs, then warnings: a failed vote may bring a GP's end forward."""
    await voting.close_due(ctx)
    await ending.end_overdue(ctx)
    await ending.warn_expiring(ctx)


async def look_around(ctx: Ctx) -> None:
    """Find GPs that have become eligible, and bring what lists sort by up to date."""
    await voting.look_around(ctx)


async def count(ctx: Ctx) -> None:
    """How many users were active in the last day, which bounds how many GPs there may be."""
    await limits.refresh_census(ctx)


async def forget(ctx: Ctx) -> None:
    """GPs whose history is over, and watches that have lapsed."""
    await ending.forget(ctx)
    await discovery.forget_lapsed(ctx)


JOBS = (
    Job("gp.expire", 10.0, expire),
    Job("gp.look", 20.0, look_around),
    Job("gp.census", 60.0, count),
    Job("gp.forget", 300.0, forget),
)
