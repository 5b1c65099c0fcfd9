"""REST of chats and messages as protocol.md, section 6, tells it, asked as stranger and member."""

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from tests.system.world import World

TEXT = {"type": "text", "text": "x"}


@pytest.mark.parametrize("cursor", ["before", "before_seq"])
async def test_history_pages_backwards_by_either_cursor_alone(one: World, cursor: str) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    await asyncio.gather(*(a.say(chat, f"{i}") for i in range(25)))  # one batch
    seen: list[int] = []
    query = "limit=10"
    while True:
        status, page = await one.rest(bob, "GET", f"/chats/{chat}/messages?{query}")
        assert status == 200
        seen += [m["seq"] for m in page["messages"]]
        if page["paging"]["next_before_seq"] is None:
            assert page["paging"]["next_before"] is None
            break
        query = f"limit=10&{cursor}={quote(str(page['paging'][f'next_{cursor}']))}"
    assert seen == list(range(25, 0, -1))
    _, after = await one.rest(bob, "GET", f"/chats/{chat}/messages?after_seq=20")
    assert [m["seq"] for m in after["messages"]] == [25, 24, 23, 22, 21]
    _, first = await one.rest(bob, "GET", f"/chats/{chat}/messages?limit=200")
    middle = first["messages"][12]
    _, older = await one.rest(bob, "GET", f"/chats/{chat}/messages?before={quote(middle['sent_at'])}")
    assert all(m["sent_at"] < middle["sent_at"] for m in older["messages"])
    earlier = [m for m in first["messages"] if m["sent_at"] < middle["sent_at"]]
    assert [m["seq"] for m in older["messages"]] == [m["seq"] for m in earlier]


