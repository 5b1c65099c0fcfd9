"""Who is put out of a chat hears nothing of it from the moment on in which that was answered."""

import asyncio

import asyncpg
import msgspec

from chatd.core.settings import Presence
from tests.system.world import World, world
from tests.waiting import PATIENCE_S


def _said(phone, chat, text):  # type: ignore[no-untyped-def]
    return [f for f in phone.seen("message.new", chat_id=chat) if f["message"]["content"].get("text") == text]


async def test_what_is_said_after_the_removal_was_answered_does_not_reach_who_is_removed(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    a, e = await one.phone(ann), await one.phone(eve)
    async with one.nodes[0].feed.turn:  # the node is never as fast as this
        assert (await one.rest(ann, "DELETE", f"/chats/{chat}/members/{eve}"))[0] == 204
        await a.say(chat, "now that she is out")
        await e.fence()
        assert (await e.event("chat.left", chat_id=chat))["reason"] == "removed"
        assert not _said(e, chat, "now that she is out")
    await a.event("message.new", chat_id=chat, seq=2)
    assert len(e.seen("chat.left")) == 1


async def test_removals_race_sends_and_never_lose(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob)
    a, e = await one.phone(ann), await one.phone(eve)
    over = asyncio.Event()

    async def chatter() -> None:
        while not over.is_set():
            await a.say(chat, "chatter")

    talking = asyncio.create_task(chatter())
    for turn in range(25):
        await one.rest(ann, "POST", f"/chats/{chat}/members", {"user_ids": [eve]})
        await e.wait(lambda f, turn=turn: len(e.seen("chat.joined")) > turn)  # type: ignore[misc]
        assert (await one.rest(ann, "DELETE", f"/chats/{chat}/members/{eve}"))[0] == 204
        await a.say(chat, f"without her {turn}")
    over.set()
    await talking
    await e.fence()
    assert not [f for turn in range(25) for f in _said(e, chat, f"without her {turn}")]
    assert len(e.seen("chat.left")) == 25


async def test_other_nodes_know_of_a_removal_as_soon_as_redis_has_said_it(two: World) -> None:
    ann, bob, eve = await two.users(3)
    chat = await two.group(ann, bob, eve)
    a, e = await two.phone(ann), await two.phone(eve, node=1)
    async with two.nodes[1].feed.turn:
        await two.rest(ann, "DELETE", f"/chats/{chat}/members/{eve}")
        await a.say(chat, "now that she is out")
        await e.event("chat.left", chat_id=chat)
        await e.fence()
    await a.event("message.new", chat_id=chat, seq=2)
    assert not _said(e, chat, "now that she is out")


async def test_who_is_removed_while_a_socket_opens_does_not_come_in(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    a = await one.phone(ann)
    for _ in range(10):
        opening = asyncio.create_task(one.phone(eve))
        assert (await one.rest(ann, "DELETE", f"/chats/{chat}/members/{eve}"))[0] == 204
        ack = await a.say(chat, "without her")
        e = await opening
        await e.fence()
        assert ack["seq"] not in e.seqs(chat)
        await e.close()
        await one.rest(ann, "POST", f"/chats/{chat}/members", {"user_ids": [eve]})


async def test_a_word_of_a_removal_that_comes_too_late_is_put_right(one: World) -> None:
    ann, eve = await one.users(2)
    chat = await one.group(ann, eve)
    a, e = await one.phone(ann), await one.phone(eve)
    one.nodes[0].feed.put_out(chat, [eve], "removed")  # she was, and is in again
    await e.event("chat.left", chat_id=chat)
    await e.event("chat.joined")
    ack = await a.say(chat, "welcome back")
    await e.event("message.new", chat_id=chat, seq=ack["seq"])


async def test_who_is_out_is_not_told_of_a_title_that_was_read_before(one: World) -> None:
    ann, eve = await one.users(2)
    chat = await one.group(ann, eve)
    e = await one.phone(eve)
    node = one.nodes[0]
    async with node.feed.turn:
        assert (await one.rest(ann, "PATCH", f"/chats/{chat}", {"title": "New"}))[0] == 200
        holder = await asyncpg.connect(one.settings.postgres.url)
        held = holder.transaction()
        await held.start()
        await holder.execute("LOCK TABLE chat_chats IN ACCESS EXCLUSIVE MODE")
    waiting = """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                 AND wait_event_type = 'Lock' AND query LIKE '%WITH seats AS%')"""
    async with asyncio.timeout(PATIENCE_S):
        while not await holder.fetchval(waiting):  # the chat is being read, as its members see it
            await holder.execute("SELECT pg_stat_clear_snapshot()")
    node.feed.put_out(chat, [eve], "removed")
    await held.rollback()
    await holder.close()
    await e.event("chat.joined")  # the word was wrong, and is put right behind it
    await e.fence()
    kinds = [f["type"] for f in e.frames]
    assert "chat.updated" not in kinds[kinds.index("chat.left") : kinds.index("chat.joined")]


async def test_presence_ends_with_the_last_chat_that_two_share(settings) -> None:  # type: ignore[no-untyped-def]
    quick = Presence(offline_grace_s=600.0, node_timeout_s=1200.0)
    async with world(msgspec.structs.replace(settings, presence=quick), 2) as made:
        ann, bob, joe = await made.users(3)
        one, other = await made.group(ann, bob), await made.group(ann, bob, joe)
        a, b, j = await made.phone(ann), await made.phone(bob, node=1), await made.phone(joe)
        for watcher in (a, b, j):
            async with asyncio.timeout(PATIENCE_S):
                while {
                    user["status"]
                    for user in (await watcher.call("presence.watch", user_ids=[ann, bob, joe]))["users"]
                } != {"online"}:
                    pass
        await made.rest(ann, "DELETE", f"/chats/{one}/members/{bob}")
        await b.event("chat.left", chat_id=one)
        await a.fence()
        assert not a.seen("presence.update")  # they still share another
        await made.rest(ann, "DELETE", f"/chats/{other}/members/{bob}")
        gone = {"status": "offline", "last_active_at": None}
        await a.event("presence.update", user_id=bob, **gone)
        await b.event("presence.update", user_id=ann, **gone)
        await j.event("presence.update", user_id=bob, **gone)
        await b.call("presence.set", status="away")
        await a.call("presence.set", status="away")
        await j.event("presence.update", user_id=ann, status="away")
        for phone in (a, b):
            await phone.fence()
        assert len([f for f in a.seen("presence.update") if f["user_id"] == bob]) == 1
        assert len([f for f in b.seen("presence.update") if f["user_id"] == ann]) == 1
        assert (await a.call("presence.watch", user_ids=[bob]))["users"] == []
