"""Pictures and videos made here, byte by byte where it matters."""

import io
import struct
import zlib
from collections.abc import Callable

from PIL import Image

GPS = 0x8825


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (64, 48), *, place: bool = False, turned: int = 1
) -> bytes:
    """A picture; with ``place``, one that says where it was taken."""
    image = Image.new("RGB", size, (200, 30, 30))
    for x in range(0, size[0], 7):
        image.putpixel((x, size[1] // 2), (0, 0, 255))
    exif = Image.Exif()
    if place:
        exif.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 36.0)})
        exif[0x010F] = "SECRETCAMERA"
    if turned != 1:
        exif[0x0112] = turned
    out = io.BytesIO()
    extra = {"exif": exif.tobytes()} if place or turned != 1 else {}
    image.save(out, kind, **(extra if kind != "GIF" else {"comment": b"SECRETCAMERA"} if place else {}))
    return out.getvalue()


def moving(frames: int = 3) -> bytes:
    """A GIF that moves."""
    images = [Image.new("RGB", (40, 30), (40 * n, 0, 99)) for n in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=50, loop=0)
    return out.getvalue()


def bomb(side: int = 30_000) -> bytes:
    """A PNG of a few kilobytes that unpacks to ``side`` squared pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def box(name: bytes, *parts: bytes) -> bytes:
    """A box of an MP4."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


def mp4(
    width: int = 320,
    height: int = 240,
    *,
    place: bool = True,
    turned: bool = False,
    data: int = 5000,
    astray: int | None = None,
    movies: int = 1,
    again: int = 0,
    pieces: int = 1,
) -> bytes:
    """An MP4's structure, with a track of pictures and, with ``place``, what says where it was taken; its
    positions are said to begin ``astray``. It is told ``movies`` times what is in it. ``again`` so many
    tracks say that all of the data is theirs, or, of several ``pieces``, nothing.
    """
    matrix = (0, 1, 0, -1, 0, 0, 0, 0, 1) if turned else (1, 0, 0, 0, 1, 0, 0, 0, 1)
    tkhd = (
        bytes(40)
        + struct.pack(">9i", *(n << 16 for n in matrix))
        + struct.pack(">II", width << 16, height << 16)
    )

    def table(name: bytes, form: str, *numbers: int) -> bytes:
        return box(name, bytes(4), struct.pack(">" + form, *numbers))

    def samples(first: int) -> bytes:
        """Two chunks of positions: two of 12 bytes and one of 8."""
        return box(
            b"stbl",
            table(b"stco", "III", 2, first, first + 1000),
            table(b"stsc", "I6I", 2, 1, 2, 1, 2, 1, 1),
            table(b"stsz", "II3I", 0, 3, 12, 12, 8),
        )

    def all_of_it(first: int) -> bytes:
        return box(
            b"stbl",
            table(b"stco", f"I{pieces}I", pieces, *[first] * pieces),
            table(b"stsc", "I3I", 1, 1, 1 if pieces == 1 else 0, 1),
            table(b"stsz", "II", data, pieces),
        )

    def track(kind: bytes, first: int, tables: Callable[[int], bytes] = samples) -> bytes:
        minf = box(b"minf", tables(first))
        return box(b"trak", box(b"tkhd", tkhd), box(b"mdia", box(b"hdlr", bytes(8), kind, bytes(12)), minf))

    def movie(first: int) -> bytes:
        where = box(b"udta", box(b"\xa9xyz", b"+52.5200+013.4050/")) if place else b""
        gps = (
            (track(b"meta", first if astray is None else astray) + track(b"sbtl", first + 2000))
            if place
            else b""
        )
        strange = box(b"gps ", b"+52.5200") if place else b""
        return box(
            b"moov",
            box(b"mvhd", bytes(100)),
            track(b"vide", first),
            track(b"soun", first),
            gps,
            track(b"meta", first, all_of_it) * again,
            where,
            strange,
        )

    head = box(b"ftyp", b"isom", bytes(4), b"mp41")
    told = bytearray(bytes([7]) * data)
    if place:
        for at in (0, 1000, 2000, 3000):
            told[at : at + len(TOLD[at])] = TOLD[at]
    free = box(b"free", b"+52.5200") if place else b""
    first = len(head) + len(movie(0)) * movies + 8
    return head + movie(first) * movies + box(b"mdat", bytes(told)) + free


#: Where a video of ours says where it was taken, between its pictures.
TOLD = dict.fromkeys((0, 2000), b"+52.520013.4+52.520013.4") | dict.fromkeys((1000, 3000), b"+52.5200")


def element(name: bytes, body: bytes, *, unknown: bool = False) -> bytes:
    """An element of a WebM."""
    return name + (b"\x01" + b"\xff" * 7 if unknown else b"\x01" + len(body).to_bytes(7, "big")) + body


def webm(width: int = 320, height: int = 240, *, place: bool = True, live: bool = False) -> bytes:
    """A WebM's structure; ``live``, as a browser records it."""
    pixels = element(b"\xb0", width.to_bytes(2, "big")) + element(b"\xba", height.to_bytes(2, "big"))
    tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", element(b"\xe0", pixels)))
    tags = element(b"\x12\x54\xc3\x67", b"LOCATION=+52.5200+013.4050/") if place else b""
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xa3", bytes(2000)), unknown=live)
    header = element(b"\x1a\x45\xdf\xa3", b"\x42\x82\x84webm")
    return header + element(b"\x18\x53\x80\x67", tracks + tags + cluster, unknown=live)
