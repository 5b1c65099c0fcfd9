"""The promises of protocol.md, section 4, against Redis that is down, slow, flushed or lying."""

import asyncio
import os
from collections.abc import AsyncIterator

import msgspec
import pytest

from chatd.boot import Node
from chatd.core.errors import StoreUnavailable
from chatd.core.settings import Fanout, Postgres, Redis, Settings
from chatd.db import migrations
from chatd.embedded import Embedded, Service
from chatd.features.messages import log_store, store
from chatd.features.messages.reading import PostgresLog
from chatd.realtime import envelope
from chatd.realtime.streams import Missing
from tests.system.world import World, world
from tests.waiting import PATIENCE_S, until


def test_a_lost_event_is_found_within_the_two_seconds_of_the_contract() -> None:
    """protocol.md, 4.6: by the settings; that the sweep finds it, the others here show."""
    fanout = Fanout()
    assert fanout.gap_patience_ms / 1000 + fanout.sweep_s < 2.0


@pytest.fixture
async def fragile(own_redis: Service, settings: Settings) -> AsyncIterator[World]:
    """Two nodes over a Redis of their own."""
    redis = Redis(url=own_redis.url, prefix=f"t{os.urandom(4).hex()}", heartbeat_s=0.2, timeout_s=0.5)
    async with world(msgspec.structs.replace(settings, redis=redis), 2) as made:
        yield made


async def test_a_kill_of_redis_loses_nothing(fragile: World, own_redis: Service) -> None:
    ann, bob = await fragile.users(2)
    chat = await fragile.group(ann, bob)
    a, b = await fragile.phone(ann), await fragile.phone(bob, node=1)
    await a.say(chat, "before")
    await b.event("message.new", seq=1)
    await asyncio.to_thread(own_redis.kill)
    for i in range(3):
        ack = await a.say(chat, f"down {i}")
        await b.wait(lambda f: f.get("message", {}).get("id") == ack["message_id"])  # noqa: B023
    await a.call("delivery.read", chat_id=chat, last_read_message_id=ack["message_id"])
    await b.event("delivery.read", user_id=ann, last_read_seq=4)
    for node in fragile.nodes:
        assert (await node.readiness()).degraded == ["redis"]
    await asyncio.to_thread(own_redis.start)
    await until(lambda: not any(node.broker.degraded for node in fragile.nodes))
    assert fragile.nodes[1].stats.heals >= 3
    assert fragile.nodes[1].stats.redis_reconnects == 1
    await b.say(chat, "and back")
    await a.event("message.new", seq=5)
    assert a.seqs(chat) == b.seqs(chat) == [1, 2, 3, 4, 5]


async def test_members_and_new_chats_are_learned_without_redis(fragile: World, own_redis: Service) -> None:
    ann, bob = await fragile.users(2)
    a, b = await fragile.phone(ann), await fragile.phone(bob, node=1)
    await asyncio.to_thread(own_redis.kill)
    chat = await fragile.group(ann, bob)
    await a.say(chat, "hello?")
    await b.event("message.new", chat_id=chat, seq=1)
    await fragile.rest(ann, "DELETE", f"/api/chats/{chat}/members/{bob}")
    await b.event("chat.left", chat_id=chat)


async def test_a_redis_that_hangs_is_noticed_and_done_without(fragile: World, own_redis: Service) -> None:
    ann, bob = await fragile.users(2)
    chat = await fragile.group(ann, bob)
    a, b = await fragile.phone(ann), await fragile.phone(bob, node=1)
    await asyncio.to_thread(own_redis.pause)
    try:
        ack = await a.say(chat, "hanging")
        await b.wait(lambda f: f.get("message", {}).get("id") == ack["message_id"])
        await until(lambda: all(node.broker.degraded for node in fragile.nodes))
    finally:
        await asyncio.to_thread(own_redis.resume)
    await until(lambda: not any(node.broker.degraded for node in fragile.nodes))
    await a.say(chat, "on")
    await b.event("message.new", seq=2)
    assert b.seqs(chat) == [1, 2]


def _deafen(node: Node, drop: int, twice: bool = False) -> None:
    """Let the node lose, or hear twice, every ``drop``-th chat message from Redis."""
    heard, count = node.broker._heard_chat, 0

    def lying(chat_id: str, said: envelope.ChatEnvelope) -> None:
        nonlocal count
        count += 1
        if count % drop == 0:
            if twice:
                heard(chat_id, said)
                heard(chat_id, said)
            return
        heard(chat_id, said)

    node.broker._heard_chat = lying  # type: ignore[method-assign]


