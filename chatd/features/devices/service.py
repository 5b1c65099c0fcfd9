"""The rules of devices: whose they are, what their users wish, and what may be put into the outbox."""

import hashlib
from collections.abc import Collection

import msgspec
from msgspec import UNSET

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Conflict, NotFound, ValidationFailed
from chatd.core.ids import UserId
from chatd.features.devices import outbox_store, rules, store, webpush
from chatd.features.devices.contract import (
    MAX_DEVICES,
    Device,
    Devices,
    Notice,
    NotificationSettings,
    PatchNotificationSettings,
    RegisterDevice,
    WebPushKey,
)

__all__ = (
    "devices",
    "forget",
    "notify",
    "patch_settings",
    "register",
    "settings",
    "unnotify",
    "unregister",
    "web_push_key",
)


async def register(ctx: Ctx, wanted: RegisterDevice) -> tuple[Device, bool]:
    """Push to this device as long as the actor's session lives; and whether it is new.

    A token that was another account's is taken from there, with what waited for it. Of more than
    MAX_DEVICES the oldest go. Raises ValidationFailed, Conflict where the provider is not set up here.
    """
    token, p256dh, auth = _checked(ctx, wanted)
    me, now, digest = ctx.actor.user_id, ctx.clock.now(), hashlib.sha256(token.encode()).digest()
    async with ctx.db.transaction() as tx:
        await store.drop_foreign(tx, wanted.provider, digest, me)
        device = await store.save_device(
            tx,
            ctx.ids.new("dev"),
            me,
            ctx.actor.session_id,
            wanted.provider,
            token,
            digest,
            p256dh,
            auth,
            wanted.name,
            now,
        )
        if device is None:
            raise Conflict("Another account registers this device at this moment; try again")
        await store.drop_oldest(tx, me, MAX_DEVICES)
    return device, device.created_at == device.registered_at


async def devices(ctx: Ctx) -> Devices:
    """The actor's devices."""
    return Devices(devices=await store.devices_of(ctx.db, ctx.actor.user_id, ctx.clock.now()))


async def unregister(ctx: Ctx, device_id: str) -> None:
    """Push no more to one of the actor's devices. Raises NotFound where they have none such."""
    if not await store.delete_device(ctx.db, ctx.actor.user_id, device_id):
        raise NotFound("You have no such device")


async def forget(q: Queries, user_id: UserId) -> None:
    """Push no more to any device of the user."""
    await store.delete_device(q, user_id, None)


def web_push_key(ctx: Ctx) -> WebPushKey:
    """What browsers subscribe with. Raises Conflict where Web Push is not set up here."""
    if not ctx.settings.secrets.vapid_key:
        raise Conflict("Web Push is not set up on this server")
    return WebPushKey(public_key=webpush.public_key(ctx.settings.secrets.vapid_key))


async def settings(q: Queries, user_id: UserId) -> NotificationSettings:
    """A user's wishes; the defaults where nothing was set."""
    return await store.find_settings(q, user_id) or NotificationSettings()


async def patch_settings(ctx: Ctx, wanted: PatchNotificationSettings) -> NotificationSettings:
    """Change some of the actor's wishes. Raises ValidationFailed for half of the quiet hours."""
    quiet = wanted.quiet_from is not UNSET
    halves = {(each is UNSET, each is None) for each in (wanted.quiet_from, wanted.quiet_until)}
    if len(halves) > 1:
        raise ValidationFailed.at("$.quiet_until", "quiet hours have a beginning and an end, or neither")
    given = {
        name: None if value is UNSET else value for name, value in msgspec.structs.asdict(wanted).items()
    }
    return await store.save_settings(ctx.db, ctx.actor.user_id, quiet=quiet, **given)


async def notify(tx: Tx, ctx: Ctx, user_ids: Collection[UserId], notice: Notice) -> None:
    """Push this to those of the users who have no live socket then, unless they take it back first."""
    if user_ids:
        body = msgspec.json.encode(notice)
        await outbox_store.enqueue_notice(tx, sorted(user_ids), notice.key, body, ctx.clock.now())


async def unnotify(tx: Tx, user_id: UserId, keys: Collection[str]) -> None:
    """These need no push any more: the user has seen them."""
    if keys:
        await outbox_store.drop_notice(tx, user_id, list(keys))


def _checked(ctx: Ctx, wanted: RegisterDevice) -> tuple[str, bytes | None, bytes | None]:
    secrets, push = ctx.settings.secrets, ctx.settings.push
    keys = {"fcm": secrets.fcm_account, "apns": secrets.apns_key, "webpush": secrets.vapid_key}
    if not keys[wanted.provider]:
        raise Conflict(f"Push by {wanted.provider} is not set up on this server")
    if wanted.provider == "webpush":
        if wanted.subscription is None:
            raise ValidationFailed.at("$.subscription", "webpush takes a browser's subscription")
        if not rules.origin_allowed(wanted.subscription.endpoint, push.web_origins):
            raise ValidationFailed.at("$.subscription.endpoint", "not a push service that this server calls")
        return wanted.subscription.endpoint, *rules.subscription_keys(wanted.subscription)
    if wanted.token is None:
        raise ValidationFailed.at("$.token", f"{wanted.provider} takes a token")
    if wanted.provider == "apns" and not rules.is_hex(wanted.token):
        raise ValidationFailed.at("$.token", "APNs tokens are hexadecimal")
    return wanted.token, None, None
