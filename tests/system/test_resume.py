"""Resume: a client that gives ``since`` ends with the same state as one that fetches everything anew."""

import asyncio
from typing import Any

import msgspec

from tests.system.world import Phone, World
from tests.waiting import PATIENCE_S


def state_of(phone: Phone, chat: str) -> dict[str, Any]:
    """The messages of a chat as this phone's frames tell them: id -> what a fresh fetch would show."""
    state: dict[str, Any] = {}
    for frame in phone.frames:
        if frame.get("chat_id") != chat:
            continue
        if frame["type"] in ("message.new", "message.update"):
            state[frame["message"]["id"]] = frame["message"]
        elif frame["type"] == "message.delete" and frame["message_id"] in state:
            old = state[frame["message_id"]]
            state[frame["message_id"]] = {**old, "content": {"type": "tombstone"}, "reactions": []}
        elif frame["type"] == "chat.reset":
            state = {m["id"]: m for m in frame["messages"]}
    return {
        mid: (m["seq"], m["sender_id"], m["content"], m["reactions"], m["reply_to"])
        for mid, m in state.items()
    }


def essence(m: dict[str, Any]) -> tuple[Any, ...]:
    """What must be the same however it was learned."""
    return m["seq"], m["sender_id"], m["content"], m["reactions"], m["reply_to"]


async def fetched(world: World, user: str, chat: str) -> dict[str, Any]:
    _, history = await world.rest(user, "GET", f"/api/chats/{chat}/messages?limit=200")
    return {m["id"]: essence(m) for m in history["messages"]}


