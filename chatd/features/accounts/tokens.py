"""Access tokens: JWTs signed with HS256 (RFC 7519), checked without asking anybody.

``secrets.jwt_key`` holds one key, or several separated by commas: the first signs, all verify. To
rotate, put the new one in front, and take the old one away an ``auth.access_ttl_s`` later.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Annotated

import jwt
import msgspec
from msgspec import Meta

from chatd.core.context import Actor
from chatd.core.errors import Unauthenticated
from chatd.core.ids import SessionId, UserId
from chatd.core.settings import Settings, SettingsError

ALGORITHM = "HS256"
MAX_TOKEN = 8192
#: Clocks of nodes differ: a token may be this much from the future, in seconds.
SKEW_S = 60

_Time = Annotated[float, Meta(ge=0, le=2**53)]


class _Claims(msgspec.Struct, frozen=True):
    """All of them must be there."""

    iss: str
    sub: UserId
    sid: SessionId
    roles: list[str]
    iat: _Time
    exp: _Time
    jti: Annotated[str, Meta(min_length=1, max_length=128)]


class _Key(msgspec.Struct, frozen=True):
    kid: str
    secret: bytes


_claims = msgspec.json.Decoder(_Claims).decode
_encode = msgspec.json.Encoder().encode
_jws = jwt.PyJWS(algorithms=[ALGORITHM])


def issue(
    settings: Settings, user_id: str, session_id: str, roles: Iterable[str], now: datetime, ttl: float
) -> str:
    """A token of this session, good for ``ttl`` seconds from ``now``."""
    key = _keys(settings.secrets.jwt_key)[0]
    issued = int(now.timestamp())
    claims = {
        "iss": settings.auth.issuer,
        "sub": user_id,
        "sid": session_id,
        "roles": list(roles),
        "iat": issued,
        "exp": issued + int(ttl),
        "jti": secrets.token_urlsafe(12),
    }
    return _jws.encode(_encode(claims), key.secret, ALGORITHM, headers={"typ": "JWT", "kid": key.kid})


def verify(settings: Settings, token: str, now: datetime) -> Actor:
    """Whose token it is. Says nothing of the session, which may be revoked: ``service.session_states``.

    Raises Unauthenticated for whatever is wrong with it.
    """
    if len(token) > MAX_TOKEN:
        raise Unauthenticated("The token is not valid")
    issuer, issued_at, actor = _signed(settings.secrets.jwt_key, token)
    at = now.timestamp()
    if issuer != settings.auth.issuer or issued_at > at + SKEW_S:
        raise Unauthenticated("The token is not valid")
    if actor.expires_at <= at:
        raise Unauthenticated("The token has expired")
    return actor


# A signature does not change, and REST brings the same token again and again. Only what verified is
# kept (an exception is not), so nobody can fill this with rubbish. At most some 8 MB.
@lru_cache(maxsize=8192)
def _signed(jwt_key: str, token: str) -> tuple[str, float, Actor]:
    try:
        claims = _claims(_payload(_keys(jwt_key), token))
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        # All that PyJWT, json and base64 are known to raise for the text of a stranger (fuzzed in the tests).
        raise Unauthenticated("The token is not valid") from error
    actor = Actor(claims.sub, claims.sid, frozenset(claims.roles), claims.exp)
    return claims.iss, claims.iat, actor


def _payload(keys: tuple[_Key, ...], token: str) -> bytes:
    signed, _, signature = token.rpartition(".")
    header, _, body = signed.partition(".")
    for key in keys:
        if header == _own_header(key):
            # As ``issue`` makes them, all but for sure: what passes has our own signature to the letter (RFC
            # 7515, 5.2), and PyJWT takes ten times as long to say so.
            digest = hmac.digest(key.secret, signed.encode(), "sha256")
            own = base64.urlsafe_b64encode(digest).rstrip(b"=")
            if hmac.compare_digest(own, signature.encode()):
                return base64.urlsafe_b64decode(body + "==")
    if len(keys) > 1:
        kid = jwt.get_unverified_header(token).get("kid")
        if kid is not None:
            keys = tuple(key for key in keys if key.kid == kid)
    for key in keys:
        try:
            payload: bytes = _jws.decode(token, key.secret, algorithms=[ALGORITHM])
            return payload
        except jwt.InvalidSignatureError:
            continue
    raise jwt.InvalidSignatureError("no key of ours")


@lru_cache(maxsize=8)
def _own_header(key: _Key) -> str:
    """The first part of every token that ``issue`` signs with this key."""
    headers = {"typ": "JWT", "kid": key.kid}
    return _jws.encode(b"", key.secret, ALGORITHM, headers=headers).partition(".")[0]


@lru_cache(maxsize=8)
def _keys(jwt_key: str) -> tuple[_Key, ...]:
    found = [part.strip().encode() for part in jwt_key.split(",") if part.strip()]
    if not found:
        # An empty key would sign for everybody.
        raise SettingsError("CHATD_SECRETS_JWT_KEY is empty")
    return tuple(_Key(hashlib.sha256(b"kid:" + secret).hexdigest()[:8], secret) for secret in found)
