"""chatd's REST edge as a client sees it: accounts, tokens, chats (protocol.md, sections 2 and 6)."""

import asyncio
import base64
import binascii
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

#: A token with less life than this is exchanged for a new one.
MARGIN_S = 60.0


class ChatdError(Exception):
    """Something that a client of chatd can meet."""


class Unreachable(ChatdError):
    """Nothing listens there, or it hung up before it answered."""


class NoAnswer(ChatdError):
    """A bounded wait ended without what it was for."""


class Refused(ChatdError):
    """The server said no, and why: ``code`` is one of protocol.md, section 3."""

    def __init__(self, code: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.retry_after_s = retry_after_s


class Api:
    """Calls to ``/api`` of a chatd at one or more addresses; the next one is tried where nothing listens."""

    def __init__(self, *urls: str, timeout_s: float = 30.0, connections: int = 100) -> None:
        self.urls = [url.rstrip("/") for url in urls]
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            connector=aiohttp.TCPConnector(limit=connections),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        query: dict[str, str] | None = None,
    ) -> Any:
        """The answer's JSON (None for 204). Raises Refused, Unreachable, NoAnswer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        for url in list(self.urls):
            try:
                async with self._http.request(
                    method, f"{url}/api{path}", json=body, headers=headers, params=query
                ) as answer:
                    return _answer(answer.status, await answer.read(), answer.headers.get("Retry-After"))
            except aiohttp.ClientConnectorError:
                # Nothing was sent, so the next address may have it; it comes first from now on.
                self.urls.append(self.urls.pop(0))
            except TimeoutError:
                raise NoAnswer(f"{method} {path}: no answer in time") from None
            except aiohttp.ClientError as error:
                raise Unreachable(f"{method} {path}: {error}") from error
        raise Unreachable(f"nothing listens at {', '.join(self.urls)}")

    async def register(self, email: str, password: str, display_name: str) -> str:
        """A new account's id."""
        body = {"email": email, "password": password, "display_name": display_name}
        return str((await self.call("POST", "/users", body))["id"])

    async def login(self, email: str, password: str) -> "Account":
        answer = await self.call("POST", "/auth/login", {"email": email, "password": password})
        account = Account(self, answer["user"]["id"], email=email, password=password)
        account.take(answer)
        return account

    async def create_group(self, account: "Account", member_ids: list[str], title: str) -> str:
        """A new group's id; the account is its owner."""
        body = {"type": "group", "member_ids": member_ids, "title": title}
        return str((await self.call("POST", "/chats", body, token=await account.token()))["id"])

    async def history(
        self, account: "Account", chat_id: str, *, before_seq: int, limit: int = 200
    ) -> list[dict[str, Any]]:
        """Messages before a seq, newest first."""
        query = {"before_seq": str(before_seq), "limit": str(limit)}
        path = f"/chats/{quote(chat_id)}/messages"
        answer = await self.call("GET", path, query=query, token=await account.token())
        return list(answer["messages"])


@dataclass
class Account:
    """Somebody who is logged in. ``token`` is good for at least a minute, as long as it can be renewed."""

    api: Api
    user_id: str
    access: str = ""
    refresh: str | None = None
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    expires_at: float = 0.0
    _renewing: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    def of_token(cls, api: Api, user_id: str, access: str) -> Self:
        """Somebody of whom there is a token alone, as ``chatd seed`` writes them."""
        return cls(api, user_id, access, expires_at=expiry(access))

    @property
    def renewable(self) -> bool:
        return self.refresh is not None or self.password is not None

    def remaining_s(self) -> float:
        """How long the access token is good for."""
        return self.expires_at - time.time()

    def distrust_token(self) -> None:
        """The server did not take the access token: get another before the next use."""
        self.expires_at = 0.0

    async def token(self, margin_s: float = MARGIN_S) -> str:
        """An access token. Raises what ``Api.call`` raises where it had to be renewed and could not."""
        if not self.renewable or self.remaining_s() > margin_s:
            return self.access
        async with self._renewing:  # a refresh token used twice revokes its family
            if self.remaining_s() <= margin_s:
                await self._renew()
        return self.access

    async def _renew(self) -> None:
        refresh, self.refresh = self.refresh, None
        if refresh is not None:
            try:
                self.take(await self.api.call("POST", "/auth/refresh", {"refresh_token": refresh}))
                return
            except ChatdError:
                # Whether the server used it up cannot be known, so it is not tried again.
                if self.password is None:
                    raise
        body = {"email": self.email, "password": self.password}
        self.take(await self.api.call("POST", "/auth/login", body))

    def take(self, answer: dict[str, Any]) -> None:
        """The tokens of a login or refresh."""
        self.access, self.refresh = answer["access_token"], answer["refresh_token"]
        self.expires_at = time.time() + answer["expires_in"]


def expiry(token: str) -> float:
    """When a JWT runs out, in Unix seconds; without judging it. Raises ValueError for what is no JWT."""
    try:
        claims = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, binascii.Error) as error:
        raise ValueError("not a JWT with an expiry") from error


def _answer(status: int, body: bytes, retry_after: str | None) -> Any:
    if status < 300:
        try:
            return json.loads(body) if body else None
        except ValueError:
            raise ChatdError(f"an answer of {status} that is not JSON: {body[:200]!r}") from None
    try:
        problem = json.loads(body)
        code, detail = str(problem["code"]), str(problem.get("detail") or problem.get("title"))
    except (ValueError, KeyError, TypeError):
        code, detail = f"http_{status}", body[:200].decode("utf-8", "replace")
    after = float(retry_after) if retry_after and retry_after.isdigit() else None
    raise Refused(code, detail, after)
