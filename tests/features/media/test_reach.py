"""Who reaches a medium, from one moment to the next: by its id, by links from before, by sending it on."""

from datetime import timedelta
from typing import Any

from chatd.features.chats import service as chats
from chatd.features.media import service
from tests.features.media.conftest import Studio
from tests.features.media.files import picture


async def hide(studio: Studio, cmid: str) -> None:
    async with studio.world.nodes[0].db.connection() as connection:
        await connection.execute(
            "UPDATE chat_messages SET moderation_status = 'hidden' WHERE client_message_id = $1", cmid
        )


async def links(studio: Studio, who: str, medium: str) -> list[str]:
    """What this user's page shows of a medium now."""
    status, shown = await studio.world.rest(who, "GET", f"/api/media/{medium}/details")
    assert status == 200, shown
    return [shown["url"], shown["thumbnail_url"]]


async def statuses(studio: Studio, urls: list[str]) -> set[int]:
    found = set()
    for url in urls:
        async with studio.world.http.get(url) as answer:
            found.add(answer.status)
    return found


async def schedule(studio: Studio, who: str, chat: str, medium: str, **delta: float) -> tuple[int, Any]:
    content = {"type": "text", "text": "later", "attachments": [{"media_id": medium}]}
    body = {"content": content, "send_at": (studio.world.clock.now() + timedelta(**delta)).isoformat()}
    return await studio.world.rest(who, "POST", f"/api/chats/{chat}/scheduled", body)


# ------------------------------------------------------------------------------------ links signed before


