"""APNs over HTTP/2, by provider tokens (developer.apple.com, "Sending notification requests to APNs")."""

import hashlib

import httpx
import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chatd.core.clock import Clock
from chatd.core.settings import Push as PushSettings
from chatd.core.settings import SettingsError
from chatd.features.devices import providers
from chatd.features.devices.contract import Outcome, Push

#: Apple refuses tokens older than an hour, and those renewed more than once in 20 minutes.
RENEW_S = 2400
_GONE = ("BadDeviceToken", "DeviceTokenNotForTopic", "Unregistered", "ExpiredToken")
_STALE = ("ExpiredProviderToken", "InvalidProviderToken")


class _Failed(msgspec.Struct, frozen=True):
    reason: str = ""


def check(key: str, settings: PushSettings) -> None:
    """Raise SettingsError for a key that cannot sign, or that belongs to no app."""
    try:
        found = serialization.load_pem_private_key(key.replace("\\n", "\n").encode(), None)
    except (ValueError, TypeError) as error:
        raise SettingsError(f"CHATD_SECRETS_APNS_KEY: not a .p8 key: {error}") from None
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise SettingsError("CHATD_SECRETS_APNS_KEY: not a .p8 key: it is of another kind")
    if not (settings.apns_topic and settings.apns_team_id and settings.apns_key_id):
        raise SettingsError(
            "CHATD_SECRETS_APNS_KEY needs push.apns_topic, push.apns_team_id and push.apns_key_id"
        )


class Apns:
    """One app of one team."""

    def __init__(self, key: str, settings: PushSettings, client: httpx.AsyncClient, clock: Clock) -> None:
        # An environment file may have no real line breaks.
        self._key = key.replace("\\n", "\n")
        self._settings, self._client, self._clock = settings, client, clock
        self._pass = providers.kept_pass(f"{settings.apns_team_id} {settings.apns_key_id} {key}")

    async def send(self, push: Push) -> Outcome:
        """One notification to one device token."""
        now = int(self._clock.now().timestamp())
        try:
            headers = {
                "authorization": f"bearer {self._bearer(now)}",
                "apns-topic": self._settings.apns_topic,
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-expiration": str(now + push.ttl_s),
                "apns-collapse-id": _short(push.collapse_key),
            }
            url = f"{self._settings.apns_url.rstrip('/')}/3/device/{push.token}"
            answer = await providers.post(self._client, url, headers, _body(push))
        except providers.Unreachable as error:
            return Outcome("later", str(error))
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            return Outcome("later", f"CHATD_SECRETS_APNS_KEY does not sign: {error}")
        if answer.status == 200:
            return Outcome("sent")
        reason = _reason(answer.body)
        if answer.status in (404, 410) or reason in _GONE:
            return Outcome("gone", reason)
        if reason in _STALE:
            self._pass.token = ""
        if providers.transient(answer.status) or answer.status == 403:
            return providers.later(answer, self._clock)
        return Outcome("refused", f"status {answer.status} {reason}")

    def _bearer(self, now: int) -> str:
        if not self._pass.token or now >= self._pass.good_until:
            claims = {"iss": self._settings.apns_team_id, "iat": now}
            headers = {"kid": self._settings.apns_key_id}
            self._pass.token = jwt.encode(claims, self._key, "ES256", headers=headers)
            self._pass.good_until = now + RENEW_S
        return self._pass.token


def _body(push: Push) -> bytes:
    aps = {
        "alert": {"title": push.title, "body": push.body},
        "badge": push.badge,
        "sound": "default",
        "thread-id": push.collapse_key,
    }
    return msgspec.json.encode({"aps": aps, **push.data})


def _short(key: str) -> str:
    """The key, or what stands for it: a collapse id has at most 64 bytes."""
    return key if len(key.encode()) <= 64 else hashlib.sha256(key.encode()).hexdigest()


def _reason(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Failed).reason
    except msgspec.MsgspecError:
        return ""
