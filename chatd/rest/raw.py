"""Bodies that are no JSON: uploads read as they come, files given out with ranges."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from chatd.core.declarations import Download
from chatd.core.errors import BadRequest, RequestTimeout, TooLarge, UnsupportedMedia

#: How long the whole of a JSON body, or the next bytes of another, may take.
BODY_TIMEOUT_S = 30.0
#: A client that reads a file more slowly than this is let go, in bytes a second.
SLOWEST = 16_384
#: A file that somebody uploaded is never a page of ours: no script, no form, no origin, no guessing.
_SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; media-src 'self'; img-src 'self'; sandbox"


class ClientGone(Exception):
    """The client went away while it was being read."""


class RawBody:
    """``declarations.Incoming`` over aiohttp, which reads no further ahead than its small buffer."""

    def __init__(self, request: web.Request) -> None:
        self._request = request

    @property
    def length(self) -> int | None:
        """Content-Length."""
        return self._request.content_length

    async def chunks(self, at_most: int) -> AsyncIterator[bytes]:
        """The bytes. Raises TooLarge, RequestTimeout, BadRequest, UnsupportedMedia, ClientGone."""
        if self._request.headers.get("Content-Encoding", "identity").lower() not in ("", "identity"):
            raise UnsupportedMedia("Send the body without a Content-Encoding")
        too_large = TooLarge(f"The body may have {at_most} bytes")
        if (self.length or 0) > at_most:
            raise too_large
        received = 0
        while chunk := await self._next():
            received += len(chunk)
            if received > at_most:
                raise too_large
            yield chunk

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                return await self._request.content.readany()
        except TimeoutError:
            raise RequestTimeout from None
        except web.RequestPayloadError:
            raise BadRequest("The body is not what its headers say") from None
        except ConnectionError:
            raise ClientGone from None


class FileAnswer(web.FileResponse):
    """A file, which takes longer to read than other answers."""

    def __init__(self, download: Download) -> None:
        super().__init__(
            download.path,
            chunk_size=262_144,
            headers={
                "Content-Type": download.content_type,
                "Content-Disposition": download.disposition,
                "Content-Security-Policy": _SANDBOX,
                "Cache-Control": f"private, max-age={download.max_age}, immutable",
            },
        )
        try:
            self.send_s = download.path.stat().st_size / SLOWEST
        except OSError:
            self.send_s = 0.0  # it was deleted meanwhile: the answer is a 404


def send_seconds(response: web.StreamResponse) -> float:
    """How much longer than others this answer may take to be read."""
    return response.send_s if isinstance(response, FileAnswer) else 0.0
