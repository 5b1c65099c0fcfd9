"""Videos looked through without holding or decoding them: is the container whole, and what does it tell?

What says where and by whom a video was taken is overwritten in place, under the name that both containers
have for space that means nothing; so nothing moves, and a file of 500 MB costs a few reads.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from chatd.features.media.pictures import Broken

#: What is read at once of the tables that describe a video; longer ones belong to no video of ours.
MAX_TABLES: Final = 64 * 1024 * 1024
MAX_ELEMENTS: Final = 2_000_000
#: Pieces of all tracks that are no picture and no sound: days of them, one a second.
MAX_CHUNKS: Final = 500_000
_ZEROS: Final = bytes(65_536)


@dataclass(frozen=True, slots=True)
class Dimensions:
    """Pixels, as shown; None where the container does not say."""

    width: int | None
    height: int | None


def sniff(head: bytes) -> str | None:
    """The content type of a video that begins so (the first 64 bytes are enough)."""
    if head[4:8] == b"ftyp" and not _IMAGES & {head[8:12]} and head[8:12] != b"qt  ":
        return "video/mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3" and b"\x42\x82\x84webm" in head:
        return "video/webm"
    return None


def clean(file: BinaryIO, size: int, content_type: str) -> Dimensions:
    """Look a video through and blot out in place what does not belong in it. Raises Broken."""
    try:
        return (_mp4 if content_type == "video/mp4" else _webm)(file, size)
    except (IndexError, struct.error):
        raise Broken("truncated") from None


# -------------------------------------------------------------------------------------------------- MP4

#: Brands of still pictures in the same container.
_IMAGES: Final = frozenset((b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis", b"heim", b"heis"))
#: What a video is made of, by where it stands; whatever else there is goes, since nobody knows what it tells.
_FILE: Final = frozenset(
    (b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ssix", b"pdin", b"prft", b"wide")
)
_MOVIE: Final = frozenset((b"mvhd", b"trak", b"mvex", b"iods"))
_TRACK: Final = frozenset((b"tkhd", b"edts", b"tref", b"mdia", b"tapt"))
_INSIDE: Final = {
    b"mdia": frozenset((b"mdhd", b"hdlr", b"minf", b"elng")),
    b"minf": frozenset((b"vmhd", b"smhd", b"nmhd", b"hdlr", b"dinf", b"stbl")),
    b"moof": frozenset((b"mfhd", b"traf")),
    b"traf": frozenset((b"tfhd", b"tfdt", b"trun", b"sbgp", b"sgpd", b"saiz", b"saio", b"subs")),
}


@dataclass(frozen=True, slots=True)
class _Box:
    name: bytes
    at: int
    body: int
    end: int


def _mp4(file: BinaryIO, size: int) -> Dimensions:
    # ISO/IEC 14496-12, 4.2: boxes, one after the other, from the first byte to the last
    found = Dimensions(None, None)
    names = set()
    for box in _boxes(file, 0, size):
        if box.name == b"moov" and box.name in names:
            raise Broken  # 8.2.1: exactly one
        names.add(box.name)
        if box.name not in _FILE:
            _blot_box(file, box)
        elif box.name == b"moov":
            found = _movie(file, box, size)
        elif box.name == b"moof":
            _blot_inside(file, box)
    if not names >= {b"moov", b"mdat"}:
        raise Broken("truncated" if names == {b"ftyp", b"mdat"} else "malformed")
    return found


def _movie(file: BinaryIO, movie: _Box, size: int) -> Dimensions:
    if movie.end - movie.at > MAX_TABLES:
        raise Broken
    found = Dimensions(None, None)
    in_pieces = False
    telling: list[tuple[_Box, _Box | None]] = []
    for box in _boxes(file, movie.body, movie.end):
        in_pieces = in_pieces or box.name == b"mvex"
        if box.name not in _MOVIE:
            _blot_box(file, box)
        elif box.name == b"trak":
            kind, dimensions, samples = _track(file, box)
            if kind == b"vide" and found.width is None:
                found = dimensions
            elif kind not in (b"vide", b"soun"):
                # Positions second by second, as action cameras and drones write them, also as subtitles.
                telling.append((box, samples))
    if in_pieces and telling:
        raise Broken  # what such a track tells stands between the pictures of each piece
    _blot_samples(file, [samples for _, samples in telling if samples is not None], movie, size)
    for box, _ in telling:
        _blot_box(file, box)
    return found


def _track(file: BinaryIO, track: _Box) -> tuple[bytes, Dimensions, _Box | None]:
    """(its kind, its size, where its tables of samples are)."""
    kind, dimensions, tables = b"", Dimensions(None, None), None
    for box in _boxes(file, track.body, track.end):
        if box.name not in _TRACK:
            _blot_box(file, box)
        elif box.name == b"tkhd":
            file.seek(box.body)
            dimensions = _shown(file.read(box.end - box.body))
        elif box.name == b"mdia":
            for inner in _blot_inside(file, box):
                if inner.name == b"hdlr" and not kind:
                    file.seek(inner.body + 8)
                    kind = file.read(4)
                elif inner.name == b"stbl":
                    tables = inner
    return kind, dimensions, tables


def _blot_inside(file: BinaryIO, box: _Box) -> list[_Box]:
    """Blot out what does not belong into a box, at any depth that we know; what does belong there."""
    found: list[_Box] = []
    for inner in _boxes(file, box.body, box.end):
        if inner.name not in _INSIDE[box.name]:
            _blot_box(file, inner)
            continue
        found.append(inner)
        if inner.name in _INSIDE:
            found += _blot_inside(file, inner)
    return found


def _blot_samples(file: BinaryIO, tracks: list[_Box], movie: _Box, size: int) -> None:
    """Blot out what tracks have among the pictures: the chunks of each (stco, co64), each of so many samples
    (stsc) of these sizes (stsz).
    """
    # Samples of different tracks do not overlap: together they are no more than the file. Were it counted
    # for each track alone, thousands of small ones could have the file written over thousands of times.
    bytes_left, chunks_left = size, MAX_CHUNKS
    for tables in tracks:
        for at, length in _chunks(file, tables):
            bytes_left -= length
            chunks_left -= 1
            astray = at + length > size or (at < movie.end and movie.at < at + length)
            if astray or bytes_left < 0 or chunks_left < 0:
                raise Broken
            _blot(file, at, at + length)


def _chunks(file: BinaryIO, tables: _Box) -> Iterator[tuple[int, int]]:
    found: dict[bytes, bytes] = {}
    for box in _boxes(file, tables.body, tables.end):
        file.seek(box.body + 4)
        if box.name in (b"stco", b"co64", b"stsc", b"stsz", b"stz2"):
            found[box.name] = file.read(box.end - box.body - 4)
    if b"stz2" in found:
        raise Broken
    wide = b"co64" in found
    offsets = found.get(b"co64") or found.get(b"stco") or bytes(4)
    (count,) = struct.unpack_from(">I", offsets)
    all_alike, samples = struct.unpack_from(">II", found.get(b"stsz") or bytes(8))
    sizes = memoryview(found.get(b"stsz") or b"")[8:]
    runs = list(struct.iter_unpack(">III", found.get(b"stsc", bytes(4))[4 : 4 + 12 * (MAX_CHUNKS + 1)]))
    if count > MAX_CHUNKS or len(runs) > MAX_CHUNKS or samples > MAX_ELEMENTS:
        raise Broken
    done, run = 0, -1
    for number in range(count):
        (at,) = struct.unpack_from(">Q" if wide else ">I", offsets, 4 + number * (8 if wide else 4))
        while run + 1 < len(runs) and runs[run + 1][0] <= number + 1:
            run += 1
        several = min(runs[run][1] if run >= 0 else 0, samples - done)
        if all_alike:
            yield at, several * all_alike
        else:
            yield at, sum(struct.unpack_from(f">{several}I", sizes, 4 * done))
        done += several


def _shown(header: bytes) -> Dimensions:
    """Width and height of a track header, turned as its matrix says."""
    at = 88 if header[0] == 1 else 76
    width, height = (value >> 16 for value in struct.unpack_from(">II", header, at))
    a, b = struct.unpack_from(">ii", header, at - 36)
    if a == 0 and b != 0:
        width, height = height, width
    return Dimensions(width or None, height or None)


def _boxes(file: BinaryIO, at: int, end: int) -> Iterator[_Box]:
    count = 0
    while at < end:
        count += 1
        file.seek(at)
        header = file.read(16)
        length, name = struct.unpack_from(">I4s", header)
        body = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", header, 8)
            body = at + 16
        elif length == 0:
            length = end - at
        if length < body - at or count > MAX_ELEMENTS or (at == 0) != (name == b"ftyp"):
            raise Broken
        if at + length > end:
            raise Broken("truncated")
        yield _Box(name, at, body, at + length)
        at += length


def _blot_box(file: BinaryIO, box: _Box) -> None:
    file.seek(box.at + 4)
    file.write(b"free")
    _blot(file, box.body, box.end)


def _blot(file: BinaryIO, at: int, end: int) -> None:
    file.seek(at)
    while at < end:
        at += file.write(_ZEROS[: min(len(_ZEROS), end - at)])


# ------------------------------------------------------------------------------------------------- WebM

_SEGMENT, _CLUSTER, _TRACKS = 0x18538067, 0x1F43B675, 0x1654AE6B
_TAGS, _ATTACHMENTS = 0x1254C367, 0x1941A469
_ENTRY, _VIDEO, _WIDTH, _HEIGHT = 0xAE, 0xE0, 0xB0, 0xBA


def _webm(file: BinaryIO, size: int) -> Dimensions:
    # RFC 8794 (EBML) and RFC 9559 (Matroska). Browsers that record do not know the sizes of segment and
    # clusters when they begin them: those are gone into, and everything else is stepped over.
    found = Dimensions(None, None)
    seen: set[int] = set()
    at = count = 0
    while at < size:
        count += 1
        name, body, end = _element(file, at, size)
        if count > MAX_ELEMENTS or (count == 2) != (name == _SEGMENT):
            raise Broken
        if end is not None and end > size:
            raise Broken("truncated")
        seen.add(name)
        if name == _SEGMENT or end is None:
            if name not in (_SEGMENT, _CLUSTER) or (name == _SEGMENT and end not in (None, size)):
                raise Broken
            at = body
            continue
        if name == _TRACKS:
            found = _tracks(file, body, end)
        elif name in (_TAGS, _ATTACHMENTS):
            _blot_element(file, at, end)
        at = end
    if not seen >= {_TRACKS, _CLUSTER}:
        raise Broken("truncated")
    return found


def _element(file: BinaryIO, at: int, limit: int) -> tuple[int, int, int | None]:
    """(id, where its body begins, where it ends or None) of the element at ``at``."""
    file.seek(at)
    header = file.read(min(12, limit - at))
    id_length = 9 - header[0].bit_length()
    if id_length > 4:
        raise Broken
    first = header[id_length]
    size_length = 9 - first.bit_length()
    if size_length > 8 or id_length + size_length > len(header):
        raise Broken("malformed" if size_length > 8 else "truncated")
    name = int.from_bytes(header[:id_length], "big")
    length = int.from_bytes(header[id_length : id_length + size_length], "big")
    length -= 1 << (7 * size_length)
    body = at + id_length + size_length
    return name, body, None if length == (1 << (7 * size_length)) - 1 else body + length


def _tracks(file: BinaryIO, body: int, end: int) -> Dimensions:
    if end - body > MAX_TABLES:
        raise Broken
    for entry, entry_body, entry_end in _children(file, body, end):
        if entry != _ENTRY:
            continue
        for video, video_body, video_end in _children(file, entry_body, entry_end):
            if video == _VIDEO:
                return _pixels(file, video_body, video_end)
    return Dimensions(None, None)


def _pixels(file: BinaryIO, body: int, end: int) -> Dimensions:
    sizes: dict[int, int] = {}
    for name, at, stop in _children(file, body, end):
        if name in (_WIDTH, _HEIGHT) and stop - at <= 8:
            file.seek(at)
            sizes[name] = int.from_bytes(file.read(stop - at), "big")
    width, height = sizes.get(_WIDTH), sizes.get(_HEIGHT)
    if max(width or 0, height or 0) > 65_536:
        raise Broken
    return Dimensions(width or None, height or None)


def _children(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    while at < end:
        name, body, stop = _element(file, at, end)
        if stop is None or stop > end:
            raise Broken
        yield name, body, stop
        at = stop


def _blot_element(file: BinaryIO, at: int, end: int) -> None:
    """Make it a Void of the same length."""
    length = end - at
    file.seek(at)
    if length >= 9:
        file.write(b"\xec\x01" + (length - 9).to_bytes(7, "big"))
    else:
        file.write(bytes((0xEC, 0x80 | (length - 2))))
    _blot(file, file.tell(), end)
