"""Opaque keyset cursors: the key of the last row shown, so that pages are stable while rows arrive."""

import base64
import binascii
from typing import Any, TypeVar

import msgspec

from chatd.core.errors import ValidationFailed

T = TypeVar("T")


def cut(rows: list[T], limit: int) -> tuple[list[T], T | None]:
    """A page of ``limit``, of which one row more was asked for; and its last one, where more rows follow."""
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None


def encode_cursor(*key: Any) -> str:
    """A cursor for the row with this key (any JSON values, datetimes included)."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(cursor: str, key: type[T]) -> T:
    """The key inside a cursor, checked against ``key`` (a ``tuple[...]`` type).

    Raises ValidationFailed for anything that this server did not make.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(raw, type=key)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        raise ValidationFailed.at("$.cursor", "not a cursor of this list") from None
