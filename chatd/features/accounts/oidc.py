"""ID tokens of Google and Apple: what must hold before one is believed (OpenID Connect Core, 3.1.3.7)."""

import hashlib
from typing import Annotated, Any

import jwt
import msgspec
from msgspec import Meta

from chatd.core.context import Ctx
from chatd.core.errors import Unauthenticated
from chatd.core.settings import Settings
from chatd.features.accounts import jwks, rules
from chatd.features.accounts.contract import Provider

ALGORITHMS = ("RS256", "ES256")
#: Our clock and the provider's may differ by so many seconds.
LEEWAY_S = 30

_Time = Annotated[float, Meta(ge=0, le=2**53)]


class Identity(msgspec.Struct, frozen=True):
    """Who the provider says it is. ``email`` is there only where the provider has verified it."""

    provider: Provider
    subject: str
    email: str | None
    name: str | None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    sub: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$")]
    aud: str | list[str]
    exp: _Time
    iat: _Time
    azp: str | None = None
    nonce: str | None = None
    email: str | None = None
    email_verified: Any = None  # Apple sends a string
    name: Any = None


class _Trust(msgspec.Struct, frozen=True):
    """Whose tokens of a provider are for us."""

    issuers: tuple[str, ...]
    jwks_url: str
    client_ids: tuple[str, ...]


_claims = msgspec.json.Decoder(_Claims).decode
_jws = jwt.PyJWS(algorithms=list(ALGORITHMS))


async def identify(ctx: Ctx, provider: Provider, id_token: str, nonce: str | None) -> Identity:
    """Who the token speaks of.

    Raises Unauthenticated for whatever is wrong with it, Unavailable where the provider's keys are not
    to be had.
    """
    trust = _trust(ctx.settings, provider)
    if not trust.client_ids:
        raise Unauthenticated(f"Signing in with {provider} is not set up on this server")
    claims = await _verified(ctx, trust, id_token)
    _require(claims, trust, nonce, ctx.clock.now().timestamp())
    proven = claims.email_verified is True or claims.email_verified == "true"
    email = rules.email(claims.email) if claims.email is not None and proven else None
    return Identity(provider, claims.sub, email, claims.name if isinstance(claims.name, str) else None)


async def _verified(ctx: Ctx, trust: _Trust, id_token: str) -> _Claims:
    try:
        header = jwt.get_unverified_header(id_token)
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or algorithm not in ALGORITHMS:
            raise Unauthenticated("The ID token is not valid")
        key = await jwks.key_set(trust.jwks_url, ctx.clock.monotonic).find(kid)
        if key is None:
            raise Unauthenticated("The ID token is not valid")
        # Only the algorithm that the key is for: the header does not choose (RFC 8725, 3.1).
        return _claims(_jws.decode(id_token, key, algorithms=[key.algorithm_name]))
    except (jwt.PyJWTError, msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        raise Unauthenticated("The ID token is not valid") from error


def _require(claims: _Claims, trust: _Trust, nonce: str | None, now: float) -> None:
    audiences = claims.aud if isinstance(claims.aud, list) else [claims.aud]
    if claims.iss not in trust.issuers:
        raise Unauthenticated("The ID token is from another issuer")
    if not set(audiences) & set(trust.client_ids):
        raise Unauthenticated("The ID token is for another application")
    if len(audiences) > 1 and claims.azp not in trust.client_ids:
        raise Unauthenticated("The ID token was made for another application")
    if claims.exp + LEEWAY_S <= now:
        raise Unauthenticated("The ID token has expired")
    if claims.iat > now + LEEWAY_S:
        raise Unauthenticated("The ID token is from the future")
    # Apps give Apple the SHA-256 of their nonce, and us the nonce itself.
    if nonce is not None and claims.nonce not in (nonce, hashlib.sha256(nonce.encode()).hexdigest()):
        raise Unauthenticated("The ID token has another nonce")


def _trust(settings: Settings, provider: Provider) -> _Trust:
    auth = settings.auth
    if provider == "google":
        # Google writes its issuer with the scheme and without.
        issuers = (auth.google_issuer, auth.google_issuer.removeprefix("https://"))
        return _Trust(issuers, auth.google_jwks_url, auth.google_client_ids)
    return _Trust((auth.apple_issuer,), auth.apple_jwks_url, auth.apple_client_ids)
