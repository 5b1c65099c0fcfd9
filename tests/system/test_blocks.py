"""Blocks and privacy: nothing passes between two where one wants nothing, and nobody is told."""

import asyncio
from typing import Any

import pytest

from tests.system.calls import direct, opened
from tests.system.world import Phone, World


async def presence(world: World, viewer: str, user: str) -> tuple[str, Any]:
    _, answer = await world.rest(viewer, "GET", f"/api/presence?user_ids={user}")
    (found,) = answer["users"]
    return found["status"], found["last_active_at"]


async def quiet(phone: Phone, since: int, *types: str) -> bool:
    """Whether none of these frames came after the first ``since``."""
    await phone.fence()
    return not [f for f in phone.frames[since:] if f["type"] in types]


async def test_a_block_ends_direct_messages_both_ways(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await opened(two, ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    first = await a.say(chat, "hi")
    await b.event("message.new", seq=1)
    seen_before = len(b.frames)
    assert (await two.rest(ann, "PUT", f"/api/blocks/{bob}"))[0] == 204
    assert (await two.rest(ann, "PUT", f"/api/blocks/{bob}"))[0] == 204, "twice is once"
    for phone in (a, b):
        assert (await phone.say(chat, "hello?"))["code"] == "blocked"
    body = {"client_message_id": "rest", "content": {"type": "text", "text": "hello?"}}
    assert (await two.rest(bob, "POST", f"/api/chats/{chat}/messages", body))[1]["code"] == "blocked"
    message = first["message_id"]
    react = await b.call("reaction.add", chat_id=chat, message_id=message, emoji="👍")
    assert react["code"] == "blocked"
    content = {"type": "text", "text": "you there"}
    edit = await a.call("message.edit", chat_id=chat, message_id=message, content=content)
    assert edit["code"] == "blocked"
    pin = await two.rest(bob, "PUT", f"/api/chats/{chat}/messages/{message}/pin")
    assert pin[1]["code"] == "blocked"
    again = await a.say(chat, "hi", first["client_message_id"])
    assert (again["type"], again["duplicate"]) == ("ack", True), "a retry is safe for ever"
    assert (await direct(two, bob, ann))[0] == 200, "the chat is as it was"
    assert await quiet(b, seen_before, "chat.left", "chat.updated", "message.new", "system.moderation")

    assert (await two.rest(bob, "GET", "/api/blocks"))[1]["items"] == [], "who is blocked is not told"
    assert [each["user_id"] for each in (await two.rest(ann, "GET", "/api/blocks"))[1]["items"]] == [bob]
    assert (await two.rest(bob, "DELETE", f"/api/blocks/{ann}"))[0] == 204
    assert (await b.say(chat, "hello?"))["code"] == "blocked", "only who blocked can take it back"
    assert (await two.rest(ann, "DELETE", f"/api/blocks/{bob}"))[0] == 204
    assert (await b.say(chat, "back"))["type"] == "ack"
    await a.event("message.new", seq=2)


async def test_a_block_ends_presence_for_who_is_watching_and_who_asks(two: World) -> None:
    ann, bob, eve = await two.users(3)
    await two.group(ann, bob, eve)
    a, b, e = await two.phone(ann), await two.phone(bob, node=1), await two.phone(eve)
    for watcher, others in ((b, [ann, eve]), (a, [bob]), (e, [ann, bob])):
        await watcher.call("presence.watch", user_ids=others)
        await watcher.wait(
            lambda f: (
                (f["type"] == "presence.update" and f["status"] == "online")
                or (f["type"] == "presence.state" and {u["status"] for u in f["users"]} == {"online"})
            )
        )
    await two.rest(ann, "PUT", f"/api/blocks/{bob}")
    gone = await b.event("presence.update", user_id=ann, status="offline")
    assert gone["last_active_at"] is None
    await a.event("presence.update", user_id=bob, status="offline")
    marks = len(b.frames), len(a.frames)
    await a.call("presence.set", status="away")
    await b.call("presence.set", status="away")
    await e.event("presence.update", user_id=ann, status="away")
    await e.event("presence.update", user_id=bob, status="away")
    assert await quiet(b, marks[0], "presence.update")
    assert await quiet(a, marks[1], "presence.update")
    assert await presence(two, bob, ann) == ("offline", None)
    assert await presence(two, ann, bob) == ("offline", None)
    assert (await presence(two, eve, ann))[0] == "away"
    state = await b.call("presence.watch", user_ids=[ann, eve])
    states = {u["user_id"]: u["status"] for u in state["users"]}
    assert states == {ann: "offline", eve: "online"}
    _, profile = await two.rest(bob, "GET", f"/api/users/{ann}")
    assert profile["last_active_at"] is None


async def test_a_block_ends_typing_and_receipts_in_groups_too(two: World) -> None:
    ann, bob, eve = await two.users(3)
    chat = await two.group(ann, bob, eve)
    a, b, e = await two.phone(ann), await two.phone(bob, node=1), await two.phone(eve, node=1)
    await two.rest(ann, "PUT", f"/api/blocks/{bob}")
    message = (await a.say(chat, "to all"))["message_id"]
    await b.event("message.new", seq=1)
    assert (await b.say(chat, "to all, too"))["type"] == "ack", "a group goes on"
    await a.event("message.new", seq=2)

    await b.call("typing.start", chat_id=chat)
    await b.call("delivery.received", chat_id=chat, message_id=message)
    await b.call("delivery.read", chat_id=chat, last_read_message_id=message)
    await e.event("typing.start", user_id=bob)
    await e.event("delivery.read", user_id=bob)
    await b.call("typing.stop", chat_id=chat)
    await e.event("typing.stop", user_id=bob)
    await e.call("delivery.read", chat_id=chat, last_read_message_id=message)
    await a.event("delivery.read", user_id=eve)
    assert not [f for f in a.frames if f.get("user_id") == bob and f["type"] != "message.new"]

    late = await two.phone(ann, since={chat: 0})
    await late.event("sync.complete")
    assert {f["user_id"] for f in late.seen("delivery.read")} == {eve}
    _, history = await two.rest(ann, "GET", f"/api/chats/{chat}/messages")
    assert history["messages"][-1]["delivery"]["read_by"] == [eve]
    _, detail = await two.rest(ann, "GET", f"/api/chats/{chat}")
    assert {m["user_id"]: m["last_read_seq"] for m in detail["members"]}[bob] == 0
    _, detail = await two.rest(eve, "GET", f"/api/chats/{chat}")
    assert {m["user_id"]: m["last_read_seq"] for m in detail["members"]}[bob] == 1


async def test_a_block_ends_being_called_by_name(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(bob, ann, eve)
    for sender in (bob, eve):
        for number, mention in enumerate(({"mentions": [ann]}, {"mentions_all": True})):
            content = {"type": "text", "text": "Ann!", **mention}
            if sender == eve and "mentions_all" in mention:
                continue
            body = {"client_message_id": f"{sender}{number}", "content": content}
            assert (await one.rest(sender, "POST", f"/api/chats/{chat}/messages", body))[0] == 202

    async def callers(who: str) -> list[str]:
        status, found = await one.rest(who, "GET", "/api/mentions")
        assert status == 200
        return sorted(each["sender_id"] for each in found["items"])

    assert await callers(ann) == sorted([bob, bob, eve])
    await one.rest(bob, "PUT", f"/api/blocks/{ann}")
    assert await callers(ann) == [eve]
    assert await callers(eve) == [bob], "others hear as before"
    await one.rest(bob, "DELETE", f"/api/blocks/{ann}")
    assert await callers(ann) == sorted([bob, bob, eve])


async def test_a_group_is_no_way_around_a_block(one: World) -> None:
    ann, bob, eve = await one.users(3)
    await one.rest(ann, "PUT", f"/api/blocks/{bob}")
    assert (await direct(one, bob, ann))[1]["code"] == "blocked"
    assert (await direct(one, ann, bob))[1]["code"] == "blocked"
    for maker, other in ((bob, ann), (ann, bob)):
        body = {"type": "group", "member_ids": [other, eve]}
        assert (await one.rest(maker, "POST", "/api/chats", body))[1]["code"] == "blocked"
        chat = await one.group(maker, eve)
        path = f"/api/chats/{chat}/members"
        assert (await one.rest(maker, "POST", path, {"user_ids": [other]}))[1]["code"] == "blocked"


async def test_blocks_are_asked_of_whom_they_are_about(one: World) -> None:
    (ann, *others) = await one.users(4)
    assert (await one.rest(ann, "PUT", f"/api/blocks/{ann}"))[0] == 403
    nobody = "usr_01h455vb4pex5vsknk084sn02q"
    assert (await one.rest(ann, "PUT", f"/api/blocks/{nobody}"))[1]["code"] == "user_not_found"
    assert (await one.rest(ann, "PUT", "/api/blocks/bob"))[1]["code"] == "validation_failed"
    assert (await one.rest(None, "PUT", f"/api/blocks/{ann}"))[0] == 401
    for other in others:
        await one.rest(ann, "PUT", f"/api/blocks/{other}")
    _, first = await one.rest(ann, "GET", "/api/blocks?limit=2")
    _, second = await one.rest(ann, "GET", f"/api/blocks?limit=2&cursor={first['next_cursor']}")
    assert [b["user_id"] for b in first["items"] + second["items"]] == sorted(others)
    assert second["next_cursor"] is None


@pytest.mark.parametrize("first", ["block", "send"])
async def test_a_block_and_a_send_at_once_have_an_order(one: World, first: str) -> None:
    ann, bob = await one.users(2)
    chat = await opened(one, ann, bob)
    phone = await one.phone(bob)
    calls = [one.rest(ann, "PUT", f"/api/blocks/{bob}"), *(phone.say(chat, f"{i}") for i in range(20))]
    answers = await asyncio.gather(*(calls if first == "block" else calls[::-1]))
    acked = [a["seq"] for a in answers if isinstance(a, dict) and a["type"] == "ack"]
    refused = [a["code"] for a in answers if isinstance(a, dict) and a["type"] == "error"]
    assert sorted(acked) == list(range(1, len(acked) + 1))
    assert set(refused) <= {"blocked"}
    assert (await phone.say(chat, "after"))["code"] == "blocked"


async def test_the_settings_have_defaults_and_change_one_by_one(one: World) -> None:
    (ann,) = await one.users(1)
    everyone = dict.fromkeys(("last_seen", "messages_from", "profile"), "everyone")
    defaults = {**everyone, "read_receipts": True}
    assert await one.rest(ann, "GET", "/api/privacy") == (200, defaults)
    changed = {**defaults, "last_seen": "nobody"}
    assert await one.rest(ann, "PATCH", "/api/privacy", {"last_seen": "nobody"}) == (200, changed)
    changed["read_receipts"] = False
    assert await one.rest(ann, "PATCH", "/api/privacy", {"read_receipts": False}) == (200, changed)
    assert await one.rest(ann, "GET", "/api/privacy") == (200, changed)
    assert (await one.rest(ann, "PATCH", "/api/privacy", {"last_seen": "friends"}))[0] == 422


async def test_last_seen_is_shown_to_whom_its_owner_shows_it(two: World) -> None:
    ann, friend, stranger = await two.users(3)
    await two.group(ann, friend)
    await two.nodes[0].db.run("UPDATE users SET last_active_at = now() WHERE id = $1", ann)

    async def profile(viewer: str) -> bool:
        _, found = await two.rest(viewer, "GET", f"/api/users/{ann}")
        return found["last_active_at"] is not None

    assert [await profile(v) for v in (ann, friend, stranger)] == [True, True, True]
    await two.rest(ann, "PATCH", "/api/privacy", {"last_seen": "shared_chats"})
    assert [await profile(v) for v in (ann, friend, stranger)] == [True, True, False]
    assert (await presence(two, friend, ann))[1] is not None
    watching, a = await two.phone(friend, node=1), await two.phone(ann)
    await watching.call("presence.watch", user_ids=[ann])
    await two.rest(ann, "PATCH", "/api/privacy", {"last_seen": "nobody"})
    assert [await profile(v) for v in (ann, friend, stranger)] == [True, False, False]
    await two.nodes[1].feed._read()  # the row is there: no need to wait for its poke
    await a.call("presence.set", status="away")
    update = await watching.event("presence.update", user_id=ann, status="away")
    assert update["last_active_at"] is None
    assert await presence(two, friend, ann) == ("away", None)


async def test_read_receipts_that_are_off_are_seen_by_oneself_alone(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await opened(two, ann, bob)
    a, b, tablet = await two.phone(ann), await two.phone(bob, node=1), await two.phone(bob)
    await two.rest(bob, "PATCH", "/api/privacy", {"read_receipts": False})
    message = (await a.say(chat, "hi"))["message_id"]
    await b.event("message.new", seq=1)
    await b.call("delivery.read", chat_id=chat, last_read_message_id=message)
    await tablet.event("delivery.read", user_id=bob)
    await a.say(chat, "more")
    await a.event("message.new", seq=2)
    assert not a.seen("delivery.read")
    late = await two.phone(ann, since={chat: 0})
    await late.event("sync.complete")
    assert not late.seen("delivery.read")
    assert late.seen("delivery.received"), "that it came is no secret"
    _, history = await two.rest(ann, "GET", f"/api/chats/{chat}/messages")
    assert history["messages"][-1]["delivery"] == {"status": "delivered", "read_by": [], "read_count": 0}
    _, chats = await two.rest(bob, "GET", "/api/chats")
    assert chats["items"][0]["unread_count"] == 1, "one's own count goes on"


async def test_nobody_may_write_to_who_wants_no_messages(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await opened(one, ann, bob)
    a, b = await one.phone(ann), await one.phone(bob)
    await one.rest(bob, "PATCH", "/api/privacy", {"messages_from": "nobody"})
    assert (await a.say(chat, "hi"))["code"] == "blocked"
    assert (await b.say(chat, "hi"))["type"] == "ack", "whom one writes to oneself is another thing"
    assert (await direct(one, eve, bob))[1]["code"] == "blocked"
    await one.rest(bob, "PATCH", "/api/privacy", {"messages_from": "everyone"})
    assert (await a.say(chat, "hi"))["type"] == "ack"


async def test_a_stranger_who_says_much_at_once_is_heard_no_further(one: World) -> None:
    ann, bob = await one.users(2)
    await one.rest(bob, "PATCH", "/api/privacy", {"messages_from": "shared_chats"})
    chat = await opened(one, ann, bob)
    a = await one.phone(ann)
    # They come to PostgreSQL in one round, which has seen none of them before.
    answers = await asyncio.gather(*(a.say(chat, f"{i}", f"at-once-{i}") for i in range(30)))
    outcomes = [answer.get("code", answer["type"]) for answer in answers]
    assert outcomes == ["ack"] * 5 + ["blocked"] * 25


async def test_a_stranger_asks_first(two: World) -> None:
    ann, bob = await two.users(2)
    await two.rest(bob, "PATCH", "/api/privacy", {"messages_from": "shared_chats"})
    b = await two.phone(bob, node=1)
    chat = await opened(two, ann, bob)
    assert (await b.event("request.new"))["from_id"] == ann
    a = await two.phone(ann)
    assert (await two.rest(bob, "GET", "/api/message-requests"))[1]["items"] == [], "nothing was said yet"
    acks = [await a.say(chat, f"{i}") for i in range(5)]
    assert [ack["seq"] for ack in acks] == [1, 2, 3, 4, 5]
    assert (await a.say(chat, "answer me"))["code"] == "blocked"
    assert (await a.say(chat, "4", acks[4]["client_message_id"]))["duplicate"] is True

    assert await quiet(b, 0, "chat.joined", "message.new")
    assert (await two.rest(bob, "GET", "/api/chats"))[1]["items"] == []
    assert (await two.rest(bob, "GET", f"/api/chats/{chat}"))[1]["code"] == "chat_not_found"
    assert (await b.call("typing.start", chat_id=chat))["code"] == "chat_not_found"
    _, answer = await two.rest(ann, "GET", f"/api/presence?user_ids={bob}")
    assert answer["users"] == [], "a request shows a stranger nothing"
    _, requests = await two.rest(bob, "GET", "/api/message-requests")
    (request,) = requests["items"]
    assert (request["chat_id"], request["from_id"]) == (chat, ann)
    assert [m["content"]["text"] for m in request["messages"]] == ["0", "1", "2", "3", "4"]
    assert (await two.rest(ann, "POST", f"/api/message-requests/{chat}/accept"))[0] == 404, "not hers"

    status, accepted = await two.rest(bob, "POST", f"/api/message-requests/{chat}/accept")
    assert (status, accepted["unread_count"], accepted["peer_id"]) == (200, 5, ann)
    await b.event("chat.joined")
    assert b.seqs(chat) == [1, 2, 3, 4, 5]
    assert (await two.rest(bob, "POST", f"/api/message-requests/{chat}/accept"))[0] == 200, "twice is once"
    assert (await two.rest(bob, "POST", f"/api/message-requests/{chat}/decline"))[0] == 409
    assert (await a.say(chat, "thanks"))["seq"] == 6
    await b.event("message.new", seq=6)
    assert (await b.say(chat, "welcome"))["seq"] == 7


async def test_a_declined_stranger_is_not_told(one: World) -> None:
    ann, bob = await one.users(2)
    await one.rest(bob, "PATCH", "/api/privacy", {"messages_from": "shared_chats"})
    chat = await opened(one, ann, bob)
    a = await one.phone(ann)
    await a.say(chat, "hi")
    assert (await one.rest(bob, "POST", f"/api/message-requests/{chat}/decline"))[0] == 204
    assert (await one.rest(bob, "GET", "/api/message-requests"))[1]["items"] == []
    assert (await a.say(chat, "hi?"))["type"] == "ack"
    assert (await direct(one, ann, bob))[0] == 200
    status, opened_chat = await direct(one, bob, ann)
    assert (status, opened_chat["id"]) == (200, chat), "who writes first after all has accepted"
    assert (await (await one.phone(bob)).say(chat, "hello"))["seq"] == 3


async def test_who_shares_a_chat_need_not_ask(one: World) -> None:
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    await one.rest(bob, "PATCH", "/api/privacy", {"messages_from": "shared_chats"})
    chat = await opened(one, ann, bob)
    assert (await (await one.phone(ann)).say(chat, "hi"))["type"] == "ack"
    assert (await one.rest(bob, "GET", f"/api/chats/{chat}"))[0] == 200
    assert (await one.rest(bob, "GET", "/api/message-requests"))[1]["items"] == []
