"""Over real wires: a bucket of moto's S3, and something that speaks as clamd does."""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
from moto.server import ThreadedMotoServer

from chatd.core.settings import Media, Server, Settings
from chatd.features.media import service
from tests.features.media.conftest import Studio
from tests.features.media.files import mp4, picture
from tests.system.world import world
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 on a port of its own; its address."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
async def bucket(s3: str, settings: Settings, tmp_path) -> AsyncIterator[Studio]:
    """A studio whose media lie in a bucket."""
    secrets = msgspec.structs.replace(settings.secrets, s3_access_key="key", s3_secret_key="secret")
    media = Media(
        s3_bucket=f"b{os.urandom(6).hex()}", s3_endpoint=s3, uploads_per_minute=0, max_image_bytes=100_000
    )
    changed = msgspec.structs.replace(
        settings, media=media, secrets=secrets, server=Server(data_dir=str(tmp_path))
    )
    async with world(changed, 1) as made:
        await made.nodes[0].objects._s3.create_bucket(Bucket=media.s3_bucket)
        yield Studio(made, tmp_path / "media", media)


async def keys(studio: Studio) -> list[str]:
    listed = await studio.world.nodes[0].objects._s3.list_objects_v2(Bucket=studio.media.s3_bucket)
    return [each["Key"] for each in listed.get("Contents", [])]


async def test_bytes_go_straight_to_the_bucket_and_come_from_it(bucket: Studio, s3: str) -> None:
    ann, bob, eve = await bucket.world.users(3)
    chat, ctx = await bucket.world.group(ann, bob), bucket.world.nodes[0].ctx
    data = picture(place=True)
    begun = await bucket.begin(ann, size=len(data))
    assert begun["upload_url"].startswith(s3)
    path = f"/api/media/{begun['media_id']}/complete"
    assert (await bucket.world.rest(ann, "POST", path))[0] == 409  # nothing is there yet
    async with bucket.world.http.put(begun["upload_url"], data=data, headers=begun["headers"]) as answer:
        assert answer.status == 200
    assert (await bucket.world.rest(bob, "POST", path))[0] == 404
    status, medium = await bucket.world.rest(ann, "POST", path)
    assert (status, medium["status"]) == (200, "ready")
    assert (await bucket.world.rest(ann, "POST", path))[0] == 200
    assert not await bucket.under_way()

    _, sent = await bucket.say(ann, chat, begun["media_id"])
    status, headers, body = await bucket.get(bob, begun["media_id"])
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert b"SECRETCAMERA" not in body
    assert (await bucket.get(eve, begun["media_id"]))[0] == 404

    await bucket.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{sent['message_id']}")
    bucket.world.clock.offset = timedelta(minutes=20)
    await service.collect(ctx)
    assert not await keys(bucket)


async def test_what_is_bad_in_the_bucket_is_refused(bucket: Studio) -> None:
    (ann,) = await bucket.world.users(1)
    for data, status, code in (
        (picture("PNG"), 422, "media_rejected"),
        (bytes(100_001), 413, "too_large"),
    ):
        begun = await bucket.begin(ann)
        async with bucket.world.http.put(begun["upload_url"], data=data, headers=begun["headers"]) as answer:
            assert answer.status == 200
        got, problem = await bucket.world.rest(ann, "POST", f"/api/media/{begun['media_id']}/complete")
        assert (got, problem["code"]) == (status, code)
    bucket.world.clock.offset = timedelta(hours=2)
    await service.collect(bucket.world.nodes[0].ctx)
    assert not await keys(bucket)


