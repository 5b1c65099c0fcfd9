"""Errors as RFC 9457 ``application/problem+json``: the REST face of ``core.errors``."""

import math
from typing import Any
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from chatd.core.declarations import Dialect
from chatd.core.errors import (
    AppError,
    BadRequest,
    FieldError,
    Internal,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    UnsupportedMedia,
)

CONTENT_TYPE = "application/problem+json"
_encode = msgspec.json.Encoder().encode

_OF_STATUS: dict[int, type[AppError]] = {
    404: NotFound,
    405: MethodNotAllowed,
    413: TooLarge,
    415: UnsupportedMedia,
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What every failed REST call answers. ``code`` is for programs, ``detail`` for people."""

    type: str
    title: str
    status: int
    detail: str
    #: The correlation id of the request, percent-encoded: quote it when you report the problem.
    instance: str
    code: str
    errors: list[FieldError] | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET


def problem_of(error: AppError, correlation_id: str) -> Problem:
    """The body for an error; ``error.extra`` is not in it yet."""
    return Problem(
        type=f"/docs/errors#{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=quote(correlation_id, safe="-._~:@!$&'()*+,;="),
        code=error.code,
        errors=list(error.errors) or UNSET,
        retry_after_ms=UNSET if error.retry_after_ms is None else error.retry_after_ms,
    )


def response_of(error: AppError, correlation_id: str, dialect: Dialect | None = None) -> web.Response:
    """The answer for an error, with the headers that belong to its kind; a room may have its own words."""
    if dialect is not None:
        worded = _encode(dialect.render(error))
        response = web.Response(body=worded, status=error.status, content_type="application/json")
    else:
        body: dict[str, Any] = {**error.extra, **msgspec.to_builtins(problem_of(error, correlation_id))}
        response = web.Response(body=_encode(body), status=error.status, content_type=CONTENT_TYPE)
    if error.retry_after_ms is not None:
        # Whole seconds (RFC 9110, 10.2.3), rounded up: coming back too early only costs another 429.
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_ms / 1000)))
    if error.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="chatd"'
    if error.status == 426:
        response.headers["Upgrade"] = "websocket"  # RFC 9110, 15.5.22: a 426 says to what
    return response


def error_of_http(error: web.HTTPException) -> AppError:
    """What aiohttp itself refuses, in our words: no such path or method, too large, a strange Expect."""
    if error.status >= 500:
        return Internal()
    return _OF_STATUS.get(error.status, BadRequest)()
