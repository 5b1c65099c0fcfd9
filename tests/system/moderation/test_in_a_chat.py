"""Power in one chat: hiding what was said, mutes, kicks, bans."""

from datetime import timedelta
from typing import Any

import msgspec

from tests.system.calls import said
from tests.system.moderation.scene import written
from tests.system.world import World


async def test_hidden_text_is_shown_to_nobody_anywhere(two: World) -> None:
    owner, ann, bob = await two.users(3)
    chat = await two.group(owner, ann, bob)
    phone, far = await two.phone(bob), await two.phone(owner, node=1)
    message = await said(two, ann, chat, "the secret")
    await far.event("message.new", seq=1)
    path = f"/api/chats/{chat}/messages/{message}/hidden"
    assert (await two.rest(ann, "PUT", path, {}))[0] == 403
    assert (await two.rest(owner, "PUT", path, {"reason": "rude"}))[0] == 204
    assert (await two.rest(owner, "PUT", path, {"reason": "rude"}))[0] == 204, "twice is once"
    for each in (phone, far):
        told = await each.event("system.moderation", message_id=message)
        assert (told["seq"], told["action"], told["reason"]) == (2, "hidden", "rude")
        now = await each.event("message.update", seq=3)
        assert now["message"]["content"] == {"type": "tombstone"}
        assert now["message"]["moderation_status"] == "hidden"
        assert now["message"]["deleted_at"] is None

    late = await two.phone(bob, since={chat: 0})
    await late.event("sync.complete")
    assert late.seqs(chat) == [1, 2, 3]
    shown = msgspec.json.encode(
        [
            late.frames,
            await written(two, ann, chat),
            await two.rest(bob, "GET", "/api/chats"),
            await two.rest(bob, "GET", f"/api/chats/{chat}"),
            await two.rest(bob, "GET", f"/api/chats/{chat}/messages/{message}/versions"),
            await two.rest(bob, "GET", "/api/search/messages?q=secret"),
        ]
    )
    assert b"the secret" not in shown
    edit = {"content": {"type": "text", "text": "the secret again"}}
    status, _ = await two.rest(ann, "PATCH", f"/api/chats/{chat}/messages/{message}", edit)
    assert status == 409
    assert (await two.rest(owner, "DELETE", path))[0] == 204
    restored = await far.event("message.update", seq=5)
    assert restored["message"]["content"]["text"] == "the secret"


async def test_what_was_hidden_without_a_reason_is_replayed(one: World) -> None:
    owner, ann = await one.users(2)
    chat = await one.group(owner, ann)
    message = await said(one, ann, chat, "hm")
    assert (await one.rest(owner, "PUT", f"/api/chats/{chat}/messages/{message}/hidden", {}))[0] == 204
    phone = await one.phone(ann, since={chat: 1})
    await phone.event("sync.complete")
    replayed = (await phone.event("system.moderation"))["reason"]
    assert (replayed, phone.seqs(chat)) == (None, [2, 3])
    assert (await phone.call("sync", chat_id=chat, after_seq=0, limit=10))["head_seq"] == 3


async def test_who_may_mute_kick_and_ban_whom(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]

    async def ask(who: str, whom: str) -> set[int]:
        member = f"/api/chats/{chat}/members/{cast[whom]}"
        return {
            (await one.rest(cast[who], "PUT", f"{member}/mute", {"duration_s": 1}))[0],
            (await one.rest(cast[who], "POST", f"{member}/kick", {}))[0],
            (await one.rest(cast[who], "PUT", f"/api/chats/{chat}/bans/{cast[whom]}", {}))[0],
        }

    assert await ask("stranger", "ann") == {404}
    assert await ask("ann", "bob") == {403}
    assert await ask("ann", "owner") == {403}
    assert await ask("mod", "owner") == {403}
    assert await ask("mod", "mod") == {403}
    assert await ask("staff", "owner") == {403}, "an owner is put out with the account or not at all"
    await one.rest(cast["owner"], "POST", f"/api/chats/{chat}/members", {"user_ids": [cast["staff"]]})
    assert await ask("owner", "staff") == {403}, "staff stand above a chat's owner"
    mute = f"/api/chats/{chat}/members/{cast['ann']}/mute"
    assert (await one.rest(cast["mod"], "PUT", mute, {"duration_s": 60}))[0] == 200
    assert (await one.rest(cast["owner"], "PUT", mute, {"duration_s": 60}))[0] == 200
    assert (await one.rest(cast["staff"], "DELETE", mute))[0] == 204
    assert (await one.rest(cast["mod"], "PUT", mute, {"duration_s": 0}))[0] == 422


