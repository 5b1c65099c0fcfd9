"""What answers at the root, outside the API: health, metrics, documents. Never rate limited, no token."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from chatd.core import metrics
from chatd.core.errors import AppError, Unavailable
from chatd.rest import docs
from chatd.rest.binding import JSON

log = logging.getLogger("chatd.rest")
READINESS_TIMEOUT_S = 5.0
#: The documents change with the program only; the docs page runs no script and fetches nothing.
_PAGE_HEADERS = {
    "Cache-Control": "public, max-age=300",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_DOCUMENT_HEADERS = {"Cache-Control": "public, max-age=300"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """What /readyz says: ready while nothing is ``missing``; ``degraded`` names what it works without."""

    missing: list[str] = []
    degraded: list[str] = []


class UpgradeRequired(AppError):
    """This path speaks WebSocket only."""

    code, status, title = "upgrade_required", 426, "This path speaks WebSocket only"


class Document(msgspec.Struct, frozen=True):
    """A body that is the same for everybody."""

    body: bytes
    content_type: str
    headers: dict[str, str]


def documents(openapi: Mapping[str, Any], asyncapi: Mapping[str, Any]) -> dict[str, Document]:
    """Path to document: the two, and the pages to read them."""
    return {
        "/openapi.json": Document(msgspec.json.encode(openapi), JSON, _DOCUMENT_HEADERS),
        "/asyncapi.json": Document(msgspec.json.encode(asyncapi), JSON, _DOCUMENT_HEADERS),
        "/docs": Document(docs.page(openapi, asyncapi).encode(), "text/html", _PAGE_HEADERS),
        "/docs/errors": Document(docs.errors_page(openapi, asyncapi).encode(), "text/html", _PAGE_HEADERS),
    }


def handlers(
    readiness: Callable[[], Awaitable[Readiness]], shown: Mapping[str, Document]
) -> dict[str, Handler]:
    """Path to handler, for GET."""

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        state = await _bounded(readiness)
        lists = {"missing": state.missing, "degraded": state.degraded}
        if state.missing:
            raise Unavailable(f"Missing: {', '.join(state.missing)}", extra=lists)
        return web.json_response({"status": "degraded" if state.degraded else "ready", **lists})

    async def scrape(request: web.Request) -> web.Response:
        # Reads a file for every worker; the event loop has better things to do.
        body = await asyncio.wait_for(asyncio.to_thread(metrics.expose), READINESS_TIMEOUT_S)
        return web.Response(body=body, headers={"Content-Type": metrics.CONTENT_TYPE})

    async def websocket(request: web.Request) -> web.Response:
        raise UpgradeRequired

    return {
        "/healthz": healthz,
        "/readyz": readyz,
        "/metrics": scrape,
        "/ws": websocket,
        **{path: _serving(document) for path, document in shown.items()},
    }


async def _bounded(readiness: Callable[[], Awaitable[Readiness]]) -> Readiness:
    try:
        return await asyncio.wait_for(readiness(), READINESS_TIMEOUT_S)
    except TimeoutError:
        return Readiness(missing=["an answer to the health checks in time"])
    except Exception:
        log.exception("the health checks failed")
        return Readiness(missing=["working health checks"])


def _serving(shown: Document) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(
            body=shown.body, content_type=shown.content_type, charset="utf-8", headers=shown.headers
        )

    return serve
