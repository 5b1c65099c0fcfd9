"""Where users are: the cell they last said, changed no faster than people move."""

from datetime import timedelta

from chatd.core.context import Ctx
from chatd.core.errors import RateLimited, ValidationFailed
from chatd.features.gp import geo
from chatd.features.gp import limits_store as store
from chatd.features.gp.errors import MovingTooFast, PositionUnknown
from chatd.features.gp.geo import Place


async def require(ctx: Ctx, latitude: float | None, longitude: float | None) -> Place:
    """The place to look from: the one given, which is remembered, or the one remembered.

    Raises PositionUnknown where there is neither, MovingTooFast where it changes too often.
    """
    stored = await store.find_position(ctx.db, ctx.actor.user_id)
    if latitude is not None and longitude is not None:
        place = geo.snap(latitude, longitude)
        if place.cell != stored:
            await _require_may_move(ctx)
            await store.set_position(ctx.db, ctx.actor.user_id, place.cell, ctx.clock.now())
        return place
    if latitude is not None or longitude is not None:
        missing = "longitude" if longitude is None else "latitude"
        raise ValidationFailed.at(f"$.{missing}", "latitude and longitude go together")
    if stored is None:
        raise PositionUnknown
    return geo.place(stored)


async def find(ctx: Ctx) -> Place | None:
    """Where the actor last was, if that is known."""
    stored = await store.find_position(ctx.db, ctx.actor.user_id)
    return None if stored is None else geo.place(stored)


async def remember_first(ctx: Ctx, place: Place) -> None:
    """Take the place of something that the actor made for theirs, where none is known."""
    if await store.find_position(ctx.db, ctx.actor.user_id) is None:
        await store.set_position(ctx.db, ctx.actor.user_id, place.cell, ctx.clock.now())


async def _require_may_move(ctx: Ctx) -> None:
    limit = ctx.settings.gp.moves_per_hour
    try:
        await ctx.limiter.require("gp_moves", ctx.actor.user_id, limit=limit, period_s=3600)
    except RateLimited as error:
        now = ctx.clock.now()
        until = now + timedelta(milliseconds=error.retry_after_ms or 1000)
        raise MovingTooFast(
            f"You have moved too often this hour; again from {until:%H:%M} UTC",
            until=until,
            now=now,
        ) from None