async def test_no_two_messages_of_a_chat_share_a_time_whatever_the_clock_does(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    await one.nodes[0].db.run("UPDATE chat_chats SET last_event_at = last_event_at + interval '1 hour'")
    acks = await asyncio.gather(*(a.say(chat, f"{i}") for i in range(10)))
    await one.rest(ann, "POST", f"/chats/{chat}/members", {"user_ids": [eve]})  # a system message
    acks += await asyncio.gather(*(a.say(chat, f"{i}") for i in range(10)))
    _, page = await one.rest(bob, "GET", f"/chats/{chat}/messages")
    times = [m["sent_at"] for m in page["messages"]]
    assert len(times) == 21
    assert times == sorted(set(times), reverse=True)
    shown = {m["id"]: m["sent_at"] for m in page["messages"]}
    assert all(shown[ack["message_id"]] == ack["sent_at"] for ack in acks)


async def test_delivery_goes_from_sent_to_delivered_to_read(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    _, sent = await one.rest(
        ann, "POST", f"/chats/{chat}/messages", {"client_message_id": "1", "content": TEXT}
    )

    async def delivery() -> dict[str, Any]:
        _, page = await one.rest(ann, "GET", f"/chats/{chat}/messages")
        found: dict[str, Any] = page["messages"][0]["delivery"]
        return found

    assert await delivery() == {"status": "sent", "read_by": [], "read_count": 0}
    b = await one.phone(bob)
    await b.call("delivery.received", chat_id=chat, message_id=sent["message_id"])
    assert (await delivery())["status"] == "delivered"
    status, mark = await one.rest(
        eve, "POST", f"/chats/{chat}/read", {"last_read_message_id": sent["message_id"]}
    )
    assert status == 200
    assert mark["last_read_seq"] == 1
    assert await delivery() == {"status": "read", "read_by": [eve], "read_count": 1}
    _, detail = await one.rest(ann, "GET", f"/chats/{chat}")
    assert {m["user_id"]: m["last_read_seq"] for m in detail["members"]} == {ann: 0, bob: 0, eve: 1}


async def test_a_watermark_never_moves_back(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a, b = await one.phone(ann), await one.phone(bob)
    ids = [(await a.say(chat, f"{i}"))["message_id"] for i in range(3)]
    await b.call("delivery.read", chat_id=chat, last_read_message_id=ids[2])
    await b.call("delivery.read", chat_id=chat, last_read_message_id=ids[0])
    await a.say(chat, "fence")
    await a.event("message.new", seq=4)
    assert [f["last_read_seq"] for f in a.seen("delivery.read")] == [3]


async def test_message_routes_edit_delete_and_react(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob)
    body = {"client_message_id": "1", "content": TEXT}
    _, sent = await one.rest(ann, "POST", f"/api/chats/{chat}/messages", body)
    path = f"/api/chats/{chat}/messages/{sent['message_id']}"
    new = {"content": {"type": "text", "text": "y"}}
    assert (await one.rest(bob, "PATCH", path, new))[0] == 403
    assert (await one.rest(eve, "PATCH", path, new))[1]["code"] == "chat_not_found"
    status, edited = await one.rest(ann, "PATCH", path, new)
    assert (status, edited["content"]["text"]) == (200, "y")
    assert edited["edited_at"] is not None
    emoji = quote("👍")
    assert (await one.rest(bob, "PUT", f"{path}/reactions/{emoji}"))[1]["reactions"][0]["user_ids"] == [bob]
    assert (await one.rest(bob, "DELETE", f"{path}/reactions/{emoji}"))[1]["reactions"] == []
    assert (await one.rest(bob, "DELETE", path))[0] == 403
    assert await one.rest(ann, "DELETE", path) == (200, {"status": "removed", "moderator_id": ann})
    assert (await one.rest(ann, "DELETE", path))[0] == 200
    assert (await one.rest(ann, "PATCH", path, new))[1]["code"] == "conflict"
    _, page = await one.rest(bob, "GET", f"/chats/{chat}/messages")
    assert page["messages"][0]["content"] == {"type": "tombstone"}
    assert page["messages"][0]["deleted_at"] is not None


async def test_a_moderator_deletes_what_others_said_and_a_member_does_not(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    a, b, e = await one.phone(ann), await one.phone(bob), await one.phone(eve)
    mid = (await e.say(chat, "rude"))["message_id"]
    assert (await b.call("message.delete", chat_id=chat, message_id=mid))["code"] == "forbidden"
    await one.rest(ann, "PUT", f"/chats/{chat}/members/{bob}", {"role": "moderator"})
    assert (await b.call("message.delete", chat_id=chat, message_id=mid))["type"] == "ack"
    gone = await a.event("message.delete", message_id=mid)
    assert gone["deleted_by"] == bob


async def test_an_edit_is_allowed_within_its_window_only(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    mid = (await a.say(chat, "x"))["message_id"]
    await one.nodes[0].db.run("UPDATE chat_messages SET sent_at = sent_at - interval '901 seconds'")
    error = await a.call("message.edit", chat_id=chat, message_id=mid, content=TEXT | {"text": "y"})
    assert error["code"] == "forbidden"


@pytest.mark.parametrize(
    "path",
    [
        "/chats/nonsense",
        "/chats/usr_01h455vb4pex5vsknk084sn02q",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages/nonsense",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages?limit=0",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages?limit=201",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages?before=yesterday",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages?before=2024-01-01T00:00:00",
        "/chats/cht_01h455vb4pex5vsknk084sn02q/messages?before_seq=x",
        "/chats?cursor=nonsense",
        "/users/nonsense",
        "/presence?user_ids=nonsense",
    ],
)
async def test_malformed_ids_and_queries_are_validation_failed(one: World, path: str) -> None:
    (ann,) = await one.users(1)
    method = "DELETE" if path.endswith("messages/nonsense") else "GET"
    status, problem = await one.rest(ann, method, path)
    assert (status, problem["code"]) == (422, "validation_failed"), problem


async def test_without_a_token_everything_is_401_as_problem_json(one: World) -> None:
    for path in ("/api/chats", "/users/me", "/presence?user_ids="):
        async with one.http.get(one.url() + path) as answer:
            assert answer.status == 401
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert (await answer.json(content_type=None))["code"] == "unauthenticated"


async def test_a_direct_chat_is_one_chat_for_both(two: World) -> None:
    ann, bob = await two.users(2)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    answers = await asyncio.gather(
        *(
            two.rest(u, "POST", "/api/chats", {"type": "direct", "member_ids": [v]}, node=n)
            for _ in range(10)
            for u, v, n in ((ann, bob, 0), (bob, ann, 1))
        )
    )
    assert len({chat["id"] for _, chat in answers}) == 1
    assert sorted({status for status, _ in answers}) == [200, 201]
    assert [status for status, _ in answers].count(201) == 1
    mine = next(chat for _, chat in answers[::2])
    assert mine["title"] is None
    assert mine["peer_id"] == bob
    await b.event("chat.joined")
    await a.say(mine["id"], "psst")
    await b.event("message.new", chat_id=mine["id"], seq=1)
    assert (await two.rest(ann, "PATCH", f"/chats/{mine['id']}", {"title": "x"}))[0] == 403


async def test_the_documents_and_metrics_are_there(one: World) -> None:
    (ann,) = await one.users(1)
    await one.phone(ann)
    for path in ("/openapi.json", "/asyncapi.json", "/docs", "/metrics", "/healthz", "/readyz"):
        async with one.http.get(one.url() + path) as answer:
            assert answer.status == 200, path
    async with one.http.get(one.url() + "/metrics") as answer:
        text = await answer.text()
    for name in ("chatd_sockets", "chatd_ack_seconds", "chatd_delivery_seconds", "chatd_batch_entries"):
        assert name in text


async def test_a_nul_deep_in_a_body_is_named_where_it_stands(one: World) -> None:
    (ann,) = await one.users(1)
    status, problem = await one.rest(
        ann, "PATCH", "/users/me", {"settings": {"a": [{"b": "x"}, {"b": "\0"}]}}
    )
    assert (status, problem["code"]) == (422, "validation_failed")
    assert [error["path"] for error in problem["errors"]] == ["$.settings.a[1].b"]
