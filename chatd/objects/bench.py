"""Room to work on a few media at once: a directory for what is under way, and places."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chatd.core.errors import Unavailable

log = logging.getLogger("chatd.objects")

#: How long somebody waits for a place.
PLACE_S = 30.0
#: A file that nobody has touched for so long belongs to a process that was killed.
ABANDONED_S = 7200.0


class Bench:
    """Scratch files in ``root/incoming``, and ``workers`` places."""

    def __init__(self, root: Path, workers: int) -> None:
        self.root = root
        self._places = asyncio.Semaphore(workers)

    def scratch(self) -> Path:
        """The name of a new file; its directory is there. Raises Unavailable where it cannot be."""
        incoming = self.root / "incoming"
        try:
            incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            log.exception("there is no room for uploads")
            raise Unavailable("Media cannot be taken now") from error
        return incoming / secrets.token_hex(16)

    async def save(self, path: Path, chunks: AsyncIterator[bytes]) -> None:
        """Write them, each in a thread: a disk may take its time. Raises Unavailable where it takes none."""
        try:
            with await asyncio.to_thread(path.open, "xb") as file:
                async for chunk in chunks:
                    await asyncio.to_thread(file.write, chunk)
        except OSError as error:
            log.exception("an upload could not be written")
            raise Unavailable("Media cannot be taken now") from error

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """A place. Raises Unavailable where none comes free in time."""
        try:
            async with asyncio.timeout(PLACE_S):
                await self._places.acquire()
        except TimeoutError:
            raise Unavailable("Too many media at once", retry_after_ms=5000) from None
        try:
            yield
        finally:
            self._places.release()

    async def tidy(self) -> None:
        """Take away what killed processes have left."""
        await asyncio.to_thread(self._tidy)

    def _tidy(self) -> None:
        oldest = time.time() - ABANDONED_S
        for path in (self.root / "incoming").glob("*"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue  # another process was faster
