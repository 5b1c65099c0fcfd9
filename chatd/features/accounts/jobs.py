"""Periodic work of accounts."""

from datetime import timedelta

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.features.accounts import security_store, sessions_store

#: What ran out is kept a day, to be read by whoever looks into a theft.
KEEP = timedelta(days=1)
#: A session may have a week of tokens, some 700, that go with it.
BATCH, MAX_BATCHES = 100, 100


async def purge(ctx: Ctx) -> None:
    """Forget sessions that ran out, with their tokens, in short statements; the rest waits for the next run.

    The tokens of a session that lives are forgotten as it goes on (``sessions_store.rotate``).
    """
    before = ctx.clock.now() - KEEP
    for _ in range(MAX_BATCHES):
        if await sessions_store.purge_sessions(ctx.db, before, BATCH) < BATCH:
            return


async def purge_codes(ctx: Ctx) -> None:
    """Forget codes that ran out, and wrong passwords of more than a day ago."""
    now = ctx.clock.now()
    for _ in range(MAX_BATCHES):
        if await security_store.purge_tokens(ctx.db, now, BATCH) < BATCH:
            break
    for _ in range(MAX_BATCHES):
        if await security_store.purge_failures(ctx.db, now - KEEP, BATCH) < BATCH:
            break


JOBS = (
    Job("accounts.purge_codes", 600.0, purge_codes),
    Job("accounts.purge", 600.0, purge),
)
