"""Finding GPs: the main screen's list, exploring, and watching what is near.

The priority of a GP is one number (schema.sql, gp_priority), shown as ``priorityScore``. The nearest cells
are looked into first and for so many GPs each, so that a crowded city costs no more than a small one; what
is ranked is then among the nearest.
"""

from collections.abc import Sequence
from datetime import timedelta

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.ids import UserId
from chatd.features.gp import discovery_store, geo, places, store, views, vocabulary
from chatd.features.gp.contract import ExploreGps, GpId, GpList, GpPage, GpPagination, GpView, ListGps
from chatd.features.gp.frames import GpNearby, GpWatch, NearbyGp
from chatd.features.gp.geo import Place
from chatd.features.gp.rows import Card, Gp, Ranked, Search
from chatd.features.gp.vocabulary import RADIUS_STEPS, SHOWN

#: GPs looked at in one cell: a cell of a wider search stands for 49 or 2401 small ones.
_PER_CELL = ((25.0, 40), (100.0, 200), (float("inf"), 1000))
#: GPs that the main screen's seven are chosen from, at most.
_CANDIDATES = 1000
#: The widest that a watch looks.
MAX_WATCH_KM = 50.0
#: GPs that are hidden from one user, at most.
MOST_HIDDEN = 1000
#: GPs in the answer to a watch.
WATCHED = 20


async def list_near(ctx: Ctx, query: ListGps) -> GpList:
    """The seven best: within 10 km, and further by steps until there are seven to show.

    Raises PositionUnknown, MovingTooFast.
    """
    place = await places.require(ctx, query.latitude, query.longitude)
    found: list[Ranked] = []
    radius = RADIUS_STEPS[0]
    hidden = await hidden_gps(ctx, ctx.db)
    for radius in RADIUS_STEPS:
        found = await _best(ctx, place, radius, hidden)
        if len(found) >= SHOWN:
            break
    return GpList(gps=await _shown(ctx, found, place), radius=radius)


