"""What may stand in an account: emails, names, addresses, time zones. No I/O but the zone files, once."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import msgspec

from chatd.core.errors import ValidationFailed

MAX_EMAIL = 254  # RFC 5321, 4.5.3.1.3, less the angle brackets (RFC 3696, erratum 1690)
MAX_DISPLAY_NAME = 60
MAX_SETTINGS_BYTES = 8192
MAX_SETTINGS_DEPTH = 8
TINIEST, LARGEST = 1e-9, 2**53 - 1  # RFC 7493, 2.2

# The bidirectional overrides and isolates turn the text around a name; ZWJ and the like make emoji.
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset(("Cc", "Cs", "Zl", "Zp"))
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)*")


def email(text: str) -> str | None:
    """The one form of an email that accounts are found by, or None where it cannot be one."""
    found = text.strip().lower()
    if len(found) > MAX_EMAIL or not _EMAIL.fullmatch(found) or _has_control(found):
        return None
    return found


def require_email(text: str) -> str:
    """As ``email``. Raises ValidationFailed."""
    found = email(text)
    if found is None:
        raise ValidationFailed.at("$.email", "not an email address")
    return found


def display_name(text: str) -> str:
    """The name, trimmed. Raises ValidationFailed."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_DISPLAY_NAME:
        raise ValidationFailed.at(
            "$.display_name", f"1 to {MAX_DISPLAY_NAME} characters, spaces around not counted"
        )
    if _has_control(name):
        raise ValidationFailed.at("$.display_name", "no control characters")
    if all(unicodedata.category(c)[0] in "CZ" for c in name):
        raise ValidationFailed.at("$.display_name", "nothing of it can be seen")
    return name


def line(path: str, text: str | None) -> str | None:
    """One trimmed line of text, None where nothing is in it. Raises ValidationFailed."""
    if text is None or not (trimmed := text.strip()):
        return None
    if _has_control(trimmed):
        raise ValidationFailed.at(path, "no control characters")
    return trimmed


def interests(words: list[str] | None) -> list[str]:
    """Each once, trimmed, in the order given. Raises ValidationFailed."""
    found: dict[str, None] = {}
    for i, word in enumerate(words or ()):
        trimmed = line(f"$.interests[{i}]", word)
        if trimmed is None:
            raise ValidationFailed.at(f"$.interests[{i}]", "empty")
        found[trimmed] = None
    return list(found)


def bio(text: str | None) -> str | None:
    """Text of several lines. Raises ValidationFailed."""
    if text is None or not (trimmed := text.strip()):
        return None
    if _has_control(trimmed.translate({0x09: None, 0x0A: None, 0x0D: None})):
        raise ValidationFailed.at("$.bio", "no control characters")
    return trimmed


def avatar_url(text: str | None) -> str | None:
    """An absolute http or https URL with a host. It is only shown, never fetched. Raises ValidationFailed."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
        _ = parts.port  # raises for what is no port
    except ValueError:
        ok = False
    if not ok or _has_control(text) or any(c.isspace() or c in '<>"\\^`{|}' for c in text):
        raise ValidationFailed.at("$.avatar_url", "not an http or https URL")
    return text


def time_zone(name: str | None) -> str | None:
    """An IANA zone. Raises ValidationFailed."""
    if name is not None and name not in _zones():
        raise ValidationFailed.at("$.time_zone", "not an IANA time zone, such as Europe/Berlin")
    return name


def settings(value: dict[str, Any]) -> bytes:
    """The object as JSON, bounded in size and depth. Raises ValidationFailed."""
    for each in _values(value, MAX_SETTINGS_DEPTH):
        if isinstance(each, str) and "\0" in each:
            raise ValidationFailed.at("$.settings", "holds a NUL character")
        if isinstance(each, int | float) and each and not TINIEST <= abs(each) <= LARGEST:
            # PostgreSQL writes 1e300 with 301 digits, and other clients could not read it anyway.
            raise ValidationFailed.at(
                "$.settings", "holds a number that not every JSON reader keeps (RFC 7493)"
            )
    text = msgspec.json.encode(value)
    if len(text) > MAX_SETTINGS_BYTES:
        raise ValidationFailed.at("$.settings", f"larger than {MAX_SETTINGS_BYTES} bytes")
    return text


def _values(value: Any, depth: int) -> Iterator[Any]:
    """Every key and scalar. Raises ValidationFailed where they are nested deeper than ``depth``."""
    if not isinstance(value, dict | list):
        yield value
        return
    if depth == 0:
        raise ValidationFailed.at("$.settings", f"nested deeper than {MAX_SETTINGS_DEPTH}")
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    for each in value:
        yield from _values(each, depth - 1)


def _has_control(text: str) -> bool:
    return any(c in _BIDI or unicodedata.category(c) in _UNPRINTABLE for c in text)


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
