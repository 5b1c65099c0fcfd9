"""Filters as data: admins change them while chatd runs, and every node takes them up within seconds."""

from typing import Any

import msgspec

from chatd.core.context import Ctx, Tx
from chatd.core.errors import NotFound
from chatd.features.audit import service as audit
from chatd.features.moderation import authority, filters_store
from chatd.features.moderation.contract import Config, Filter, FilterId, Filters, PutFilter
from chatd.features.moderation.screen import FilterScreen

#: Who is muted everywhere is kept in memory on every node: more than this is another kind of trouble.
MAX_MUTED = 10_000

_decode_config = msgspec.json.Decoder(Config).decode


async def listed(ctx: Ctx) -> Filters:
    """All of them, in the order in which they are asked; for staff. Raises Forbidden."""
    await authority.require_staff(ctx, ctx.db)
    return Filters(items=await _all(ctx))


async def create(ctx: Ctx, body: PutFilter) -> Filter:
    """A new filter. Raises Forbidden, Conflict where the name is taken."""
    return await _save(ctx, ctx.ids.new("flt"), body, new=True)


async def replace(ctx: Ctx, filter_id: FilterId, body: PutFilter) -> Filter:
    """The filter is now as the body says. Raises NotFound, Forbidden, Conflict."""
    return await _save(ctx, filter_id, body, new=False)


async def remove(ctx: Ctx, filter_id: FilterId) -> None:
    """Raises NotFound, Forbidden."""
    async with ctx.db.transaction() as tx:
        await authority.require_admin(ctx, tx)
        if not await filters_store.delete_filter(tx, filter_id):
            raise NotFound("There is no such filter")
        await _record(tx, ctx, "filter.removed", filter_id)


async def refresh(ctx: Ctx) -> None:
    """Take up what has changed of the filters and the mutes on this node. Raises StoreUnavailable."""
    screen = ctx.screen
    if not isinstance(screen, FilterScreen):
        return
    version = await filters_store.version(ctx.db)
    if version != screen.version:
        muted = await filters_store.muted(ctx.db, ctx.clock.now(), MAX_MUTED)
        screen.use(version, await _all(ctx), {row.user_id: row.until for row in muted})


async def _all(ctx: Ctx) -> list[Filter]:
    found = [
        Filter(
            row.id,
            row.name,
            row.action,  # type: ignore[arg-type]
            _decode_config(row.config),
            row.enabled,
            row.position,
            row.updated_at,
        )
        for row in await filters_store.filters(ctx.db)
    ]
    return sorted(found, key=lambda each: (each.position, each.id))


async def _save(ctx: Ctx, filter_id: FilterId, body: PutFilter, *, new: bool) -> Filter:
    kind = str(type(body.config).__struct_config__.tag)
    config = msgspec.json.encode(body.config)
    async with ctx.db.transaction() as tx:
        await authority.require_admin(ctx, tx)
        saved = await filters_store.save_filter(
            tx, filter_id, body.name, kind, body.action, config, body.enabled, body.position, new=new
        )
        if not saved:
            raise NotFound("There is no such filter")
        action = "filter.created" if new else "filter.changed"
        await _record(tx, ctx, action, filter_id, name=body.name, filter_action=body.action, on=body.enabled)
    return next(each for each in await _all(ctx) if each.id == filter_id)


async def _record(tx: Tx, ctx: Ctx, action: str, filter_id: FilterId, **detail: Any) -> None:
    await audit.record(tx, ctx.actor.user_id, action, target=("filter", filter_id), **detail)
