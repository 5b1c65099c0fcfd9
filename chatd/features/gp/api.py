"""GPs on both edges (gp-groups.md; the paths and the dialect are that document's)."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, get, post
from chatd.core.errors import Forbidden
from chatd.features.gp import service
from chatd.features.gp.contract import (
    DIALECT,
    ConvertGp,
    CreateGp,
    ExploreGps,
    GpActivity,
    GpAnswer,
    GpConverting,
    GpId,
    GpLeft,
    GpLimitsAnswer,
    GpLimitsQuery,
    GpList,
    GpPage,
    GpRef,
    GpsExpired,
    ListGps,
    MyGps,
    UpdateGpActivity,
)
from chatd.features.gp.errors import (
    AlreadyMember,
    GpCategoryLimit,
    GpCooldown,
    GpDailyLimit,
    GpFull,
    GpNotActive,
    GpNotFound,
    GpSystemLimit,
    MovingTooFast,
    NotAMember,
    NotAVoter,
    PositionUnknown,
    VoteNotOpen,
)
from chatd.features.gp.frames import GpNearby, GpUnwatch, GpWatch
from chatd.wire import codec
from chatd.wire.frames import Ref

# ------------------------------------------------------------------------------------------------ socket


async def watch(ctx: Ctx, command: GpWatch) -> GpNearby:
    """Hear of GPs near a place; the answer is what is near now."""
    return await service.watch(ctx, command)


def watched(near: GpNearby, re: Ref) -> bytes:
    """gp.nearby as the answer to a watch."""
    return codec.frame(
        GpNearby(change=near.change, gps=near.gps, gp_ids=near.gp_ids, until=near.until, re=re)
    )


async def unwatch(ctx: Ctx, command: GpUnwatch) -> None:
    """Hear no more of them."""
    await service.unwatch(ctx)


# -------------------------------------------------------------------------------------------------- REST


async def create(ctx: Ctx, body: CreateGp) -> GpAnswer:
    """Create a GP; you are its first member, and in its chat.

    Two a day in your time zone, an hour between them, one active in each category, and as many in all as the
    users active in the last day can fill. ``check-limits`` says beforehand what stands against it.
    """
    return await service.create(ctx, body)


async def list_near(ctx: Ctx, query: ListGps) -> GpList:
    """The seven best GPs around you with a free place.

    Looks within 10 km, then 25, 50, 100 and 500, until there are seven. Sorted by ``priorityScore``: first
    those that need one or two members, then those with more than an hour and a half left, then the nearer,
    then the livelier, then those with more messages.
    """
    return await service.list_near(ctx, query)


async def join(ctx: Ctx, body: GpRef) -> GpAnswer:
    """Join a GP and its chat, on all of your sockets at once."""
    return await service.join(ctx, body.gp_id)


async def explore(ctx: Ctx, query: ExploreGps) -> GpPage:
    """Search GPs with a free place, by pages. Sorted as the list is, time left in quarter hours."""
    return await service.explore(ctx, query)


async def permanent_convert(ctx: Ctx, body: ConvertGp) -> GpConverting:
    """Ask whether the GP may become permanent, which opens the vote where it may, or vote.

    70 % of those who were in when the vote opened must say yes. A vote may be changed until it ends, and
    ends as soon as it is decided either way.
    """
    return await service.convert(ctx, body)


async def check_limits(ctx: Ctx, query: GpLimitsQuery) -> GpLimitsAnswer:
    """Whether you may create a GP now, and which limits stand against it until when."""
    return await service.limits.look(ctx, query.category)


async def my_gps(ctx: Ctx) -> MyGps:
    """The GPs you are in: the living first, then the latest."""
    return await service.mine(ctx)


async def leave(ctx: Ctx, body: GpRef) -> GpLeft:
    """Leave a GP and its chat."""
    return await service.leave(ctx, body.gp_id)


async def update_activity(ctx: Ctx, body: UpdateGpActivity) -> GpActivity:
    """Have the GP looked at: what was said is counted by the server, and eligibility follows from it."""
    return await service.update_activity(ctx, body)


async def details(ctx: Ctx, gp_id: GpId) -> GpAnswer:
    """One GP; one that is over is shown to its members only."""
    return await service.details(ctx, gp_id)


async def expire(ctx: Ctx) -> GpsExpired:
    """End GPs past their time, for an operator's timer; jobs do the same by themselves."""
    return await service.expire(ctx)


_MEMBER = (GpNotFound, GpNotActive, NotAMember)
_LIMITS = (GpDailyLimit, GpCooldown, GpCategoryLimit, GpSystemLimit)
_PLACE = (PositionUnknown, MovingTooFast)

# GP activity is not counted among writes (protocol.md, section 7): its own limits bound it.
ROUTES = (
    post("/gp/create", create, raises=_LIMITS, limit="read", dialect=DIALECT),
    get("/gp/list", list_near, raises=_PLACE, dialect=DIALECT),
    post(
        "/gp/join",
        join,
        status=200,
        raises=(GpNotFound, GpNotActive, AlreadyMember, GpFull, Forbidden),
        limit="read",
        dialect=DIALECT,
    ),
    get("/gp/explore", explore, raises=_PLACE, dialect=DIALECT),
    post(
        "/gp/permanent-convert",
        permanent_convert,
        status=200,
        raises=(*_MEMBER, VoteNotOpen, NotAVoter),
        limit="read",
        dialect=DIALECT,
    ),
    get("/gp/check-limits", check_limits, dialect=DIALECT),
    get("/gp/my-gps", my_gps, dialect=DIALECT),
    post("/gp/leave", leave, status=200, raises=_MEMBER, limit="read", dialect=DIALECT),
    post("/gp/update-activity", update_activity, status=200, raises=_MEMBER, limit="read", dialect=DIALECT),
    post(
        "/gp/expire",
        expire,
        status=200,
        raises=(Forbidden,),
        limit="none",
        internal=True,
        dialect=DIALECT,
    ),
    get("/gp/{gp_id}", details, raises=(GpNotFound,), dialect=DIALECT),
)

COMMANDS = (
    Command(GpWatch, watch, raises=_PLACE, answers=(GpNearby,), reply=watched),
    Command(GpUnwatch, unwatch),
)
