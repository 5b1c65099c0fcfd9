"""The web client's files, read once: chatd/web/ has what a browser gets, as it gets it."""

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from chatd.core.settings import Media

FILES: Final = Path(__file__).parent.parent / "web"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
#: Asked for again each time and answered with 304: a browser never runs yesterday's client against today's
#: server.
_HEADERS: Final = {"Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
#: Scripts come from files alone, and no string ever becomes HTML or script (trusted types; the one policy
#: names the service worker's file, web/push.js). ``{media}`` is where pictures and videos are kept, if not
#: here.
_PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'{media}",
        "img-src 'self' blob: data:{media}",
        "media-src 'self' blob:{media}",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types chatd-worker",
    )
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def handlers(media: Media) -> dict[str, Handler]:
    """Path to handler, for GET: the page at ``/``, the other files at their names."""
    policy = _PAGE_POLICY.format(media="".join(f" {origin}" for origin in _origins(media)))
    files = [path for path in sorted(FILES.iterdir()) if path.suffix in _TYPES]
    found = {f"/{path.name}": _served(path, policy) for path in files}
    found["/"] = found.pop("/index.html")
    return found


def _origins(media: Media) -> list[str]:
    """Where an object store's links lead, if media are in one."""
    if not media.s3_bucket:
        return []
    if media.s3_endpoint:
        parts = urlsplit(media.s3_endpoint)
        return [f"{parts.scheme}://{parts.netloc}", f"{parts.scheme}://{media.s3_bucket}.{parts.netloc}"]
    names = (f"{media.s3_bucket}.s3", f"{media.s3_bucket}.s3.{media.s3_region}", f"s3.{media.s3_region}")
    return [f"https://{name}.amazonaws.com" for name in names]


def _served(path: Path, policy: str) -> Handler:
    plain = path.read_bytes()
    # Once, at the start; a fixed time in it, so that all workers give the same bytes.
    packed = gzip.compress(plain, mtime=0)
    etag = f'W/"{hashlib.sha256(plain).hexdigest()[:32]}"'  # weak: packed or not, it is the same file
    # Other origins may import chatd.js; what they may do with it is for CORS and tokens to say.
    headers = {**_HEADERS, "Content-Type": _TYPES[path.suffix], "ETag": etag}
    if path.suffix == ".js":
        headers["Access-Control-Allow-Origin"] = "*"
    if path.suffix == ".html":
        headers["Content-Security-Policy"] = policy

    async def serve(request: web.Request) -> web.Response:
        if _has(request, etag):
            return web.Response(status=304, headers={k: v for k, v in headers.items() if k != "Content-Type"})
        if "gzip" in request.headers.get("Accept-Encoding", "") and path.suffix != ".png":
            return web.Response(body=packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=plain, headers=headers)

    return serve


def _has(request: web.Request, etag: str) -> bool:
    """Whether the browser has this version (RFC 9110, 13.1.2: compared weakly)."""
    given = request.headers.get("If-None-Match", "")
    return given.strip() == "*" or etag.removeprefix("W/") in (
        part.strip().removeprefix("W/") for part in given.split(",")
    )
