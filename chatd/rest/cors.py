"""Cross-origin reads (the Fetch standard, "CORS protocol"), for ``server.allowed_origins``.

Hand-written because aiohttp-cors wants a declaration per route and answers its own errors; this is two
small functions around all of them. Credentials are never allowed: tokens go in a header, not in cookies.
"""

from collections.abc import Sequence

from aiohttp import web

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
ALLOWED_HEADERS = "Authorization, Content-Type, X-Correlation-Id"
EXPOSED_HEADERS = "X-Correlation-Id, Retry-After"
MAX_AGE_S = 600


class Cors:
    """Which origins may read our answers: exact ones, or all (``*``)."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self.all = "*" in allowed
        self.allowed = frozenset(allowed)

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a preflight; None for any other request."""
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        if not asked or "Origin" not in request.headers:
            return None
        response = web.Response(status=204)
        if self._allows(request.headers["Origin"]):
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
            response.headers["Access-Control-Max-Age"] = str(MAX_AGE_S)
        return response

    def dress(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let the asking page read this answer, where its origin may."""
        if self.allowed and not self.all:
            # The answer differs by origin, allowed or not: caches must know.
            varies = response.headers.get("Vary")
            response.headers["Vary"] = f"{varies}, Origin" if varies else "Origin"
        origin = request.headers.get("Origin", "")
        if origin and self._allows(origin):
            response.headers["Access-Control-Allow-Origin"] = "*" if self.all else origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS

    def _allows(self, origin: str) -> bool:
        return self.all or origin in self.allowed
