"""Where the bytes of media lie (``core.objects``): files of this machine, or an S3-compatible bucket."""

from pathlib import Path

from chatd.core.settings import Settings
from chatd.objects.files import Files
from chatd.objects.s3 import Bucket

Objects = Files | Bucket


def of(settings: Settings) -> Objects:
    """The store that the settings name; nothing is made or opened yet."""
    root = Path(settings.server.data_dir).absolute() / "media"
    if settings.media.s3_bucket:
        return Bucket(settings, root)
    return Files(root, workers=settings.media.workers)
