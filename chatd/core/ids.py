"""Public ids: TypeIDs, a prefix and a UUIDv7 in base 32 (https://github.com/jetify-com/typeid).

In Python an id is its text (``usr_01h…``); in PostgreSQL it is the bare uuid. The database layer
converts at its edge (``to_bytes``, ``from_bytes``), so nothing above it ever holds a UUID object.
"""

from collections.abc import Callable
from typing import Annotated, Final, Protocol

import uuid_utils
from msgspec import Meta

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
# int() reads base 32 as 0-9a-v, so decoding is one translate and one int(), both in C.
_TO_INT_DIGITS: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_PAIRS: Final = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_SUFFIX: Final = "[0-7][0-9a-hjkmnp-tv-z]{25}"


def id_meta(prefix: str) -> Meta:
    """The validation of one kind of id. The length bound is there because ``$`` lets a newline through."""
    length = len(prefix) + 27
    return Meta(
        pattern=f"^{prefix}_{_SUFFIX}$",
        min_length=length,
        max_length=length,
        examples=[f"{prefix}_01h455vb4pex5vsknk084sn02q"],
        extra={"id_prefix": prefix},
    )


UserId = Annotated[str, id_meta("usr")]
ChatId = Annotated[str, id_meta("cht")]
MessageId = Annotated[str, id_meta("msg")]
SessionId = Annotated[str, id_meta("ses")]
MediaId = Annotated[str, id_meta("med")]


def to_bytes(typeid: str) -> bytes:
    """The 16 bytes of a validated TypeID.

    Raises ValueError for anything whose last 26 characters are not a base-32 UUID.
    """
    suffix = typeid[-26:]
    if len(suffix) != 26 or suffix[0] > "7" or not suffix.isascii() or not suffix.isalnum():
        raise ValueError("not a TypeID")
    return int(suffix.translate(_TO_INT_DIGITS), 32).to_bytes(16, "big")


def from_bytes(prefix: str, value: bytes) -> str:
    """The TypeID with this prefix for a uuid's 16 bytes."""
    n, p = int.from_bytes(value, "big"), _PAIRS
    return (
        f"{prefix}_{p[n >> 120]}{p[n >> 110 & 1023]}{p[n >> 100 & 1023]}{p[n >> 90 & 1023]}"
        f"{p[n >> 80 & 1023]}{p[n >> 70 & 1023]}{p[n >> 60 & 1023]}{p[n >> 50 & 1023]}"
        f"{p[n >> 40 & 1023]}{p[n >> 30 & 1023]}{p[n >> 20 & 1023]}{p[n >> 10 & 1023]}{p[n & 1023]}"
    )


class Ids(Protocol):
    """Where new ids come from; a fake in tests."""

    def new(self, prefix: str) -> str:
        """A fresh TypeID with this prefix; later ones sort after earlier ones of the same process."""
        ...


class UuidIds:
    """Ids from UUIDv7 (RFC 9562), the kind that runs in production."""

    def __init__(self, uuid7: Callable[[], uuid_utils.UUID] = uuid_utils.uuid7) -> None:
        self._uuid7 = uuid7

    def new(self, prefix: str) -> str:
        return from_bytes(prefix, self._uuid7().bytes)
