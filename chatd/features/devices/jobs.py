"""Looking for messages that nobody's device has received, and sending what is due.

Each runs on one worker of the cluster; its statements hold even where two do: the cursor is locked while
it moves, beside the rows that it makes, and a push is leased to whom it was given.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.features.devices import outbox_store
from chatd.features.devices.apns import Apns
from chatd.features.devices.contract import Claimed, ProviderName
from chatd.features.devices.fcm import Fcm
from chatd.features.devices.providers import Provider
from chatd.features.devices.sending import send_all
from chatd.features.devices.webpush import WebPush

#: The messages of so many seconds are looked at by one statement, when there is much to catch up with.
WINDOW_S = 10.0
BATCH, MAX_BATCHES = 100, 50


async def watch(ctx: Ctx) -> None:
    """Put pushes into the outbox for messages older than the grace time, up to now.

    After a time in which no node ran, of however long, for those of the last ``push.max_age_s``: who is told
    of older ones by their phone would be told of what is over.
    """
    window_s = WINDOW_S
    while (found := await _look(ctx, window_s)) is not None:  # at most max_age_s / WINDOW_S times
        window_s = WINDOW_S if found else 2 * window_s  # a night without nodes is a night without messages


async def _look(ctx: Ctx, window_s: float) -> int | None:
    """One window, exactly once: how many pushes it made; None where there is nothing more to look at."""
    async with ctx.db.transaction() as tx:
        push = ctx.settings.push
        since = await outbox_store.lock_cursor(tx, push.grace_s + push.max_age_s)
        if since is None:
            return None
        until = await outbox_store.move_cursor(tx, since, push.grace_s, window_s)
        found = 0
        if until > since:
            found = await outbox_store.enqueue_messages(tx, since, until, ctx.clock.now())
        return found if until - since >= timedelta(seconds=window_s) else None


async def send(ctx: Ctx) -> None:
    """Send what is due, a batch after another; what is left waits for the next run."""
    claimed = await _claim(ctx)
    if not claimed:
        return
    async with services(ctx) as all_:
        for _ in range(MAX_BATCHES):
            keys = [each.device_id for each in claimed], [each.collapse_key for each in claimed]
            await send_all(ctx, await outbox_store.due(ctx.db, *keys, ctx.clock.now()), all_)
            if len(claimed) < BATCH or not (claimed := await _claim(ctx)):
                return


async def _claim(ctx: Ctx) -> list[Claimed]:
    now = ctx.clock.now()
    # A batch goes in rounds of AT_ONCE, each of one or two requests (FCM's token).
    lease = timedelta(seconds=30 + ctx.settings.push.timeout_s * 2 * BATCH / 10)
    return await outbox_store.claim(ctx.db, now, now + lease, BATCH)


@asynccontextmanager
async def services(ctx: Ctx) -> AsyncIterator[dict[ProviderName, Provider]]:
    """The push services that are set up, over connections that are kept while there is something to send."""
    push, secrets = ctx.settings.push, ctx.settings.secrets
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
    # trust_env: an operator's proxy is for others; redirects are never followed.
    shared = httpx.AsyncClient(timeout=push.timeout_s, limits=limits, trust_env=False)
    apple = httpx.AsyncClient(http1=False, http2=True, timeout=push.timeout_s, limits=limits, trust_env=False)
    makers: dict[ProviderName, tuple[str, Callable[[], Provider]]] = {
        "fcm": (secrets.fcm_account, lambda: Fcm(secrets.fcm_account, push.fcm_url, shared, ctx.clock)),
        "apns": (secrets.apns_key, lambda: Apns(secrets.apns_key, push, apple, ctx.clock)),
        "webpush": (
            secrets.vapid_key,
            lambda: WebPush(secrets.vapid_key, push.web_subject, push.web_origins, shared, ctx.clock),
        ),
    }
    async with shared, apple:
        yield {name: make() for name, (key, make) in makers.items() if key}


JOBS = (Job("devices.watch", 1.0, watch), Job("devices.send", 1.0, send))