async def test_links_from_before_end_with_the_message_that_showed_the_medium(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, other = await studio.world.group(ann, bob), await studio.world.group(bob, ann)
    for n, gone in enumerate(("hidden", "deleted")):
        medium = (await studio.upload(ann, picture()))["media_id"]
        await studio.say(ann, chat, medium, cmid=f"one{n}")
        await studio.say(ann, other, medium, cmid=f"two{n}")
        before = await links(studio, bob, medium) + await links(studio, ann, medium)
        for where, cmid, expected in ((chat, f"one{n}", 200), (other, f"two{n}", 404)):
            if gone == "hidden":
                await hide(studio, cmid)
            else:
                _, page = await studio.world.rest(bob, "GET", f"/api/chats/{where}/messages")
                [message] = [m for m in page["messages"] if m["client_message_id"] == cmid]
                path = f"/api/chats/{where}/messages/{message['id']}"
                assert (await studio.world.rest(ann, "DELETE", path))[0] == 200
            # What another message still shows stays where it is.
            assert (gone, await statuses(studio, before)) == (gone, {expected})
            assert {(await studio.get(who, medium))[0] for who in (ann, bob)} == {expected}


async def test_who_leaves_a_chat_leaves_their_links_behind(studio: Studio) -> None:
    ann, bob, cee = await studio.world.users(3)
    chat = await studio.world.group(ann, bob, cee)
    medium = (await studio.upload(ann, picture()))["media_id"]
    await studio.say(ann, chat, medium)
    his, hers = await links(studio, bob, medium), await links(studio, cee, medium)
    assert await statuses(studio, his + hers) == {200}
    assert (await studio.world.rest(ann, "DELETE", f"/api/chats/{chat}/members/{bob}"))[0] == 204
    assert (await statuses(studio, his), await statuses(studio, hers)) == ({404}, {200})
    # Nor does a link tell another's name and become theirs.
    forged = [url.replace(bob, cee) for url in his]
    assert forged != his
    assert await statuses(studio, forged) == {403}


async def test_a_link_to_what_was_taken_back_is_good_for_nothing(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    medium = (await studio.upload(ann, picture()))["media_id"]
    before = await links(studio, ann, medium)
    assert (await studio.world.rest(ann, "DELETE", f"/api/media/{medium}"))[0] == 204
    assert await statuses(studio, before) == {404}


async def test_links_end_with_the_standing_of_who_follows_them(studio: Studio) -> None:
    ann, bob, cee, dan = await studio.world.users(4)
    db, chat = studio.world.nodes[0].db, await studio.world.group(ann, bob, cee, dan)
    medium, face = [
        (await studio.upload(ann, picture(), **more))["media_id"] for more in ({}, {"type_": "avatar"})
    ]
    await studio.say(ann, chat, medium)
    before = {
        who: await links(studio, who, medium) + await links(studio, who, face) for who in (ann, bob, cee, dan)
    }
    assert {who: await statuses(studio, urls) for who, urls in before.items()} == {
        who: {200} for who in before
    }
    banned = "UPDATE users SET banned_at = now(), banned_until = $2 WHERE id = $1"
    await db.run(banned, bob, None)
    await db.run(banned, cee, studio.world.clock.now() + timedelta(minutes=1))
    # Nothing else of what goes with an account has gone yet.
    await db.run(
        "INSERT INTO account_deletions (user_id, requested_at, due_at) VALUES ($1, now(), 'infinity')", dan
    )
    expected = {ann: {200}, bob: {404}, cee: {404}, dan: {404}}
    assert {who: await statuses(studio, urls) for who, urls in before.items()} == expected
    # Nor do they bring anything more.
    await db.run(banned, ann, None)
    assert await statuses(studio, before[ann]) == {404}
    studio.world.clock.offset = timedelta(minutes=2)
    assert await statuses(studio, before[cee]) == {200}


async def test_a_link_to_upload_ends_with_the_standing_of_whose_it_is(studio: Studio) -> None:
    (ann,) = await studio.world.users(1)
    db, url = studio.world.nodes[0].db, (await studio.begin(ann))["upload_url"]
    await db.run("UPDATE users SET banned_at = now() WHERE id = $1", ann)
    assert (await studio.put(url, picture()))[0] == 404
    await db.run("UPDATE users SET banned_at = NULL WHERE id = $1", ann)
    assert (await studio.put(url, picture()))[0] == 200


async def test_a_moderator_s_link_shows_what_is_hidden_while_its_case_is_open(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    (mod,) = await studio.world.users(1)
    db, role = studio.world.nodes[0].db, "UPDATE users SET roles = $2 WHERE id = $1"
    await db.run(role, mod, ["user", "moderator"])
    medium = (await studio.upload(ann, picture()))["media_id"]
    _, sent = await studio.say(ann, chat, medium, cmid="bad")
    path = f"/api/chats/{chat}/messages/{sent['message_id']}/report"
    assert (await studio.world.rest(bob, "POST", path, {"reason": "violence"}))[0] < 300
    await hide(studio, "bad")
    headers = {"Authorization": f"Bearer {studio.world.token(mod, roles=('user', 'moderator'))}"}
    url = f"{studio.world.url()}/api/media/{medium}/details"
    async with studio.world.http.get(url, headers=headers) as answer:
        assert answer.status == 200
        link = (await answer.json())["url"]
    assert await statuses(studio, [link]) == {200}
    await db.run(role, mod, ["user"])
    assert await statuses(studio, [link]) == {404}
    await db.run(role, mod, ["user", "admin"])
    assert await statuses(studio, [link]) == {200}
    async with studio.world.nodes[0].db.connection() as connection:
        await connection.execute("UPDATE moderation_cases SET status = 'dismissed', closed_at = now()")
    assert await statuses(studio, [link]) == {404}


# -------------------------------------------------------------------------------------------- sending on


async def test_every_way_of_sending_asks_the_same_of_a_medium(studio: Studio) -> None:
    """Sent, forwarded, edited in, scheduled: each medium that one may not send is refused by all of them."""
    ann, bob, eve = await studio.world.users(3)
    chat, mine = await studio.world.group(ann, bob), await studio.world.group(bob, eve)
    media = {
        name: (await studio.upload(ann, picture()))["media_id"] for name in ("seen", "hidden", "deleted")
    }
    sent = {name: (await studio.say(ann, chat, each, cmid=name))[1] for name, each in media.items()}
    await hide(studio, "hidden")
    path = f"/api/chats/{chat}/messages/{sent['deleted']['message_id']}"
    assert (await studio.world.rest(ann, "DELETE", path))[0] == 200
    media["another's"] = (await studio.upload(ann, picture()))["media_id"]
    media["taken back"] = (await studio.upload(bob, picture()))["media_id"]
    assert (await studio.world.rest(bob, "DELETE", f"/api/media/{media['taken back']}"))[0] == 204
    media["a face"] = (await studio.upload(bob, picture(), type_="avatar"))["media_id"]
    media["pending"] = (await studio.begin(bob))["media_id"]
    gone = await studio.world.group(eve, bob)
    media["out of reach"] = (await studio.upload(eve, picture()))["media_id"]
    await studio.say(eve, gone, media["out of reach"])
    assert (await studio.world.rest(bob, "DELETE", f"/api/chats/{gone}/members/me"))[0] == 204
    _, base = await studio.say(bob, mine, text="edit me", cmid="base")
    for name, medium in media.items():
        right = name == "seen"
        content = {"type": "text", "text": name, "attachments": [{"media_id": medium}]}
        answers = {
            "send": (await studio.say(bob, mine, medium, cmid=f"send {name}"))[0],
            "schedule": (await schedule(studio, bob, mine, medium, days=1))[0],
            "edit": (
                await studio.world.rest(
                    bob, "PATCH", f"/api/chats/{mine}/messages/{base['message_id']}", {"content": content}
                )
            )[0],
        }
        expected = {"send": 202, "schedule": 201, "edit": 200} if right else dict.fromkeys(answers, 422)
        assert (name, answers) == (name, expected)
    for name, message in sent.items():
        body = {"chat_id": mine, "client_message_id": f"forward {name}"}
        path = f"/api/chats/{chat}/messages/{message['message_id']}/forward"
        status, _ = await studio.world.rest(bob, "POST", path, body)
        assert (name, status) == (name, 202 if name == "seen" else 409)


async def test_a_scheduled_message_is_asked_again_at_its_time(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, other = await studio.world.group(ann, bob), await studio.world.group(bob, ann)
    medium = (await studio.upload(ann, picture()))["media_id"]
    await studio.say(ann, chat, medium, cmid="shown")
    status, waiting = await schedule(studio, bob, other, medium, minutes=1)
    assert status == 201
    await hide(studio, "shown")
    studio.world.clock.offset = timedelta(minutes=2)
    path = f"/api/scheduled?chat_id={other}&status=failed"
    phone = await studio.world.phone(bob)
    failed = await phone.wait(
        lambda f: f["type"] == "scheduled.updated" and f["scheduled"]["status"] != "pending"
    )
    assert (failed["scheduled"]["status"], failed["scheduled"]["failure"]) == ("failed", "validation_failed")
    _, listed = await studio.world.rest(bob, "GET", path)
    assert [each["id"] for each in listed["items"]] == [waiting["id"]]


async def test_to_schedule_what_a_message_shows_does_not_take_it_away_later(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, ctx = await studio.world.group(ann, bob), studio.world.nodes[0].ctx
    medium = (await studio.upload(ann, picture()))["media_id"]
    await studio.say(ann, chat, medium)
    assert (await schedule(studio, ann, chat, medium, days=30))[0] == 201
    _, waiting = await schedule(studio, ann, chat, medium, hours=1)
    assert (await studio.world.rest(ann, "DELETE", f"/api/scheduled/{waiting['id']}"))[0] == 204
    await ctx.db.run("UPDATE sessions SET expires_at = 'infinity'")
    studio.world.clock.offset = timedelta(days=20)
    await service.collect(ctx)
    assert (await studio.get(bob, medium))[0] == 200
    studio.world.clock.offset = timedelta(days=40)
    await service.collect(ctx)
    assert (await studio.get(bob, medium))[0] == 200
    async with ctx.db.transaction() as tx:
        await chats.erase(tx, ctx, chat)
    await service.collect(ctx)
    assert not await studio.objects()