async def explore(ctx: Ctx, query: ExploreGps) -> GpPage:
    """A page of what fits the filters, by priority, time left in its finer steps.

    Raises PositionUnknown, MovingTooFast.
    """
    place = await places.require(ctx, query.latitude, query.longitude)
    found: list[Ranked] = []
    offset = (query.page - 1) * query.limit
    hidden = await hidden_gps(ctx, ctx.db)
    steps = [step for step in RADIUS_STEPS if step < query.max_distance]
    for radius in (*steps, query.max_distance):
        found = await _explored(ctx, place, radius, query, query.limit, offset, hidden)
        if found and found[0].total >= ctx.settings.gp.explore_candidates:
            break
    # Past the last page no row says how many there are: the first one does.
    first = found
    if offset and not found:
        first = await _explored(ctx, place, query.max_distance, query, 1, 0, hidden)
    total = first[0].total if first else 0
    return GpPage(
        gps=await _shown(ctx, found, place),
        pagination=GpPagination(
            page=query.page,
            limit=query.limit,
            total=total,
            pages=-(-total // query.limit),
            has_more=bool(found) and offset + len(found) < total,
        ),
    )


async def watch(ctx: Ctx, command: GpWatch) -> GpNearby:
    """What is near now; changes follow as ``gp.nearby`` until the watch lapses.

    Raises PositionUnknown, MovingTooFast.
    """
    place = await places.require(ctx, command.latitude, command.longitude)
    until = ctx.clock.now() + timedelta(minutes=ctx.settings.gp.watch_minutes)
    # The watch before the list: what changes in between is told twice, never missed.
    await discovery_store.set_watch(
        ctx.db,
        ctx.actor.user_id,
        place,
        command.max_km,
        command.category,
        command.sub_type,
        command.topic,
        until,
    )
    filters = ExploreGps(category=command.category, sub_type=command.sub_type, topic=command.topic)
    hidden = await hidden_gps(ctx, ctx.db)
    found = await _explored(ctx, place, command.max_km, filters, WATCHED, 0, hidden)
    cards = {card.id: card for card in await store.cards(ctx.db, [each.id for each in found])}
    near = tuple(_nearby(ctx, cards[each.id], place.cell) for each in found if each.id in cards)
    return GpNearby(change="full", gps=near, until=until)


async def hidden_gps(ctx: Ctx, q: Queries, gp_id: GpId | None = None) -> list[GpId]:
    """GPs (or this one, if it is) that the actor is not to meet in: somebody is there with whom a block
    stands. To the actor they are not there at all, so that nobody learns of a block by them.
    """
    return await discovery_store.hidden_gps(q, ctx.actor.user_id, gp_id, MOST_HIDDEN)


async def unwatch(ctx: Ctx) -> None:
    """Hear no more."""
    await discovery_store.delete_watch(ctx.db, ctx.actor.user_id)


async def tell_watchers(tx: Tx, ctx: Ctx, gp: Gp, *, gone: bool = False) -> None:
    """After commit, tell those who watch a place near the GP what it is now, or that it is not to be had.

    ``gp`` is as the transaction leaves it. At most ``gp.watch_fanout`` hear of one change; the others see it
    when they renew their watch.
    """
    around = geo.cells_5_within(gp.cell, MAX_WATCH_KM)
    limit = ctx.settings.gp.watch_fanout
    watchers = await discovery_store.watchers(tx, gp.id, around, ctx.clock.now(), limit)
    shown = not gone and gp.member_count < ctx.settings.gp.max_members
    removed: list[UserId] = []
    by_cell: dict[int, list[UserId]] = {}
    for watcher in watchers:
        # As with a full one: who has it on the map since before a block hid it is not to keep it there.
        hearers = by_cell.setdefault(watcher.cell, []) if shown and not watcher.hidden else removed
        hearers.append(watcher.user_id)
    if removed:
        tx.after_commit(ctx.broker.to_users, removed, GpNearby(change="removed", gp_ids=(gp.id,)))
    for cell, user_ids in by_cell.items():
        event = GpNearby(change="changed", gps=(_nearby(ctx, gp, cell),))
        tx.after_commit(ctx.broker.to_users, user_ids, event)


async def forget_lapsed(ctx: Ctx) -> None:
    """Drop the watches that nobody renewed."""
    while await discovery_store.delete_lapsed(ctx.db, ctx.clock.now(), 1000) == 1000:
        pass


async def _explored(
    ctx: Ctx,
    place: Place,
    radius: float,
    query: ExploreGps,
    limit: int,
    offset: int,
    hidden: Sequence[GpId],
) -> list[Ranked]:
    search = Search(
        place,
        ctx.clock.now(),
        ctx.settings.gp.max_members,
        radius,
        most=ctx.settings.gp.explore_candidates,
        limit=limit,
        offset=offset,
        topic=query.topic,
        min_left=timedelta(hours=query.min_time_remaining),
        fine=True,
        hidden=hidden,
    )
    if query.category is query.sub_type is query.vibe_type is None:
        cells = geo.cells_within(place.cell, radius)
        return await discovery_store.ranked(ctx.db, cells, search.most, search)
    kinds = vocabulary.kinds(query.category, query.sub_type, query.vibe_type)
    # One kind is rare: it is looked for in bigger cells, which have an index of kinds.
    cells = geo.cells_within(place.cell, radius, 5)
    return await discovery_store.ranked_of_kinds(ctx.db, cells, kinds, search)


async def _best(ctx: Ctx, place: Place, radius: float, hidden: Sequence[GpId]) -> list[Ranked]:
    search = Search(
        place,
        ctx.clock.now(),
        ctx.settings.gp.max_members,
        radius,
        most=_CANDIDATES,
        limit=SHOWN,
        hidden=hidden,
    )
    per_cell = next(count for km, count in _PER_CELL if radius <= km)
    return await discovery_store.ranked(ctx.db, geo.cells_within(place.cell, radius), per_cell, search)


async def _shown(ctx: Ctx, found: Sequence[Ranked], place: Place) -> list[GpView]:
    scores: dict[GpId, int] = {each.id: each.score for each in found}
    return await views.show(ctx, list(scores), place, scores)


def _nearby(ctx: Ctx, gp: Gp | Card, from_cell: int) -> NearbyGp:
    return NearbyGp(
        gp_id=gp.id,
        category=gp.category,
        sub_type=gp.sub_type,
        specific_name=gp.specific_name,
        genre=gp.genre,
        topics=gp.topics,
        description=gp.description,
        member_count=gp.member_count,
        max_members=ctx.settings.gp.max_members,
        distance_km=geo.shown_km(geo.km_between(from_cell, gp.cell)),
        expires_at=gp.expires_at,
    )
