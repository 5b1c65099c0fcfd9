"""Power over the whole server: bans, mutes, kicks."""

import asyncio
from datetime import timedelta
from typing import Any

import msgspec

from tests.system.moderation.scene import refresh, staff
from tests.system.world import World


async def test_a_ban_closes_every_socket_on_every_node_and_ends_the_sessions(two: World) -> None:
    ann, mod, admin, other = await two.users(4)
    await staff(two, mod, "moderator")
    await staff(two, other, "moderator")
    await staff(two, admin, "admin")
    phones = [await two.phone(ann, node=i % 2) for i in range(4)]
    path = f"/api/moderation/bans/{ann}"
    assert (await two.rest(ann, "PUT", f"/api/moderation/bans/{mod}", {}))[0] == 403
    assert (await two.rest(mod, "PUT", f"/api/moderation/bans/{other}", {}))[0] == 403, "an equal"
    assert (await two.rest(mod, "PUT", f"/api/moderation/bans/{admin}", {}))[0] == 403, "above"
    assert (await two.rest(mod, "PUT", f"/api/moderation/bans/{mod}", {}))[0] == 403, "oneself"
    assert (await two.rest(mod, "PUT", path, {"duration_s": 3600, "reason": "spam"}))[0] == 200
    assert await asyncio.gather(*(p.closed() for p in phones)) == [4403] * 4
    for node in (0, 1):
        assert (await two.rest(ann, "GET", "/api/chats", node=node))[1]["code"] == "banned"
        socket = await two.raw(node=node)
        await socket.send(msgspec.json.encode({"type": "connection.init", "token": two.token(ann)}).decode())
        await socket.wait_closed()
        assert socket.close_code == 4403
    _, bans = await two.rest(mod, "GET", "/api/moderation/bans")
    assert [b["id"] for b in bans["items"]] == [ann]
    live = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await two.nodes[0].db.one(int, live, ann) == 0
    assert (await two.rest(mod, "DELETE", path))[0] == 204
    status, answer = await two.rest(ann, "GET", "/api/chats")
    assert (status, answer["code"]) == (401, "unauthenticated"), "the old sessions stay ended"


async def test_staff_are_asked_of_the_table_not_of_the_token(one: World) -> None:
    ann, bob = await one.users(2)
    forged = {"Authorization": f"Bearer {one.token(ann, roles=('user', 'admin'))}"}
    url = f"{one.url()}/api/moderation/bans/{bob}"
    async with one.http.put(url, json={}, headers=forged) as answer:
        assert answer.status == 403


async def test_mutes_and_kicks_over_the_whole_server(one: World, cast: dict[str, Any]) -> None:
    ann, chat = cast["ann"], cast["chat"]
    phone = await one.phone(ann)
    mute = f"/api/moderation/mutes/{ann}"
    assert (await one.rest(cast["owner"], "PUT", mute, {}))[0] == 403
    assert (await one.rest(cast["staff"], "PUT", mute, {"duration_s": 600}))[0] == 200
    await refresh(one)
    assert (await phone.say(chat, "hi"))["code"] == "muted"
    assert (await one.rest(cast["staff"], "DELETE", mute))[0] == 204
    await refresh(one)
    assert (await phone.say(chat, "hi"))["type"] == "ack"
    kick = f"/api/moderation/users/{ann}/kick"
    assert (await one.rest(cast["owner"], "POST", kick, {}))[0] == 403
    assert (await one.rest(cast["staff"], "POST", kick, {}))[0] == 204
    assert await phone.closed() == 4401


async def test_a_mute_on_the_server_leaves_nothing_to_write_with(one: World, cast: dict[str, Any]) -> None:
    chat, mod = cast["chat"], cast["mod"]
    phone, other = await one.phone(mod), await one.phone(cast["ann"])
    message = (await phone.say(chat, "before"))["message_id"]
    at = f"/api/chats/{chat}/messages/{message}"
    await phone.call("reaction.add", chat_id=chat, message_id=message, emoji="👍")
    assert (await one.rest(cast["staff"], "PUT", f"/api/moderation/mutes/{mod}", {}))[0] == 200
    await other.fence()
    seen = len(other.frames)
    content = {"type": "text", "text": "after"}
    for type_, fields in (
        ("reaction.add", {"message_id": message, "emoji": "🎉"}),
        ("reaction.remove", {"message_id": message, "emoji": "👍"}),
        ("message.edit", {"message_id": message, "content": content}),
        ("typing.start", {}),
    ):
        assert (await phone.call(type_, chat_id=chat, **fields))["code"] == "muted", type_
    for method, path, body in (
        ("PUT", f"{at}/pin", None),
        ("PUT", f"{at}/reactions/🎉", None),
        ("PATCH", at, {"content": content}),
        ("PATCH", f"/api/chats/{chat}", {"title": "after"}),
        ("POST", f"/api/chats/{chat}/typing", {"is_typing": True}),
        ("POST", "/api/chats", {"type": "group", "title": "after", "member_ids": [cast["ann"]]}),
    ):
        assert (await one.rest(mod, method, path, body))[1]["code"] == "muted", path
    await other.fence()
    assert not [f for f in other.frames[seen:] if f["type"] != "pong"], "nobody notices anything"
    assert (await one.rest(mod, "DELETE", at))[0] == 200, "taking one's own back is no writing"
    assert (await one.rest(cast["staff"], "DELETE", f"/api/moderation/mutes/{mod}"))[0] == 204
    assert (await phone.call("typing.start", chat_id=chat))["type"] == "ack"


async def test_a_mute_on_the_server_ends_by_itself(one: World, cast: dict[str, Any]) -> None:
    chat, ann = cast["chat"], cast["ann"]
    await one.rest(cast["staff"], "PUT", f"/api/moderation/mutes/{ann}", {"duration_s": 60})
    typing = ("POST", f"/api/chats/{chat}/typing", {"is_typing": True})
    assert (await one.rest(ann, *typing))[1]["code"] == "muted"
    one.clock.offset = timedelta(seconds=61)
    assert (await one.rest(ann, *typing))[0] == 200
    await one.rest(cast["owner"], "PUT", f"/api/chats/{chat}/members/{ann}/mute", {"duration_s": 600})
    assert (await one.rest(ann, *typing))[1]["code"] == "muted", "the later of the two holds"
