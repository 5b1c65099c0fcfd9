"""Sending what was scheduled, and forgetting it later."""

from datetime import timedelta

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.features.conversations import scheduled
from chatd.features.conversations import scheduled_store as store

BATCH, MAX_BATCHES = 50, 100
KEEP = timedelta(days=30)


async def send_due(ctx: Ctx) -> None:
    """Send what is due, in batches; what is left after many waits for the next run."""
    for _ in range(MAX_BATCHES):
        if await scheduled.send_due(ctx, BATCH) < BATCH:
            return


async def purge(ctx: Ctx) -> None:
    """Forget what was sent or failed long ago, in short statements."""
    for _ in range(MAX_BATCHES):
        if await store.purge(ctx.db, ctx.clock.now() - KEEP, 1000) < 1000:
            return


JOBS = (
    Job("conversations.scheduled", 1.0, send_due),
    Job("conversations.purge", 3600.0, purge),
)