async def test_what_lies_in_the_bucket_counts_for_the_day_before_it_is_fetched(bucket: Studio) -> None:
    (ann,) = await bucket.world.users(1)
    before, begun = await bucket.begin(ann), await bucket.begin(ann)
    async with bucket.world.http.put(
        begun["upload_url"], data=bytes(40_000), headers=begun["headers"]
    ) as answer:
        assert answer.status == 200
    much, path = Media().bytes_per_day - 30_000, f"/api/media/{begun['media_id']}/complete"
    size = "UPDATE media SET status = 'ready', size = $2::bigint WHERE id = $1"
    await bucket.world.nodes[0].db.run(size, before["media_id"], much)
    status, problem = await bucket.world.rest(ann, "POST", path)
    assert (status, problem["code"]) == (429, "rate_limited")
    await bucket.world.nodes[0].db.run(size, before["media_id"], much - 20_000)
    assert (await bucket.world.rest(ann, "POST", path))[0] == 422  # it is looked into now


async def test_a_long_video_goes_in_parts(bucket: Studio) -> None:
    (ann,) = await bucket.world.users(1)
    begun = await bucket.begin(ann, "video/mp4")
    objects = bucket.world.nodes[0].objects
    data = mp4(data=9_000_000)
    await objects._s3.put_object(
        Bucket=bucket.media.s3_bucket, Key=f"incoming-{await key_of(bucket)}", Body=data
    )
    status, medium = await bucket.world.rest(ann, "POST", f"/api/media/{begun['media_id']}/complete")
    assert (status, medium["size"]) == (200, len(data))
    kept = await objects._s3.head_object(Bucket=bucket.media.s3_bucket, Key=await key_of(bucket))
    assert kept["ContentLength"] == len(data)
    assert kept["ETag"].endswith('-2"')


async def key_of(studio: Studio) -> str:
    async with studio.world.nodes[0].db.connection() as connection:
        return str(await connection.fetchval("SELECT storage_key FROM media"))


async def test_a_bucket_that_is_away_is_not_now(bucket: Studio) -> None:
    (ann,) = await bucket.world.users(1)
    begun = await bucket.begin(ann)
    bucket.world.nodes[0].objects._bucket = "chatd-gone"
    status, problem = await bucket.world.rest(ann, "POST", f"/api/media/{begun['media_id']}/complete")
    assert (status, problem["code"]) == (503, "unavailable")


# ------------------------------------------------------------------------------------------------- clamd


@asynccontextmanager
async def clamd(*, longest: int = 1_000_000) -> AsyncIterator[str]:
    """Speaks INSTREAM: finds what contains EICAR, and takes no more than ``longest``."""

    async def scan(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"\0") == b"zINSTREAM\0"
        seen = b""
        while length := struct.unpack(">I", await reader.readexactly(4))[0]:
            seen += await reader.readexactly(length)
            if len(seen) > longest:
                writer.write(b"INSTREAM size limit exceeded. ERROR\0")
                break
        else:
            writer.write(b"stream: Eicar-Signature FOUND\0" if b"EICAR" in seen else b"stream: OK\0")
        writer.close()

    server = await asyncio.start_server(scan, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_virus_is_refused_and_no_scanner_is_not_now(settings: Settings, tmp_path) -> None:
    async with clamd(longest=20_000) as address:
        media = Media(clamd=address, uploads_per_minute=0, clamd_timeout_s=PATIENCE_S)
        changed = msgspec.structs.replace(settings, media=media, server=Server(data_dir=str(tmp_path)))
        async with world(changed, 1) as made:
            studio = Studio(made, tmp_path / "media", media)
            (ann,) = await made.users(1)
            assert (await studio.upload(ann, picture()))["status"] == "ready"
            assert await studio.refused(ann, picture() + b"EICAR") == (422, "media_rejected", "infected")
            refused = await studio.refused(ann, mp4(data=30_000), "video/mp4")
            assert refused == (422, "media_rejected", "unscannable")
            begun = await studio.begin(ann)
            await made.node(
                media=msgspec.structs.replace(media, clamd="127.0.0.1:1"),
            )
            url = begun["upload_url"].replace(made.url(0), made.url(1))
            status, problem = await studio.put(url, picture())
            assert (status, problem["code"]) == (503, "unavailable")
            # Nothing is lost: the link is good for another try.
            assert (await studio.put(begun["upload_url"], picture()))[0] == 200
