"""Routes to an aiohttp application, and what every request passes on its way (``Edge``).

The order for a route is: who asks, may they ask so often, is the input well-formed, then the handler.
Serve the application through ``rest.server.protocol_factory``: the edge stands around all of aiohttp,
so that its own refusals are answered in our words too.
"""

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from chatd.core import logs
from chatd.core.addresses import Proxies, rate_key, welcomes
from chatd.core.context import NOBODY, OPERATOR, Actor, Ctx
from chatd.core.declarations import Dialect, Route
from chatd.core.errors import (
    AppError,
    BadRequest,
    Forbidden,
    Internal,
    MethodNotAllowed,
    Unauthenticated,
    Unavailable,
)
from chatd.core.ids import UuidIds
from chatd.core.metrics import REST_REQUESTS, REST_SECONDS, Stats
from chatd.core.settings import Settings
from chatd.rest import root, site
from chatd.rest.binding import Binding, unquote
from chatd.rest.cors import Cors
from chatd.rest.problems import error_of_http, response_of
from chatd.rest.raw import ClientGone

log = logging.getLogger("chatd.rest")
access = logging.getLogger("chatd.access")

#: After this a handler is cancelled; its statements have shorter bounds of their own.
REQUEST_TIMEOUT_S: Final = 30.0
PREFIX: Final = "/api"
#: So many times ``limits.rest_per_minute`` an address may come without a good token: behind one address there
#: may be many people whose tokens have just run out.
STRANGERS: Final = 10
HEADERS: Final = {
    "Server": "chatd",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")
_CORRELATION_ID: Final = re.compile(r"[\x20-\x7e]{1,128}")
_TEMPLATE: Final = web.RequestKey("template", str)
_CORRELATION: Final = web.RequestKey("correlation", str)
_DIALECT: Final = web.RequestKey("dialect", object)
#: Asked so often by machines that a line each would bury the rest; logged at debug.
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the edge is built from; boot has them all."""

    settings: Settings
    routes: Sequence[Route]
    stats: Stats
    #: ``make_ctx(actor, origin, address)``; origin is the request's correlation id.
    make_ctx: Callable[[Actor, str, str], Ctx]
    #: The actor of an access token. Raises Unauthenticated.
    authenticate: Callable[[str], Actor]
    #: Raises Unauthenticated or Banned where the session or the account has ended since.
    require_live: Callable[[Ctx], Awaitable[None]]
    readiness: Callable[[], Awaitable[root.Readiness]]
    documents: Mapping[str, root.Document]


def build(parts: Parts) -> web.Application:
    """The application: every route at its path and under /api, and the root's own paths.

    Raises TypeError for a route whose handler does not fit its path, SettingsError for bad proxies.
    """
    app = web.Application(client_max_size=parts.settings.server.max_body_bytes, logger=log)
    edge = Edge(parts)
    app[EDGE] = edge
    outside_api = root.handlers(parts.readiness, parts.documents)
    for path, handler in {**site.handlers(parts.settings.media), **outside_api}.items():
        _add(app, "GET", path, _templated(path, handler))
    # Paths without parameters first: "/chats/unread" must not be taken for a chat's id.
    for route in sorted(parts.routes, key=lambda route: "{" in route.path):
        handler = _templated(route.path, _Served(route, parts, edge), route.dialect)
        # aiohttp's own pattern for a parameter leaves out braces; a malformed id is 422, not 404.
        pattern = re.sub(r"{(\w+)}", r"{\1:[^/]+}", route.path)
        for path in (pattern, PREFIX + pattern):
            _add(app, route.method, path, handler)
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    app.router.add_route(method, path, handler)
    if method == "GET":
        app.router.add_route("HEAD", path, handler)


def _templated(template: str, handler: Handler, dialect: Dialect | None = None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        request[_TEMPLATE] = template
        request[_DIALECT] = dialect
        return await handler(request)

    return handle


class _Served:
    """One route, ready to answer."""

    def __init__(self, route: Route, parts: Parts, edge: "Edge") -> None:
        self.route, self.parts, self.edge = route, parts, edge
        self.binding = Binding(route, max_body=parts.settings.server.max_body_bytes)
        limits = parts.settings.limits
        # protocol.md, section 7; a room that counts by itself says "none".
        self.bucket, self.limit = {
            "read": ("rest", limits.rest_per_minute),
            "write": ("writes", limits.writes_per_minute),
            "none": ("", 0),
        }[route.limit]

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        seconds = self.route.timeout_s or REQUEST_TIMEOUT_S
        bound = asyncio.timeout(seconds)
        try:
            async with bound:
                ctx = replace(await self._admitted(request), base_url=self.edge.base_url(request))
                if self.limit:
                    key = ctx.actor.user_id or f"address {rate_key(ctx.address)}"
                    await ctx.limiter.require(self.bucket, key, limit=self.limit, period_s=60)
                arguments = await self.binding.arguments(request)
                result = await self.route.handler(ctx, **arguments)
        except TimeoutError:
            if not bound.expired():
                raise
            log.error("%s %s took more than %s s", self.route.method, self.route.path, seconds)
            raise Unavailable("This took too long") from None
        return self.binding.respond(result)

    async def _admitted(self, request: web.Request) -> Ctx:
        """Who asks. Raises what ``_ctx`` does, or RateLimited where an address goes on and on with that."""
        try:
            return await self._ctx(request)
        except AppError as error:
            # Only those who are turned away are counted: it costs nobody else anything.
            most = STRANGERS * self.parts.settings.limits.rest_per_minute
            if most and error.status in (401, 403):
                nobody = self.parts.make_ctx(NOBODY, request[_CORRELATION], self.edge.address(request))
                await nobody.limiter.require("strangers", rate_key(nobody.address), limit=most, period_s=60)
            raise

    async def _ctx(self, request: web.Request) -> Ctx:
        origin, address = request[_CORRELATION], self.edge.address(request)
        token = bearer(request)
        if self.route.internal:
            return self.parts.make_ctx(self._operator(token), origin, address)
        try:
            actor = self.parts.authenticate(token) if token else NOBODY
            ctx = self.parts.make_ctx(actor, origin, address)
            if token:
                await self.parts.require_live(ctx)
        except AppError as error:
            # Whoever logs in or registers may still carry an old token; it makes them nobody, not unwelcome.
            if self.route.auth or error.status not in (401, 403):
                raise
            return self.parts.make_ctx(NOBODY, origin, address)
        if self.route.auth and not token:
            raise Unauthenticated("Send an access token: Authorization: Bearer …")
        logs.learn(user_id=actor.user_id)
        return ctx

    def _operator(self, key: str) -> Actor:
        expected = self.parts.settings.secrets.internal_api_key
        # Compared in constant time, and never equal where no key is set.
        if not expected or not hmac.compare_digest(key.encode(), expected.encode()):
            raise Unauthenticated("Send the internal API key: Authorization: Bearer …")
        return OPERATOR


class Edge:
    """Around everything: a correlation id in and out, every error in one shape, CORS, counts, the log."""

    def __init__(self, parts: Parts) -> None:
        server = parts.settings.server
        self.stats = parts.stats
        self.cors = Cors(server.allowed_origins)
        self._welcome = frozenset(server.allowed_origins)
        self.proxies = Proxies(server.trusted_proxies)
        self.public_url = server.public_url.rstrip("/")
        self._ids = UuidIds()

    def address(self, request: web.BaseRequest) -> str:
        """The client's address, after trusted proxies."""
        return self.proxies.client(request.remote or "", request.headers.getall("X-Forwarded-For", []))

    def base_url(self, request: web.BaseRequest) -> str:
        """How the client has called us: ``server.public_url``, or what the request says of itself."""
        if self.public_url or not _HOST.fullmatch(request.host):
            return self.public_url
        said = request.headers.get("X-Forwarded-Proto", "")
        secure = said == "https" and self.proxies.trusts(request.remote or "")
        return f"{'https' if secure else request.scheme}://{request.host}"

    async def answer(self, request: web.Request, inner: Handler) -> web.StreamResponse:
        """The answer of ``inner``, or a problem where it raises; never an exception but for a lost client."""
        correlation = request.headers.get("X-Correlation-Id", "")
        if not _CORRELATION_ID.fullmatch(correlation):
            correlation = self._ids.new("req")
        request[_CORRELATION] = correlation
        with logs.bind(correlation_id=correlation):
            started = time.perf_counter()
            response = self.cors.preflight(request) or await self._outcome(request, inner, correlation)
            self.dress(request, response, correlation)
            self._record(request, response.status, time.perf_counter() - started)
        return response

    async def _outcome(self, request: web.Request, inner: Handler, correlation: str) -> web.StreamResponse:
        try:
            # Before aiohttp's router sees it: what is not text in the path has no meaning for any route.
            unquote(request.raw_path.partition("?")[0])
            self._require_welcome(request)
            return await inner(request)
        except AppError as error:
            return self.refusal(error, correlation, request.get(_DIALECT))
        except web.HTTPMethodNotAllowed as error:
            if request.method == "OPTIONS":
                return web.Response(status=204, headers={"Allow": error.headers["Allow"]})
            response = self.refusal(MethodNotAllowed(), correlation)
            response.headers["Allow"] = error.headers["Allow"]
            return response
        except web.HTTPException as error:
            return self.refusal(error_of_http(error), correlation)
        except web.RequestPayloadError:
            return self.refusal(BadRequest("The body is not what its headers say"), correlation)
        except ClientGone:
            raise  # nobody is left to answer; server.py ends the connection
        except Exception:
            log.exception("%s %s failed", request.method, request.get(_TEMPLATE, "(none)"))
            return self.refusal(Internal(), correlation, request.get(_DIALECT))

    def _require_welcome(self, request: web.Request) -> None:
        # The gateway leaves to us what opens no socket: that of a stranger's page is told why.
        headers = request.headers
        if headers.get("Upgrade", "").lower() == "websocket" and not welcomes(
            self._welcome, headers.get("Origin"), headers.get("Host", "")
        ):
            raise Forbidden("Pages of this origin may not open sockets here (server.allowed_origins)")

    def refusal(self, error: AppError, correlation: str, dialect: object = None) -> web.Response:
        """The answer for an error, counted."""
        self.stats.errors["rest", error.code] += 1
        response = response_of(error, correlation, dialect if isinstance(dialect, Dialect) else None)
        if error.status in (408, 413):
            # What is left of the body must not be taken for the next request, nor be waited for.
            response.force_close()
        return response

    def dress(self, request: web.BaseRequest, response: web.StreamResponse, correlation: str) -> None:
        """Put on the headers that every answer has."""
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Correlation-Id"] = correlation
        self.cors.dress(request, response)

    def _record(self, request: web.Request, status: int, seconds: float) -> None:
        template = request.get(_TEMPLATE, "(none)")
        REST_REQUESTS.labels(request.method, template, str(status)).inc()
        REST_SECONDS.labels(request.method, template).observe(seconds)
        # A line per request: info, but for probes (debug) and our own failures (warning). The template, not
        # the path: ids are in the other fields, and a query string may hold what no log should.
        level = logging.DEBUG if template in _QUIET else logging.WARNING if status >= 500 else logging.INFO
        access.log(
            level,
            "%s %s %s",
            request.method,
            template,
            status,
            extra={
                "method": request.method,
                "route": template,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "address": self.address(request),
            },
        )


EDGE: Final = web.AppKey("edge", Edge)


def bearer(request: web.Request) -> str:
    """The access token of the Authorization header; empty where there is none (RFC 6750, 2.1)."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
