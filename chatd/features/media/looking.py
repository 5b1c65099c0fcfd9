"""Looking into what was uploaded: what is it really, is it whole, and what must not stay in it?"""

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Final

from chatd.core.errors import Unavailable
from chatd.core.settings import Media
from chatd.features.media import pictures, scanning, videos
from chatd.features.media.contract import Found, MediaRejected

log = logging.getLogger("chatd.media")

#: The decoder is bounded in CPU time; this is for a machine that is too busy to give it any.
DECODING_S: Final = 60.0
_DECODER: Final = Path(__file__).with_name("decoding.py")
_DETAILS: Final = {
    "type_mismatch": "This file is not of the type that was announced",
    "truncated": "This file ends too early",
    "malformed": "This file is damaged, or not what it says",
    "too_many_pixels": "This picture has too many pixels",
    "infected": "A virus scanner warns of this file",
    "unscannable": "This file cannot be scanned for viruses",
}


def rejection(reason: str) -> MediaRejected:
    """The error for a reason."""
    return MediaRejected(_DETAILS[reason], reason=reason)


async def look(settings: Media, path: Path, content_type: str, thumbnail: Path) -> Found:
    """Make the file what shall be kept, and draw a picture's thumbnail.

    Raises MediaRejected; Unavailable where that cannot be found out now.
    """
    if settings.clamd:
        refused = await scanning.verdict(settings.clamd, path, settings.clamd_timeout_s)
        if refused is not None:
            raise rejection(refused)
    try:
        if content_type.startswith("image/"):
            size = await asyncio.to_thread(_clean_picture, path, content_type)
            width, height = await _decode(path, content_type, thumbnail, settings.max_pixels)
            return Found(content_type, size, width, height)
        return await asyncio.to_thread(_clean_video, path, content_type)
    except pictures.Broken as broken:
        raise rejection(broken.reason) from None
    except OSError as error:
        log.exception("an upload cannot be looked into")
        raise Unavailable("Media cannot be looked into now") from error


def _clean_picture(path: Path, content_type: str) -> int:
    data = path.read_bytes()
    if pictures.sniff(data[:64]) != content_type:
        raise rejection("type_mismatch")
    cleaned = pictures.clean(data, content_type)
    path.write_bytes(cleaned)
    return len(cleaned)


def _clean_video(path: Path, content_type: str) -> Found:
    with path.open("r+b") as file:
        if videos.sniff(file.read(64)) != content_type:
            raise rejection("type_mismatch")
        size = path.stat().st_size
        shown = videos.clean(file, size, content_type)
        return Found(content_type, size, shown.width, shown.height)


async def _decode(path: Path, content_type: str, thumbnail: Path, max_pixels: int) -> tuple[int, int]:
    """Width and height, as shown. The program has neither our environment nor our secrets."""
    kind = content_type.removeprefix("image/").upper()
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", str(_DECODER), str(path), kind, str(thumbnail), str(max_pixels)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )
    try:
        async with asyncio.timeout(DECODING_S):
            output, complaints = await program.communicate()
    except TimeoutError:
        raise Unavailable("This picture could not be looked into in time", retry_after_ms=5000) from None
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode != 0:
        # Out of its bounds, or out of its mind: a picture that does this to a decoder is not shown to others.
        log.warning(
            "the decoder ended with %s: %s", program.returncode, complaints[-500:].decode(errors="replace")
        )
        raise rejection("malformed")
    said = json.loads(output)
    if "error" in said:
        raise rejection(said["error"])
    return said["width"], said["height"]
