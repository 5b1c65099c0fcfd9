"""The application as protocols for a listening socket that somebody else holds.

One port serves sockets and REST: the gateway reads who comes, and hands HTTP over to a protocol from here.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from chatd.core.errors import AppError, BadRequest, Internal
from chatd.core.ids import UuidIds
from chatd.core.metrics import REST_REQUESTS
from chatd.rest.app import EDGE, Edge
from chatd.rest.raw import ClientGone, send_seconds

log = logging.getLogger("chatd.rest")

#: An idle or half-sent request may hold its connection so long; longer than a proxy's idle minute.
KEEPALIVE_S: Final = 75.0
#: A client that does not read its answer is let go after this.
SEND_TIMEOUT_S: Final = 30.0
#: How long the rest of a refused body is read, so that the refusal is seen before the reset.
LINGERING_S: Final = 2.0
#: Room for GET /presence with 500 user ids, repeated and percent-encoded.
MAX_LINE: Final = 32_768
MAX_FIELD: Final = 8190
MAX_HEADERS: Final = 100
_ids = UuidIds()


#: Asked before each request on an idle connection: the protocol that it belongs to, where that is not us.
SocketOf = Callable[[asyncio.Transport, bytes], asyncio.Protocol | None]


class RestServer:
    """Call it for a protocol, as ``loop.create_server`` does; ``close`` ends what it has handed out."""

    def __init__(self, runner: web.AppRunner, server: web.Server, edge: Edge) -> None:
        self._runner, self._server, self._edge = runner, server, edge
        self._loop = asyncio.get_running_loop()

    def __call__(self, socket_of: SocketOf | None = None) -> asyncio.Protocol:
        """A protocol for one connection; ``socket_of`` may claim its later requests."""
        return _Protocol(
            self._server,
            self._edge,
            socket_of,
            loop=self._loop,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGERING_S,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_HEADERS,
            # A compressed body is refused (binding.py), so that none is ever a bomb.
            auto_decompress=False,
            access_log=None,
            logger=log,
        )

    @property
    def connections(self) -> int:
        """Open ones, idle ones included."""
        return len(self._server.connections)

    async def close(self) -> None:
        """Close idle connections, let requests at work end within ``drain_s``, then cut."""
        await self._runner.cleanup()


async def protocol_factory(app: web.Application, *, drain_s: float = 10.0) -> RestServer:
    """Start ``app``; the factory of its protocols."""
    runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=drain_s)
    await runner.setup()
    server, edge = runner.server, app[EDGE]
    if server is None:
        raise RuntimeError("AppRunner.setup makes the server")
    inner: Any = server.request_handler
    # Around aiohttp's whole application rather than as its middleware: what it refuses before any
    # middleware (an Expect it does not know, a path its router cannot read) is answered in our words too.
    server.request_handler = lambda request: edge.answer(request, inner)  # type: ignore[arg-type]
    return RestServer(runner, server, edge)


class _Protocol(RequestHandler):
    """aiohttp's HTTP/1.1 protocol, whose own error pages are problems as well."""

    __slots__ = ("_body", "_edge", "_socket_of")

    def __init__(self, manager: web.Server, edge: Edge, socket_of: SocketOf | None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._edge, self._socket_of = edge, socket_of
        self._body: Any = None  # of the last request that came

    def data_received(self, data: bytes) -> None:
        """As aiohttp's, but a client may open its WebSocket on the connection that it has talked REST on."""
        # A request that was answered before its body was read is not over: what looks like another may be
        # that body. Taken for one, it would let a stranger answer those who share a proxy's connection.
        whole = self._body is None or self._body.is_eof()
        idle = whole and self._current_request is None and not self._messages
        if idle and self._socket_of is not None and data.startswith(b"GET "):
            transport: Any = self.transport
            socket = self._socket_of(transport, data)
            if socket is not None:
                self.transport = None  # which would be closed with us
                self.connection_lost(None)
                transport.set_protocol(socket)
                socket.connection_made(transport)
                socket.data_received(data)
                return
        super().data_received(data)
        if self._messages:
            self._body = self._messages[-1][1]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or to a defect outside the application; the connection closes."""
        if isinstance(exc, ClientGone):
            raise ConnectionResetError("the client went away during its body") from exc
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; there is no place for an error")
        error: AppError
        if status < 500:
            # Scanners and TLS on a plain port come here: worth a count, not a traceback.
            log.debug("malformed HTTP: %s", type(exc).__name__, extra={"address": request.remote})
            error = BadRequest()
        else:
            log.error("a request failed outside the application", exc_info=exc)
            error = Internal()
        correlation = _ids.new("req")
        response = self._edge.refusal(error, correlation)
        self._edge.dress(request, response, correlation)
        REST_REQUESTS.labels("-", "(malformed)", str(error.status)).inc()
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """As aiohttp's, but a client that does not read is cut off."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S + send_seconds(resp)):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if self.transport is not None:
                self.transport.abort()
            return resp, True
