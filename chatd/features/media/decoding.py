"""A program of its own: decode one picture wholly, and draw its thumbnail.

Run as ``python -I decoding.py PICTURE FORMAT THUMBNAIL MAX_PIXELS``, with no environment. Decoders of
pictures are where servers are broken into, so this one has no secrets, no chatd, and bounded memory, time
and output; whatever happens to it, its parent goes on. Prints one JSON object: ``width``, ``height``,
``frames``, or ``error``: truncated · malformed · too_many_pixels.
"""

import json
import resource
import sys
import warnings
from typing import Any

from PIL import Image, ImageOps, ImageSequence

MEMORY = 1 << 30
CPU_S = 20
THUMBNAIL = (480, 480)
#: All frames of a moving picture may have so many times the pixels of a still one.
MOVING = 10


def limit() -> None:
    """From here on nothing can be had beyond this."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 4 << 20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def look(picture: str, kind: str, thumbnail: str, max_pixels: int) -> dict[str, Any]:
    """What is in the picture."""
    Image.MAX_IMAGE_PIXELS = max_pixels
    with Image.open(picture, formats=[kind]) as image:
        pixels = image.width * image.height
        if pixels > max_pixels:
            return {"error": "too_many_pixels"}
        image.load()
        shown = ImageOps.exif_transpose(image)
        width, height = shown.size
        draw(shown, thumbnail)
        frames = 0
        for frame in ImageSequence.Iterator(image):
            frames += 1
            if frames * pixels > MOVING * max_pixels:
                return {"error": "too_many_pixels"}
            frame.load()
        return {"width": width, "height": height, "frames": frames}


def draw(image: Image.Image, thumbnail: str) -> None:
    """The first frame, small; nothing of the picture's metadata but its colours."""
    clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    small = image.convert("RGBA" if clear else "RGB")
    small.thumbnail(THUMBNAIL)
    profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
    small.save(thumbnail, "WEBP", quality=80, method=4, icc_profile=profile or b"", exif=b"", xmp=b"")


def main(picture: str, kind: str, thumbnail: str, max_pixels: str) -> dict[str, Any]:
    """As ``look``, with what can go wrong as an error."""
    try:
        limit()
        return look(picture, kind, thumbnail, int(max_pixels))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        return {"error": "too_many_pixels"}
    except OSError as error:
        return {"error": "truncated" if "truncated" in str(error) else "malformed"}
    except (SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, ArithmeticError):
        return {"error": "malformed"}


if __name__ == "__main__":
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    sys.stdout.write(json.dumps(main(*sys.argv[1:5])))
