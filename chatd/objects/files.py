"""Media as files of this machine; chatd takes and gives the bytes itself."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from chatd.core.errors import Unavailable
from chatd.core.objects import PutLink
from chatd.objects.bench import Bench

log = logging.getLogger("chatd.objects")


class Files(Bench):
    """``core.objects.ObjectStore`` in a directory, which all nodes of a cluster must share."""

    async def open(self) -> None:
        """Nothing to open: the directory is made when something is to be kept."""

    async def close(self) -> None:
        """Nothing to close."""

    async def put_link(
        self, key: str, *, content_type: str, size: int | None, expires_s: int
    ) -> PutLink | None:
        """None: chatd takes the bytes."""
        return None

    async def get_link(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> str | None:
        """None: chatd gives them out."""
        return None

    async def fetch(
        self, key: str, to: Path, *, at_most: int, admit: Callable[[int], Awaitable[None]]
    ) -> bool:
        """False: nothing comes in by any other way than chatd."""
        return False

    async def put(self, key: str, path: Path, *, content_type: str) -> None:
        """Move the file to its place; it survives a crash of the machine."""
        try:
            await asyncio.to_thread(_keep, path, self._place(key))
        except OSError as error:
            log.exception("a medium could not be kept")
            raise Unavailable("Media cannot be kept now") from error

    async def delete(self, keys: Collection[str]) -> None:
        """Unlink them."""
        try:
            await asyncio.to_thread(_forget, [self._place(key) for key in keys])
        except OSError as error:
            log.exception("a medium could not be deleted")
            raise Unavailable("Media cannot be deleted now") from error

    def path(self, key: str) -> Path | None:
        """Where it lies."""
        return self._place(key)

    def _place(self, key: str) -> Path:
        # 65,536 directories: no file system is slow with what then is in each.
        return self.root / "objects" / key[:2] / key[2:4] / key


def _keep(path: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    path.replace(place)
    directory = os.open(place.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _forget(places: list[Path]) -> None:
    for place in places:
        place.unlink(missing_ok=True)
