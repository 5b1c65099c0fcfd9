"""Moderation over REST and the socket: every rule asked by everybody whom it is about."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
import pytest
from aiohttp import web

from chatd.core.settings import Moderation, Settings
from chatd.features.moderation import classifier, filters
from chatd.features.moderation import service as moderation
from tests.system.world import World, world
from tests.waiting import PATIENCE_S

SPAM = {"reason": "spam", "description": "buys watches"}


async def staff(world: World, user_id: str, role: str) -> None:
    """A global role, as an operator gives it."""
    db = world.nodes[0].db
    await db.run("UPDATE users SET roles = ARRAY['user', $2] WHERE id = $1", user_id, role)


async def say(world: World, user_id: str, chat: str, text: str, **fields: Any) -> tuple[int, Any]:
    """A message over REST."""
    body = {
        "client_message_id": text.encode().hex()[:64],
        "content": {"type": "text", "text": text},
        **fields,
    }
    return await world.rest(user_id, "POST", f"/api/chats/{chat}/messages", body)


async def said(world: World, user_id: str, chat: str, text: str) -> str:
    """A message's id."""
    status, queued = await say(world, user_id, chat, text)
    assert status == 202, queued
    return str(queued["message_id"])


async def history(world: World, user_id: str, chat: str) -> list[Any]:
    """The chat's messages that people wrote, newest first."""
    status, found = await world.rest(user_id, "GET", f"/api/chats/{chat}/messages")
    assert status == 200, found
    return [m for m in found["messages"] if m["client_message_id"] is not None]


async def with_filter(world: World, admin: str, **fields: Any) -> str:
    """A filter that every node has taken up; its id."""
    body = {"name": "test", "action": "flag", **fields}
    status, made = await world.rest(admin, "POST", "/api/moderation/filters", body)
    assert status == 201, made
    for node in world.nodes:
        await node_refresh(node)
    return str(made["id"])


async def node_refresh(node: Any) -> None:
    await filters.refresh(node.ctx)


@pytest.fixture
async def cast(one: World) -> dict[str, Any]:
    """A group with an owner, a moderator and two members; a stranger; staff and an admin of the server."""
    names = ("owner", "mod", "ann", "bob", "stranger", "staff", "admin")
    people: dict[str, Any] = dict(zip(names, await one.users(len(names)), strict=True))
    chat = await one.group(people["owner"], people["mod"], people["ann"], people["bob"])
    await one.rest(
        people["owner"], "PUT", f"/api/chats/{chat}/members/{people['mod']}", {"role": "moderator"}
    )
    await staff(one, people["staff"], "moderator")
    await staff(one, people["admin"], "admin")
    people["chat"] = chat
    return people


# ------------------------------------------------------------------------------------------------ reports


async def test_a_report_opens_a_case_and_reports_gather_in_it(one: World, cast: dict[str, Any]) -> None:
    chat, ann, bob = cast["chat"], cast["ann"], cast["bob"]
    message = await said(one, ann, chat, "cheap watches")
    path = f"/api/chats/{chat}/messages/{message}/report"

    status, first = await one.rest(bob, "POST", path, SPAM)
    assert status == 201
    assert first["status"] == "pending"
    assert await one.rest(bob, "POST", path, SPAM) == (200, first)
    assert (await one.rest(cast["mod"], "POST", path, {"reason": "other"}))[0] == 201

    assert (await one.rest(ann, "POST", path, SPAM))[0] == 403, "one's own"
    assert (await one.rest(cast["stranger"], "POST", path, SPAM))[1]["code"] == "chat_not_found"
    assert (await one.rest(bob, "POST", path, {"reason": "because"}))[1]["code"] == "validation_failed"
    gone = f"/api/chats/{chat}/messages/msg_01h455vb4pex5vsknk084sn02q/report"
    assert (await one.rest(bob, "POST", gone, SPAM))[1]["code"] == "message_not_found"

    status, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    assert status == 200
    (case,) = queue["items"]
    assert case["subject_id"] == message
    assert case["author_id"] == ann
    assert case["report_count"] == 2
    assert case["snapshot"]["text"] == "cheap watches"
    await one.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{message}")
    _, detail = await one.rest(cast["staff"], "GET", f"/api/moderation/cases/{case['id']}")
    assert detail["case"]["snapshot"]["text"] == "cheap watches", "evidence outlives the message"
    assert {r["reporter_id"] for r in detail["reports"]} == {bob, cast["mod"]}
    _, detail = await one.rest(cast["mod"], "GET", f"/api/moderation/cases/{case['id']}")
    assert {r["reporter_id"] for r in detail["reports"]} == {None}
    assert (await one.rest(bob, "POST", path, SPAM))[0] == 409, "deleted"


