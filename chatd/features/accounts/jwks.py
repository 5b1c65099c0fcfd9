"""The public keys of a provider, fetched when needed and kept for as long as it says (RFC 7517).

Bounded all round: one fetch at a time, each with a timeout and a size limit, no redirects; an unknown
key id makes at most one fetch a minute, and after a failure nobody waits for the next ten seconds.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from chatd.core.errors import Unavailable

log = logging.getLogger("chatd.accounts.jwks")

TIMEOUT_S = 5.0
MAX_BYTES = 262_144
MAX_KEYS = 100
MIN_AGE_S, DEFAULT_AGE_S, MAX_AGE_S = 300.0, 3600.0, 86_400.0
REFETCH_S = 60.0
PAUSE_S = 10.0
MIN_RSA_BITS = 2048  # RFC 7518, 3.3

#: (kty, crv) → the one algorithm that such a key is good for here. Symmetric keys are not in it.
_ALGORITHMS: dict[tuple[str | None, str | None], str] = {("RSA", None): "RS256", ("EC", "P-256"): "ES256"}
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])", re.IGNORECASE)


class _Failed(Exception):
    """What was fetched cannot be used; the message says why."""


class KeySet:
    """The keys behind one URL."""

    def __init__(self, url: str, monotonic: Callable[[], float]) -> None:
        self._url, self._monotonic = url, monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = self._failed_at = -MAX_AGE_S
        self._good_until = -MAX_AGE_S
        self._lock = asyncio.Lock()

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key of this id, or None. Raises Unavailable where the provider cannot be asked."""
        if self._due(kid):
            async with self._lock:
                if self._due(kid):  # perhaps another has fetched while this one waited
                    await self._fetch()
        return self._keys.get(kid)

    def _due(self, kid: str) -> bool:
        now = self._monotonic()
        return now >= self._good_until or (kid not in self._keys and now >= self._fetched_at + REFETCH_S)

    async def _fetch(self) -> None:
        now = self._monotonic()
        if now < self._failed_at + PAUSE_S:
            raise Unavailable("The provider's keys cannot be fetched", retry_after_ms=int(PAUSE_S * 1000))
        try:
            self._keys, age = await _download(self._url)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, _Failed) as error:
            self._failed_at = self._monotonic()
            log.warning("keys of %s: %s", self._url, str(error) or type(error).__name__)
            raise Unavailable(
                "The provider's keys cannot be fetched", retry_after_ms=int(PAUSE_S * 1000)
            ) from error
        self._fetched_at = self._monotonic()
        self._good_until = self._fetched_at + age


@lru_cache(maxsize=8)
def key_set(url: str, monotonic: Callable[[], float]) -> KeySet:
    """The process's keys of this URL: what one log-in fetched serves the next, as a Ctx does not last."""
    return KeySet(url, monotonic)


async def _download(url: str) -> tuple[dict[str, jwt.PyJWK], float]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
    ):
        if response.status != 200:
            raise _Failed(f"status {response.status}")
        body = bytearray()
        async for chunk in response.content.iter_chunked(16_384):
            body += chunk
            if len(body) > MAX_BYTES:
                raise _Failed(f"larger than {MAX_BYTES} bytes")
        said = _MAX_AGE.search(response.headers.get("Cache-Control", ""))
    age = float(said[1]) if said else DEFAULT_AGE_S
    return _parse(bytes(body)), min(max(age, MIN_AGE_S), MAX_AGE_S)


def _parse(body: bytes) -> dict[str, jwt.PyJWK]:
    try:
        listed = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _Failed(f"not JSON: {error}") from None
    found: dict[str, jwt.PyJWK] = {}
    for entry in listed[:MAX_KEYS] if isinstance(listed, list) else ():
        kid = entry.get("kid") if isinstance(entry, dict) else None
        if isinstance(kid, str) and (key := _usable(entry)) is not None:
            found[kid] = key
    if not found:
        raise _Failed("no usable key in it")
    return found


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """The key, bound to its one algorithm; None for a kind that we do not take (RFC 7517, 5: ignored)."""
    try:
        algorithm = _ALGORITHMS.get((entry.get("kty"), entry.get("crv")))
        if algorithm is None or entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
            return None
        key = jwt.PyJWK.from_dict(entry, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        log.warning("a key is malformed: %s", error)
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        log.warning("an RSA key has less than %s bits", MIN_RSA_BITS)
        return None
    return key
