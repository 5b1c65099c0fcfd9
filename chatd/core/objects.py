"""Where the bytes of media lie: the shape that ``chatd.objects`` stands behind.

A key is made by the media room, random and never reused; ``chatd`` decides who may have what, the store
only keeps it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from chatd.core.errors import Unavailable


@dataclass(frozen=True, slots=True)
class PutLink:
    """Where a client may PUT an object, with these headers."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


class ObjectStore(Protocol):
    """Bytes under keys. Every call ends in time and raises Unavailable where the store does not answer."""

    async def put_link(
        self, key: str, *, content_type: str, size: int | None, expires_s: int
    ) -> PutLink | None:
        """A link of the store's own; None where chatd takes the bytes itself."""
        ...

    async def get_link(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> str | None:
        """A link of the store's own; None where chatd gives the bytes out itself (``path``)."""
        ...

    async def fetch(
        self, key: str, to: Path, *, at_most: int, admit: Callable[[int], Awaitable[None]]
    ) -> bool:
        """Bring an object into a file; False where there is none. Raises TooLarge.

        ``admit(size)`` is asked before any of it comes; what that raises goes through.
        """
        ...

    async def put(self, key: str, path: Path, *, content_type: str) -> None:
        """Keep a file under a key; durable when this returns. The file may be gone then."""
        ...

    async def delete(self, keys: Collection[str]) -> None:
        """Forget these; what is not there is forgotten already."""
        ...

    def path(self, key: str) -> Path | None:
        """The file of an object, where it is one on this machine."""
        ...

    async def save(self, path: Path, chunks: AsyncIterator[bytes]) -> None:
        """Write what comes into a file; what ``chunks`` raises goes through."""
        ...

    async def tidy(self) -> None:
        """Take away what processes that were killed have left on this machine."""
        ...

    def scratch(self) -> Path:
        """The name of a new file to work on; whoever makes it takes it away again."""
        ...

    def working(self) -> AbstractAsyncContextManager[None]:
        """A place among the few that work on media at once in this process.

        Raises Unavailable where none comes free in time.
        """
        ...


class NoObjects:
    """Keeps nothing: for contexts that have nothing to do with media."""

    def __getattr__(self, name: str) -> object:
        raise Unavailable("There is no store for media here")
