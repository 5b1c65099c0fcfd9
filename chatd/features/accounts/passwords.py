"""Passwords: argon2id in a few threads of its own, so that neither the loop nor the sockets wait for it."""

import asyncio
import base64
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from chatd.core.errors import Unavailable

T = TypeVar("T")

# OWASP's minimum for argon2id (19 MiB, 2 passes, 1 lane): some 25 ms of a core, and the memory of
# hash_threads logins at once stays small beside the sockets'.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16)
#: Past so many waiting a thread, an answer would take seconds: better to say "not now".
QUEUE_PER_THREAD = 128


def _unmatched() -> str:
    """A hash that is nobody's, with today's costs: checking against it takes as long as a real one."""
    salt, digest = (base64.b64encode(secrets.token_bytes(n)).rstrip(b"=").decode() for n in (16, 32))
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


class HashPool:
    """A few threads and a bounded queue before them. Raises Unavailable at once where it is full."""

    def __init__(self, threads: int, *, queue_per_thread: int = QUEUE_PER_THREAD) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threading.BoundedSemaphore(threads * (queue_per_thread + 1))
        self._unmatched = _unmatched()

    async def hash(self, password: str) -> str:
        """The hash to store."""
        return await self._run(lambda: _hasher.hash(_bytes(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether it is the password; with nothing stored, no, after the same time."""
        return await self._run(lambda: _matches(stored or self._unmatched, password)) and stored is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._places.acquire(blocking=False):
            raise Unavailable("Too many are signing in at once", retry_after_ms=2000)
        future = self._executor.submit(work)
        # Called when it is done, or cancelled before it began: not when the caller has merely gone away.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)


def outdated(stored: str) -> bool:
    """Whether the hash was made with other costs than today's."""
    return _hasher.check_needs_rehash(stored)


@lru_cache(maxsize=4)
def pool(threads: int) -> HashPool:
    """The process's pool of this size: threads belong to the process, as a Ctx does not."""
    return HashPool(max(1, threads))


def _matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, _bytes(password))
    except (VerificationError, InvalidHashError):
        return False


def _bytes(password: str) -> bytes:
    # Keyboards differ in how they compose an accent (RFC 8265, 4.2.2).
    return unicodedata.normalize("NFC", password).encode()
