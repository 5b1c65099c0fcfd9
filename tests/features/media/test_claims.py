"""Whose an upload is, and for how long; and that no day has more than it may, however many come at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chatd.core.settings import Media
from chatd.features.media import claims
from tests.features.media.conftest import Studio
from tests.features.media.files import picture
from tests.waiting import PATIENCE_S, until

PICTURE = picture()


class Slow:
    """An upload of a picture that comes half, and goes on when it is told to."""

    def __init__(self, studio: Studio, url: str, data: bytes = PICTURE, length: int | None = None) -> None:
        self.go_on, self.data = asyncio.Event(), data
        headers = {} if length is None else {"Content-Length": str(length)}
        self.task = asyncio.create_task(studio.put(url, self._body(), **headers))

    async def _body(self) -> AsyncIterator[bytes]:
        yield self.data[:300]
        await self.go_on.wait()
        yield self.data[300:]

    async def answer(self) -> int:
        self.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            return (await self.task)[0]


@asynccontextmanager
async def slow(studio: Studio, *urls: str, data: bytes = PICTURE) -> AsyncIterator[list[Slow]]:
    """Uploads that have begun."""
    uploads = [Slow(studio, url, data) for url in urls]
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(await studio.under_way()) < len(urls):
                await asyncio.sleep(0.01)
        yield uploads
    finally:
        for upload in uploads:
            upload.task.cancel()
        await asyncio.wait([upload.task for upload in uploads])


async def pass_in_database(studio: Studio, seconds: int) -> None:
    """So much time, as far as claims are concerned."""
    await studio.world.nodes[0].db.run(
        "UPDATE media SET claimed_until = claimed_until - make_interval(secs => $1)", float(seconds)
    )


async def claimed_for(studio: Studio) -> float:
    """The seconds that the latest claim still holds."""
    left = "SELECT extract(epoch FROM max(claimed_until) - clock_timestamp())::float8 FROM media"
    async with studio.world.nodes[0].db.connection() as connection:
        return float(await connection.fetchval(left))


def kill_keepers() -> None:
    """As after a kill -9 of every node that has uploads: nobody renews a claim, and nobody gives it back."""
    for task in asyncio.all_tasks():
        if task.get_name() == "keep an upload's claim":
            task.cancel()


async def test_claims_die_within_a_minute_of_their_node(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    begun = [(await studio.begin(ann))["upload_url"] for _ in range(5)]
    async with slow(studio, *begun[:4]):
        kill_keepers()
        assert (await studio.put(begun[4], PICTURE))[0] == 429
        await pass_in_database(studio, 61)
        assert (await studio.put(begun[4], PICTURE))[0] == 200
        # What was on its way may be sent again too.
        assert (await studio.put(begun[0], PICTURE))[0] == 200


async def test_a_slow_upload_keeps_its_claim(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    (ann,) = await studio.world.users(1)
    url = (await studio.begin(ann))["upload_url"]
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    async with slow(studio, url) as [upload]:
        # Together longer than a claim; each so short that a busy machine renews it in time.
        for _ in range(3):
            await pass_in_database(studio, 25)
            async with asyncio.timeout(PATIENCE_S):
                while await claimed_for(studio) < 50:
                    await asyncio.sleep(0.01)
        assert (await studio.put(url, PICTURE))[0] == 409
        assert await upload.answer() == 200


async def test_an_upload_that_has_lost_its_claim_changes_nothing_of_the_one_that_took_it(
    studio: Studio,
) -> None:
    (ann,) = await studio.world.users(1)
    begun = await studio.begin(ann)
    first, second = picture(size=(40, 30)), picture(size=(64, 48))
    async with slow(studio, begun["upload_url"], data=first) as [upload]:
        kill_keepers()
        await pass_in_database(studio, 61)
        status, medium = await studio.put(begun["upload_url"], second)
        assert (status, medium["width"]) == (200, 64)
        before = await studio.get(ann, begun["media_id"])
        assert await upload.answer() == 409
    assert len(await studio.objects()) == 2
    assert (await studio.get(ann, begun["media_id"]))[2] == before[2]
    _, medium = await studio.world.rest(ann, "GET", f"/api/media/{begun['media_id']}/details")
    assert (medium["status"], medium["width"]) == ("ready", 64)
    assert not await studio.under_way()


async def test_an_upload_that_has_lost_its_claim_is_ended(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = await studio.world.users(1)
    begun = await studio.begin(ann)
    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    async with slow(studio, begun["upload_url"]) as [upload]:
        stolen = "UPDATE media SET claim = gen_random_uuid()"
        await studio.world.nodes[0].db.run(stolen)
        async with asyncio.timeout(PATIENCE_S):
            status, problem = await upload.task  # though its body has not come
        assert (status, problem["code"]) == (409, "conflict")
    assert not await studio.under_way()


async def test_an_upload_whose_claim_nobody_can_renew_any_more_is_ended(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann,) = await studio.world.users(1)
    begun = await studio.begin(ann)

    async def renew(*_: object) -> bool:
        raise ZeroDivisionError

    monkeypatch.setattr(claims, "RENEW_S", 0.05)
    monkeypatch.setattr(claims.store, "renew", renew)
    async with slow(studio, begun["upload_url"]) as [upload]:
        async with asyncio.timeout(PATIENCE_S):
            status, problem = await upload.task  # though its body has not come
        assert (status, problem["code"]) == (409, "conflict")
    assert not await studio.under_way()


class TestADay:
    """That has room for two pictures and a half."""

    @pytest.fixture
    def media(self) -> Media:
        most = len(PICTURE) + 50
        return Media(uploads_per_minute=0, max_image_bytes=most, bytes_per_day=len(PICTURE) * 5 // 2)

    @pytest.mark.parametrize("told", ["when announced", "when sent", "never"])
    async def test_those_that_come_at_once_have_no_more_than_a_day_between_them(
        self, studio: Studio, told: str
    ) -> None:
        (ann,) = await studio.world.users(1)
        more = {"size": len(PICTURE)} if told == "when announced" else {}
        length = len(PICTURE) if told == "when sent" else None
        begun = [(await studio.begin(ann, **more))["upload_url"] for _ in range(8)]
        uploads = [Slow(studio, url, length=length) for url in begun]
        async with asyncio.timeout(PATIENCE_S):
            # Each is under way or was turned away before any of them is done.
            while len(await studio.under_way()) + sum(upload.task.done() for upload in uploads) < 8:
                await asyncio.sleep(0.01)
        answers = [await upload.answer() for upload in uploads]
        assert sorted(answers) == [200] * 2 + [429] * 6
        async with studio.world.nodes[0].db.connection() as connection:
            taken = await connection.fetchval("SELECT sum(size) FROM media WHERE status = 'ready'")
        assert taken <= studio.media.bytes_per_day
        left = [url for url, answer in zip(begun, answers, strict=True) if answer == 429]
        assert {(await studio.put(url, PICTURE))[0] for url in left} == {429}

    async def test_what_breaks_off_counts_no_more(self, studio: Studio) -> None:
        (ann,) = await studio.world.users(1)
        begun = [(await studio.begin(ann, size=len(PICTURE)))["upload_url"] for _ in range(3)]
        async with slow(studio, *begun[:2]):
            assert (await studio.put(begun[2], PICTURE))[0] == 429
            status, problem = await studio.world.rest(
                ann,
                "POST",
                "/api/media",
                {"type": "image", "content_type": "image/jpeg", "file_name": "a", "size": len(PICTURE)},
            )
            assert (status, problem["code"]) == (429, "rate_limited")
        async with asyncio.timeout(PATIENCE_S):
            while (await studio.put(begun[2], PICTURE))[0] != 200:
                await asyncio.sleep(0.01)
        assert (await studio.put(begun[0], PICTURE))[0] == 200
        await until(lambda: not list((studio.root / "incoming").glob("*")))
