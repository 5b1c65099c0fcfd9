"""Links that chatd signs itself: to put the bytes of a medium, and to fetch them.

HMAC-SHA256 with a key made from the first of ``secrets.jwt_key``; all of them verify, as for tokens.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from urllib.parse import quote

from chatd.core.context import Ctx
from chatd.core.ids import UserId
from chatd.core.settings import Settings
from chatd.features.media.contract import LinkInvalid, Signed, SignedFetch, SignedPut, Variant


def put_url(ctx: Ctx, media_id: str, until: datetime, size: int | None) -> str:
    """Where this medium's bytes (this many, where that is known) may be put until then."""
    expires = int(until.timestamp())
    signature = _signature(_keys(ctx.settings)[0], "put", media_id, expires, size)
    query = f"expires={expires}&signature={signature}" + (f"&size={size}" if size is not None else "")
    return f"{ctx.base_url}/api/media/{media_id}/upload?{query}"


def get_url(
    ctx: Ctx, media_id: str, what: Variant, viewer: UserId | None, moderator: bool
) -> tuple[str, datetime]:
    """Where a medium is for this viewer (None: for anybody), and until when.

    One's links of the same few minutes are the same, so that a browser fetches a picture once.
    """
    ttl = ctx.settings.media.link_ttl_s
    expires = (int(ctx.clock.now().timestamp()) // ttl + 2) * ttl
    signature = _signature(_keys(ctx.settings)[0], what, media_id, expires, viewer, moderator)
    query = f"variant={what}&expires={expires}&signature={signature}"
    query += (f"&viewer={viewer}" if viewer else "") + ("&moderator=true" if moderator else "")
    return f"{ctx.base_url}/api/media/{media_id}/file?{query}", datetime.fromtimestamp(expires, UTC)


def require_put(ctx: Ctx, media_id: str, signed: SignedPut) -> None:
    """Raises LinkInvalid unless chatd has signed this upload, and its time is not over."""
    _require(ctx, signed, "put", media_id, signed.expires, signed.size)


def require_get(ctx: Ctx, media_id: str, signed: SignedFetch) -> None:
    """Raises LinkInvalid unless chatd has signed this, and its time is not over."""
    _require(ctx, signed, signed.variant, media_id, signed.expires, signed.viewer, signed.moderator)


def _require(ctx: Ctx, signed: Signed, *said: object) -> None:
    right = [_signature(key, *said) for key in _keys(ctx.settings)]
    # Not "any": the time it takes says nothing of which one was close.
    if not sum(hmac.compare_digest(each.encode(), signed.signature.encode()) for each in right):
        raise LinkInvalid("The signature of this link is wrong")
    if signed.expires <= ctx.clock.now().timestamp():
        raise LinkInvalid("The time of this link is over")


def disposition(file_name: str, *, inline: bool = True) -> str:
    """Content-Disposition (RFC 6266) with the name that the sender gave the file."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in file_name)
    encoded = quote(file_name, safe="")
    return f"{'inline' if inline else 'attachment'}; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _keys(settings: Settings) -> list[bytes]:
    keys = (key.strip() for key in settings.secrets.jwt_key.split(","))
    return [hmac.digest(key.encode(), b"chatd media links", "sha256") for key in keys if key]


def _signature(key: bytes, *said: object) -> str:
    # What is said has no spaces: a word, an id, numbers.
    return hmac.new(key, " ".join(map(str, said)).encode(), hashlib.sha256).hexdigest()
