"""FCM's HTTP v1 (firebase.google.com/docs/reference/fcm/rest/v1): a service account signs for an OAuth
token (RFC 7523), which sends.
"""

import asyncio
from urllib.parse import urlencode

import httpx
import jwt
import msgspec

from chatd.core.clock import Clock
from chatd.core.settings import SettingsError
from chatd.features.devices import providers
from chatd.features.devices.contract import Outcome, Push

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
#: An OAuth token is renewed so long before it runs out.
EARLY_S = 120.0


class _Account(msgspec.Struct, frozen=True):
    """What is used of a service account's key file."""

    project_id: str
    client_email: str
    private_key: str
    private_key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105  # an address


class _Granted(msgspec.Struct, frozen=True):
    access_token: str
    expires_in: float


class _Detail(msgspec.Struct, frozen=True):
    errorCode: str = ""  # as Google writes it


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    details: list[_Detail] = []


class _Failed(msgspec.Struct, frozen=True):
    error: _Error = _Error()


class _Refused(Exception):
    """The token endpoint gives no token."""


def account_of(text: str) -> _Account:
    """What a service account's key file says. Raises SettingsError."""
    try:
        return msgspec.json.decode(text, type=_Account)
    except msgspec.MsgspecError as error:
        raise SettingsError(f"CHATD_SECRETS_FCM_ACCOUNT: not a service account's key: {error}") from None


class Fcm:
    """One service account. Raises SettingsError for a key file that is none."""

    def __init__(self, account: str, url: str, client: httpx.AsyncClient, clock: Clock) -> None:
        self._account = account_of(account)
        self._url = f"{url.rstrip('/')}/v1/projects/{self._account.project_id}/messages:send"
        self._client, self._clock = client, clock
        self._pass = providers.kept_pass(account)
        self._lock = asyncio.Lock()

    async def send(self, push: Push) -> Outcome:
        """One message to one registration token."""
        try:
            headers = {"Authorization": f"Bearer {await self._access()}", "Content-Type": "application/json"}
            answer = await providers.post(self._client, self._url, headers, _body(push))
        except (providers.Unreachable, _Refused) as error:
            return Outcome("later", str(error))
        if answer.status == 200:
            return Outcome("sent")
        reason = _reason(answer.body)
        if answer.status == 404 or "UNREGISTERED" in reason:
            return Outcome("gone", reason)
        if answer.status == 401:
            self._pass.token = ""  # revoked before its time: the next attempt asks for another
        if providers.transient(answer.status) or answer.status in (401, 403):
            return providers.later(answer, self._clock)
        return Outcome("refused", f"status {answer.status} {reason}")

    async def _access(self) -> str:
        async with self._lock:  # many pushes wait for one token
            now = self._clock.now().timestamp()
            if not self._pass.token or now >= self._pass.good_until:
                granted = await self._grant(int(now))
                self._pass.token = granted.access_token
                self._pass.good_until = now + granted.expires_in - EARLY_S
            return self._pass.token

    async def _grant(self, now: int) -> _Granted:
        account = self._account
        claims = {
            "iss": account.client_email,
            "scope": SCOPE,
            "aud": account.token_uri,
            "iat": now,
            "exp": now + 3600,
        }
        headers = {"kid": account.private_key_id} if account.private_key_id else None
        try:
            assertion = jwt.encode(claims, account.private_key, "RS256", headers=headers)
        except (ValueError, TypeError, jwt.PyJWTError) as error:
            raise _Refused(f"CHATD_SECRETS_FCM_ACCOUNT: its key does not sign: {error}") from None
        form = urlencode(
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        )
        answer = await providers.post(
            self._client,
            account.token_uri,
            {"Content-Type": "application/x-www-form-urlencoded"},
            form.encode(),
        )
        if answer.status != 200:
            raise _Refused(f"the token endpoint answered {answer.status}")
        try:
            return msgspec.json.decode(answer.body, type=_Granted)
        except msgspec.MsgspecError as error:
            raise _Refused(f"the token endpoint: {error}") from None


def _body(push: Push) -> bytes:
    message = {
        "token": push.token,
        "notification": {"title": push.title, "body": push.body},
        "data": push.data,
        "android": {
            "collapse_key": push.collapse_key,
            "priority": "HIGH",
            "ttl": f"{push.ttl_s}s",
            # The same tag replaces what the phone still shows of this chat.
            "notification": {"tag": push.collapse_key, "notification_count": push.badge},
        },
    }
    return msgspec.json.encode({"message": message})


def _reason(body: bytes) -> str:
    try:
        error = msgspec.json.decode(body, type=_Failed).error
    except msgspec.MsgspecError:
        return ""
    return " ".join([error.status, *(d.errorCode for d in error.details if d.errorCode)])
