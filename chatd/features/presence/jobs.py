"""Keeping last_active_at, which survives restarts (protocol.md, section 5).

A kill -9 forgets what was to be written in the last seconds, so who is seen is written down while they are:
when they come (unless that was written less than PRESENT_S ago) and every PRESENT_S. So what is stored is
behind by no more than that and a few seconds, whatever ends a node.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.errors import AppError
from chatd.features.accounts import service as accounts

CHUNK = 1000
PRESENT_S = 60.0


async def store_changes(ctx: Ctx) -> None:
    """Write down when users were seen to come and to leave."""
    seen = ctx.presence.last_seen
    gone, come = seen.take_gone(), seen.take_come()
    try:
        await _store(ctx, gone)
        await _store(ctx, come, unless_within_s=PRESENT_S)
    except AppError:
        seen.give_back(gone, come)  # PostgreSQL is away
        raise


async def store_the_present(ctx: Ctx) -> None:
    """Write down that the users who are seen on this node are active now."""
    now = ctx.clock.now().timestamp()
    await _store(ctx, dict.fromkeys(ctx.presence.seen(), now))


async def _store(ctx: Ctx, times: Mapping[str, float], *, unless_within_s: float = 0.0) -> None:
    pairs = [(user_id, datetime.fromtimestamp(at, UTC)) for user_id, at in sorted(times.items())]
    for i in range(0, len(pairs), CHUNK):
        await accounts.touch_last_active(ctx.db, pairs[i : i + CHUNK], unless_within_s=unless_within_s)


JOBS = (
    Job("presence.changes", 2.0, store_changes, everywhere=True),
    Job("presence.present", PRESENT_S, store_the_present, everywhere=True),
)