async def test_a_mute_ends_by_itself_or_is_taken_back(one: World, cast: dict[str, Any]) -> None:
    chat, ann = cast["chat"], cast["ann"]
    phone = await one.phone(ann)
    path = f"/api/chats/{chat}/members/{ann}/mute"
    status, muted = await one.rest(cast["mod"], "PUT", path, {"reason": "calm down"})
    assert (status, muted) == (200, {"user_id": ann, "until": None})
    assert (await phone.event("chat.muted"))["reason"] == "calm down"
    answer = await phone.say(chat, "but")
    assert (answer["type"], answer["code"]) == ("error", "muted")
    typing = await phone.call("typing.start", chat_id=chat)
    assert typing["code"] == "muted"
    message = await said(one, cast["bob"], chat, "quiet here")
    react = await phone.call("reaction.add", chat_id=chat, message_id=message, emoji="👍")
    assert react["code"] == "muted"
    assert (await one.rest(cast["mod"], "DELETE", path))[0] == 204
    assert (await phone.say(chat, "back"))["type"] == "ack"
    await one.rest(cast["mod"], "PUT", path, {"duration_s": 600})
    assert (await phone.say(chat, "again"))["code"] == "muted"
    await one.nodes[0].db.run(
        "UPDATE chat_participants SET muted_until = muted_until - interval '600 seconds' WHERE user_id = $1",
        ann,
    )
    assert (await phone.say(chat, "now?"))["type"] == "ack"


async def test_who_is_muted_pins_nothing(one: World, cast: dict[str, Any]) -> None:
    chat, mod = cast["chat"], cast["mod"]
    message = await said(one, cast["ann"], chat, "hm")
    pin = f"/api/chats/{chat}/messages/{message}/pin"
    assert (await one.rest(mod, "PUT", pin))[0] == 200
    assert (await one.rest(cast["owner"], "PUT", f"/api/chats/{chat}/members/{mod}/mute", {}))[0] == 200
    assert (await one.rest(mod, "DELETE", pin))[1]["code"] == "muted"
    assert (await one.rest(cast["owner"], "DELETE", pin))[0] == 200
    assert (await one.rest(mod, "PUT", pin))[1]["code"] == "muted"


async def test_a_ban_from_a_chat_outlives_invitations(one: World, cast: dict[str, Any]) -> None:
    chat, ann = cast["chat"], cast["ann"]
    phone = await one.phone(ann)
    ban = f"/api/chats/{chat}/bans/{ann}"
    assert (await one.rest(cast["mod"], "PUT", ban, {"reason": "spam"}))[0] == 200
    assert (await phone.event("chat.left", chat_id=chat))["reason"] == "banned"
    assert (await phone.say(chat, "hello?"))["code"] == "chat_not_found"
    invite = (cast["owner"], "POST", f"/api/chats/{chat}/members", {"user_ids": [ann]})
    assert (await one.rest(*invite))[0] == 403
    assert (await one.rest(cast["ann"], "GET", f"/api/chats/{chat}/bans"))[0] == 404
    assert (await one.rest(cast["bob"], "GET", f"/api/chats/{chat}/bans"))[0] == 403
    _, bans = await one.rest(cast["mod"], "GET", f"/api/chats/{chat}/bans")
    assert [(b["user_id"], b["reason"], b["banned_until"]) for b in bans["items"]] == [(ann, "spam", None)]
    assert (await one.rest(cast["bob"], "DELETE", ban))[0] == 403
    assert (await one.rest(cast["mod"], "DELETE", ban))[0] == 204
    assert (await one.rest(*invite))[0] == 200
    await one.rest(cast["mod"], "PUT", ban, {"duration_s": 60})
    assert (await one.rest(*invite))[0] == 403
    one.clock.offset = timedelta(seconds=61)
    assert (await one.rest(*invite))[0] == 200, "the ban is over"
    direct = (await one.rest(ann, "POST", "/api/chats", {"type": "direct", "member_ids": [cast["bob"]]}))[1]
    path = f"/api/chats/{direct['id']}/bans/{ann}"
    assert (await one.rest(cast["bob"], "PUT", path, {}))[0] == 403, "nobody rules a direct chat"
