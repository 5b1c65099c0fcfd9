"""What is hidden in the corners of a picture does not come out of it; the picture does, pixel for pixel."""

import io
import struct
import zlib
from collections.abc import Iterator

import pytest
from PIL import Image, ImageSequence

from chatd.features.media import pictures
from tests.features.media.files import moving, picture

SECRET = b"52.5200,13.4050"


def pixels(data: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(data)) as image:
        return [frame.convert("RGBA").tobytes() for frame in ImageSequence.Iterator(image)]


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpegs() -> Iterator[tuple[str, bytes]]:
    plain = picture()
    jfif = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1" + bytes((5, 1)) + SECRET)
    assert plain[2:4] == b"\xff\xe0"
    rest = plain[20:]
    yield "a preview in JFIF", b"\xff\xd8" + jfif + rest
    for name, marker, data in (
        ("what is behind Adobe's fields", 0xEE, b"Adobe\0\x64\0\0\0\0\1" + SECRET),
        ("a reserved marker", 0xF3, SECRET),
        ("another reserved marker", 0x42, SECRET),
        ("a comment", 0xFE, SECRET),
        ("XMP", 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET),
        ("several pictures in one", 0xE2, b"MPF\0" + SECRET),
        ("Photoshop's resources", 0xED, b"Photoshop 3.0\0" + SECRET),
    ):
        yield name, plain[:20] + segment(marker, data) + rest


def gifs() -> Iterator[tuple[str, bytes]]:
    plain = moving()
    at = plain.index(b"\x21\xff\x0bNETSCAPE2.0")
    block = bytes((len(SECRET),)) + SECRET
    yield "behind the number of loops", plain[: at + 18] + block + plain[at + 18 :]
    yield "a comment", plain[:at] + b"\x21\xfe" + block + b"\0" + plain[at:]
    yield "an application", plain[:at] + b"\x21\xff\x0bSOMEAPP1.00" + block + b"\0" + plain[at:]
    yield "plain text", plain[:at] + b"\x21\x01\x0c" + bytes(12) + block + b"\0" + plain[at:]


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pngs() -> Iterator[tuple[str, bytes]]:
    plain = picture("PNG")
    for name, data in (
        (b"tEXt", b"Place\0" + SECRET),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SECRET),
        (b"prVt", SECRET),
    ):
        yield name.decode(), plain[:33] + chunk(name, data) + plain[33:]


def moving_webp() -> bytes:
    images = [Image.new("RGB", (40, 30), (40 * n, 0, 99)) for n in range(3)]
    out = io.BytesIO()
    images[0].save(out, "WEBP", save_all=True, append_images=images[1:], duration=50, lossless=True)
    return out.getvalue()


def webps() -> Iterator[tuple[str, bytes]]:
    plain = moving_webp()
    body, at = b"", 12
    while at < len(plain):
        name, length = struct.unpack_from("<4sI", plain, at)
        data = plain[at + 8 : at + 8 + length + length % 2]
        if name == b"ANMF":
            data += struct.pack("<4sI", b"EXIF", len(SECRET)) + SECRET + bytes(len(SECRET) % 2)
        body += struct.pack("<4sI", name, len(data)) + data
        at += 8 + length + length % 2
    yield "inside a frame", struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body
    body += struct.pack("<4sI", b"GEO ", len(SECRET)) + SECRET + bytes(len(SECRET) % 2)
    yield "beside the frames", struct.pack("<4sI4s", b"RIFF", 4 + len(body), b"WEBP") + body


PLAIN = {
    "image/jpeg": picture(),
    "image/gif": moving(),
    "image/png": picture("PNG"),
    "image/webp": moving_webp(),
}
CORNERS = [
    pytest.param(content_type, data, id=f"{content_type} {name}")
    for content_type, made in (
        ("image/jpeg", jpegs),
        ("image/gif", gifs),
        ("image/png", pngs),
        ("image/webp", webps),
    )
    for name, data in made()
]


@pytest.mark.parametrize(("content_type", "data"), CORNERS)
def test_nothing_hidden_comes_out(content_type: str, data: bytes) -> None:
    assert SECRET in data
    cleaned = pictures.clean(data, content_type)
    assert SECRET not in cleaned
    assert pixels(cleaned) == pixels(PLAIN[content_type])
    assert pictures.clean(cleaned, content_type) == cleaned


@pytest.mark.parametrize(("content_type", "data"), CORNERS)
def test_half_a_picture_is_never_an_error_of_ours(content_type: str, data: bytes) -> None:
    reasons = set()
    for end in range(0, len(data), 7):
        try:
            pictures.clean(data[:end], content_type)
        except pictures.Broken as broken:
            reasons.add(broken.reason)
    assert reasons <= {"truncated", "malformed"}
