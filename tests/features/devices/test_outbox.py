"""Every node looks for what to push, and each push is sent once, whatever stood still or died."""

import asyncio
from datetime import timedelta

from chatd.features.devices import jobs, outbox_store
from tests.system.world import world
from tests.waiting import PATIENCE_S


async def test_the_nodes_own_jobs_do_it_by_themselves(settings, push):
    async with world(settings, 1) as made:
        ann, bob = await made.users(2)
        chat = await made.group(ann, bob)
        await made.rest(bob, "POST", "/api/devices", {"provider": "fcm", "token": "t" * 40})
        body = {"client_message_id": "1", "content": {"type": "text", "text": "hello"}}
        await made.rest(ann, "POST", f"/api/chats/{chat}/messages", body)
        await push.wait(1)


async def test_the_grace_time_is_waited_for(town):
    ann, _, chat, _ = await town.pair()
    town.set(grace_s=3600.0)
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.push.got == []
    town.set(grace_s=0.0)
    await town.round()
    assert len(town.push.got) == 1


async def test_a_long_absence_of_all_nodes_is_caught_up_with(town):
    ann, _, chat, _ = await town.pair()
    await town.run("UPDATE push_cursor SET at = clock_timestamp() - interval '5 minutes'")
    await town.say(ann, chat, "hello")
    await town.round()
    assert len(town.push.got) == 1


async def test_after_any_standstill_what_was_said_of_late_is_pushed_and_what_is_over_is_not(town):
    ann, _, chat, token = await town.pair()
    old = await town.say(ann, chat, "breakfast?")
    await town.run(
        "UPDATE chat_messages SET sent_at = sent_at - interval '3 hours' WHERE id = $1", old["message_id"]
    )
    await town.run("UPDATE push_cursor SET at = clock_timestamp() - interval '40 days'")
    await town.round()
    assert town.push.got == []
    late = await town.say(ann, chat, "dinner?")
    await town.run(
        "UPDATE chat_messages SET sent_at = sent_at - interval '50 minutes' WHERE id = $1",
        late["message_id"],
    )
    await town.run("UPDATE push_cursor SET at = clock_timestamp() - interval '40 days'")
    await town.round()
    assert town.bodies(token) == ["Seed 1: dinner?"]
    await town.round()
    assert len(town.push.got) == 1


async def test_of_many_nodes_one_pushes(towns):
    ann, bob = await towns.world.users(2)
    chat = await towns.world.group(ann, bob)
    for _ in range(5):
        await towns.device(bob)
    for i in range(20):
        await towns.say(ann, chat, f"number {i}")
    await asyncio.gather(*(jobs.watch(towns.ctx(node=i % 2)) for i in range(6)))
    await asyncio.gather(*(jobs.send(towns.ctx(node=i % 2)) for i in range(6)))
    assert sorted(got.token for got in towns.push.got) == sorted({got.token for got in towns.push.got})
    assert len(towns.push.got) == 5
    await towns.round()
    assert len(towns.push.got) == 5


async def test_what_one_node_looks_at_no_other_looks_at(town):
    ann, _, chat, _ = await town.pair()
    await town.say(ann, chat, "hello")
    db = town.ctx().db
    async with db.transaction() as tx:
        assert await outbox_store.lock_cursor(tx, 3600.0) is not None
        await jobs.watch(town.ctx())
        assert await town.waiting() == 0
    await jobs.watch(town.ctx())
    now = town.world.clock.now()
    async with db.transaction() as tx, asyncio.timeout(PATIENCE_S):
        assert len(await outbox_store.claim(tx, now, now + timedelta(seconds=60), 10)) == 1
        assert await jobs._claim(town.ctx()) == []  # at once: it does not wait for the other
    await jobs.send(town.ctx())
    assert town.push.got == []


async def test_what_is_said_while_a_push_is_on_its_way_is_pushed_after_it(town):
    ann, _, chat, token = await town.pair()
    await town.say(ann, chat, "one")
    await jobs.watch(town.ctx())
    now = town.world.clock.now()
    [claimed] = await outbox_store.claim(town.ctx().db, now, now + timedelta(seconds=60), 10)
    [due] = await outbox_store.due(town.ctx().db, [claimed.device_id], [claimed.collapse_key], now)
    await town.say(ann, chat, "two")
    await jobs.watch(town.ctx())
    await outbox_store.finish(town.ctx().db, due.device_id, due.collapse_key, due.version, now)
    await jobs.send(town.ctx())
    assert (town.bodies(token), await town.waiting()) == (["Seed 1: two"], 0)


async def test_a_push_of_a_node_that_died_over_it_is_another_s_after_a_while(town):
    ann, _, chat, token = await town.pair()
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    assert len(await jobs._claim(town.ctx())) == 1
    await jobs.send(town.ctx())
    assert town.push.got == []
    town.later(seconds=300)
    await jobs.send(town.ctx())
    assert town.bodies(token) == ["Seed 1: hello"]
