"""REST of notifications."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, get, patch, post
from chatd.core.errors import NotFound
from chatd.features.devices import service as devices
from chatd.features.devices.contract import NotificationSettings, PatchNotificationSettings
from chatd.features.notifications import service
from chatd.features.notifications.contract import (
    ListNotifications,
    NotificationId,
    NotificationPage,
    Unread,
)


async def page(ctx: Ctx, query: ListNotifications) -> NotificationPage:
    """My notifications, newest first, and how many I have not read."""
    return await service.page(ctx, query)


async def read(ctx: Ctx, notification_id: NotificationId) -> Unread:
    """I have read this one."""
    return await service.read(ctx, notification_id)


async def read_all(ctx: Ctx) -> Unread:
    """I have read them all."""
    return await service.read_all(ctx)


async def settings(ctx: Ctx) -> NotificationSettings:
    """What I want to be told, how, and when not."""
    return await devices.settings(ctx.db, ctx.actor.user_id)


async def patch_settings(ctx: Ctx, body: PatchNotificationSettings) -> NotificationSettings:
    """Change some of it."""
    return await devices.patch_settings(ctx, body)


ROUTES = (
    get("/notifications", page),
    post("/notifications/read", read_all, status=200, limit="none"),
    post("/notifications/{notification_id}/read", read, status=200, limit="none", raises=(NotFound,)),
    get("/notifications/settings", settings),
    patch("/notifications/settings", patch_settings, limit="none"),
)
COMMANDS: tuple[Command, ...] = ()
