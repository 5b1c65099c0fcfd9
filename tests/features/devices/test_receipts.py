"""Who has received a message needs no push: what an app says, and what its socket is worth."""

import asyncio

from chatd.features.devices import jobs
from tests.waiting import PATIENCE_S


async def test_who_received_or_read_it_gets_no_push(town):
    ann, bob, cee = await town.world.users(3)
    chat = await town.world.group(ann, bob, cee)
    await town.device(bob)
    await town.device(cee)
    said = await town.say(ann, chat, "hello")
    phone = await town.world.phone(bob)
    await phone.call("delivery.received", chat_id=chat, message_id=said["message_id"])
    await phone.close()
    body = {"last_read_message_id": said["message_id"]}
    assert (await town.world.rest(cee, "POST", f"/api/chats/{chat}/read", body))[0] < 300
    await jobs.watch(town.ctx())
    assert await town.waiting() == 0


async def test_what_is_received_while_it_waits_is_not_pushed(town):
    ann, bob, chat, _ = await town.pair()
    said = await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    body = {"last_read_message_id": said["message_id"]}
    await town.world.rest(bob, "POST", f"/api/chats/{chat}/read", body)
    await jobs.send(town.ctx())
    assert town.push.got == []
    assert await town.waiting() == 0


async def test_a_live_socket_that_does_not_acknowledge_is_waited_for_and_then_believed(town):
    ann, bob, chat, _ = await town.pair()
    phone = await town.world.phone(bob)
    await phone.call("presence.set", status="invisible")
    await town.say(ann, chat, "hello")
    await phone.event("message.new")
    await town.round()
    assert await town.waiting() == 1
    town.later(seconds=63)
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_a_socket_that_turns_out_dead_is_no_excuse(town, settings):
    ann, bob, chat, token = await town.pair()
    phone = await town.world.phone(bob)
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.push.got == []
    await phone.close()
    presence = town.world.nodes[0].presence
    async with asyncio.timeout(PATIENCE_S):
        while presence.has_socket(bob):
            presence._ghosts = {c: (u, 0.0) for c, (u, _) in presence._ghosts.items()}
            presence.tick()
            await asyncio.sleep(0)
    town.later(seconds=63)
    await town.round()
    assert len(town.push.to(token)) == 1


async def test_an_app_that_says_what_it_receives_is_pushed_to_when_it_does_not_say_so(town):
    ann, bob, chat, token = await town.pair()
    phone = await town.world.phone(bob)
    said = await town.say(ann, chat, "one")
    await phone.call("delivery.received", chat_id=chat, message_id=said["message_id"])
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)
    await town.say(ann, chat, "two")
    await phone.event("message.new", seq=said["seq"] + 1)
    await town.round()
    assert (town.bodies(token), await town.waiting()) == (["Seed 1: two"], 0)


async def test_an_app_that_only_reads_is_one_that_does_not_say_what_it_receives(town):
    ann, bob, chat, _ = await town.pair()
    phone = await town.world.phone(bob)
    said = await town.say(ann, chat, "one")
    await phone.call("delivery.read", chat_id=chat, last_read_message_id=said["message_id"])
    await town.say(ann, chat, "two")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 1)


async def test_what_is_said_while_a_socket_is_waited_for_is_waited_for_anew(town):
    ann, bob, chat, _ = await town.pair()
    await town.world.phone(bob)
    await town.say(ann, chat, "one")
    await town.round()
    await town.say(ann, chat, "two")
    await jobs.watch(town.ctx())
    town.later(seconds=63)
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 1)
    town.later(seconds=63)
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)