async def test_the_queue_is_for_moderators_each_for_their_own(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["ann"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["admin"], "GET", "/api/moderation/cases")
    case = queue["items"][0]["id"]
    for who, everything, own in (
        ("staff", 200, 200),
        ("admin", 200, 200),
        ("mod", 403, 200),
        ("owner", 403, 200),
        ("ann", 403, 403),
        ("stranger", 403, 404),
    ):
        assert (await one.rest(cast[who], "GET", "/api/moderation/cases"))[0] == everything, who
        assert (await one.rest(cast[who], "GET", f"/api/moderation/cases?chat_id={chat}"))[0] == own, who
        wanted = 200 if own == 200 else 404
        assert (await one.rest(cast[who], "GET", f"/api/moderation/cases/{case}"))[0] == wanted, who
    for path in ("bans", "filters"):
        assert (await one.rest(cast["staff"], "GET", f"/api/moderation/{path}"))[0] == 200
        assert (await one.rest(cast["owner"], "GET", f"/api/moderation/{path}"))[0] == 403
    assert (await one.rest(cast["staff"], "GET", "/api/moderation/audit"))[0] == 403
    assert (await one.rest(cast["admin"], "GET", "/api/moderation/audit"))[0] == 200


async def test_two_moderators_at_once_conflict_cleanly(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["ann"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    both = (cast["staff"], cast["mod"])
    answers = await asyncio.gather(*(one.rest(who, "POST", f"{path}/claim") for who in both))
    assert sorted(status for status, _ in answers) == [200, 409]
    winner, loser = both if answers[0][0] == 200 else both[::-1]
    assert (await one.rest(winner, "POST", f"{path}/claim"))[0] == 200
    assert (await one.rest(loser, "POST", f"{path}/resolve", {"action": "none"}))[0] == 409
    assert (await one.rest(loser, "POST", f"{path}/dismiss", {}))[0] == 409
    assert (await one.rest(winner, "POST", f"{path}/release"))[1]["status"] == "pending"
    one.clock.offset = timedelta(0)
    assert (await one.rest(loser, "POST", f"{path}/claim"))[0] == 200
    one.clock.offset = timedelta(minutes=31)
    assert (await one.rest(winner, "POST", f"{path}/claim"))[0] == 200, "left lying for half an hour"
    one.clock.offset = timedelta(0)
    answers = await asyncio.gather(
        *(one.rest(winner, "POST", f"{path}/resolve", {"action": "hide"}) for _ in range(4))
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409]
    _, detail = await one.rest(winner, "GET", path)
    assert detail["case"]["status"] == "resolved"
    assert detail["case"]["resolution"] == "hide"
    _, log = await one.rest(cast["admin"], "GET", "/api/moderation/audit?limit=200")
    actions = [entry["action"] for entry in log["items"]]
    assert actions.count("message.hidden") == 1
    assert actions.count("case.resolved") == 1


async def test_nobody_judges_a_case_about_themselves(one: World, cast: dict[str, Any]) -> None:
    chat = cast["chat"]
    message = await said(one, cast["mod"], chat, "hm")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM)
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    assert (await one.rest(cast["mod"], "POST", f"{path}/dismiss", {}))[0] == 403
    assert (await one.rest(cast["owner"], "POST", f"{path}/resolve", {"action": "mute"}))[0] == 200
    assert (await say(one, cast["mod"], chat, "still"))[1]["code"] == "muted"


async def test_users_are_reported_and_banned_through_their_case(one: World, cast: dict[str, Any]) -> None:
    ann, bob = cast["ann"], cast["bob"]
    assert (await one.rest(bob, "POST", f"/api/users/{bob}/report", SPAM))[0] == 403
    status, _ = await one.rest(bob, "POST", "/api/users/usr_01h455vb4pex5vsknk084sn02q/report", SPAM)
    assert status == 404
    assert (await one.rest(bob, "POST", f"/api/users/{ann}/report", SPAM))[0] == 201
    _, queue = await one.rest(cast["staff"], "GET", "/api/moderation/cases")
    (case,) = queue["items"]
    assert case["subject_id"] == ann
    assert case["snapshot"]["display_name"]
    path = f"/api/moderation/cases/{case['id']}"
    assert (await one.rest(cast["staff"], "POST", f"{path}/resolve", {"action": "kick"}))[0] == 422
    phone = await one.phone(ann)
    status, closed = await one.rest(
        cast["staff"], "POST", f"{path}/resolve", {"action": "ban_server", "duration_s": 60}
    )
    assert status == 200, closed
    assert await phone.closed() == 4403


async def test_what_is_said_in_a_direct_chat_is_judged_by_staff_alone(
    one: World, cast: dict[str, Any]
) -> None:
    ann, bob = cast["ann"], cast["bob"]
    _, direct = await one.rest(ann, "POST", "/api/chats", {"type": "direct", "member_ids": [bob]})
    chat = direct["id"]
    message = await said(one, ann, chat, "cheap watches")
    assert (await one.rest(bob, "PUT", f"/api/chats/{chat}/messages/{message}/hidden", {}))[0] == 403
    assert (await one.rest(bob, "POST", f"/api/chats/{chat}/messages/{message}/report", SPAM))[0] == 201
    assert (await one.rest(bob, "GET", f"/api/moderation/cases?chat_id={chat}"))[0] == 403
    _, queue = await one.rest(cast["staff"], "GET", f"/api/moderation/cases?chat_id={chat}")
    path = f"/api/moderation/cases/{queue['items'][0]['id']}"
    assert (await one.rest(bob, "GET", path))[0] == 404
    assert (await one.rest(bob, "POST", f"{path}/resolve", {"action": "hide"}))[0] == 404
    assert (await one.rest(cast["staff"], "POST", f"{path}/resolve", {"action": "hide"}))[0] == 200
    assert (await history(one, bob, chat))[0]["content"] == {"type": "tombstone"}


async def test_toxicity_is_what_was_found_and_not_what_was_merely_reported(
    one: World, cast: dict[str, Any]
) -> None:
    chat, db = cast["chat"], one.nodes[0].db
    await with_filter(one, cast["admin"], config={"kind": "words", "words": ["drat"]})
    plain = await said(one, cast["ann"], chat, "hello")
    await one.rest(cast["bob"], "POST", f"/api/chats/{chat}/messages/{plain}/report", SPAM)
    assert await moderation.toxicity_flags(db, chat) == 0
    await said(one, cast["ann"], chat, "drat")
    assert await moderation.toxicity_flags(db, chat) == 1
    _, queue = await one.rest(cast["mod"], "GET", f"/api/moderation/cases?chat_id={chat}")
    by_source = {case["source"]: f"/api/moderation/cases/{case['id']}" for case in queue["items"]}
    await one.rest(cast["mod"], "POST", f"{by_source['report']}/resolve", {"action": "hide"})
    assert await moderation.toxicity_flags(db, chat) == 2
    await one.rest(cast["mod"], "POST", f"{by_source['filter']}/dismiss", {})
    assert await moderation.toxicity_flags(db, chat) == 1


# ---------------------------------------------------------------------------------------------- in a chat


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
            await history(two, ann, chat),
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


# ------------------------------------------------------------------------------------------ on the server


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


async def test_who_is_muted_pins_nothing(one: World, cast: dict[str, Any]) -> None:
    chat, mod = cast["chat"], cast["mod"]
    message = await said(one, cast["ann"], chat, "hm")
    pin = f"/api/chats/{chat}/messages/{message}/pin"
    assert (await one.rest(mod, "PUT", pin))[0] == 200
    assert (await one.rest(cast["owner"], "PUT", f"/api/chats/{chat}/members/{mod}/mute", {}))[0] == 200
    assert (await one.rest(mod, "DELETE", pin))[1]["code"] == "muted"
    assert (await one.rest(cast["owner"], "DELETE", pin))[0] == 200
    assert (await one.rest(mod, "PUT", pin))[1]["code"] == "muted"


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
    await node_refresh(one.nodes[0])
    assert (await phone.say(chat, "hi"))["code"] == "muted"
    assert (await one.rest(cast["staff"], "DELETE", mute))[0] == 204
    await node_refresh(one.nodes[0])
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


async def test_power_used_outside_the_moderation_room_is_in_the_audit_too(
    one: World, cast: dict[str, Any]
) -> None:
    chat, ann, bob, owner, mod = (cast[name] for name in ("chat", "ann", "bob", "owner", "mod"))
    own, other = await said(one, ann, chat, "mine"), await said(one, ann, chat, "rude")
    assert (await one.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{own}"))[0] == 200
    assert (await one.rest(mod, "DELETE", f"/api/chats/{chat}/messages/{other}"))[0] == 200
    assert (await one.rest(mod, "DELETE", f"/api/chats/{chat}/messages/{other}"))[0] == 200, "twice is once"
    assert (await one.rest(owner, "PUT", f"/api/chats/{chat}/members/{bob}", {"role": "moderator"}))[0] == 200
    assert (await one.rest(owner, "DELETE", f"/api/chats/{chat}/members/{ann}"))[0] == 204
    assert (await one.rest(bob, "DELETE", f"/api/chats/{chat}/members/me"))[0] == 204
    assert (await one.rest(ann, "PATCH", "/api/users/me", {"bio": "mine"}))[0] == 200
    assert (await one.rest(cast["admin"], "PATCH", f"/api/users/{ann}", {"bio": None, "city": "Rome"}))[
        0
    ] == 200
    _, log = await one.rest(cast["admin"], "GET", "/api/moderation/audit")
    deeds = [(e["actor_id"], e["action"], e["target_id"], e["detail"]) for e in reversed(log["items"])]
    assert deeds == [
        (owner, "member.role", mod, {"before": "member", "after": "moderator"}),
        (mod, "message.deleted", other, {"author_id": ann}),
        (owner, "member.role", bob, {"before": "member", "after": "moderator"}),
        (owner, "member.removed", ann, {}),
        (cast["admin"], "user.profile", ann, {"fields": ["bio", "city"]}),
    ]
    assert {e["chat_id"] for e in log["items"]} == {chat, None}


# ------------------------------------------------------------------------------------------------ filters


async def test_filters_flag_hide_block_and_silence(one: World, cast: dict[str, Any]) -> None:
    chat, ann, admin = cast["chat"], cast["ann"], cast["admin"]
    phone = await one.phone(cast["bob"])
    for action, word in (("flag", "drat"), ("hide", "darn"), ("block", "heck"), ("silence", "blast")):
        config = {"kind": "words", "words": [word], "silence_s": 600}
        await with_filter(one, admin, name=action, action=action, config=config)

    await say(one, ann, chat, "oh dr4t")
    seen = (await phone.event("message.new", seq=2))["message"]
    assert (seen["moderation_status"], seen["content"]["text"]) == ("flagged", "oh dr4t")
    await say(one, ann, chat, "oh d a r n")
    seen = (await phone.event("message.new", seq=3))["message"]
    assert (seen["moderation_status"], seen["content"]) == ("hidden", {"type": "tombstone"})
    assert next(m["content"] for m in await history(one, ann, chat)) == {"type": "tombstone"}
    assert (await say(one, ann, chat, "oh hеck"))[1]["code"] == "blocked"  # noqa: RUF001
    first = await say(one, ann, chat, "fine")
    edit = {"content": {"type": "text", "text": "heck"}}
    path = f"/api/chats/{chat}/messages/{first[1]['message_id']}"
    assert (await one.rest(ann, "PATCH", path, edit))[1]["code"] == "blocked"
    edit = {"content": {"type": "text", "text": "darn"}}
    status, edited = await one.rest(ann, "PATCH", path, edit)
    assert (status, edited["content"]) == (200, {"type": "tombstone"})
    assert (await say(one, ann, chat, "blast"))[1]["code"] == "muted"
    assert (await say(one, ann, chat, "sorry"))[1]["code"] == "muted"
    assert (await say(one, ann, chat, "oh dr4t"))[0] == 200, "a repeat gets its first ack for ever"

    _, queue = await one.rest(cast["staff"], "GET", f"/api/moderation/cases?chat_id={chat}")
    assert [(c["source"], c["reason"]) for c in queue["items"]] == [
        ("filter", "flag"),
        ("filter", "hide"),
        ("filter", "hide"),
    ]
    assert queue["items"][1]["snapshot"]["text"] == "oh d a r n"
    case = queue["items"][1]["id"]
    assert (await one.rest(cast["mod"], "POST", f"/api/moderation/cases/{case}/dismiss", {}))[0] == 200
    restored = await phone.event("message.update", seq=7)
    assert restored["message"]["content"]["text"] == "oh d a r n", "a filter's mistake is undone"
    _, log = await one.rest(admin, "GET", f"/api/moderation/audit?target_user_id={ann}")
    assert [(e["actor_id"], e["action"], e["detail"]["filter"]) for e in log["items"]] == [
        (None, "member.muted", "silence")
    ]


async def test_only_admins_change_filters(one: World, cast: dict[str, Any]) -> None:
    body = {"name": "mine", "action": "flag", "config": {"kind": "flood", "messages": 3, "within_s": 10}}
    path = "/api/moderation/filters"
    for who in ("owner", "stranger", "staff"):
        assert (await one.rest(cast[who], "POST", path, body))[0] == 403
    admin = cast["admin"]
    status, made = await one.rest(admin, "POST", path, body)
    assert status == 201
    assert (await one.rest(admin, "POST", path, body))[0] == 409, "the name is taken"
    changed = {**body, "enabled": False, "config": {"kind": "words", "words": ["x"]}}
    status, now = await one.rest(admin, "PUT", f"{path}/{made['id']}", changed)
    assert (status, now["enabled"], now["config"]["words"]) == (200, False, ["x"])
    assert (await one.rest(admin, "POST", path, {**body, "config": {"kind": "magic"}}))[0] == 422
    assert (await one.rest(cast["staff"], "DELETE", f"{path}/{made['id']}"))[0] == 403
    assert (await one.rest(admin, "DELETE", f"{path}/{made['id']}"))[0] == 204
    assert (await one.rest(admin, "DELETE", f"{path}/{made['id']}"))[0] == 404
    assert (await one.rest(admin, "PUT", f"{path}/{made['id']}", body))[0] == 404
    _, log = await one.rest(admin, "GET", f"/api/moderation/audit?actor_id={admin}")
    assert [e["action"] for e in log["items"]] == ["filter.removed", "filter.changed", "filter.created"]
    _, page = await one.rest(admin, "GET", f"/api/moderation/audit?actor_id={admin}&limit=2")
    _, rest = await one.rest(
        admin, "GET", f"/api/moderation/audit?actor_id={admin}&limit=2&cursor={page['next_cursor']}"
    )
    assert [e["action"] for e in rest["items"]] == ["filter.created"]


async def test_the_audit_log_takes_no_change(one: World, cast: dict[str, Any]) -> None:
    await with_filter(one, cast["admin"], config={"kind": "words", "words": ["x"]})
    async with one.nodes[0].db.connection() as connection:
        for statement in (
            "UPDATE audit_log SET action = 'nothing'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        grants = await connection.fetch(
            "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_name = 'audit_log'"
        )
    assert {privilege for (privilege,) in grants}.isdisjoint({"UPDATE", "DELETE", "TRUNCATE"})


# --------------------------------------------------------------------------------------------- classifier


@pytest.fixture
async def service() -> AsyncIterator[Any]:
    """A service that speaks comments:analyze on a local wire."""
    scores = {"meh": 0.85, "vile": 0.99}
    asked: list[Any] = []
    answers = {"status": 200}

    async def analyze(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.query.get("key"), body))
        if answers["status"] != 200:
            return web.Response(status=answers["status"])
        value = scores.get(body["comment"]["text"], 0.1)
        attributes = {
            name: {"summaryScore": {"value": value if name == "THREAT" else 0.0}}
            for name in body["requestedAttributes"]
        }
        return web.json_response({"attributeScores": attributes})

    app = web.Application()
    app.router.add_post("/v1alpha1/comments:analyze", analyze)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    class Service:
        url = f"http://127.0.0.1:{port}/v1alpha1/comments:analyze"

    Service.asked, Service.answers = asked, answers  # type: ignore[attr-defined]
    yield Service
    await runner.cleanup()


async def test_the_classifier_flags_and_hides_after_the_message_was_sent(
    settings: Settings, service: Any
) -> None:
    secrets = msgspec.structs.replace(settings.secrets, classifier_key="the-key")
    classifying = Moderation(classifier_url=service.url, classifier_timeout_s=PATIENCE_S)
    settings = msgspec.structs.replace(settings, moderation=classifying, secrets=secrets)
    async with world(settings, 1) as one:
        ann, bob = await one.users(2)
        chat = await one.group(ann, bob)
        phone = await one.phone(bob)
        fine, meh, vile = [await said(one, ann, chat, text) for text in ("fine", "meh", "vile")]
        assert (await phone.event("message.new", seq=3))["message"]["moderation_status"] == "visible"
        flagged = await phone.event("system.moderation", message_id=meh)
        assert (flagged["action"], flagged["reason"]) == ("flagged", "threat")
        hidden = await phone.event("system.moderation", message_id=vile)
        assert hidden["action"] == "hidden"
        states = {m["id"]: (m["moderation_status"], m["content"]) for m in await history(one, bob, chat)}
        assert states[fine][0] == "visible"
        assert states[meh][0] == "flagged"
        assert states[vile] == ("hidden", {"type": "tombstone"})
        assert {key for key, _ in service.asked} == {"the-key"}
        count = "SELECT count(*) FROM moderation_cases WHERE source = 'classifier'"
        assert await one.nodes[0].db.one(int, count) == 2


async def test_a_classifier_that_is_away_is_asked_again_and_then_given_up(
    settings: Settings, service: Any
) -> None:
    service.answers["status"] = 503
    classifying = Moderation(classifier_url=service.url, classifier_timeout_s=1, classifier_attempts=2)
    async with world(msgspec.structs.replace(settings, moderation=classifying), 1) as one:
        ann, bob = await one.users(2)
        chat = await one.group(ann, bob)
        await said(one, ann, chat, "vile")
        db = one.nodes[0].db
        for attempts in (1, 2):
            async with asyncio.timeout(PATIENCE_S):
                while await db.one(int, "SELECT coalesce(max(attempts), 9) FROM moderation_scans") < attempts:
                    await classifier.work(one.nodes[0].ctx)
            await db.run("UPDATE moderation_scans SET due_at = now()")
        async with asyncio.timeout(PATIENCE_S):
            while await db.one(int, "SELECT count(*) FROM moderation_scans"):
                await classifier.work(one.nodes[0].ctx)
        assert (await history(one, bob, chat))[0]["moderation_status"] == "visible", "sent all the same"
