"""A picture of one's own in one's profile."""

import asyncio
from datetime import timedelta

from chatd.core.ids import MediaId
from chatd.features.media import service
from tests.features.media.conftest import Studio
from tests.features.media.files import mp4, picture


async def wear(studio: Studio, who: str, medium: str) -> int:
    return (await studio.world.rest(who, "PUT", "/api/users/me/avatar", {"media_id": medium}))[0]


async def face(studio: Studio, who: str) -> str:
    return str((await studio.upload(who, picture(), type_="avatar"))["media_id"])


async def shown(studio: Studio, who: str, whose: str) -> list[str | None]:
    """In the profile, and beside names."""
    _, profile = await studio.world.rest(who, "GET", f"/api/users/{whose}")
    _, cards = await studio.world.rest(who, "GET", f"/api/users?ids={whose}")
    return [profile["avatar_url"], cards["users"][0]["avatar_url"]]


async def test_a_profile_shows_it_to_everybody_and_the_one_before_goes(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    ctx = studio.world.nodes[0].ctx
    first, second = await face(studio, ann), await face(studio, ann)
    for medium in (first, first, second):
        assert await wear(studio, ann, medium) == 200
        assert await shown(studio, bob, ann) == [f"/api/media/{medium}"] * 2
        assert {(await studio.get(who, medium))[0] for who in (ann, bob, None)} == {200}
    assert (await studio.get(bob, first))[0] == 404
    await service.collect(ctx)
    assert len(await studio.objects()) == 2
    assert (await studio.world.rest(ann, "DELETE", f"/api/media/{second}"))[0] == 409
    for _ in range(2):
        assert (await studio.world.rest(ann, "DELETE", "/api/users/me/avatar"))[0] == 204
    assert await shown(studio, bob, ann) == [None, None]
    await service.collect(ctx)
    assert not await studio.objects()


async def test_an_address_elsewhere_takes_its_place(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    assert await wear(studio, ann, await face(studio, ann)) == 200
    other = {"avatar_url": "https://faces.example/ann.jpg"}
    for change, avatars in (({"bio": "a"}, 2), (other, 0)):
        assert (await studio.world.rest(ann, "PATCH", "/api/users/me", change))[0] == 200
        await service.collect(studio.world.nodes[0].ctx)
        assert len(await studio.objects()) == avatars
    assert await shown(studio, bob, ann) == [other["avatar_url"]] * 2


async def test_a_profile_sent_back_as_it_was_told_keeps_the_picture(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    medium, other = await face(studio, ann), await face(studio, bob)
    assert await wear(studio, ann, medium) == 200
    _, told = await studio.world.rest(ann, "GET", "/api/users/me")
    change = {"avatar_url": told["avatar_url"], "bio": "sings"}
    assert (await studio.world.rest(ann, "PATCH", "/api/users/me", change))[0] == 200
    _, profile = await studio.world.rest(ann, "GET", "/api/users/me")
    assert (profile["bio"], profile["avatar_url"]) == ("sings", f"/api/media/{medium}")
    held = "SELECT avatar_media_id FROM users WHERE id = $1"
    assert await studio.world.nodes[0].db.one(MediaId, held, ann) == medium
    studio.world.clock.offset = timedelta(hours=25)
    await service.collect(studio.world.nodes[0].ctx)
    studio.world.clock.offset = timedelta()
    assert (await studio.get(bob, medium))[0] == 200
    # Nothing else of ours is taken so: not another's, and not one's own of before.
    for refused in (f"/api/media/{other}", "/api/media/med_01h455vb4pex5vsknk084sn02q", "/a.jpg"):
        body = {"avatar_url": refused}
        assert (await studio.world.rest(ann, "PATCH", "/api/users/me", body))[0] == 422
    assert (await studio.world.rest(ann, "PATCH", "/api/users/me", {"avatar_url": None}))[0] == 200
    body = {"avatar_url": f"/api/media/{medium}"}
    assert (await studio.world.rest(ann, "PATCH", "/api/users/me", body))[0] == 422


async def test_only_a_small_picture_of_one_s_own_that_nobody_was_sent(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    theirs, sent = await face(studio, bob), (await studio.upload(ann, picture()))["media_id"]
    await studio.say(ann, chat, sent)
    taken = await face(studio, ann)
    assert (await studio.world.rest(ann, "DELETE", f"/api/media/{taken}"))[0] == 204
    big = (await studio.upload(ann, picture()))["media_id"]
    await studio.world.nodes[0].ctx.db.run("UPDATE media SET size = 2097153 WHERE id = $1", big)
    video = (await studio.upload(ann, mp4(), "video/mp4"))["media_id"]
    pending = (await studio.begin(ann, type_="avatar"))["media_id"]
    for medium, status in (
        (theirs, 404),
        (taken, 404),
        (pending, 404),
        ("med_01h455vb4pex5vsknk084sn02q", 404),
        ("usr_01h455vb4pex5vsknk084sn02q", 422),
        (video, 422),
        (big, 413),
        (sent, 409),
    ):
        assert (medium, await wear(studio, ann, medium)) == (medium, status)
    assert await shown(studio, bob, ann) == [None, None]
    path = "/api/users/me/avatar"
    assert (await studio.world.rest(None, "PUT", path, {"media_id": theirs}))[0] == 401
    # One that was uploaded for a chat is a face too, and cannot be sent any more.
    plain = (await studio.upload(ann, picture()))["media_id"]
    assert await wear(studio, ann, plain) == 200
    assert (await studio.get(None, plain))[0] == 200
    assert (await studio.say(ann, chat, plain, cmid="c2"))[0] == 422


async def test_worn_by_turns_at_once_one_stays_and_the_others_go(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    faces = [await face(studio, ann) for _ in range(4)]
    answers = await asyncio.gather(*(wear(studio, ann, each) for each in faces * 3))
    assert set(answers) <= {200, 404}
    [now, _] = await shown(studio, bob, ann)
    assert now is not None
    await service.collect(studio.world.nodes[0].ctx)
    open_ = [each for each in faces if (await studio.get(bob, each))[0] == 200]
    assert now == f"/api/media/{open_[0]}"
    assert len(open_) == 1
    held = await studio.world.nodes[0].ctx.db.rows(int, "SELECT held FROM media")
    assert held == [1]


async def test_it_is_shown_to_whom_the_profile_is(studio: Studio) -> None:
    ann, bob, eve = await studio.world.users(3)
    await studio.world.group(ann, bob)
    medium = await face(studio, ann)
    assert await wear(studio, ann, medium) == 200
    before = {}
    for who in (bob, eve):
        _, details = await studio.world.rest(who, "GET", f"/api/media/{medium}/details")
        before[who] = details["url"]
    for profile, statuses in (
        ("everyone", [200, 200, 200, 200]),
        ("shared_chats", [200, 200, 404, 401]),
        ("nobody", [200, 404, 404, 401]),
    ):
        assert (await studio.world.rest(ann, "PATCH", "/api/privacy", {"profile": profile}))[0] == 200
        found = [(await studio.get(who, medium))[0] for who in (ann, bob, eve, None)]
        assert (profile, found) == (profile, statuses)
        for who, status in ((bob, statuses[1]), (eve, statuses[2])):
            async with studio.world.http.get(before[who]) as answer:
                assert (profile, answer.status) == (profile, status)


async def test_a_moderator_sees_a_hidden_one_while_a_case_about_its_user_is_open(studio: Studio) -> None:
    ann, bob, mod = await studio.world.users(3)
    medium = await face(studio, ann)
    assert await wear(studio, ann, medium) == 200
    assert (await studio.world.rest(ann, "PATCH", "/api/privacy", {"profile": "nobody"}))[0] == 200
    url = f"{studio.world.url()}/api/media/{medium}"
    await studio.world.nodes[0].db.run("UPDATE users SET roles = '{user,moderator}' WHERE id = $1", mod)
    headers = {"Authorization": f"Bearer {studio.world.token(mod, roles=('user', 'moderator'))}"}

    async def seen(address: str = url) -> int:
        async with studio.world.http.get(address, headers=headers) as answer:
            return answer.status

    assert await seen() == 404
    report = await studio.world.rest(bob, "POST", f"/api/users/{ann}/report", {"reason": "violence"})
    assert report[0] < 300
    async with studio.world.http.get(f"{url}/details", headers=headers) as answer:
        link = (await answer.json())["url"]
    db = studio.world.nodes[0].db
    for status, expected in (("pending", 200), ("claimed", 200), ("resolved", 404), ("dismissed", 404)):
        await db.run("UPDATE moderation_cases SET status = $1", status)
        assert (status, await seen(), await seen(link)) == (status, expected, expected)
        assert (await studio.get(bob, medium))[0] == 404


async def test_who_deletes_the_account_takes_it_along(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    medium = await face(studio, ann)
    assert await wear(studio, ann, medium) == 200
    assert (await studio.world.rest(ann, "DELETE", "/api/users/me", {}))[0] < 300
    assert (await studio.get(bob, medium))[0] == 404
    await service.collect(studio.world.nodes[0].ctx)
    assert not await studio.objects()
