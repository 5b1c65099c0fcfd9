"""The rules of personal data: everybody has a right to their own, and to nobody else's."""

from datetime import timedelta
from typing import Any

import msgspec

from chatd.core.context import Ctx
from chatd.core.errors import NotFound, RateLimited
from chatd.features.accounts import service as accounts
from chatd.features.devices import service as devices
from chatd.features.personal_data import store, tables
from chatd.features.personal_data.contract import Export, ExportPart

#: Exports that one may ask for in a day.
A_DAY = 3


async def delete_account(ctx: Ctx, password: str | None) -> None:
    """The actor's account is nobody's from the commit on; a job takes away what was theirs.

    Raises Forbidden for a wrong password, RateLimited, Unavailable.
    """
    person = await accounts.require_oneself(ctx, password)
    async with ctx.db.transaction() as tx:
        await accounts.depart(tx, ctx, person)
        await devices.forget(tx, person.id)


async def ask(ctx: Ctx) -> Export:
    """Begin an export for the actor, or the one that is being made already. Raises RateLimited."""
    me, now = ctx.actor.user_id, ctx.clock.now()
    day = timedelta(days=1)
    begun = await store.begin(ctx.db, ctx.ids.new("exp"), me, now, now - day, A_DAY)
    last = await store.find(ctx.db, me, None, now)
    if last is None or (not begun and last.status == "ready"):
        raise RateLimited(f"You may have {A_DAY} exports a day", retry_after_ms=3_600_000)
    return last


async def find(ctx: Ctx, export_id: str) -> Export:
    """The actor's export. Raises NotFound."""
    found = await store.find(ctx.db, ctx.actor.user_id, export_id, ctx.clock.now())
    if found is None:
        raise NotFound("You have no such export")
    return found


async def part(ctx: Ctx, export_id: str, number: int, format: str) -> ExportPart:
    """A piece of the actor's export, once it is whole. Raises NotFound."""
    found = await store.find_part(ctx.db, ctx.actor.user_id, export_id, number, ctx.clock.now())
    if found is None:
        raise NotFound("You have no such part of an export")
    if format == "json":
        return ExportPart(section=found.section, rows=found.data)
    rows = msgspec.json.decode(found.data, type=list[dict[str, Any]])
    return ExportPart(section=found.section, csv=tables.as_csv(rows))