async def test_lost_and_doubled_deliveries_are_mended(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    _deafen(two.nodes[1], 3)
    _deafen(two.nodes[0], 4, twice=True)
    for i in range(30):
        await a.say(chat, f"{i}")
        await b.say(chat, f"{i}")
    for phone in (a, b):
        await phone.event("message.new", seq=60)
        assert phone.seqs(chat) == list(range(1, 61))
    assert two.nodes[1].stats.heals > 0


async def test_the_last_message_lost_is_found_by_the_sweep(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    _deafen(two.nodes[1], 1)
    ack = await a.say(chat, "nothing after it")
    await b.wait(lambda f: f.get("message", {}).get("id") == ack["message_id"])


async def test_an_ack_that_is_lost_after_the_commit_is_given_again(two: World, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    append = store.append

    async def committed_and_lost(*args, **kwargs):  # type: ignore[no-untyped-def]
        await append(*args, **kwargs)
        raise StoreUnavailable()

    monkeypatch.setattr(store, "append", committed_and_lost)
    error = await a.say(chat, "once", "k")
    assert error["code"] == "unavailable"
    monkeypatch.undo()
    for phone in (a, b):  # it is stored, so everybody hears of it, though nobody published it
        await phone.wait(lambda f: f["type"] == "message.new" and f["seq"] == 1)
    ack = await two.phones[0].call(
        "message.send",
        chat_id=chat,
        client_message_id="k",
        content={"type": "text", "text": "once"},
    )
    assert (ack["type"], ack["seq"], ack["duplicate"]) == ("ack", 1, True)
    await a.say(chat, "and on")
    for phone in (a, b):
        await phone.event("message.new", seq=2)
        assert phone.seqs(chat) == [1, 2]


async def test_what_a_worker_stored_before_it_was_killed_reaches_the_others(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    two.nodes[0].broker.log = lambda *_: None  # type: ignore[method-assign]  # killed between commit and this
    ack = await a.say(chat, "last words")
    await b.wait(lambda f: f.get("message", {}).get("id") == ack["message_id"])


async def test_a_chat_that_is_erased_while_it_is_healed_ends_no_task(two: World, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a = await two.phone(ann)
    await a.say(chat, "soon gone")
    db = two.nodes[0].db
    events = log_store.events

    async def erased_behind_it(*args):  # type: ignore[no-untyped-def]
        rows = await events(*args)
        await db.run("DELETE FROM chat_messages WHERE chat_id = $1", chat)  # as chats.erase does
        return rows

    monkeypatch.setattr(log_store, "events", erased_behind_it)
    found = await PostgresLog(db).missing([Missing(chat, 0, 0)])
    assert [each.frames for each in found] == [[]]


async def test_after_a_restore_from_a_copy_that_lagged_all_begin_anew(one: World) -> None:
    node = await one.node(fanout=Fanout(sweep_s=0.1))
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b = await one.phone(bob, node=1)
    for i in range(4):
        await b.say(chat, f"{i}")
    async with node.db.transaction() as tx:
        await tx.run("DELETE FROM chat_messages WHERE chat_id = $1 AND seq > 2", chat)
        await tx.run("UPDATE chat_chats SET head_seq = 2 WHERE id = $1", chat)
    assert await b.closed() == 1001
    back = await one.phone(bob, node=1, since={chat: 4})
    reset = await back.event("chat.reset", chat_id=chat)
    assert reset["head_seq"] == 2
    a = await one.phone(ann)
    ack = await a.say(chat, "not what was here")
    assert ack["seq"] == 3
    await back.event("message.new", seq=3)


async def test_a_receipt_that_is_healed_goes_to_the_senders_alone(two: World) -> None:
    ann, bob, cat = await two.users(3)
    chat = await two.group(ann, bob, cat)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    c, quiet = await two.phone(cat, node=1), await two.phone(ann, node=1)
    said = await a.say(chat, "who hears this?")
    await b.event("message.new", seq=said["seq"])
    heard = two.nodes[1].broker._heard_chat

    def deaf_to_marks(chat_id: str, said: envelope.ChatEnvelope) -> None:
        if not isinstance(said, envelope.Marks):
            heard(chat_id, said)

    two.nodes[1].broker._heard_chat = deaf_to_marks  # type: ignore[method-assign]
    from_afar = await two.phone(bob)
    await from_afar.call("delivery.received", chat_id=chat, message_id=said["message_id"])
    await quiet.event("delivery.received", user_id=bob, seq=said["seq"])  # the sender, by healing
    await from_afar.call("delivery.read", chat_id=chat, last_read_message_id=said["message_id"])
    for phone in (b, c, quiet):
        await phone.event("delivery.read", user_id=bob)
    assert not b.seen("delivery.received")
    assert not c.seen("delivery.received")


async def test_a_repeat_from_two_nodes_at_the_same_moment_is_stored_once(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    phones = [await two.phone(ann, node=i % 2) for i in range(6)]
    b = await two.phone(bob)
    for round_ in range(10):
        acks = await asyncio.gather(*(p.say(chat, "same", f"m{round_}") for p in phones))
        assert len({(ack["message_id"], ack["seq"], ack["ack_token"], ack["sent_at"]) for ack in acks}) == 1
        assert [ack["duplicate"] for ack in acks].count(False) == 1
    await b.event("message.new", seq=10)
    assert b.seqs(chat) == list(range(1, 11))


async def test_the_same_send_over_rest_and_socket_is_one_message(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a = await two.phone(ann)
    body = {"client_message_id": "k", "content": {"type": "text", "text": "x"}, "sender_id": ann}
    status, first = await two.rest(ann, "POST", f"/chats/{chat}/messages", body, node=1)
    assert status == 202
    again = await a.say(chat, "x", "k")
    status, second = await two.rest(ann, "POST", f"/api/chats/{chat}/messages", body)
    assert status == 200
    assert first == second
    assert again["duplicate"] is True
    assert again["ack_token"] == first["ack_token"]
    status, other = await two.rest(
        ann, "POST", f"/chats/{chat}/messages", {**body, "content": {"type": "text", "text": "y"}}
    )
    assert (status, other["code"]) == (409, "conflict")
    status, _ = await two.rest(ann, "POST", f"/chats/{chat}/messages", {**body, "sender_id": bob})
    assert status == 403


async def test_a_repeat_of_an_edited_message_is_still_a_repeat(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)
    first = await a.say(chat, "helo", "k")
    edit = {"type": "text", "text": "hello"}
    await a.call("message.edit", chat_id=chat, message_id=first["message_id"], content=edit)
    assert (await a.say(chat, "helo", "k"))["duplicate"] is True


async def test_a_member_who_is_out_can_not_send_whatever_a_node_believes(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    b = await two.phone(bob, node=1)
    two.nodes[1].feed._every_s = 3600  # this node hears of nothing
    two.nodes[1].feed.look = lambda: None  # type: ignore[method-assign]
    await two.rest(ann, "DELETE", f"/api/chats/{chat}/members/{bob}")
    assert (await b.say(chat, "still here"))["code"] == "chat_not_found"
    _, history = await two.rest(ann, "GET", f"/api/chats/{chat}/messages")
    assert [m["content"]["type"] for m in history["messages"]] == ["system"]


async def test_with_postgres_away_sends_are_told_not_now_and_service_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    from tests.system.world import world

    with Embedded(tmp_path_factory.mktemp("pg"), redis=False) as embedded:
        await migrations.apply(embedded.postgres.url)
        postgres = Postgres(url=embedded.postgres.url, command_timeout_s=4.0, connect_timeout_s=4.0)
        async with world(msgspec.structs.replace(settings, postgres=postgres), 2) as made:
            ann, bob = await made.users(2)
            chat = await made.group(ann, bob)
            a, b = await made.phone(ann), await made.phone(bob, node=1)
            assert (await a.say(chat, "1", "k1"))["seq"] == 1
            await asyncio.to_thread(embedded.postgres.kill)
            error = await a.say(chat, "2", "k2")
            assert error["code"] == "unavailable"
            assert error["retry_after_ms"] > 0
            assert error["client_message_id"] == "k2"
            status, problem = await made.rest(ann, "GET", "/api/chats")
            assert (status, problem["code"]) == (503, "unavailable")
            assert (await made.rest(None, "GET", "/readyz"))[0] == 503
            assert (await made.rest(None, "GET", "/healthz"))[0] == 200
            await asyncio.to_thread(embedded.postgres.start)
            async with asyncio.timeout(PATIENCE_S):
                while (again := await a.say(chat, "2", "k2"))["type"] == "error":
                    assert again["code"] == "unavailable"
            await b.event("message.new", seq=2)
            assert a.seqs(chat) == b.seqs(chat) == [1, 2]
            await asyncio.to_thread(embedded.postgres.pause)
            try:
                assert (await a.say(chat, "3", "k3"))["code"] == "unavailable"
            finally:
                await asyncio.to_thread(embedded.postgres.resume)
            async with asyncio.timeout(PATIENCE_S):
                while (await a.say(chat, "3", "k3"))["type"] == "error":
                    pass
            await b.event("message.new", seq=3)
            assert b.seqs(chat) == [1, 2, 3]


async def test_a_worker_that_starts_waits_for_a_postgres_that_is_on_its_way(
    tmp_path_factory: pytest.TempPathFactory,
    settings,  # type: ignore[no-untyped-def]
) -> None:
    with Embedded(tmp_path_factory.mktemp("pg"), redis=False) as embedded:
        await migrations.apply(embedded.postgres.url)
        await asyncio.to_thread(embedded.postgres.stop)
        node = Node(msgspec.structs.replace(settings, postgres=Postgres(url=embedded.postgres.url)))
        with pytest.raises(StoreUnavailable):
            await node.open("127.0.0.1", 0)
        opening = asyncio.create_task(node.open("127.0.0.1", 0, patience_s=PATIENCE_S))
        await asyncio.to_thread(embedded.postgres.start)
        await opening
        try:
            assert (await node.readiness()).missing == []
        finally:
            await node.close()
