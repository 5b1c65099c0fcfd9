"""Uploads: what is let in, what is taken out of it, and every bad one with its error."""

import asyncio
import io
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from PIL import Image

from chatd.core.settings import Media
from chatd.features.media import service
from chatd.rest import raw
from tests.features.media.conftest import TYPES, Studio
from tests.features.media.files import bomb, moving, mp4, picture, webm
from tests.waiting import PATIENCE_S


async def test_a_picture_comes_back_without_where_it_was_taken(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    for kind, content_type in TYPES.items():
        data = picture(kind, place=True, turned=6)
        assert b"SECRETCAMERA" in data
        medium = await studio.upload(ann, data, content_type)
        assert (medium["status"], medium["content_type"], medium["thumbnail"]) == (
            "ready",
            content_type,
            True,
        )
        status, headers, body = await studio.get(ann, medium["media_id"])
        assert (status, headers["Content-Type"]) == (200, content_type)
        assert b"SECRETCAMERA" not in body
        with Image.open(io.BytesIO(body)) as image:
            exif = image.getexif()
            assert dict(exif) == ({} if kind == "GIF" else {0x0112: 6})
            assert not exif.get_ifd(0x8825)
            assert image.convert("RGB").getpixel((1, 1))[0] > 150
        # As it is shown, which is lying on its side.
        assert (medium["width"], medium["height"]) == ((64, 48) if kind == "GIF" else (48, 64))


async def test_a_moving_picture_goes_on_moving(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    medium = await studio.upload(ann, moving(5), "image/gif")
    _, _, body = await studio.get(ann, medium["media_id"])
    with Image.open(io.BytesIO(body)) as image:
        assert (image.n_frames, image.info["loop"]) == (5, 0)


async def test_a_video_comes_back_without_where_it_was_taken(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    for data, content_type, shape in (
        (mp4(), "video/mp4", (320, 240)),
        (mp4(turned=True), "video/mp4", (240, 320)),
        (webm(), "video/webm", (320, 240)),
        (webm(live=True), "video/webm", (320, 240)),
    ):
        assert b"+52.52" in data
        medium = await studio.upload(ann, data, content_type)
        assert (medium["width"], medium["height"], medium["thumbnail"]) == (*shape, False)
        status, headers, body = await studio.get(ann, medium["media_id"])
        assert (status, headers["Content-Type"], len(body)) == (200, content_type, len(data))
        assert b"+52.52" not in body
        # Of the pictures themselves nothing is gone.
        assert body.count(b"\x07") == data.count(b"\x07")


async def test_a_thumbnail_is_small_and_stands_upright(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    medium = await studio.upload(ann, picture(size=(1600, 800), turned=6))
    async with studio.world.http.get(medium["thumbnail_url"]) as answer:
        assert (answer.status, answer.content_type) == (200, "image/webp")
        with Image.open(io.BytesIO(await answer.read())) as image:
            assert image.size == (240, 480)


PAGE = b"<html><script>alert(1)</script></html>"
REFUSED = {
    "another type": (picture("PNG"), "image/jpeg", "type_mismatch"),
    "a page": (PAGE, "image/png", "type_mismatch"),
    "nothing": (b"", "image/gif", "type_mismatch"),
    "a page that begins as a GIF": (b"GIF89a/*" + PAGE + b"*/=1;", "image/gif", "malformed"),
    "a PDF that begins as a JPEG": (b"\xff\xd8\xff%PDF-1.7" + PAGE * 9, "image/jpeg", "truncated"),
    "half a JPEG": (picture(size=(400, 400))[:1500], "image/jpeg", "truncated"),
    "half a PNG": (picture("PNG", (400, 400))[:-30], "image/png", "truncated"),
    "half a WebP": (picture("WEBP", (400, 400))[:-30], "image/webp", "truncated"),
    "half a GIF": (moving()[:-20], "image/gif", "truncated"),
    "a bomb": (bomb(), "image/png", "too_many_pixels"),
    "half an MP4": (mp4()[:-100], "video/mp4", "truncated"),
    "an MP4 with something behind it": (mp4() + PAGE, "video/mp4", "truncated"),
    "an MP4 whose positions are in its tables": (mp4(astray=0), "video/mp4", "malformed"),
    "an MP4 whose positions are nowhere": (mp4(astray=4_000_000_000), "video/mp4", "malformed"),
    "an MP4 of two movies": (mp4(movies=2), "video/mp4", "malformed"),
    "an MP4 whose tracks have more than there is": (mp4(again=3), "video/mp4", "malformed"),
    "an MP4 of too many pieces": (mp4(again=2, pieces=300_000), "video/mp4", "malformed"),
    "half a WebM": (webm()[:-100], "video/webm", "truncated"),
    "a picture called a video": (picture(), "video/mp4", "type_mismatch"),
}


async def test_a_bad_file_is_refused_and_nothing_of_it_kept(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    for name, (data, content_type, reason) in REFUSED.items():
        refused = await studio.refused(ann, data, content_type)
        assert (name, *refused) == (name, 422, "media_rejected", reason)
    assert not await studio.objects()
    assert not await studio.under_way()


async def test_what_comes_after_a_picture_is_not_kept(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    for kind, content_type in TYPES.items():
        medium = await studio.upload(ann, picture(kind) + b"PK\x03\x04" + PAGE, content_type)
        _, headers, body = await studio.get(ann, medium["media_id"])
        assert b"<script>" not in body
        assert "sandbox" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_what_was_announced_wrongly_is_refused_at_once(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    right = {"type": "image", "content_type": "image/jpeg", "file_name": "a.jpg"}
    for wrong in (
        {"content_type": "image/svg+xml"},
        {"content_type": "text/html"},
        {"type": "video"},
        {"type": "avatar", "content_type": "video/mp4"},
        {"file_name": ""},
        {"file_name": "a\0.jpg"},
        {"size": 0},
    ):
        status, problem = await studio.world.rest(ann, "POST", "/api/media", right | wrong)
        assert (status, problem["code"]) == (422, "validation_failed"), wrong
    status, problem = await studio.world.rest(ann, "POST", "/api/media", right | {"size": 5_242_881})
    assert (status, problem["code"]) == (413, "too_large")
    assert (await studio.world.rest(None, "POST", "/api/media", right))[0] == 401


async def test_a_link_is_good_once_for_one_medium_and_for_its_time(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    one, other = await studio.begin(ann), await studio.begin(ann)
    url = one["upload_url"]
    for forged in (
        url[:-1] + ("0" if url[-1] != "0" else "1"),
        url.replace("expires=", "expires=9"),
        url.replace(one["media_id"], other["media_id"]),
    ):
        status, problem = await studio.put(forged, picture())
        assert (status, problem["code"]) == (403, "link_invalid")
    assert (await studio.put(url, picture()))[0] == 200
    status, problem = await studio.put(url, picture())
    assert (status, problem["code"]) == (409, "conflict")
    studio.world.clock.offset = timedelta(minutes=11)
    status, problem = await studio.put(other["upload_url"], picture())
    assert (status, problem["code"]) == (403, "link_invalid")


async def test_a_link_to_fetch_is_good_for_some_minutes_only(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    medium = await studio.upload(ann, picture())
    async with studio.world.http.get(medium["url"]) as answer:
        assert answer.status == 200
    for forged in (medium["url"][:-1] + "x", medium["url"].replace("original", "thumbnail")):
        async with studio.world.http.get(forged) as answer:
            assert answer.status == 403
    studio.world.clock.offset = timedelta(minutes=10, seconds=1)
    async with studio.world.http.get(medium["url"]) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "link_invalid")


async def test_of_two_who_use_a_link_at_once_one_is_told_so(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    url = (await studio.begin(ann))["upload_url"]
    answers = await asyncio.gather(*(studio.put(url, picture()) for _ in range(4)))
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    assert len(await studio.objects()) == 2  # the picture and its thumbnail


async def test_an_upload_that_broke_off_may_be_made_again(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    begun = await studio.begin(ann)
    host, port = "127.0.0.1", studio.world.nodes[0].listener.port
    path = begun["upload_url"].partition(str(port))[2]
    _, writer = await asyncio.open_connection(host, port)
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n".encode() + bytes(100))
    await writer.drain()
    async with asyncio.timeout(PATIENCE_S):
        while not await studio.under_way():
            await asyncio.sleep(0.01)
    writer.close()
    async with asyncio.timeout(PATIENCE_S):
        while (await studio.put(begun["upload_url"], picture()))[0] != 200:
            await asyncio.sleep(0.01)
    assert not await studio.under_way()


async def test_an_upload_is_as_long_as_it_was_announced(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    data = picture()
    begun = await studio.begin(ann, size=len(data))
    url = begun["upload_url"]
    assert (await studio.put(url.replace(f"size={len(data)}", "size=5000000"), data))[0] == 403
    assert (await studio.put(url.partition("&size=")[0], data))[0] == 403
    status, problem = await studio.put(url, data + b"x")
    assert (status, problem["code"]) == (413, "too_large")
    status, problem = await studio.put(url, data[:-1])
    assert (status, problem["code"], problem["reason"]) == (422, "media_rejected", "truncated")
    assert (await studio.put(url, data))[0] == 200
    assert not await studio.under_way()


async def test_who_stalls_is_let_go_and_may_begin_again(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = await studio.world.users(1)
    port = studio.world.nodes[0].listener.port
    begun = await studio.begin(ann)
    path = begun["upload_url"].partition(str(port))[2]
    monkeypatch.setattr(raw, "BODY_TIMEOUT_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # Says 900 bytes, sends 100, and nothing more.
    writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n".encode() + bytes(100))
    async with asyncio.timeout(30):
        status = await reader.readline()
    writer.close()
    assert b" 408 " in status
    assert not await studio.under_way()
    monkeypatch.undo()
    assert (await studio.put(begun["upload_url"], picture()))[0] == 200


async def test_of_one_user_s_uploads_four_are_under_way_at_once(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    port = studio.world.nodes[0].listener.port
    begun = [await studio.begin(ann) for _ in range(5)]
    writers = []
    for each in begun[:4]:
        path = each["upload_url"].partition(str(port))[2]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n".encode() + bytes(9))
        writers.append(writer)
    async with asyncio.timeout(10):
        while len(await studio.under_way()) < 4:
            await asyncio.sleep(0.01)
    status, problem = await studio.put(begun[4]["upload_url"], picture())
    assert (status, problem["code"]) == (429, "rate_limited")
    status, problem = await studio.put(begun[0]["upload_url"], picture())
    assert (status, problem["code"]) == (409, "conflict")
    assert (await studio.upload(bob, picture()))["status"] == "ready"
    for writer in writers:
        writer.close()
    async with asyncio.timeout(10):
        while (await studio.put(begun[4]["upload_url"], picture()))[0] != 200:
            await asyncio.sleep(0.01)


async def test_of_many_that_begin_in_one_moment_no_more_than_four_pass(studio: Studio, database: str) -> None:
    (ann,) = await studio.world.users(1)
    begun = [await studio.begin(ann) for _ in range(12)]
    gate, answers = asyncio.Event(), []

    async def body():
        yield bytes(9)
        await gate.wait()

    async def put(url: str) -> None:
        answers.append((await studio.put(url, body()))[0])

    holder = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
            async with holder.transaction():
                # Held, so that those who do not wait for each other have all counted before one claims.
                await holder.execute("SELECT FROM media FOR UPDATE")
                for each in begun:
                    tasks.create_task(put(each["upload_url"]))
                waiting = "wait_event_type = 'Lock' AND datname = current_database()"
                while await holder.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}") < 5:
                    await holder.execute("SELECT pg_stat_clear_snapshot()")
                    await asyncio.sleep(0.01)
            while len(await studio.under_way()) + len(answers) < 12:
                await asyncio.sleep(0.01)
            assert (len(await studio.under_way()), set(answers)) == (4, {429})
            gate.set()
    finally:
        await holder.close()
    assert sorted(answers) == [422] * 4 + [429] * 8


async def test_what_is_collected_while_it_comes_in_leaves_nothing(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    begun, node = await studio.begin(ann), studio.world.nodes[0]
    put = node.objects.put

    async def collected_before(key: str, path: Path, *, content_type: str) -> None:
        # As after a look that took longer than an upload may: gone, and its objects' names forgotten.
        await node.db.run("DELETE FROM media")
        await put(key, path, content_type=content_type)

    node.objects.put = collected_before
    try:
        assert (await studio.put(begun["upload_url"], picture()))[0] == 404
    finally:
        node.objects.put = put
    assert len(await studio.objects()) == 2
    await service.collect(node.ctx)
    assert not await studio.objects()


async def test_a_range_of_a_video_can_be_had(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    medium = await studio.upload(ann, mp4(), "video/mp4")
    status, headers, body = await studio.get(ann, medium["media_id"], Range="bytes=4-7")
    assert (status, body) == (206, b"ftyp")
    assert headers["Content-Range"].startswith("bytes 4-7/")
    assert (await studio.get(ann, medium["media_id"], Range="bytes=999999-"))[0] == 416


async def test_what_is_not_sent_in_time_is_collected(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, ctx = await studio.world.group(ann, bob), studio.world.nodes[0].ctx
    unused, used = [(await studio.upload(ann, picture()))["media_id"] for _ in range(2)]
    faces = [(await studio.upload(ann, picture(), type_="avatar"))["media_id"] for _ in range(2)]
    worn, unworn = faces
    assert (await studio.world.rest(ann, "PUT", "/api/users/me/avatar", {"media_id": worn}))[0] == 200
    await studio.say(ann, chat, used)
    await service.collect(ctx)
    assert len(await studio.objects()) == 8
    studio.world.clock.offset = timedelta(hours=25)
    await service.collect(ctx)
    assert len(await studio.objects()) == 4
    studio.world.clock.offset = timedelta()
    media = (unused, used, worn, unworn)
    assert [(await studio.get(ann, m))[0] for m in media] == [404, 200, 200, 404]


async def test_anybody_sees_an_avatar_and_its_owner_takes_it_back(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    face = (await studio.upload(ann, picture(), type_="avatar"))["media_id"]
    assert [(await studio.get(who, face))[0] for who in (ann, bob, None)] == [200, 200, 200]
    assert (await studio.world.rest(bob, "DELETE", f"/api/media/{face}"))[0] == 404
    assert (await studio.world.rest(ann, "DELETE", f"/api/media/{face}"))[0] == 204
    assert (await studio.get(bob, face))[0] == 404
    begun = await studio.begin(ann, type_="avatar")
    status, problem = await studio.put(begun["upload_url"], io.BytesIO(bytes(2_097_153)))
    assert (status, problem["code"]) == (413, "too_large")


class TestBounds:
    """With small ones."""

    @pytest.fixture
    def media(self) -> Media:
        return Media(max_image_bytes=3000, max_video_bytes=200_000, bytes_per_day=6800, uploads_per_minute=6)

    async def test_too_much_is_refused_whether_it_is_announced_or_not(self, studio: Studio) -> None:
        (ann,) = await studio.world.users(1)
        url = (await studio.begin(ann))["upload_url"]

        async def unannounced():
            for _ in range(20):
                yield bytes(1000)

        for body in (bytes(3001), unannounced()):
            status, problem = await studio.put(url, body)
            assert (status, problem["code"]) == (413, "too_large")
        assert not await studio.under_way()
        assert (await studio.put(url, picture()))[0] == 200

    async def test_a_day_has_an_end_and_a_minute_too(self, studio: Studio) -> None:
        ann, bob = await studio.world.users(2)
        before = await studio.begin(ann)
        await studio.upload(ann, mp4(), "video/mp4")
        # Also for what was announced before the day was full.
        assert (await studio.put(before["upload_url"], picture()))[0] == 429
        body = {"type": "image", "content_type": "image/jpeg", "file_name": "a.jpg", "size": 700}
        status, problem = await studio.world.rest(ann, "POST", "/api/media", body)
        assert (status, problem["code"]) == (429, "rate_limited")
        answers = []
        while 429 not in answers:  # a slow machine gets one more every ten seconds
            answers.append((await studio.world.rest(bob, "POST", "/api/media", body))[0])
        assert len(answers) > 6
        assert set(answers[:-1]) == {201}
