"""A push crosses a local wire, when it should, once, and says the right thing."""

import asyncio

from chatd.features.devices import jobs
from tests.system.world import world
from tests.waiting import PATIENCE_S


async def test_who_has_no_socket_gets_what_was_said_by_fcm(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    _, token = await town.device(bob)
    said = await town.say(ann, chat, "are you\n there?")
    await town.round()
    [got] = town.push.got
    assert got.token == token
    assert got.body["notification"] == {"title": "Seed 1", "body": "are you there?"}
    assert got.body["data"] == {
        "type": "message.new",
        "chat_id": chat,
        "message_id": said["message_id"],
        "seq": str(said["seq"]),
    }
    android = got.body["android"]
    assert android["priority"] == "HIGH"
    assert android["notification"] == {"tag": android["collapse_key"], "notification_count": 1}
    assert await town.waiting() == 0


async def test_by_apns_over_http_2(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob, provider="apns")
    await town.say(ann, chat, "hello")
    await town.say(ann, chat, "who is there?")
    await town.round()
    [got] = town.push.to(token)
    assert got.headers["apns-topic"] == "app.tribe"
    assert got.headers["apns-push-type"] == "alert"
    assert len(got.headers["apns-collapse-id"].encode()) <= 64
    assert got.body["aps"]["alert"] == {"title": "Group", "body": "Seed 1: who is there?"}
    assert got.body["aps"]["badge"] == 2
    assert got.body["chat_id"] == chat


async def test_by_web_push_and_only_that_browser_can_read_it(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    browser = await town.browser(bob)
    await town.say(ann, chat, "secret")
    await town.round()
    [got] = town.push.to(browser.endpoint)
    assert got.headers["Content-Encoding"] == "aes128gcm"
    assert got.headers["Urgency"] == "high"
    assert len(got.headers["Topic"]) <= 32
    assert b"secret" not in got.body
    assert browser.read(got.body)["body"] == "secret"
    assert browser.read(got.body)["data"]["chat_id"] == chat


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
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    said = await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    body = {"last_read_message_id": said["message_id"]}
    await town.world.rest(bob, "POST", f"/api/chats/{chat}/read", body)
    await jobs.send(town.ctx())
    assert town.push.got == []
    assert await town.waiting() == 0


async def test_a_live_socket_that_does_not_acknowledge_is_waited_for_and_then_believed(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
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
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob)
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


async def test_the_sender_s_own_devices_stay_silent(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(ann)
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.push.got == []


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


async def test_the_nodes_own_jobs_do_it_by_themselves(settings, push):
    async with world(settings, 1) as made:
        ann, bob = await made.users(2)
        chat = await made.group(ann, bob)
        await made.rest(bob, "POST", "/api/devices", {"provider": "fcm", "token": "t" * 40})
        body = {"client_message_id": "1", "content": {"type": "text", "text": "hello"}}
        await made.rest(ann, "POST", f"/api/chats/{chat}/messages", body)
        await push.wait(1)


async def test_the_grace_time_is_waited_for(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    town.set(grace_s=3600.0)
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.push.got == []
    town.set(grace_s=0.0)
    await town.round()
    assert len(town.push.got) == 1


async def test_a_long_absence_of_all_nodes_is_caught_up_with(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    await town.run("UPDATE push_cursor SET at = clock_timestamp() - interval '5 minutes'")
    await town.say(ann, chat, "hello")
    await town.round()
    assert len(town.push.got) == 1
