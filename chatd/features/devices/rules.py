"""When not to disturb, what a push says, and what may be a device. No I/O."""

import base64
import binascii
from datetime import UTC, datetime, time, timedelta
from fnmatch import fnmatchcase
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from chatd.core.errors import ValidationFailed
from chatd.features.devices.contract import Due, Subscription

MAX_BODY = 178  # what phones show of it, more or less


def quiet_until(now: datetime, zone: str | None, start: time | None, end: time | None) -> datetime | None:
    """The end of the quiet hours that ``now`` is in, by the clock of the zone; None outside of them."""
    if start is None or end is None or start == end:
        return None
    local = now.astimezone(ZoneInfo(zone or "UTC"))
    at = local.timetz().replace(tzinfo=None)
    inside = start <= at < end if start < end else at >= start or at < end
    if not inside:
        return None
    day = local.date() + timedelta(days=1 if at >= end else 0)
    # Of an hour that the clock shows twice, the later one; one that it leaves out is read as if it went on.
    return datetime.combine(day, end, tzinfo=local.tzinfo).replace(fold=1).astimezone(UTC)


def subscription_keys(subscription: Subscription) -> tuple[bytes, bytes]:
    """(p256dh, auth) of a browser, which must be ones that can be encrypted for. Raises ValidationFailed."""
    p256dh = _decoded("$.subscription.keys.p256dh", subscription.keys.p256dh)
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), p256dh)
    except ValueError:
        raise ValidationFailed.at("$.subscription.keys.p256dh", "not a point of P-256") from None
    auth = _decoded("$.subscription.keys.auth", subscription.keys.auth)
    if len(auth) != 16:
        raise ValidationFailed.at("$.subscription.keys.auth", "expected 16 bytes")
    return p256dh, auth


def origin_allowed(endpoint: str, origins: tuple[str, ...]) -> bool:
    """Whether an endpoint is at one of the push services that may be called.

    A browser names its own service, and so might anybody who wants this server to call some address.
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname
    if host is None or parts.username is not None or parts.password is not None:
        return False
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    # fnmatch's star would take "/" and "@" too, but an origin of a parsed host has none of them.
    return any(fnmatchcase(origin, allowed) for allowed in origins)


def words(due: Due) -> tuple[str, str]:
    """(title, body) of a push about a message."""
    sender = due.sender_name or "Somebody"
    direct = due.chat_type == "direct"
    title = sender if direct else due.chat_title or "Group"
    if not due.preview:
        said = "mentioned you" if due.mention else "New message"
    else:
        said = " ".join((due.text or "").split()) or "sent an attachment"
    body = said if direct else f"{sender}: {said}"
    return title, body if len(body) <= MAX_BODY else body[: MAX_BODY - 1] + "…"


def _decoded(path: str, text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
    except (binascii.Error, ValueError):
        raise ValidationFailed.at(path, "not base64url") from None


def is_hex(text: str) -> bool:
    """Whether it is hexadecimal digits and no more: an APNs token goes into a path."""
    return len(text) <= 200 and all(c in "0123456789abcdefABCDEF" for c in text)
