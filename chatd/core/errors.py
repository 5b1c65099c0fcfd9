"""Every error that a caller can meet, defined once for REST and socket alike.

A subclass of ``AppError`` is a definition: ``code`` (in the body and the frame), ``status`` (HTTP),
``title`` (what it means, for people), ``close_code`` where it ends a socket, ``retryable`` where the
same call may succeed later. An instance adds what is particular to this time. protocol.md, section 3.
"""

from typing import Any, ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with the input: where (JSON path) and what."""

    path: str
    message: str


class AppError(Exception):
    """The base of all errors that are answered rather than logged."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    close_code: ClassVar[int | None] = None
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_ms: int | None = None,
        errors: tuple[FieldError, ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.retry_after_ms = retry_after_ms
        self.errors = errors
        self.extra = extra or {}


class Internal(AppError):
    """A defect of ours; the log has the rest under the correlation id."""


class BadFrame(AppError):
    """The frame is not one JSON object in a text frame."""

    code, status, title = "bad_frame", 400, "This is not a JSON object"


class BadRequest(AppError):
    """Not a request that HTTP allows, or one that did not arrive whole."""

    code, status, title = "bad_request", 400, "This is not a well-formed HTTP request"


class RequestTimeout(AppError):
    """The body did not arrive in time."""

    code, status, title, retryable = "request_timeout", 408, "The body did not arrive in time", True


class UnknownType(AppError):
    """No command has this ``type``."""

    code, status, title = "unknown_type", 400, "There is no command of this type"


class ValidationFailed(AppError):
    """The input has the wrong shape; ``errors`` says where, and always has at least one place."""

    code, status, title = "validation_failed", 422, "The input is not valid"

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_ms: int | None = None,
        errors: tuple[FieldError, ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        errors = errors or (FieldError("$", detail or self.title),)
        super().__init__(detail, retry_after_ms=retry_after_ms, errors=errors, extra=extra)

    @classmethod
    def at(cls, path: str, message: str) -> "ValidationFailed":
        """One field's error."""
        return cls(f"{path}: {message}", errors=(FieldError(path, message),))


class Unauthenticated(AppError):
    """No token, or one that is malformed, expired or revoked."""

    code, status, title, close_code = "unauthenticated", 401, "Log in first", 4401


class Forbidden(AppError):
    """Known, but not allowed."""

    code, status, title = "forbidden", 403, "You may not do this"


class Banned(AppError):
    """The account is banned from this server."""

    code, status, title, close_code = "banned", 403, "This account is banned", 4403


class NotFound(AppError):
    """No such path or thing."""

    code, status, title = "not_found", 404, "There is nothing here"


class UserNotFound(AppError):
    """No such user."""

    code, status, title = "user_not_found", 404, "There is no such user"


class ChatNotFound(AppError):
    """No such chat, or one that you are not in: the two are not told apart."""

    code, status, title = "chat_not_found", 404, "There is no such chat for you"


class MessageNotFound(AppError):
    """No such message in this chat."""

    code, status, title = "message_not_found", 404, "There is no such message in this chat"


class MethodNotAllowed(AppError):
    """The path is there, the method is not."""

    code, status, title = "method_not_allowed", 405, "This path does not answer to this method"


class Conflict(AppError):
    """What was asked contradicts what is there."""

    code, status, title = "conflict", 409, "This contradicts what is there"


class EmailTaken(AppError):
    """Another account has this email."""

    code, status, title = "email_taken", 409, "An account with this email exists"


class TooLarge(AppError):
    """The body or frame is over its limit."""

    code, status, title, close_code = "too_large", 413, "This is too large", 4413


class UnsupportedMedia(AppError):
    """The body is not of a type that this route reads."""

    code, status, title = "unsupported_media_type", 415, "Send application/json"


class Muted(AppError):
    """You may read this chat but not write to it now."""

    code, status, title = "muted", 403, "You are muted in this chat"


class Blocked(AppError):
    """A block stands between the two."""

    code, status, title = "blocked", 403, "This cannot be delivered"


class RateLimited(AppError):
    """Too many in too short a time; ``retry_after_ms`` says when."""

    code, status, title, retryable = "rate_limited", 429, "Too many, too fast", True


class Unavailable(AppError):
    """Not now: nothing was lost, ask again after ``retry_after_ms``."""

    code, status, title, retryable = "unavailable", 503, "Not now; try again shortly", True

    def __init__(
        self,
        detail: str | None = None,
        *,
        retry_after_ms: int | None = 1000,
        errors: tuple[FieldError, ...] = (),
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail, retry_after_ms=retry_after_ms, errors=errors, extra=extra)


class StoreUnavailable(Unavailable):
    """PostgreSQL does not answer; sockets stay open and sends may be retried."""

    title = "The database is not reachable now; try again shortly"
