"""Asking a ClamAV daemon what it thinks of a file: its INSTREAM command (clamd's manual, COMMANDS)."""

import asyncio
import logging
import struct
from pathlib import Path
from typing import Final

from chatd.core.errors import Unavailable

log = logging.getLogger("chatd.media")
_PIECE: Final = 262_144


async def verdict(address: str, path: Path, timeout_s: float) -> str | None:
    """Why the file is refused: ``infected``, ``unscannable`` (too long for clamd); None where it is clean.

    Raises Unavailable where clamd does not answer: nothing is let in unseen.
    """
    try:
        async with asyncio.timeout(timeout_s):
            answer = await _ask(address, path)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
        log.exception("clamd at %s does not answer", address)
        raise Unavailable("What is uploaded cannot be scanned now", retry_after_ms=5000) from error
    if answer.endswith("OK"):
        return None
    log.warning("clamd refuses an upload: %s", answer)
    if answer.endswith("FOUND"):
        return "infected"
    if "size limit exceeded" in answer:
        return "unscannable"
    raise Unavailable("What is uploaded cannot be scanned now", retry_after_ms=5000)


async def _ask(address: str, path: Path) -> str:
    reader, writer = await _connect(address)
    try:
        writer.write(b"zINSTREAM\0")
        try:
            with path.open("rb") as file:
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    writer.write(struct.pack(">I", len(piece)) + piece)
                    await writer.drain()
            writer.write(struct.pack(">I", 0))
            await writer.drain()
        except ConnectionError:
            # clamd hangs up on what is too long for it, and has said so before.
            log.debug("clamd has hung up")
        answer = await reader.readuntil(b"\0")
        return answer.rstrip(b"\0").decode("utf-8", "replace").strip()
    finally:
        writer.close()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if address.startswith("unix:"):
        return await asyncio.open_unix_connection(address.removeprefix("unix:"))
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))
