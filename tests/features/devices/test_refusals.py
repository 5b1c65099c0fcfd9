"""What push services answer, or do not: devices are forgotten, pushes tried again or given up."""

from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from chatd.features.devices import jobs, outbox_store, store
from tests.features.devices.services import Said


async def test_a_device_that_is_gone_is_forgotten_and_no_other(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, unregistered = await town.device(bob)
    _, kept = await town.device(bob)
    _, apple = await town.device(bob, provider="apns")
    browser = await town.browser(bob)
    town.push.answers[unregistered] = [
        Said(404, {"error": {"status": "NOT_FOUND", "details": [{"errorCode": "UNREGISTERED"}]}})
    ]
    town.push.answers[apple] = [Said(410, {"reason": "Unregistered", "timestamp": 1})]
    town.push.answers[browser.endpoint] = [Said(410)]
    await town.say(ann, chat, "hello")
    await town.round()
    assert len(town.push.got) == 4
    _, listed = await town.world.rest(bob, "GET", "/api/devices")
    assert [d["provider"] for d in listed["devices"]] == ["fcm"]
    assert await town.waiting() == 0
    await town.say(ann, chat, "hello again")
    await town.round()
    assert [got.token for got in town.push.got[4:]] == [kept]


async def test_a_service_that_is_busy_is_asked_again_when_it_says_and_with_back_off_where_it_does_not(town):
    ann, _, chat, token = await town.pair()
    town.push.answers[token] = [Said(429, {}, {"Retry-After": "120"}), Said(503), Said(500)]
    await town.say(ann, chat, "hello")
    await town.round()
    town.later(seconds=100)
    await town.round()
    assert len(town.push.got) == 1
    town.later(seconds=30)
    await town.round()
    assert len(town.push.got) == 2
    for count in (3, 4):
        await town.round()
        assert len(town.push.got) == count - 1
        town.later(seconds=45)
        await town.round()
        assert len(town.push.got) == count
    assert await town.waiting() == 0


async def test_what_cannot_be_pushed_for_too_long_is_given_up(town):
    ann, _, chat, token = await town.pair()
    town.push.answers[token] = [Said(503)] * 9
    await town.say(ann, chat, "hello")
    await town.round()
    town.later(seconds=3700)
    await town.round()
    assert (len(town.push.got), await town.waiting()) == (1, 0)


async def test_what_is_refused_is_not_asked_again_and_the_device_stays(town):
    ann, bob, chat, token = await town.pair()
    town.push.answers[token] = [Said(400, {"error": {"status": "INVALID_ARGUMENT"}})]
    await town.say(ann, chat, "hello")
    await town.round()
    assert await town.waiting() == 0
    assert len((await town.world.rest(bob, "GET", "/api/devices"))[1]["devices"]) == 1


async def test_a_revoked_oauth_token_is_replaced(town):
    ann, _, chat, token = await town.pair()
    town.push.answers[token] = [Said(401)]
    await town.say(ann, chat, "hello")
    await town.round()
    town.later(seconds=10)
    await town.round()
    assert (town.push.grants, len(town.push.to(token))) == (2, 2)


async def test_a_token_endpoint_that_fails_loses_nothing(town):
    ann, _, chat, _ = await town.pair()
    town.push.token_answers = [Said(500, {}), Said(200, {"nonsense": 1})]
    await town.say(ann, chat, "hello")
    for _ in range(3):
        await town.round()
        town.later(seconds=15)
    assert len(town.push.got) == 1


async def test_a_service_that_cannot_be_reached_loses_nothing(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob, provider="apns")
    right = town.push.apple_url
    town.set(apns_url="http://127.0.0.1:1")
    await town.say(ann, chat, "hello")
    await town.round()
    assert await town.waiting() == 1
    town.set(apns_url=right)
    town.later(seconds=10)
    await town.round()
    assert len(town.push.got) == 1


async def test_the_waits_for_a_service_that_fails_grow_and_have_an_end(town):
    ann, _, chat, token = await town.pair()
    town.push.answers[token] = [Said(503)] * 40
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    for attempts in range(12):
        before, most = town.world.clock.now(), min(5 * 2**attempts, 900)
        await town.run("UPDATE push_outbox SET attempts = $1, due_at = $2", attempts, before)
        await jobs.send(town.ctx())
        until = await town.world.nodes[0].db.one(datetime, "SELECT due_at FROM push_outbox")
        assert until >= before + timedelta(seconds=most / 2), attempts
        assert until <= town.world.clock.now() + timedelta(seconds=most), attempts
    assert len(town.push.got) == 12


async def test_a_device_that_registers_again_while_its_service_says_it_is_gone_stays(town):
    ann, bob, chat, token = await town.pair()
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    [claimed] = await jobs._claim(town.ctx())
    now = town.world.clock.now()
    [due] = await outbox_store.due(town.ctx().db, [claimed.device_id], [claimed.collapse_key], now)
    town.later(seconds=1)
    body = {"provider": "fcm", "token": token, "name": "a phone"}
    assert (await town.world.rest(bob, "POST", "/api/devices", body))[0] == 200
    assert await store.delete_gone(town.ctx().db, due.device_id, due.registered_at) == 0
    assert len((await town.world.rest(bob, "GET", "/api/devices"))[1]["devices"]) == 1


async def test_a_service_that_is_set_up_no_more_is_done_with(town):
    ann, bob, chat, _ = await town.pair()
    _, apple = await town.device(bob, provider="apns")
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    for node in town.world.nodes:
        secrets = structs.replace(node.ctx.settings.secrets, fcm_account="")
        node.ctx = replace(node.ctx, settings=structs.replace(node.ctx.settings, secrets=secrets))
    await jobs.send(town.ctx())
    assert ([got.token for got in town.push.got], await town.waiting()) == ([apple], 0)
