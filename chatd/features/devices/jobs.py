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
from chatd.features.devices import store
from chatd.features.devices.apns import Apns
from chatd.features.devices.contract import Claimed, ProviderName
from chatd.features.devices.fcm import Fcm
from chatd.features.devices.providers import Provider
from chatd.features.devices.sending import send_all
from chatd.features.devices.webpush import WebPush

#: The messages of so many seconds are looked at by one statement, when there is much to catch up with.
WINDOW_S = 10.0
MAX_WINDOWS = 50
BATCH, MAX_BATCHES = 100, 50


async def watch(ctx: Ctx) -> None:
    """Put pushes into the outbox for messages older than the grace time, up to now."""
    for _ in range(MAX_WINDOWS):
        if not await _look(ctx):
            return


async def _look(ctx: Ctx) -> bool:
    """One window, exactly once; whether there is more."""
    async with ctx.db.transaction() as tx:
        since = await store.lock_cursor(tx)
        if since is None:
            return False
        until = await store.move_cursor(tx, since, ctx.settings.push.grace_s, WINDOW_S)
        if until > since:
            await store.plan_by_indexes(tx)
            await store.enqueue_messages(tx, since, until, ctx.clock.now())
        return until - since >= timedelta(seconds=WINDOW_S)


async def send(ctx: Ctx) -> None:
    """Send what is due, a batch after another; what is left waits for the next run."""
    claimed = await _claim(ctx)
    if not claimed:
        return
    async with services(ctx) as all_:
        for _ in range(MAX_BATCHES):
            keys = [each.device_id for each in claimed], [each.collapse_key for each in claimed]
            await send_all(ctx, await store.due(ctx.db, *keys, ctx.clock.now()), all_)
            if len(claimed) < BATCH or not (claimed := await _claim(ctx)):
                return


async def _claim(ctx: Ctx) -> list[Claimed]:
    now = ctx.clock.now()
    # A batch goes in rounds of AT_ONCE, each of one or two requests (FCM's token).
    lease = timedelta(seconds=30 + ctx.settings.push.timeout_s * 2 * BATCH / 10)
    return await store.claim(ctx.db, now, now + lease, BATCH)


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
