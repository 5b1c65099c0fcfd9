"""A conversation as protocol.md tells it, over one node and two."""

import asyncio

from tests.system.world import World


async def test_a_message_is_acked_and_then_reaches_every_socket_of_every_member(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, a2, b = (await two.phone(ann), await two.phone(ann, node=1), await two.phone(bob, node=1))

    ack = await a.say(chat, "hello", "tmp-1")

    assert ack["type"] == "ack"
    assert ack["seq"] == 1
    assert ack["duplicate"] is False
    for phone in (a, a2, b):
        new = await phone.event("message.new", seq=1)
        assert new["message"]["content"] == {"type": "text", "text": "hello", "attachments": []}
        assert new["message"]["sender_id"] == ann
        assert new["message"]["id"] == ack["message_id"]
    types = [f["type"] for f in a.frames]
    assert types.index("ack") < types.index("message.new")


async def test_a_repeat_gets_the_first_ack_and_no_broadcast(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    first = await a.say(chat, "once", "same")
    again = await (await two.phone(ann, node=1)).say(chat, "once", "same")
    other = await a.say(chat, "something else", "same")
    assert again["duplicate"] is True
    assert {k: again[k] for k in ("message_id", "seq", "ack_token", "sent_at")} == {
        k: first[k] for k in ("message_id", "seq", "ack_token", "sent_at")
    }
    assert other["type"] == "error"
    assert other["code"] == "conflict"
    await a.say(chat, "two")
    await b.event("message.new", seq=2)
    assert b.seqs(chat) == [1, 2]


async def test_many_senders_on_two_nodes_make_one_order_without_holes(two: World) -> None:
    users = await two.users(6)
    chat = await two.group(*users)
    phones = [await two.phone(u, node=i % 2) for i, u in enumerate(users)]
    await asyncio.gather(*(p.say(chat, f"{i}") for p in phones for i in range(30)))
    for phone in phones:
        await phone.event("message.new", seq=180)
        assert phone.seqs(chat) == list(range(1, 181))


async def test_edit_delete_and_reactions_take_the_next_seq(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    mid = (await a.say(chat, "helo"))["message_id"]
    content = {"type": "text", "text": "hello"}
    assert (await a.call("message.edit", chat_id=chat, message_id=mid, content=content))["type"] == "ack"
    assert (await b.call("reaction.add", chat_id=chat, message_id=mid, emoji="👍"))["type"] == "ack"
    assert (await b.call("reaction.add", chat_id=chat, message_id=mid, emoji="👍"))["type"] == "ack"
    assert (await a.call("message.delete", chat_id=chat, message_id=mid))["type"] == "ack"
    await b.event("message.delete", seq=4)
    updates = b.seen("message.update")
    assert [u["seq"] for u in updates] == [2, 3]
    assert updates[0]["message"]["content"]["text"] == "hello"
    assert updates[1]["message"]["reactions"] == [{"emoji": "👍", "count": 1, "user_ids": [bob]}]
    status, history = await two.rest(bob, "GET", f"/api/chats/{chat}/messages")
    assert status == 200
    assert history["messages"][0]["content"] == {"type": "tombstone"}
    assert history["messages"][0]["reactions"] == []


async def test_receipts_typing_and_unread_counts(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    for i in range(3):
        last = await a.say(chat, f"{i}")
    await b.event("message.new", seq=3)
    await b.call("delivery.received", chat_id=chat, message_id=last["message_id"])
    got = await a.event("delivery.received", user_id=bob)
    assert got["seq"] == 3
    assert (await two.rest(bob, "GET", "/api/chats"))[1]["items"][0]["unread_count"] == 3
    await b.call("delivery.read", chat_id=chat, last_read_message_id=last["message_id"])
    read = await a.event("delivery.read", user_id=bob)
    assert read["last_read_seq"] == 3
    assert (await two.rest(bob, "GET", "/api/chats"))[1]["items"][0]["unread_count"] == 0
    await b.send("typing.start", chat_id=chat)
    await a.event("typing.start", user_id=bob)
    await b.send("typing.stop", chat_id=chat)
    await a.event("typing.stop", user_id=bob)
    assert not b.seen("typing.start")


async def test_a_socket_resumes_with_since(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    await a.say(chat, "1")
    await b.event("message.new", seq=1)
    await b.close()
    for i in range(2, 12):
        await a.say(chat, f"{i}")
    b = await two.phone(bob, since={chat: 1})
    await b.event("sync.complete")
    assert b.seqs(chat) == list(range(2, 12))
    await a.say(chat, "12")
    await b.event("message.new", seq=12)
    assert b.seqs(chat) == list(range(2, 13))


async def test_a_new_member_is_in_at_once(two: World) -> None:
    ann, bob, eve = await two.users(3)
    a, b, e = await two.phone(ann), await two.phone(bob, node=1), await two.phone(eve, node=1)
    chat = await two.group(ann, bob)
    await b.event("chat.joined")
    await a.say(chat, "before")
    await b.event("message.new", seq=1)
    await two.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [eve]})
    joined = await e.event("chat.joined")
    assert joined["chat"]["id"] == chat
    assert joined["chat"]["head_seq"] == 2
    await a.say(chat, "after")
    await e.event("message.new", seq=3)
    assert e.seqs(chat) == [3]
    await two.rest(ann, "DELETE", f"/api/chats/{chat}/members/{eve}")
    left = await e.event("chat.left")
    assert left == {"type": "chat.left", "chat_id": chat, "reason": "removed"}
    error = await e.say(chat, "still here?")
    assert error["code"] == "chat_not_found"


async def test_presence_is_seen_over_nodes(two: World) -> None:
    ann, bob, eve = await two.users(3)
    await two.group(ann, bob)
    a = await two.phone(ann)
    state = await a.call("presence.watch", user_ids=[bob, eve])
    assert state["type"] == "presence.state"
    assert [(u["user_id"], u["status"]) for u in state["users"]] == [(bob, "offline")]
    b = await two.phone(bob, node=1)
    await a.event("presence.update", user_id=bob, status="online")
    await b.call("presence.set", status="away")
    await a.event("presence.update", user_id=bob, status="away")
    await b.call("presence.set", status="invisible")
    await a.event("presence.update", user_id=bob, status="offline")


async def test_what_one_socket_says_happens_in_that_order(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    mid = (await a.say(chat, "x"))["message_id"]
    for i in range(20):
        for what in ("reaction.add", "reaction.remove"):
            await a.send(what, chat_id=chat, message_id=mid, emoji=f"{i}")
    await a.call("reaction.add", chat_id=chat, message_id=mid, emoji="last")
    _, history = await one.rest(bob, "GET", f"/chats/{chat}/messages")
    assert [r["emoji"] for r in history["messages"][0]["reactions"]] == ["last"]
