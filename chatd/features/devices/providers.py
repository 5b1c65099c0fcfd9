"""What all push services have in common: one bounded request, and what its answer means."""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Protocol

import httpx
import msgspec

from chatd.core.clock import Clock
from chatd.features.devices.contract import Outcome, Push

MAX_ANSWER = 16_384
MAX_RETRY_AFTER_S = 3600.0


class Provider(Protocol):
    """One push service. ``send`` raises nothing that the network can cause."""

    async def send(self, push: Push) -> Outcome:
        """Give it the push."""
        ...


class Answer(msgspec.Struct, frozen=True):
    """Status, headers (names in lower case) and at most MAX_ANSWER bytes of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Pass:
    """A token that lets this server in, and until when (Unix time) it is good."""

    def __init__(self) -> None:
        self.token, self.good_until = "", 0.0


@lru_cache(maxsize=8)
def kept_pass(key: str) -> Pass:
    """The process's pass for this key: it outlives the connections, as services want few new ones."""
    return Pass()


class Unreachable(Exception):
    """No answer in time, or none that is HTTP; the message says why."""


async def post(client: httpx.AsyncClient, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """One POST; no redirects (the client's default), bounded in time (the client's) and size.

    Raises Unreachable.
    """
    try:
        async with client.stream("POST", url, headers=dict(headers), content=body) as response:
            read = bytearray()
            async for chunk in response.aiter_bytes():
                read += chunk
                if len(read) > MAX_ANSWER:
                    break
            return Answer(response.status_code, dict(response.headers), bytes(read[:MAX_ANSWER]))
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error


def later(answer: Answer, clock: Clock) -> Outcome:
    """Try again, after what Retry-After says (RFC 9110, 10.2.3), within reason."""
    said = answer.headers.get("retry-after", "")
    wait: float | None = None
    if said.isdigit() and len(said) < 9:
        wait = float(said)
    elif said:
        try:
            wait = (parsedate_to_datetime(said) - clock.now()).total_seconds()
        except (ValueError, TypeError):
            wait = None
    if wait is not None:
        wait = min(max(wait, 0.0), MAX_RETRY_AFTER_S)
    return Outcome("later", f"status {answer.status}", wait)


def transient(status: int) -> bool:
    """Whether the same request may be taken later."""
    return status in (408, 425, 429) or status >= 500
