"""Media in messages: who may send them, who may fetch them, and when they go."""

import asyncio
from datetime import timedelta

from chatd.features.chats import service as chats
from chatd.features.media import service
from tests.features.media.conftest import Studio
from tests.features.media.files import picture


async def test_a_message_tells_what_is_attached_to_it(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, phone = await studio.world.group(ann, bob), await studio.world.phone(bob)
    medium = await studio.upload(ann, picture(), file_name="../../etc/Sun\u2009set.jpg")
    status, sent = await studio.say(ann, chat, medium["media_id"])
    assert status == 202
    new = await phone.event("message.new", chat_id=chat, seq=sent["seq"])
    assert new["message"]["content"]["attachments"] == [
        {
            "media_id": medium["media_id"],
            "type": "image",
            "content_type": "image/jpeg",
            "file_name": medium["file_name"],
            "size": medium["size"],
            "width": 64,
            "height": 48,
            "thumbnail": True,
            "url": f"/api/media/{medium['media_id']}",
        }
    ]
    status, history = await studio.world.rest(bob, "GET", f"/api/chats/{chat}/messages")
    assert history["messages"][0]["content"] == new["message"]["content"]


async def test_only_members_fetch_it_and_the_sender_only_as_one(studio: Studio) -> None:
    ann, bob, eve = await studio.world.users(3)
    chat = await studio.world.group(bob, ann)
    medium = (await studio.upload(ann, picture()))["media_id"]
    assert (await studio.get(ann, medium))[0] == 200
    assert (await studio.get(bob, medium))[0] == 404
    await studio.say(ann, chat, medium)
    for who, status in ((ann, 200), (bob, 200), (eve, 404), (None, 401)):
        assert (await studio.get(who, medium))[0] == status
    assert (await studio.world.rest(ann, "DELETE", f"/api/chats/{chat}/members/me"))[0] == 204
    assert (await studio.get(ann, medium))[0] == 404
    assert (await studio.world.rest(eve, "GET", f"/api/media/{medium}/details"))[0] == 404


async def test_a_deleted_message_takes_its_media_with_it(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    medium = (await studio.upload(ann, picture()))["media_id"]
    _, shown = await studio.world.rest(ann, "GET", f"/api/media/{medium}/details")
    _, sent = await studio.say(ann, chat, medium)
    assert await studio.objects()
    await studio.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{sent['message_id']}")
    assert (await studio.get(bob, medium))[0] == 404
    assert (await studio.get(ann, medium))[0] == 404
    await service.collect(studio.world.nodes[0].ctx)
    assert not await studio.objects()
    async with studio.world.http.get(shown["url"]) as answer:
        assert answer.status == 404


async def test_what_was_forwarded_stays_where_it_was_forwarded_to(studio: Studio) -> None:
    ann, bob, eve = await studio.world.users(3)
    chat, other = await studio.world.group(ann, bob), await studio.world.group(bob, eve)
    medium = (await studio.upload(ann, picture()))["media_id"]
    _, sent = await studio.say(ann, chat, medium)
    path = f"/api/chats/{chat}/messages/{sent['message_id']}"
    body = {"chat_id": other, "client_message_id": "f1"}
    assert (await studio.world.rest(bob, "POST", f"{path}/forward", body))[0] == 202
    assert (await studio.get(eve, medium))[0] == 200
    await studio.world.rest(ann, "DELETE", path)
    await service.collect(studio.world.nodes[0].ctx)
    assert (await studio.get(eve, medium))[0] == 200
    assert (await studio.get(ann, medium))[0] == 404


async def test_nobody_sends_what_is_not_theirs_not_ready_or_not_there(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(bob, ann)
    theirs = (await studio.upload(ann, picture()))["media_id"]
    pending = (await studio.begin(bob))["media_id"]
    avatar = (await studio.upload(bob, picture(), type_="avatar"))["media_id"]
    mine = (await studio.upload(bob, picture()))["media_id"]
    for wrong in (
        (theirs,),
        (pending,),
        (avatar,),
        (mine, theirs),
        (mine, mine),
        ("med_01h455vb4pex5vsknk084sn02q",),
    ):
        status, problem = await studio.say(bob, chat, *wrong)
        assert (status, problem["code"]) == (422, "validation_failed"), wrong
    # None of it was stored, and the id is free still.
    assert (await studio.say(bob, chat, mine))[0] == 202
    assert (await studio.say(bob, chat, cmid="c2"))[0] == 422


async def test_a_repeat_is_one_though_its_picture_is_gone(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    medium = (await studio.upload(ann, picture()))["media_id"]
    _, sent = await studio.say(ann, chat, medium, text="look")
    assert await studio.say(ann, chat, medium, text="look") == (200, sent)
    await studio.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{sent['message_id']}")
    await service.collect(studio.world.nodes[0].ctx)
    assert (await studio.say(ann, chat, medium, text="look"))[0] == 200
    assert (await studio.say(ann, chat, text="look"))[0] == 409


async def test_sends_with_and_without_pictures_keep_their_order(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, phone = await studio.world.group(ann, bob), await studio.world.phone(ann)
    medium = (await studio.upload(ann, picture()))["media_id"]
    for n in range(12):
        attachments = [{"media_id": medium}] if n % 3 == 0 else []
        content = {"type": "text", "text": f"{n}", "attachments": attachments}
        await phone.send("message.send", chat_id=chat, client_message_id=f"c{n}", content=content)
    await phone.wait(lambda f: f["type"] == "message.new" and f["message"]["content"].get("text") == "11")
    texts = [
        f["message"]["content"]["text"]
        for f in phone.seen("message.new")
        if f["message"]["client_message_id"]
    ]
    assert texts == [f"{n}" for n in range(12)]


async def test_an_edit_puts_other_pictures_in_their_place(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    one, two = [(await studio.upload(ann, picture()))["media_id"] for _ in range(2)]
    theirs = (await studio.upload(bob, picture()))["media_id"]
    _, sent = await studio.say(ann, chat, one, text="a")
    path = f"/api/chats/{chat}/messages/{sent['message_id']}"

    async def edit(text: str, *media: str) -> tuple[int, list[str]]:
        content = {"type": "text", "text": text, "attachments": [{"media_id": m} for m in media]}
        status, answer = await studio.world.rest(ann, "PATCH", path, {"content": content})
        return status, [a["media_id"] for a in answer.get("content", {}).get("attachments", [])]

    assert await edit("b", one) == (200, [one])
    assert (await edit("b", theirs))[0] == 422
    assert await edit("b", two, one) == (200, [two, one])
    assert await edit("b", two) == (200, [two])
    assert (await studio.get(bob, two))[0] == 200
    assert (await studio.get(bob, one))[0] == 404
    assert await edit("c") == (200, [])
    assert (await studio.get(bob, two))[0] == 404


async def test_sent_while_it_is_collected_it_is_either_there_or_refused(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, ctx = await studio.world.group(ann, bob), studio.world.nodes[0].ctx
    for n in range(6):
        medium = (await studio.upload(ann, picture()))["media_id"]
        taken, said, _ = await asyncio.gather(
            studio.world.rest(ann, "DELETE", f"/api/media/{medium}"),
            studio.say(ann, chat, medium, cmid=f"c{n}"),
            service.collect(ctx),
        )
        await service.collect(ctx)
        assert (taken[0], said[0]) in ((204, 422), (409, 202), (404, 202))
        assert (await studio.get(bob, medium))[0] == (200 if said[0] == 202 else 404)


async def test_a_hidden_message_hides_its_picture_from_all_but_moderators(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat = await studio.world.group(ann, bob)
    medium = (await studio.upload(ann, picture()))["media_id"]
    _, sent = await studio.say(ann, chat, medium)
    report = {"reason": "violence"}
    path = f"/api/chats/{chat}/messages/{sent['message_id']}/report"
    status, answer = await studio.world.rest(bob, "POST", path, report)
    assert status in (200, 201, 202), answer
    async with studio.world.nodes[0].db.connection() as connection:
        await connection.execute(
            "UPDATE chat_messages SET moderation_status = 'hidden' WHERE seq = $1", sent["seq"]
        )
    assert (await studio.get(bob, medium))[0] == 404
    (mod,) = await studio.world.users(1)
    url = f"{studio.world.url()}/api/media/{medium}"
    await studio.world.nodes[0].db.run("UPDATE users SET roles = '{user,moderator}' WHERE id = $1", mod)
    headers = {"Authorization": f"Bearer {studio.world.token(mod, roles=('user', 'moderator'))}"}
    async with studio.world.http.get(url, headers=headers) as answer:
        assert answer.status == 200


async def test_a_scheduled_message_keeps_its_picture_until_its_time(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, ctx = await studio.world.group(ann, bob), studio.world.nodes[0].ctx
    medium = (await studio.upload(ann, picture()))["media_id"]
    theirs = (await studio.upload(bob, picture()))["media_id"]
    at = (studio.world.clock.now() + timedelta(days=3)).isoformat()
    for media_id, expected in ((theirs, 422), (medium, 201)):
        content = {"type": "text", "text": "later", "attachments": [{"media_id": media_id}]}
        body = {"content": content, "send_at": at}
        status, answer = await studio.world.rest(ann, "POST", f"/api/chats/{chat}/scheduled", body)
        assert status == expected, answer
    studio.world.clock.offset = timedelta(days=2)
    await service.collect(ctx)
    assert len(await studio.objects()) == 2
    studio.world.clock.offset = timedelta(days=5)
    await service.collect(ctx)
    assert not await studio.objects()


async def test_with_a_chat_or_a_user_that_goes_their_media_go(studio: Studio) -> None:
    ann, bob = await studio.world.users(2)
    chat, ctx = await studio.world.group(ann, bob), studio.world.nodes[0].ctx
    sent, unsent = [(await studio.upload(ann, picture()))["media_id"] for _ in range(2)]
    await studio.upload(ann, picture(), type_="avatar")
    await studio.say(ann, chat, sent)
    async with ctx.db.transaction() as tx:
        await tx.run("UPDATE media SET owner_id = NULL WHERE owner_id = $1", ann)
    await service.collect(ctx)
    assert len(await studio.objects()) == 2
    assert [(await studio.get(bob, m))[0] for m in (sent, unsent)] == [200, 404]
    async with ctx.db.transaction() as tx:
        await chats.erase(tx, ctx, chat)
    await service.collect(ctx)
    assert not await studio.objects()
