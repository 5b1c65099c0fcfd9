"""Threads and their marks, mentions, drafts, scheduled messages, links, settings: over both edges."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from chatd.features.conversations import jobs, scheduled
from tests.system.calls import code, history, ok, said
from tests.system.world import World

# ----------------------------------------------------------------------------------- threads and mentions


async def test_each_reader_has_an_own_mark_in_a_thread_that_never_moves_back(two: World) -> None:
    ann, bob, cid = await two.users(3)
    chat = await two.group(ann, bob)
    root = await said(two, ann, chat, "root")
    lone = await said(two, ann, chat, "nobody answers this")
    replies = [await said(two, bob, chat, f"{i}", reply_to=root) for i in range(4)]
    await said(two, ann, chat, "mine does not count", reply_to=replies[0])
    path = f"/chats/{chat}/threads/{root}"
    a = await two.phone(ann, node=1)

    (summary,) = (await ok(two, ann, "GET", f"/chats/{chat}/threads"))["items"]
    assert (summary["root"]["id"], summary["reply_count"], summary["unread_count"]) == (root, 5, 4)

    mark = await ok(two, ann, "POST", f"{path}/read", {"last_read_message_id": replies[2]})
    await a.event("thread.read", thread_id=root, last_read_seq=mark["last_read_seq"])
    assert await ok(two, ann, "POST", f"{path}/read", {"last_read_message_id": root}) == mark
    first = await ok(two, ann, "GET", f"{path}?limit=3")
    rest = await ok(two, ann, "GET", f"{path}?limit=3&before_seq={first['next_before_seq']}")
    assert first["unread_count"] == 1
    assert [m["id"] for m in first["messages"] + rest["messages"]][1:] == replies[::-1]
    assert (await ok(two, bob, "GET", path))["unread_count"] == 1

    assert await code(two, cid, "GET", path) == "chat_not_found"
    assert await code(two, ann, "GET", f"/chats/{chat}/threads/{lone}") == "message_not_found"
    stranger = {"last_read_message_id": lone}
    assert await code(two, ann, "POST", f"{path}/read", stranger) == "message_not_found"


async def test_my_mentions_are_those_i_may_still_read_newest_first(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat, other = await one.group(ann, bob, cid), await one.group(ann, bob)
    named = await said(one, ann, chat, "bob", content_mentions=[bob])
    both = await said(one, ann, chat, "all and bob", content_mentions=[bob], content_mentions_all=True)
    elsewhere = await said(one, ann, other, "here", content_mentions=[bob])
    await said(one, ann, chat, "cid", content_mentions=[cid])

    page = await ok(one, bob, "GET", "/mentions?limit=2")
    rest = await ok(one, bob, "GET", f"/mentions?limit=2&cursor={page['next_cursor']}")
    assert [m["id"] for m in page["items"] + rest["items"]] == [elsewhere, both, named]
    assert rest["next_cursor"] is None
    await ok(one, bob, "POST", f"/chats/{chat}/read", {"last_read_message_id": named})
    unread = await ok(one, bob, "GET", "/mentions?unread=true")
    assert [m["id"] for m in unread["items"]] == [elsewhere, both]
    await ok(one, bob, "DELETE", f"/chats/{chat}/members/me")
    assert [m["id"] for m in (await ok(one, bob, "GET", "/mentions"))["items"]] == [elsewhere]
    assert (await ok(one, ann, "GET", "/mentions"))["items"] == []
    assert await code(one, bob, "GET", "/mentions?cursor=nonsense") == "validation_failed"


async def test_a_link_leads_members_to_the_message_and_strangers_nowhere(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat = await one.group(ann, bob)
    mid = await said(one, ann, chat, "here")
    link = await ok(one, bob, "GET", f"/messages/{mid}/link")
    assert (link["chat_id"], link["seq"], link["message"]["content"]["text"]) == (chat, 1, "here")
    assert link["url"].endswith(f"/#/chats/{chat}/messages/{mid}")
    assert await code(one, cid, "GET", f"/messages/{mid}/link") == "message_not_found"
    unknown = one.nodes[0].ids.new("msg")
    assert await code(one, bob, "GET", f"/messages/{unknown}/link") == "message_not_found"


# ---------------------------------------------------------------------------------------- settings, drafts


async def test_settings_are_ones_own_on_all_devices_and_sort_the_list(two: World) -> None:
    ann, bob, cid = await two.users(3)
    quiet, loud = await two.group(ann, bob), await two.group(ann, bob)
    b = await two.phone(bob, node=1)
    path = f"/chats/{quiet}/settings"
    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await ok(two, bob, "GET", path) == {
        "muted": False,
        "muted_until": None,
        "pinned": False,
        "archived": False,
        "notifications": "all",
    }
    await ok(two, bob, "PUT", path, {"muted_until": until, "notifications": "mentions"})
    changed = await ok(two, bob, "PUT", path, {"archived": True})
    assert (changed["muted"], changed["archived"], changed["notifications"]) == (True, True, "mentions")
    await b.event("chat.settings", chat_id=quiet, settings=changed)
    await ok(two, bob, "PUT", f"/chats/{loud}/settings", {"pinned": True, "muted": True})

    async def listed(user: str, query: str = "") -> list[str]:
        return [chat["id"] for chat in (await ok(two, user, "GET", f"/chats{query}"))["items"]]

    assert await listed(bob) == [loud]
    assert await listed(bob, "?archived=true") == [quiet]
    assert await listed(bob, "?pinned=true") == [loud]
    assert await listed(bob, "?pinned=false") == []
    assert await listed(ann) == [loud, quiet]
    chats = (await ok(two, bob, "GET", "/chats?archived=true"))["items"]
    assert chats[0]["settings"] == changed
    assert "settings" not in (await ok(two, ann, "GET", f"/chats/{quiet}"))
    unmuted = await ok(two, bob, "PUT", path, {"muted": False, "archived": False})
    assert (unmuted["muted"], unmuted["muted_until"], unmuted["archived"]) == (False, None, False)
    assert await code(two, bob, "PUT", path, {"muted": False, "muted_until": until}) == "validation_failed"
    assert await code(two, cid, "PUT", path, {"muted": True}) == "chat_not_found"
    assert await code(two, cid, "GET", path) == "chat_not_found"


async def test_a_draft_goes_to_ones_own_devices_and_nobody_elses(two: World) -> None:
    ann, bob, cid = await two.users(3)
    chat = await two.group(ann, bob)
    a, a2, b = await two.phone(ann), await two.phone(ann, node=1), await two.phone(bob)
    assert (await a.call("draft.set", chat_id=chat, text="Dear B"))["type"] == "ack"
    event = await a2.event("draft.updated", chat_id=chat)
    assert event["draft"]["text"] == "Dear B"
    await ok(two, ann, "PUT", f"/chats/{chat}/draft", {"text": "Dear Bob"})
    assert [d["text"] for d in (await ok(two, ann, "GET", "/drafts"))["drafts"]] == ["Dear Bob"]
    await ok(two, ann, "DELETE", f"/chats/{chat}/draft")
    gone = await a2.event("draft.updated", draft=None)
    assert gone["at"] > event["at"]
    assert (await ok(two, ann, "GET", "/drafts"))["drafts"] == []
    await b.fence()
    assert b.seen("draft.updated") == []
    assert (await ok(two, bob, "GET", "/drafts"))["drafts"] == []
    assert await code(two, cid, "PUT", f"/chats/{chat}/draft", {"text": "x"}) == "chat_not_found"


# ---------------------------------------------------------------------------------------------- scheduled


def later(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


async def scheduled_message(world: World, user: str, chat: str, text: str, **delta: float) -> Any:
    body = {"content": {"type": "text", "text": text}, "send_at": later(**delta)}
    return await ok(world, user, "POST", f"/chats/{chat}/scheduled", body)


async def test_a_scheduled_message_is_sent_once_however_many_nodes_try(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    made = [await scheduled_message(two, ann, chat, f"later {i}", minutes=10) for i in range(5)]
    await a.event("scheduled.updated", scheduled=made[0])
    await asyncio.gather(*(jobs.send_due(node.ctx) for node in two.nodes))
    assert await history(two, bob, chat) == {}

    two.clock.offset = timedelta(minutes=11)  # less than a token lives
    await asyncio.gather(*(scheduled.send_due(node.ctx, 3) for node in two.nodes for _ in range(4)))
    for sent in made:
        new = await b.wait(
            lambda f, id_=sent["id"]: f["type"] == "message.new" and f["message"]["client_message_id"] == id_
        )
        event = await a.wait(
            lambda f, id_=sent["id"]: (
                f["type"] == "scheduled.updated"
                and f["scheduled"]["id"] == id_
                and f["scheduled"]["status"] == "sent"
            )
        )
        assert event["scheduled"]["message_id"] == new["message"]["id"]
    assert len(await history(two, bob, chat)) == 5
    assert await code(two, ann, "DELETE", f"/scheduled/{made[0]['id']}") == "conflict"
    listed = await ok(two, ann, "GET", "/scheduled?status=sent&limit=3")
    rest = await ok(two, ann, "GET", f"/scheduled?status=sent&limit=3&cursor={listed['next_cursor']}")
    assert [s["id"] for s in listed["items"] + rest["items"]] == [s["id"] for s in made]


async def asked_for(world: World, user: str, chat: str, body: Any, node: int = 0) -> tuple[int, Any]:
    return await world.rest(user, "POST", f"/api/chats/{chat}/scheduled", body, node=node)


async def test_one_that_is_asked_for_again_and_again_under_its_id_is_one(two: World) -> None:
    ann, bob = await two.users(2)
    chat, other = await two.group(ann, bob), await two.group(ann, bob)
    a = await two.phone(ann)
    body = {
        "content": {"type": "text", "text": "once"},
        "send_at": later(minutes=10),
        "client_message_id": "s1",
    }
    answers = await asyncio.gather(*(asked_for(two, ann, chat, body, node=i % 2) for i in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    made = answers[0][1]
    assert [answer for _, answer in answers] == [made] * 20
    assert made["client_message_id"] == "s1"

    # An id is one chat's and one person's, and says one thing.
    assert (await asked_for(two, ann, other, body))[0] == 201
    assert (await asked_for(two, bob, chat, body))[0] == 201
    text = {"type": "text", "text": "twice"}
    for change in (
        {"content": text},
        {"send_at": later(hours=2)},
        {"reply_to": made["id"].replace("sch", "msg")},
    ):
        assert (await asked_for(two, ann, chat, body | change))[1]["code"] == "conflict"

    # It is what was asked for then that counts, and the answer is what has become of it.
    changed = await ok(two, ann, "PATCH", f"/scheduled/{made['id']}", {"content": text})
    assert await asked_for(two, ann, chat, body) == (200, changed)
    two.clock.offset = timedelta(minutes=11)
    await jobs.send_due(two.nodes[0].ctx)
    await a.event("message.new", chat_id=chat)
    status, sent = await asked_for(two, ann, chat, body, node=1)
    assert (status, sent["status"], sent["id"]) == (200, "sent", made["id"])
    await jobs.send_due(two.nodes[1].ctx)
    assert len([m for m in (await history(two, bob, chat)).values() if m["sender_id"] == ann]) == 1


async def test_one_that_was_taken_back_is_not_brought_back_by_a_late_repeat(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    body = {"content": {"type": "text", "text": "no"}, "send_at": later(hours=1), "client_message_id": "s1"}
    for round_ in range(8):
        body["client_message_id"] = f"s{round_}"
        _, made = await asked_for(two, ann, chat, body)
        path = f"/api/scheduled/{made['id']}"
        (gone, _), *repeats = await asyncio.gather(
            two.rest(ann, "DELETE", path), *(asked_for(two, ann, chat, body, node=1) for _ in range(4))
        )
        assert gone == 204
        assert {status for status, _ in repeats} <= {200, 409}
        assert (await asked_for(two, ann, chat, body))[0] == 409
        assert await code(two, ann, "DELETE", f"/scheduled/{made['id']}") == "not_found"
    for status in ("pending", "sent", "failed"):
        assert (await ok(two, ann, "GET", f"/scheduled?status={status}"))["items"] == []
    kept = await two.nodes[0].db.rows(str, "SELECT content::text FROM scheduled_messages")
    assert kept == ["null"] * 8
    two.clock.offset = timedelta(days=31)
    await jobs.purge(two.nodes[0].ctx)
    assert await two.nodes[0].db.rows(str, "SELECT content::text FROM scheduled_messages") == []


async def test_of_what_was_taken_back_so_many_ids_are_remembered(one: World, monkeypatch: Any) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    monkeypatch.setattr(scheduled, "MAX_CANCELLED", 2)
    body = {"content": {"type": "text", "text": "no"}, "send_at": later(hours=1)}
    for name in ("a", "b", "c"):
        _, made = await asked_for(one, ann, chat, body | {"client_message_id": name})
        await ok(one, ann, "DELETE", f"/scheduled/{made['id']}")
    kept = "SELECT client_message_id FROM scheduled_messages ORDER BY send_at"
    assert await one.nodes[0].db.rows(str, kept) == ["b", "c"]


async def test_one_that_was_sent_before_a_crash_is_not_sent_again(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    made = await scheduled_message(one, ann, chat, "once", hours=1)
    # What a node does that dies between the send and the note of it.
    sent = await said(one, ann, chat, "once", cmid=made["id"])
    # It is out, and who would take it back now must not be told that it is not.
    assert await code(one, ann, "DELETE", f"/scheduled/{made['id']}") == "conflict"
    assert (
        await code(one, ann, "PATCH", f"/scheduled/{made['id']}", {"send_at": later(hours=3)}) == "conflict"
    )
    one.clock.offset = timedelta(hours=2)
    await jobs.send_due(one.nodes[0].ctx)
    (noted,) = (await ok(one, ann, "GET", "/scheduled?status=sent"))["items"]
    assert noted["message_id"] == sent
    assert len(await history(one, bob, chat)) == 1


async def test_what_is_scheduled_can_be_changed_and_taken_back_by_its_author_alone(one: World) -> None:
    ann, bob, cid = await one.users(3)
    chat = await one.group(ann, bob)
    made = await scheduled_message(one, bob, chat, "soon", hours=1)
    path = f"/scheduled/{made['id']}"
    for method in ("PATCH", "DELETE"):
        assert await code(one, ann, method, path, {}) == "not_found"
    assert (await ok(one, ann, "GET", "/scheduled"))["items"] == []
    changed = await ok(one, bob, "PATCH", path, {"content": {"type": "text", "text": "sooner"}})
    assert changed["content"]["text"] == "sooner"
    assert changed["send_at"] == made["send_at"]
    past = {"content": {"type": "text", "text": "x"}, "send_at": later(hours=-1)}
    assert await code(one, bob, "POST", f"/chats/{chat}/scheduled", past) == "validation_failed"
    assert await code(one, bob, "PATCH", path, {"send_at": later(days=400)}) == "validation_failed"
    assert await code(one, cid, "POST", f"/chats/{chat}/scheduled", past) == "validation_failed"
    past["send_at"] = later(hours=1)
    assert await code(one, cid, "POST", f"/chats/{chat}/scheduled", past) == "chat_not_found"
    await ok(one, bob, "DELETE", path)
    assert await code(one, bob, "DELETE", path) == "not_found"


async def test_who_may_not_speak_when_the_time_comes_is_told_why(one: World) -> None:
    ann, bob, cid, dan, eve = await one.users(5)
    chat = await one.group(ann, bob, cid, dan, eve)
    for user in (bob, cid, dan, eve):
        await scheduled_message(one, user, chat, "too late", hours=1)
    await ok(one, bob, "DELETE", f"/chats/{chat}/members/me")
    db = one.nodes[0].db
    await db.run("UPDATE users SET banned_at = now() WHERE id = $1", cid)
    await db.run("UPDATE chat_participants SET muted_until = 'infinity' WHERE user_id = $1", dan)
    await db.run(
        "INSERT INTO account_deletions (user_id, requested_at, due_at) VALUES ($1, now(), now())", eve
    )
    one.clock.offset = timedelta(hours=2)
    await jobs.send_due(one.nodes[0].ctx)
    rows = await db.rows(str, "SELECT failure FROM scheduled_messages WHERE status = 'failed' ORDER BY id")
    assert rows == ["chat_not_found", "banned", "muted", "user_not_found"]


async def test_at_most_so_many_wait_even_when_asked_for_at_once(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    await one.nodes[0].db.run(
        "INSERT INTO scheduled_messages (id, chat_id, user_id, content, send_at, due_at)"
        " SELECT gen_random_uuid(), $1, $2, '{}', now() + interval '1 day', now() + interval '1 day'"
        " FROM generate_series(1, $3::integer)",
        chat,
        ann,
        scheduled.MAX_PENDING - 2,
    )
    body = {"content": {"type": "text", "text": "x"}, "send_at": later(hours=1)}
    asks = (one.rest(ann, "POST", f"/api/chats/{chat}/scheduled", body) for _ in range(6))
    assert sorted(status for status, _ in await asyncio.gather(*asks)) == [201] * 2 + [409] * 4
