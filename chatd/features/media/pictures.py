"""Pictures taken apart and put together again without what does not belong to the picture.

Nothing is recompressed: the parts that make the picture stay as they are, in their order; metadata (where
and by whom it was taken, comments, embedded previews) and whatever comes after the picture's end go. Of a
camera's metadata the orientation alone is written anew, since without it the picture lies on its side.

Whether a decoder can read the result is for ``decoding`` to say.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

#: Of what begins so we know what it is.
_MAGIC: Final = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


class Broken(Exception):
    """It is not what it should be: ``truncated`` or ``malformed``."""

    def __init__(self, reason: str = "malformed") -> None:
        super().__init__(reason)
        self.reason = reason


def sniff(head: bytes) -> str | None:
    """The content type of a picture that begins so."""
    return next((kind for magic, kind in _MAGIC if magic.match(head)), None)


def clean(data: bytes, content_type: str) -> bytes:
    """The picture and nothing else. Raises Broken."""
    try:
        return b"".join(_CLEANERS[content_type](data))
    except (IndexError, struct.error):
        raise Broken("truncated") from None


# ------------------------------------------------------------------------------------------------- JPEG

#: The next marker in the compressed data: not a stuffed 0xff00, nor one of the restarts.
_MARKER: Final = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


def _jpeg(data: bytes) -> Iterator[bytes]:
    # ISO/IEC 10918-1, B.1.1
    yield data[:2]
    segments: list[bytes] = []
    orientation, at, scanned = 1, 2, False
    while True:
        at = _marker(data, at)
        marker = data[at + 1]
        if marker == 0xD9:
            break
        if marker in _ALONE:
            segments.append(data[at : at + 2])
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if length < 2 or len(segment) < 2 + length:
            raise Broken("truncated" if length >= 2 else "malformed")
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            orientation = _orientation(segment[10:])
        elif kept := _jpeg_kept(marker, segment):
            segments.append(kept)
        at += len(segment)
        if marker == 0xDA:
            scanned = True
            end = _MARKER.search(data, at)
            if end is None:
                raise Broken("truncated")
            segments.append(data[at : end.start()])
            at = end.start()
    if not scanned:
        raise Broken
    if segments and segments[0][:2] == b"\xff\xe0":
        yield segments.pop(0)  # JFIF wants to be the first
    if orientation != 1:
        exif = b"Exif\0\0" + _tiff(orientation)
        yield b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    yield from segments
    yield b"\xff\xd9"


def _marker(data: bytes, at: int) -> int:
    """Where the marker at ``at`` begins, after bytes that fill."""
    if data[at] != 0xFF:
        raise Broken
    while data[at + 1] == 0xFF:
        at += 1
    return at


def _jpeg_kept(marker: int, segment: bytes) -> bytes:
    """What stays of a segment; of those of applications the fields that decoders go by, and no more."""
    if marker == 0xE0 and segment[4:9] == b"JFIF\0" and len(segment) >= 18:
        return b"\xff\xe0\0\x10" + segment[4:16] + b"\0\0"  # a preview may show what was cut off since
    if marker == 0xEE and segment[4:9] == b"Adobe" and len(segment) >= 16:
        return b"\xff\xee\0\x0e" + segment[4:16]
    if marker == 0xE2 and segment[4:16] == b"ICC_PROFILE\0":
        return segment
    return segment if 0xC0 <= marker <= 0xCF or 0xDA <= marker <= 0xDD else b""


# -------------------------------------------------------------------------------------------------- PNG

_PNG_KEEPS: Final = frozenset(
    (
        *(b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP"),
        *(b"sBIT", b"pHYs", b"bKGD", b"acTL", b"fcTL", b"fdAT"),
    )
)


def _png(data: bytes) -> Iterator[bytes]:
    # ISO/IEC 15948, 5.3
    yield data[:8]
    at, drawn = 8, False
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + 12 + length]
        if len(chunk) < 12 + length:
            raise Broken("truncated")
        if zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0] or (at == 8) != (name == b"IHDR"):
            raise Broken
        at += len(chunk)
        if name == b"eXIf" and (orientation := _orientation(chunk[8:-4])) != 1:
            exif = b"eXIf" + _tiff(orientation)
            yield struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
        if name in _PNG_KEEPS:
            yield chunk
        drawn = drawn or name == b"IDAT"
        if name == b"IEND":
            break
    if not drawn:
        raise Broken


# -------------------------------------------------------------------------------------------------- GIF


def _gif(data: bytes) -> Iterator[bytes]:
    # GIF89a, 17 to 27
    at = 13 + _colours(data[10])
    yield data[:at]
    drawn = False
    while data[at] != 0x3B:
        if data[at] == 0x21:
            end = _blocks(data, at + 2)
            # Timing and transparency, and how often a moving picture is repeated; no comments, no XMP.
            loops = data[at + 3 : at + 14] in (b"NETSCAPE2.0", b"ANIMEXTS1.0") and end - at == 19
            if (loops and data[at + 1] == 0xFF) or (data[at + 1] == 0xF9 and end - at == 8):
                yield data[at:end]
        elif data[at] == 0x2C:
            end = _blocks(data, at + 10 + _colours(data[at + 9]) + 1)
            yield data[at:end]
            drawn = True
        else:
            raise Broken
        at = end
    if not drawn:
        raise Broken
    yield b"\x3b"


def _colours(flags: int) -> int:
    """The bytes of a colour table with these flags."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> int:
    """Where a chain of blocks ends, each with its length before it."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


# ------------------------------------------------------------------------------------------------- WebP

_WEBP_KEEPS: Final = frozenset((b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))


def _webp(data: bytes) -> Iterator[bytes]:
    # RFC 9649, 2.3 to 2.7
    (size,) = struct.unpack_from("<I", data, 4)
    if 8 + size > len(data):
        raise Broken("truncated")
    chunks: list[bytes] = []
    extended: bytes | None = None
    orientation, at, end, drawn = 1, 12, 8 + size, False
    while at < end:
        name, length = struct.unpack_from("<4sI", data, at)
        chunk = data[at : at + 8 + length + length % 2]
        if len(chunk) < 8 + length or at + 8 + length > end:
            raise Broken("truncated")
        at += len(chunk)
        if name == b"VP8X":
            extended = chunk
        elif name == b"EXIF":
            orientation = _orientation(chunk[8:].removeprefix(b"Exif\0\0"))
        elif name in _WEBP_KEEPS:
            chunks.append(_frame(chunk) if name == b"ANMF" else chunk)
            drawn = drawn or name in (b"VP8 ", b"VP8L", b"ANMF")
    if not drawn:
        raise Broken
    if extended is not None:
        exif = _tiff(orientation) if orientation != 1 else b""
        flags = extended[8] & ~0x0C | (0x08 if exif else 0)  # neither XMP nor EXIF, but what we say
        chunks.insert(0, extended[:8] + bytes([flags]) + extended[9:])
        if exif:
            chunks.append(struct.pack("<4sI", b"EXIF", len(exif)) + exif)
    body = b"".join(chunks)
    yield struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP")
    yield body


def _frame(chunk: bytes) -> bytes:
    """A frame of a moving picture, without chunks that are no part of it (RFC 9649, 2.7.1.1)."""
    end = 8 + int(struct.unpack_from("<I", chunk, 4)[0])
    kept, at = [chunk[8:24]], 24
    while at < end:
        name, length = struct.unpack_from("<4sI", chunk, at)
        stop = at + 8 + length + length % 2
        if stop > end + end % 2:
            raise Broken("truncated")
        if name in (b"ALPH", b"VP8 ", b"VP8L"):
            kept.append(chunk[at:stop])
        at = stop
    body = b"".join(kept)
    return struct.pack("<4sI", b"ANMF", len(body)) + body


# ------------------------------------------------------------------------------------------ orientation


def _orientation(tiff: bytes) -> int:
    """What a camera's metadata says of how the picture is to be turned; 1 where it says nothing right."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, first)
        for place in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, place)
            if (tag, kind) == (0x0112, 3):
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def _tiff(orientation: int) -> bytes:
    """Metadata that say this and nothing else."""
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


_CLEANERS: Final[dict[str, Callable[[bytes], Iterator[bytes]]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/gif": _gif,
    "image/webp": _webp,
}
