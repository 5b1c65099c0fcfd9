"""``chatd admin``: what admins do over REST, for whoever has the server's command line.

Works on the database alone: running nodes learn of it from the node feed, within about a second.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from chatd.core.clock import SystemClock
from chatd.core.context import NOBODY, Ctx
from chatd.core.ids import UuidIds
from chatd.core.settings import Settings
from chatd.db import migrations
from chatd.db.pool import Db
from chatd.features.admin import service
from chatd.features.admin.contract import BanUser


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One command line, taken apart; what an action does not need is left empty."""

    action: str
    user_id: str = ""
    chat_id: str = ""
    roles: tuple[str, ...] = ()
    for_s: float | None = None
    reason: str = "banned"
    session_id: str = ""


class _Nodes:
    """At core.context's Broker: the nodes look at the feed by themselves, so there is nobody to tell."""

    def feed_changed(self) -> None:
        """They will see."""


async def run(settings: Settings, wish: Wish) -> None:
    """Do it, and write the outcome to stdout as JSON. Raises AppError, SchemaError."""
    async with _context(settings) as ctx:
        result = await _ACTIONS[wish.action](ctx, wish)
    if result is not None:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")


async def _ban(ctx: Ctx, wish: Wish) -> Any:
    until = None if wish.for_s is None else ctx.clock.now() + timedelta(seconds=wish.for_s)
    return await service.ban(ctx, wish.user_id, BanUser(until=until, reason=wish.reason))


async def _sessions(ctx: Ctx, wish: Wish) -> Any:
    return await service.sessions(ctx, wish.user_id)


async def _logout(ctx: Ctx, wish: Wish) -> Any:
    if wish.session_id:
        return await service.end_session(ctx, wish.user_id, wish.session_id)
    return await service.end_sessions(ctx, wish.user_id)


async def _heads(ctx: Ctx, wish: Wish) -> Any:
    if wish.chat_id:
        return await service.chat_head(ctx, wish.chat_id)
    return await service.chat_heads(ctx, wish.user_id, 500)


_ACTIONS: dict[str, Callable[[Ctx, Wish], Awaitable[Any]]] = {
    "show": lambda ctx, wish: service.account(ctx, wish.user_id),
    "ban": _ban,
    "unban": lambda ctx, wish: service.unban(ctx, wish.user_id),
    "roles": lambda ctx, wish: service.set_roles(ctx, wish.user_id, list(wish.roles)),
    "sessions": _sessions,
    "logout": _logout,
    "heads": _heads,
    "drain": lambda ctx, wish: service.drain(ctx),
}


@asynccontextmanager
async def _context(settings: Settings) -> AsyncIterator[Ctx]:
    db = Db(settings.postgres)
    await db.open()
    try:
        await migrations.require_current(db)
        unused: Any = None  # none of what is done here needs groups, presence or rates
        yield Ctx(
            NOBODY,
            db=db,
            groups=unused,
            broker=_Nodes(),  # type: ignore[arg-type]
            presence=unused,
            limiter=unused,
            clock=SystemClock(),
            ids=UuidIds(),
            settings=settings,
            origin="chatd admin",
        )
    finally:
        await db.close()
