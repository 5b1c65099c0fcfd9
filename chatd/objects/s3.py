"""Media in an S3-compatible bucket: clients send and fetch the bytes there, by links that it checks."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from chatd.core.errors import TooLarge, Unavailable
from chatd.core.objects import PutLink
from chatd.core.settings import Settings, SettingsError
from chatd.objects.bench import Bench

log = logging.getLogger("chatd.objects")

#: What is held of a file in memory at once; S3 takes no smaller parts than 5 MiB.
PART = 8 * 1024 * 1024
_MISSING = ("404", "NoSuchKey", "NotFound")


class Bucket(Bench):
    """``core.objects.ObjectStore`` in a bucket. What is under way lies in ``root``, on this machine."""

    def __init__(self, settings: Settings, root: Path) -> None:
        super().__init__(root, settings.media.workers)
        self._settings = settings
        self._bucket = settings.media.s3_bucket
        self._stack = AsyncExitStack()
        self._s3: Any = None

    async def open(self) -> None:
        """Make the client; nothing is asked of the store yet. Raises SettingsError."""
        media, secrets = self._settings.media, self._settings.secrets
        config = AioConfig(
            connect_timeout=media.s3_timeout_s,
            read_timeout=media.s3_timeout_s,
            retries={"mode": "standard", "max_attempts": 3},
            signature_version="s3v4",
            # Stores other than Amazon's know no checksums in trailers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            self._s3 = await self._stack.enter_async_context(
                get_session().create_client(
                    "s3",
                    endpoint_url=media.s3_endpoint or None,
                    region_name=media.s3_region,
                    aws_access_key_id=secrets.s3_access_key or None,
                    aws_secret_access_key=secrets.s3_secret_key or None,
                    config=config,
                )
            )
        except (ValueError, BotoCoreError) as error:
            raise SettingsError(f"media.s3_endpoint or media.s3_region cannot be used: {error}") from None

    async def close(self) -> None:
        """Close the client."""
        await self._stack.aclose()

    async def put_link(
        self, key: str, *, content_type: str, size: int | None, expires_s: int
    ) -> PutLink | None:
        """A presigned PUT of this type, and of this size where it is known."""
        asked: dict[str, Any] = {"Bucket": self._bucket, "Key": key, "ContentType": content_type}
        if size is not None:
            asked["ContentLength"] = size
        async with _answering():
            url = await self._s3.generate_presigned_url("put_object", asked, ExpiresIn=expires_s)
        return PutLink(url, {"Content-Type": content_type})

    async def get_link(self, key: str, *, content_type: str, disposition: str, expires_s: int) -> str | None:
        """A presigned GET that answers with this type and name, whatever the bucket thinks."""
        asked = {
            "Bucket": self._bucket,
            "Key": key,
            "ResponseContentType": content_type,
            "ResponseContentDisposition": disposition,
        }
        async with _answering():
            return str(await self._s3.generate_presigned_url("get_object", asked, ExpiresIn=expires_s))

    async def fetch(
        self, key: str, to: Path, *, at_most: int, admit: Callable[[int], Awaitable[None]]
    ) -> bool:
        """Bring it here, a piece at a time."""
        async with _answering():
            try:
                answer = await self._s3.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") in _MISSING:
                    return False
                raise
            async with answer["Body"] as body:
                if answer["ContentLength"] > at_most:
                    raise TooLarge(f"It may have {at_most} bytes")
                await admit(answer["ContentLength"])
                with to.open("wb") as file:
                    while piece := await body.read(262_144):
                        await asyncio.to_thread(file.write, piece)
        return True

    async def put(self, key: str, path: Path, *, content_type: str) -> None:
        """In one go, or in parts where it is big: a part at a time is in memory."""
        async with _answering():
            if (await asyncio.to_thread(path.stat)).st_size <= PART:
                whole = await asyncio.to_thread(path.read_bytes)
                await self._s3.put_object(Bucket=self._bucket, Key=key, Body=whole, ContentType=content_type)
                return
            begun = await self._s3.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
            target = {"Bucket": self._bucket, "Key": key, "UploadId": begun["UploadId"]}
            try:
                parts = await self._put_parts(target, path)
            except BaseException:
                await self._s3.abort_multipart_upload(**target)
                raise
            await self._s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    async def _put_parts(self, target: dict[str, Any], path: Path) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        with path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, PART):
                number = len(parts) + 1
                answer = await self._s3.upload_part(**target, PartNumber=number, Body=piece)
                parts.append({"ETag": answer["ETag"], "PartNumber": number})
        return parts

    async def delete(self, keys: Collection[str]) -> None:
        """Up to 1000 a request, which is S3's bound."""
        waiting = [{"Key": key} for key in keys]
        async with _answering():
            while waiting:
                some, waiting = waiting[:1000], waiting[1000:]
                answer = await self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
                )
                if answer.get("Errors"):
                    log.error("objects could not be deleted: %s", answer["Errors"][:3])
                    raise Unavailable("Media cannot be deleted now")

    def path(self, key: str) -> Path | None:
        """None: it is not on this machine."""
        return None


@asynccontextmanager
async def _answering() -> AsyncIterator[None]:
    """What the store does wrong is Unavailable, and in the log."""
    try:
        yield
    except (BotoCoreError, ClientError, OSError, TimeoutError) as error:
        log.exception("the object store failed")
        raise Unavailable("The store of media does not answer now", retry_after_ms=5000) from error
