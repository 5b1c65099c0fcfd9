"""Keeping last_active_at, which survives restarts (protocol.md, section 5)."""

from datetime import UTC, datetime

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.errors import AppError
from chatd.features.accounts import service as accounts

CHUNK = 1000


async def store_departures(ctx: Ctx) -> None:
    """Write down when users left this node."""
    gone = ctx.presence.take_gone()
    try:
        await _store(ctx, {u: datetime.fromtimestamp(at, UTC) for u, at in gone.items()})
    except AppError:
        ctx.presence.give_back(gone)  # PostgreSQL is away
        raise


async def store_the_present(ctx: Ctx) -> None:
    """Write down that the users on this node are active now: what a kill -9 would forget."""
    now = ctx.clock.now()
    await _store(ctx, dict.fromkeys(ctx.presence.here(), now))


async def _store(ctx: Ctx, active: dict[str, datetime]) -> None:
    pairs = sorted(active.items())
    for i in range(0, len(pairs), CHUNK):
        await accounts.touch_last_active(ctx.db, pairs[i : i + CHUNK])


JOBS = (
    Job("presence.departures", 2.0, store_departures, everywhere=True),
    Job("presence.present", 60.0, store_the_present, everywhere=True),
)
