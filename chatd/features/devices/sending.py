"""One push from the outbox: may it still go, what does it say, and what came of it."""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import msgspec

from chatd.core.context import Ctx
from chatd.core.ids import UserId
from chatd.features.chats import service as chats
from chatd.features.chats.contract import HeadsAsk
from chatd.features.devices import outbox_store, rules, store
from chatd.features.devices.contract import Due, Notice, Outcome, ProviderName, Push
from chatd.features.devices.providers import Provider

log = logging.getLogger("chatd.devices")

#: Pushes on their way at once.
AT_ONCE = 16
BACKOFF_S, MAX_BACKOFF_S = 5.0, 900.0


async def send_all(ctx: Ctx, due: list[Due], services: Mapping[ProviderName, Provider]) -> Counter[str]:
    """Send those that may go; how many had which outcome."""
    going = [each for each in due if await _may_go(ctx, each, services)]
    badges = await _badges(ctx, {each.user_id for each in going})
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: Due) -> str:
        async with places:
            outcome = await services[each.provider].send(_push(ctx, each, badges[each.user_id]))
        await _settle(ctx, each, outcome)
        return outcome.result

    return Counter(await asyncio.gather(*(one(each) for each in going)))


async def _may_go(ctx: Ctx, due: Due, services: Mapping[ProviderName, Provider]) -> bool:
    """Whether to send it now; what need not go at all is done with, and what may go later waits."""
    now = ctx.clock.now()
    silent = due.notification is None and due.message_id is None  # received, gone, or not to be shown
    old = now - due.created_at > timedelta(seconds=ctx.settings.push.max_age_s)
    quiet = rules.quiet_until(now, due.time_zone, due.quiet_from, due.quiet_until)
    if due.over:
        await store.delete_gone(ctx.db, due.device_id, due.registered_at)
        return False
    if due.banned or not due.push or silent or due.provider not in services or old:
        await outbox_store.finish(ctx.db, due.device_id, due.collapse_key, due.version, now)
        return False
    # An app that says what it has received has not said so within the grace time: whatever its socket looks
    # like, the app behind it is asleep or out of reach. Of others a live socket is all that can be known.
    if ctx.presence.has_socket(due.user_id) and not due.acknowledges:
        if due.waited:
            await outbox_store.finish(ctx.db, due.device_id, due.collapse_key, due.version, now)
        else:
            # One whose other end is gone looks alive until two heartbeats are missed.
            wait = timedelta(milliseconds=2.5 * ctx.settings.socket.heartbeat_ms)
            await _postpone(ctx, due, wait, waited=True)
        return False
    if quiet is not None:
        await outbox_store.hold(ctx.db, due.device_id, due.collapse_key, quiet)
        return False
    return True


async def _badges(ctx: Ctx, user_ids: set[UserId]) -> dict[UserId, int]:
    """What each has unread over all chats; one statement for many."""
    asked = sorted(user_ids)
    found = await asyncio.gather(*(ctx.groups.submit(chats.HEADS, HeadsAsk(user_id)) for user_id in asked))
    return {
        user_id: sum(state.unread_count for state in states)
        for user_id, states in zip(asked, found, strict=True)
    }


def _push(ctx: Ctx, due: Due, badge: int) -> Push:
    if due.notification is not None:
        notice = msgspec.convert(due.notification, Notice)
        title, body, data = notice.title, notice.body if due.preview else "", notice.data
    else:
        title, body = rules.words(due)
        data = {
            "type": "message.new",
            "chat_id": str(due.chat_id),
            "message_id": str(due.message_id),
            "seq": str(due.seq),
        }
    return Push(
        token=due.token,
        p256dh=due.p256dh,
        auth=due.auth,
        collapse_key=due.collapse_key,
        title=title,
        body=body,
        data=data,
        badge=badge,
        ttl_s=int(ctx.settings.push.max_age_s),
        urgent=due.mention or due.chat_type == "direct",
    )


async def _settle(ctx: Ctx, due: Due, outcome: Outcome) -> None:
    now = ctx.clock.now()
    match outcome.result:
        case "gone":
            log.info("%s is gone from %s: %s", due.device_id, due.provider, outcome.reason)
            await store.delete_gone(ctx.db, due.device_id, due.registered_at)
        case "later":
            log.warning("%s takes no push now: %s", due.provider, outcome.reason)
            wait = outcome.retry_after_s
            if wait is None:
                most = min(BACKOFF_S * 2 ** min(due.attempts - 1, 20), MAX_BACKOFF_S)
                wait = random.uniform(most / 2, most)  # noqa: S311  devices out of step
            await _postpone(ctx, due, timedelta(seconds=wait), waited=False)
        case _:
            if outcome.result == "refused":
                log.warning("%s refuses a push to %s: %s", due.provider, due.device_id, outcome.reason)
            await outbox_store.finish(ctx.db, due.device_id, due.collapse_key, due.version, now)


async def _postpone(ctx: Ctx, due: Due, wait: timedelta, *, waited: bool) -> None:
    at = ctx.clock.now() + wait
    await outbox_store.postpone(ctx.db, due.device_id, due.collapse_key, due.version, at, waited=waited)