async def test_edits_deletes_and_reactions_missed_are_made_up_for(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    acks = [await a.say(chat, f"{i}") for i in range(4)]
    await b.event("message.new", seq=4)
    before = state_of(b, chat)
    await b.close()
    ids = [ack["message_id"] for ack in acks]
    text = {"type": "text", "text": "edited"}
    await a.call("message.edit", chat_id=chat, message_id=ids[0], content=text)
    await a.call("reaction.add", chat_id=chat, message_id=ids[1], emoji="🎉")
    await a.call("message.delete", chat_id=chat, message_id=ids[2])
    await a.call("message.send", chat_id=chat, client_message_id="r", content=text, reply_to=ids[3])
    await a.call("reaction.add", chat_id=chat, message_id=ids[3], emoji="🎉")
    await a.call("reaction.remove", chat_id=chat, message_id=ids[3], emoji="🎉")
    await a.call("delivery.read", chat_id=chat, last_read_message_id=ids[3])

    back = await two.phone(bob, node=1, since={chat: 4})
    await back.event("sync.complete")
    assert back.seqs(chat) == [5, 6, 7, 8, 9, 10]
    merged = dict(before)
    merged.update(state_of(back, chat))
    for frame in back.seen("message.delete"):
        seq, sender, _, _, reply = merged[frame["message_id"]]
        merged[frame["message_id"]] = (seq, sender, {"type": "tombstone"}, [], reply)
    assert merged == await fetched(two, bob, chat)
    read = back.seen("delivery.read")
    assert [(r["user_id"], r["last_read_seq"]) for r in read] == [(ann, 4)]


async def test_past_500_missed_events_the_chat_is_reset(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    for start in range(0, 520, 40):
        await asyncio.gather(*(a.say(chat, f"{start + i}") for i in range(40)))
    short = await one.phone(bob, since={chat: 20})
    await short.event("sync.complete")
    assert short.seqs(chat) == list(range(21, 521))
    long = await one.phone(bob, since={chat: 19})
    await long.event("sync.complete")
    reset = long.seen("chat.reset")[0]
    assert reset["head_seq"] == 520
    assert [m["seq"] for m in reset["messages"]] == list(range(520, 470, -1))
    assert long.seqs(chat) == []
    await a.say(chat, "on")
    await long.event("message.new", seq=521)
    assert long.seqs(chat) == [521]
    assert long.ready["chats"][0]["unread_count"] == 520


async def test_a_resume_that_races_live_traffic_has_no_gap_and_no_repeat(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, a2 = await two.phone(ann), await two.phone(ann, node=1)
    total = 300

    async def talk(phone: Phone, name: str) -> None:
        for i in range(total // 2):
            await phone.say(chat, f"{name}{i}")

    async def flap() -> None:
        since, seen = 0, []
        node = 0
        while since < total:
            b = await two.phone(bob, node=node, since={chat: since})
            node = 1 - node
            for seq in range(since + 1, min(since + 8, total) + 1):  # some of the replay, some live
                await b.event("message.new", seq=seq)
            await b.close()
            seqs = b.seqs(chat)
            assert seqs == list(range(since + 1, since + 1 + len(seqs)))
            seen += seqs
            since = seen[-1] if seen else 0
        assert seen == list(range(1, total + 1))

    async with asyncio.timeout(2 * PATIENCE_S):
        await asyncio.gather(talk(a, "x"), talk(a2, "y"), flap())


async def test_without_since_live_events_go_on_from_the_head(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a = await two.phone(ann)
    stop = asyncio.Event()

    async def talk() -> None:
        while not stop.is_set():
            await a.say(chat, "x")

    talking = asyncio.create_task(talk())
    for i in range(12):
        b = await two.phone(bob, node=i % 2)
        head = b.ready["chats"][0]["head_seq"]
        await b.event("message.new", seq=head + 5)
        assert b.seqs(chat)[:5] == list(range(head + 1, head + 6))
        assert b.ready["chats"][0]["unread_count"] == head
        await b.close()
    stop.set()
    await talking


async def test_since_for_a_chat_that_one_is_not_in_is_ignored(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    await a.say(chat, "secret")
    e = await one.phone(eve, since={chat: 0})
    await e.event("sync.complete")
    assert not e.seen("message.new")
    assert e.ready["chats"] == []


async def test_a_client_ahead_of_the_log_starts_anew(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    await (await one.phone(ann)).say(chat, "x")
    b = await one.phone(bob, since={chat: 99})
    await b.event("sync.complete")
    assert b.seen("chat.reset")[0]["head_seq"] == 1


async def test_sync_gives_the_events_after_a_seq(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    for i in range(9):
        await a.say(chat, f"{i}")
    b = await one.phone(bob)
    done = await b.call("sync", chat_id=chat, after_seq=2, limit=4)
    assert done["type"] == "sync.complete"
    assert (done["chat_id"], done["head_seq"]) == (chat, 9)
    assert b.seqs(chat) == [3, 4, 5, 6]
    for limit in (0, 501, -1):
        assert (await b.call("sync", chat_id=chat, after_seq=0, limit=limit))["code"] == "validation_failed"


async def test_messages_sent_before_the_others_sockets_are_in_reach_them_all_the_same(two: World) -> None:
    """A group is made and spoken in at once: who comes in a moment later gets every message."""
    ann, bob = await two.users(2)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    for _ in range(10):
        chat = await two.group(ann, bob)
        acks = [await a.say(chat, f"{i}") for i in range(3)]
        assert [ack["seq"] for ack in acks] == [1, 2, 3]
        await b.event("message.new", chat_id=chat, seq=3)
        assert b.seqs(chat) == [1, 2, 3]
        assert a.seqs(chat) == [1, 2, 3] or await a.event("message.new", chat_id=chat, seq=3)
        joined = next(f for f in b.frames if f["type"] == "chat.joined" and f["chat"]["id"] == chat)
        assert joined["chat"]["head_seq"] == 0
        assert joined["chat"]["unread_count"] == 0


async def test_a_slow_consumer_is_closed_with_4508_and_resumes(one: World) -> None:
    small = msgspec.structs.replace(one.settings.socket, ephemeral_mark_bytes=8192, close_mark_bytes=65_536)
    await one.node(socket=small)
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann, node=1)
    b = await one.phone(bob, node=1)
    b.socket.transport.pause_reading()
    sent = 0
    text = "x" * 3000
    while one.nodes[1].stats.slow_closes == 0:
        await asyncio.gather(*(a.say(chat, text) for _ in range(20)))
        sent += 20
        assert sent < 20_000
    b.socket.transport.resume_reading()
    assert await b.closed() in (4508, 1006)
    seen = b.seqs(chat)
    assert seen == list(range(1, len(seen) + 1))
    back = await one.phone(bob, node=1, since={chat: len(seen)})
    await back.event("sync.complete")
    await a.say(chat, "are you back?")
    await back.event("message.new", seq=sent + 1)
    if not back.seen("chat.reset"):
        assert back.seqs(chat) == list(range(len(seen) + 1, sent + 2))
