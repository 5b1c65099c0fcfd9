"""Web Push: the protocol (RFC 8030), its encryption (RFC 8291 over RFC 8188), and VAPID (RFC 8292)."""

import base64
import hashlib
import os
from functools import lru_cache
from urllib.parse import urlsplit

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chatd.core.clock import Clock
from chatd.core.settings import SettingsError
from chatd.features.devices import providers, rules
from chatd.features.devices.contract import Outcome, Push

RECORD_SIZE = 4096
#: RFC 8292, 2: at most a day.
VAPID_TTL_S = 43_200


class WebPush:
    """One VAPID key. Raises SettingsError for a key that is none."""

    def __init__(
        self, key: str, subject: str, origins: tuple[str, ...], client: httpx.AsyncClient, clock: Clock
    ) -> None:
        self._key, self._public = _private(key), public_key(key)
        self._subject, self._origins, self._client, self._clock = subject, origins, client, clock

    async def send(self, push: Push) -> Outcome:
        """One message to one subscription."""
        if push.p256dh is None or push.auth is None:
            return Outcome("refused", "the subscription has no keys")
        if not rules.origin_allowed(push.token, self._origins):
            return Outcome("refused", "its push service is called no more")
        headers = {
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(push.ttl_s),
            "Urgency": "high" if push.urgent else "normal",
            "Topic": _topic(push.collapse_key),
            "Authorization": f"vapid t={self._vapid(push.token)}, k={self._public}",
        }
        body = encrypt(_body(push), push.p256dh, push.auth)
        try:
            answer = await providers.post(self._client, push.token, headers, body)
        except providers.Unreachable as error:
            return Outcome("later", str(error))
        if answer.status in (200, 201, 202, 204):
            return Outcome("sent")
        if answer.status in (404, 410):
            return Outcome("gone", f"status {answer.status}")
        if providers.transient(answer.status) or answer.status in (401, 403):
            return providers.later(answer, self._clock)
        return Outcome("refused", f"status {answer.status}")

    def _vapid(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        expires = int(self._clock.now().timestamp()) + VAPID_TTL_S
        claims = {"aud": f"{parts.scheme}://{parts.netloc}", "exp": expires}
        if self._subject:
            claims["sub"] = self._subject
        return jwt.encode(claims, self._key, "ES256")


def public_key(key: str) -> str:
    """The public half of a PEM key, as browsers take it. Raises SettingsError."""
    return base64.urlsafe_b64encode(_point(_private(key).public_key())).rstrip(b"=").decode()


def encrypt(
    text: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    ephemeral: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """One record of aes128gcm that only the browser with these keys can read (RFC 8291, 3.4).

    The ephemeral key and the salt must be new for every message; they are given in tests only.
    """
    ephemeral = ephemeral or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(16)
    mine = _point(ephemeral.public_key())
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    shared = ephemeral.exchange(ec.ECDH(), theirs)
    secret = _derive(auth, shared, b"WebPush: info\0" + p256dh + mine, 32)
    key = _derive(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(salt, secret, b"Content-Encoding: nonce\0", 12)
    sealed = AESGCM(key).encrypt(nonce, text + b"\x02", None)  # 2: the last record
    return salt + RECORD_SIZE.to_bytes(4, "big") + bytes([len(mine)]) + mine + sealed


def _derive(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@lru_cache(maxsize=4)
def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    try:
        # An environment file may have no real line breaks.
        key = serialization.load_pem_private_key(pem.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"CHATD_SECRETS_VAPID_KEY: not a PEM key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError("CHATD_SECRETS_VAPID_KEY: not a key of P-256")
    return key


def _topic(key: str) -> str:
    """RFC 8030, 5.4: at most 32 characters of base64url."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest()[:24]).decode()


def _body(push: Push) -> bytes:
    shown = {"title": push.title, "body": push.body, "tag": push.collapse_key, "badge": push.badge}
    return msgspec.json.encode({**shown, "data": push.data})
