"""A toy API with one route of each kind, and the real edge around it."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Answer, Route, delete, get, patch, post, put
from chatd.core.errors import ChatNotFound, Conflict, RateLimited, Unauthenticated
from chatd.core.ids import ChatId, UserId, UuidIds
from chatd.core.metrics import Stats
from chatd.core.settings import Settings
from chatd.rest import asyncapi, openapi, root
from chatd.rest.app import Parts, build
from chatd.rest.root import Readiness
from chatd.rest.server import protocol_factory
from chatd.wire.frames import NO_NUL

USER = "usr_01h455vb4pex5vsknk084sn02q"
CHAT = "cht_01h455vb4pex5vsknk084sn02q"


class Thing(msgspec.Struct, frozen=True):
    """A thing."""

    name: Annotated[str, Meta(min_length=1, max_length=20, pattern=NO_NUL)]
    at: datetime | None = None


class Search(msgspec.Struct, frozen=True):
    """Query of the search."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    user_ids: Annotated[list[UserId], Meta(max_length=3)] = []
    before: datetime | None = None
    q: Annotated[str, Meta(pattern=NO_NUL)] | None = None
    sizes: list[int] = []
    most: float | None = None


class Found(msgspec.Struct, frozen=True):
    """What the search saw."""

    limit: int
    user_ids: list[str]
    before: datetime | None
    q: str | None
    address: str
    user_id: str
    sizes: list[int]


async def search(ctx: Ctx, query: Search) -> Found:
    """Look for things."""
    return Found(
        query.limit, query.user_ids, query.before, query.q, ctx.address, ctx.actor.user_id, query.sizes
    )


async def measure(ctx: Ctx, size: Annotated[int, Meta(ge=-(10**9), le=10**9)]) -> Thing:
    """A thing by a number."""
    return Thing(str(size))


async def show(ctx: Ctx, chat_id: ChatId) -> Thing:
    """One thing."""
    if chat_id != CHAT:
        raise ChatNotFound
    return Thing(chat_id[:10])


async def react(
    ctx: Ctx, chat_id: ChatId, emoji: Annotated[str, Meta(max_length=8, pattern=NO_NUL)]
) -> Thing:
    """A thing with an emoji in its path."""
    return Thing(emoji)


async def make(ctx: Ctx, body: Thing) -> Thing:
    """Make a thing."""
    return body


async def take_back(ctx: Ctx, chat_id: ChatId) -> None:
    """Nothing is answered."""


async def maybe(ctx: Ctx, body: Thing) -> Answer[Thing]:
    """Make one, or find it."""
    return Answer(body, 200 if body.name == "old" else 201)


async def whoami(ctx: Ctx) -> Thing:
    """Anybody may ask."""
    return Thing(ctx.actor.user_id[:20] or "nobody")


async def explode(ctx: Ctx) -> Thing:
    """A defect."""
    raise RuntimeError("the password is hunter2")


async def refuse(ctx: Ctx) -> Thing:
    """An error that knows more."""
    raise Conflict("no", extra={"current": 3})


async def hurry(ctx: Ctx) -> Thing:
    """Too fast."""
    raise RateLimited(retry_after_ms=1200)


ROUTES = (
    get("/things", search),
    get("/things/{chat_id}", show, raises=(ChatNotFound,)),
    get("/sizes/{size}", measure, limit="none"),
    put("/things/{chat_id}/reactions/{emoji}", react, limit="none"),
    post("/things", make, limit="none"),
    delete("/things/{chat_id}", take_back, limit="none"),
    patch("/things", maybe, status=(200, 201), limit="write"),
    get("/whoami", whoami, auth=False, limit="none"),
    get("/explode", explode, limit="none"),
    get("/refuse", refuse, raises=(Conflict,), limit="none"),
    get("/hurry", hurry, raises=(RateLimited,), limit="none"),
)


class CountingLimiter:
    """A limiter at its own protocol: counts, and refuses past the limit; time stands still."""

    def __init__(self):
        self.counts = {}

    async def require(self, bucket, key, *, limit, period_s, burst=0):
        self.counts[bucket, key] = self.counts.get((bucket, key), 0) + 1
        if self.counts[bucket, key] > limit:
            raise RateLimited(retry_after_ms=int(period_s * 1000))


def authenticate(token: str) -> Actor:
    if token == "good" or token == "revoked":
        return Actor(USER, session_id=token)
    raise Unauthenticated("This token is not valid")


async def require_live(ctx: Ctx) -> None:
    if ctx.actor.session_id == "revoked":
        raise Unauthenticated("This session is over")


class Toy:
    """The pieces a test may look at or turn."""

    def __init__(self, settings: Settings, routes: Sequence[Route]) -> None:
        self.limiter, self.stats, self.state = CountingLimiter(), Stats(), Readiness()
        self.settings, self.routes = settings, routes

    def make_ctx(self, actor: Actor, origin: str, address: str) -> Ctx:
        nothing = None
        return Ctx(
            actor=actor,
            db=nothing,  # type: ignore[arg-type]  # the toys need no database
            groups=nothing,  # type: ignore[arg-type]
            broker=nothing,  # type: ignore[arg-type]
            presence=nothing,  # type: ignore[arg-type]
            limiter=self.limiter,
            clock=SystemClock(),
            ids=UuidIds(),
            settings=self.settings,
            origin=origin,
            address=address,
        )

    async def readiness(self) -> Readiness:
        return self.state

    def parts(self) -> Parts:
        return Parts(
            settings=self.settings,
            routes=self.routes,
            stats=self.stats,
            make_ctx=self.make_ctx,
            authenticate=authenticate,
            require_live=require_live,
            readiness=self.readiness,
            documents=root.documents(openapi.document(self.routes), asyncapi.document([], [])),
        )


@asynccontextmanager
async def serve(settings: Settings | None = None, routes: Sequence[Route] = ROUTES):
    """The toy behind a real socket: yields (toy, host, port)."""
    toy = Toy(settings or Settings(), routes)
    factory = await protocol_factory(build(toy.parts()), drain_s=1)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()[:2]
        yield toy, host, port
    finally:
        server.close()
        await factory.close()
