"""Replies with previews, threads, mentions, pins, forwards and earlier versions, as clients meet them."""

import asyncio

from tests.system.calls import history, post, said
from tests.system.world import Frame, Phone, World


async def new(phone: Phone, message_id: str) -> Frame:
    """The message as message.new brought it."""
    frame = await phone.wait(lambda f: f["type"] == "message.new" and f["message"]["id"] == message_id)
    return dict(frame["message"])


# -------------------------------------------------------------------------------------------- plain sends


async def test_a_plain_message_has_the_fields_of_the_contract_and_no_others(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b = await one.phone(bob)
    mid = await said(one, ann, chat, "hello", content_mentions=[], content_mentions_all=False)
    message = await new(b, mid)
    assert set(message) == {
        *("id", "chat_id", "seq", "updated_seq", "sender_id", "client_message_id", "content", "reply_to"),
        *("reactions", "sent_at", "edited_at", "deleted_at", "moderation_status"),
    }
    assert message["content"] == {"type": "text", "text": "hello", "attachments": []}


# ------------------------------------------------------------------------------------- replies, threads


async def test_a_reply_shows_what_it_quotes_and_is_the_same_live_and_in_history(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    b = await two.phone(bob, node=1)
    first = await said(two, ann, chat, "q" * 200)
    reply = await said(two, bob, chat, "an answer", reply_to=first)
    live = await new(b, reply)
    assert live["reply_preview"] == {"message_id": first, "sender_id": ann, "text": "q" * 140}
    assert live["thread_id"] == first
    assert (await history(two, ann, chat))[reply] == live


async def test_a_preview_follows_an_edit_and_forgets_what_was_deleted_or_hidden(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    first = await said(one, ann, chat, "secret one")
    other = await said(one, ann, chat, "secret two")
    reply = await said(one, bob, chat, "to one", reply_to=first)
    to_other = await said(one, bob, chat, "to two", reply_to=other)
    edited = {"content": {"type": "text", "text": "said better"}}
    assert (await one.rest(ann, "PATCH", f"/api/chats/{chat}/messages/{first}", edited))[0] == 200
    assert (await history(one, bob, chat))[reply]["reply_preview"]["text"] == "said better"
    assert (await one.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{first}"))[0] == 200
    await one.nodes[0].db.run("UPDATE chat_messages SET moderation_status = 'hidden' WHERE id = $1", other)
    shown = await history(one, bob, chat)
    assert shown[reply]["reply_preview"] == {"message_id": first, "sender_id": ann, "text": None}
    assert shown[to_other]["reply_preview"]["text"] is None
    late = await said(one, bob, chat, "late", reply_to=first)
    assert (await history(one, bob, chat))[late]["reply_preview"]["text"] is None


async def test_a_chain_of_replies_is_one_thread_however_many_answer_at_once(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    root = await said(two, ann, chat, "root")
    second = await said(two, bob, chat, "second", reply_to=root)
    await asyncio.gather(
        *(said(two, ann, chat, f"more {i}", reply_to=second if i % 2 else root) for i in range(20))
    )
    shown = await history(two, bob, chat)
    assert {m["thread_id"] for m in shown.values() if m["reply_to"]} == {root}
    assert shown[root]["thread"]["reply_count"] == 21
    assert shown[root]["thread"]["last_reply_seq"] == max(m["seq"] for m in shown.values())
    assert "thread_id" not in shown[root]
    assert (await two.rest(bob, "DELETE", f"/api/chats/{chat}/messages/{second}"))[0] == 200
    assert (await history(two, bob, chat))[root]["thread"]["reply_count"] == 20


async def test_a_repeated_reply_is_counted_once(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    root = await said(one, ann, chat, "root")
    sends = [post(one, bob, chat, "same", reply_to=root, content_mentions=[ann]) for _ in range(10)]
    answers = await asyncio.gather(*sends)
    assert sorted(status for status, _ in answers) == [200] * 9 + [202]
    assert len({body["message_id"] for _, body in answers}) == 1
    assert (await history(one, ann, chat))[root]["thread"]["reply_count"] == 1
    assert await one.nodes[0].db.one(int, "SELECT count(*) FROM message_mentions") == 1


# ----------------------------------------------------------------------------------------------- mentions


async def test_only_members_are_mentioned_and_only_moderators_call_everybody(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat = await one.group(ann, bob)
    mid = await said(one, bob, chat, "hey", content_mentions=[ann, ann])
    assert (await history(one, ann, chat))[mid]["content"]["mentions"] == [ann]
    status, body = await post(one, bob, chat, "stranger", content_mentions=[cid])
    assert (status, body["code"]) == (422, "validation_failed")
    status, body = await post(one, bob, chat, "all", content_mentions_all=True)
    assert (status, body["code"]) == (403, "forbidden")
    status, body = await post(one, cid, chat, "from outside", content_mentions=[cid])
    assert (status, body["code"]) == (404, "chat_not_found")
    everybody = await said(one, ann, chat, "all", content_mentions_all=True)
    assert (await history(one, bob, chat))[everybody]["content"]["mentions_all"] is True
    assert [m["seq"] for m in (await history(one, bob, chat)).values()] == [2, 1]


async def test_a_repeat_is_right_though_the_mentioned_has_left(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat = await one.group(ann, bob, cid)
    first = await post(one, bob, chat, "hey", content_mentions=[cid])
    assert (await one.rest(cid, "DELETE", f"/api/chats/{chat}/members/me"))[0] == 204
    again = await post(one, bob, chat, "hey", content_mentions=[cid])
    assert (first[0], again[0]) == (202, 200)
    assert first[1]["message_id"] == again[1]["message_id"]


async def test_an_edit_mentions_anew(one: World) -> None:
    ann, bob, cid, dan = await one.users(4)
    chat = await one.group(ann, bob, cid)
    mid = await said(one, bob, chat, "hey", content_mentions=[ann, cid])
    path = f"/api/chats/{chat}/messages/{mid}"
    edited = {"content": {"type": "text", "text": "hey you", "mentions": [cid, bob]}}
    assert (await one.rest(bob, "PATCH", path, edited))[0] == 200
    rows = await one.nodes[0].db.one(
        list, "SELECT array_agg(user_id = ANY ($1::uuid[])) FROM message_mentions", [cid, bob]
    )
    assert rows == [True, True]
    for content, status in (({"mentions": [dan]}, 422), ({"mentions_all": True}, 403)):
        body = {"content": {"type": "text", "text": "hey all", **content}}
        assert (await one.rest(bob, "PATCH", path, body))[0] == status
    assert (await one.rest(bob, "DELETE", path))[0] == 200
    assert await one.nodes[0].db.one(int, "SELECT count(*) FROM message_mentions") == 0


# --------------------------------------------------------------------------------------------------- pins


async def test_moderators_pin_and_the_pins_come_back_on_resume(two: World) -> None:
    ann, bob, cid = await two.users(3)
    chat = await two.group(ann, bob)
    mid, other = await said(two, bob, chat, "keep"), await said(two, bob, chat, "this too")
    b = await two.phone(bob, node=1)
    path = f"/api/chats/{chat}/messages/{mid}/pin"
    assert (await two.rest(bob, "PUT", path))[1]["code"] == "forbidden"
    assert (await two.rest(cid, "PUT", path))[1]["code"] == "chat_not_found"
    status, pinned = await two.rest(ann, "PUT", path)
    assert status == 200
    assert pinned["pinned_by"] == ann
    assert (await two.rest(ann, "PUT", path))[1] == pinned
    assert (await b.event("message.update", seq=3))["message"] == pinned
    await two.rest(ann, "PUT", f"/api/chats/{chat}/messages/{other}/pin")
    resumed = await two.phone(bob, since={chat: 2})
    assert (await resumed.event("message.update", seq=3))["message"]["pinned_at"] == pinned["pinned_at"]
    pins = (await two.rest(bob, "GET", f"/api/chats/{chat}/pins"))[1]["messages"]
    assert [m["id"] for m in pins] == [other, mid]
    assert "pinned_at" not in (await two.rest(ann, "DELETE", path))[1]
    await two.rest(bob, "DELETE", f"/api/chats/{chat}/messages/{other}")
    assert (await two.rest(bob, "GET", f"/api/chats/{chat}/pins"))[1] == {"messages": []}
    assert (await two.rest(ann, "PUT", f"/api/chats/{chat}/messages/{other}/pin"))[1]["code"] == "conflict"


async def test_the_fifty_first_pin_is_turned_away_even_at_once(one: World) -> None:
    ann, bob = await one.users(2)
    _, direct = await one.rest(ann, "POST", "/api/chats", {"type": "direct", "member_ids": [bob]})
    chat = direct["id"]
    ids = await asyncio.gather(*(said(one, ann, chat, f"{i}") for i in range(52)))
    pins = (one.rest(bob, "PUT", f"/api/chats/{chat}/messages/{mid}/pin") for mid in ids)
    statuses = [status for status, _ in await asyncio.gather(*pins)]
    assert sorted(statuses) == [200] * 50 + [409] * 2


# --------------------------------------------------------------------------------- forwards and versions


async def test_a_forward_says_it_again_and_not_where_it_is_from(one: World) -> None:
    ann, bob, cid = await one.users(3)
    here, there = await one.group(ann, bob), await one.group(bob, cid)
    mid = await said(one, ann, here, "good news", content_mentions=[bob])
    path = f"/api/chats/{here}/messages/{mid}/forward"
    ask = {"chat_id": there, "client_message_id": "f1"}
    status, body = await one.rest(bob, "POST", path, ask)
    assert status == 202
    assert (await one.rest(bob, "POST", path, ask)) == (200, body)
    copy = (await history(one, cid, there))[body["message_id"]]
    assert copy["content"] == {"type": "text", "text": "good news", "attachments": [], "forwarded": True}
    assert copy["sender_id"] == bob
    assert here not in str(copy)
    assert ann not in str(copy)
    reword = {"content": {"type": "text", "text": "bad news"}}
    path_there = f"/api/chats/{there}/messages/{body['message_id']}"
    assert (await one.rest(bob, "PATCH", path_there, reword))[1]["code"] == "forbidden"
    assert (await one.rest(cid, "POST", path, ask))[1]["code"] == "chat_not_found"
    assert (await one.rest(ann, "POST", path, ask))[1]["code"] == "chat_not_found"
    assert (await one.rest(ann, "DELETE", f"/api/chats/{here}/messages/{mid}"))[0] == 200
    again = {"chat_id": there, "client_message_id": "f2"}
    assert (await one.rest(bob, "POST", path, again))[1]["code"] == "conflict"


async def test_moderators_see_what_was_edited_away_until_it_is_deleted(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    mid = await said(one, bob, chat, "first")
    path = f"/api/chats/{chat}/messages/{mid}"
    for text in ("second", "third"):
        await one.rest(bob, "PATCH", path, {"content": {"type": "text", "text": text}})
    status, body = await one.rest(ann, "GET", f"{path}/versions")
    assert status == 200
    assert [(v["version"], v["content"]["text"]) for v in body["versions"]] == [(1, "first"), (2, "second")]
    assert body["versions"][0]["replaced_at"] >= body["versions"][1]["said_at"]
    assert (await one.rest(bob, "GET", f"{path}/versions"))[1]["code"] == "forbidden"
    await one.rest(bob, "DELETE", path)
    assert (await one.rest(ann, "GET", f"{path}/versions"))[1] == {"versions": []}
