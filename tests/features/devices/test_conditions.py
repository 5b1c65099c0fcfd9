"""Each condition that stands before a push, alone: the others hold, so that it is this one that decides."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from chatd.features.devices import jobs, outbox_store, service, store
from chatd.features.devices.contract import Notice
from tests.features.devices.services import Said
from tests.waiting import PATIENCE_S


async def pair(town):
    """(ann, bob, their group, the token of bob's phone)."""
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    return ann, bob, chat, (await town.device(bob))[1]


def bodies(town, token):
    return [got.body["notification"]["body"] for got in town.push.to(token)]


# ---------------------------------------------------------------------------------------- while nobody ran


async def test_after_any_standstill_what_was_said_of_late_is_pushed_and_what_is_over_is_not(town):
    ann, _, chat, token = await pair(town)
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
    assert bodies(town, token) == ["Seed 1: dinner?"]
    await town.round()
    assert len(town.push.got) == 1


# ----------------------------------------------------------------------------------------- a socket's word


async def test_an_app_that_says_what_it_receives_is_pushed_to_when_it_does_not_say_so(town):
    ann, bob, chat, token = await pair(town)
    phone = await town.world.phone(bob)
    said = await town.say(ann, chat, "one")
    await phone.call("delivery.received", chat_id=chat, message_id=said["message_id"])
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)
    await town.say(ann, chat, "two")
    await phone.event("message.new", seq=said["seq"] + 1)
    await town.round()
    assert (bodies(town, token), await town.waiting()) == (["Seed 1: two"], 0)


async def test_an_app_that_only_reads_is_one_that_does_not_say_what_it_receives(town):
    ann, bob, chat, _ = await pair(town)
    phone = await town.world.phone(bob)
    said = await town.say(ann, chat, "one")
    await phone.call("delivery.read", chat_id=chat, last_read_message_id=said["message_id"])
    await town.say(ann, chat, "two")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 1)


async def test_what_is_said_while_a_socket_is_waited_for_is_waited_for_anew(town):
    ann, bob, chat, _ = await pair(town)
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


# --------------------------------------------------------------------------------------------- wishes


async def test_a_mute_holds_until_its_time_and_no_longer(town):
    ann, bob, chat, token = await pair(town)
    mute = "INSERT INTO chat_settings (user_id, chat_id, muted_until) VALUES ($1, $2, clock_timestamp() + $3)"
    await town.run(mute, bob, chat, timedelta(hours=1))
    await town.say(ann, chat, "hush")
    await jobs.watch(town.ctx())
    assert await town.waiting() == 0
    await town.run("UPDATE chat_settings SET muted_until = clock_timestamp() - interval '1 second'")
    await town.say(ann, chat, "good morning")
    await town.round()
    assert bodies(town, token) == ["Seed 1: good morning"]


async def test_a_chat_that_is_muted_while_its_push_waits_stays_silent(town):
    ann, bob, chat, token = await pair(town)
    mutes = ({"muted_until": "9999-01-01T00:00:00Z"}, {"notifications": "mentions"})
    for wish in (*mutes, {"notifications": "none"}):
        await town.say(ann, chat, "hello")
        await jobs.watch(town.ctx())
        assert await town.waiting() == 1
        path = f"/api/chats/{chat}/settings"
        status, answer = await town.world.rest(bob, "PUT", path, wish)
        assert status == 200, answer
        await jobs.send(town.ctx())
        assert (town.push.got, await town.waiting()) == ([], 0)
        await town.run("DELETE FROM chat_settings")
    await town.say(ann, chat, "you there", mentions=[bob])
    await jobs.watch(town.ctx())
    assert (await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", mutes[0]))[0] == 200
    await jobs.send(town.ctx())
    assert bodies(town, token) == ["Seed 1: you there"]
    await town.say(ann, chat, "you again", mentions=[bob])
    await jobs.watch(town.ctx())
    status, _ = await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"notifications": "none"})
    await jobs.send(town.ctx())
    assert (status, len(town.push.got), await town.waiting()) == (200, 1, 0)


async def test_of_what_came_the_newest_that_called_them_is_shown(town):
    ann, bob, chat, token = await pair(town)
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"notifications": "mentions"})
    await town.say(ann, chat, "you", mentions=[bob])
    await town.say(ann, chat, "and you", mentions=[cee])
    last = await town.say(ann, chat, "forget it", mentions=[bob])
    await jobs.watch(town.ctx())
    await town.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{last['message_id']}")
    await jobs.send(town.ctx())
    assert bodies(town, token) == ["Seed 1: you"]


async def test_neither_one_s_own_words_nor_the_chat_s_are_shown_to_anybody(town):
    ann, bob, chat, token = await pair(town)
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, cee)
    await town.say(ann, chat, "dinner?")
    await town.say(bob, chat, "at eight")
    await town.world.rest(ann, "PATCH", f"/api/chats/{chat}", {"title": "Dinner"})
    await town.say(cee, chat, "unseen")
    await town.round()
    assert bodies(town, token) == ["Seed 1: dinner?"]


async def test_an_archived_chat_is_out_of_the_list_and_not_out_of_mind(town):
    ann, bob, chat, token = await pair(town)
    status, _ = await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"archived": True})
    assert status == 200
    await town.say(ann, chat, "hello")
    await town.round()
    assert bodies(town, token) == ["Seed 1: hello"]


async def test_who_wants_no_push_any_more_gets_not_even_what_waits(town):
    ann, bob, chat, _ = await pair(town)
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    assert await town.waiting() == 1
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"push": False})
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_quiet_hours_are_those_of_the_user_s_own_clock(town):
    ann, bob, chat, token = await pair(town)
    cee = (await town.world.users(1))[0]
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    _, awake = await town.device(cee)
    now = town.world.clock.now()
    # Nine hours east it is so late, and here it is not.
    hours = {
        "quiet_from": f"{(now.hour + 8) % 24:02}:00:00",
        "quiet_until": f"{(now.hour + 11) % 24:02}:00:00",
    }
    for who, zone in ((bob, "Asia/Tokyo"), (cee, "UTC")):
        assert (await town.world.rest(who, "PATCH", "/api/users/me", {"time_zone": zone}))[0] == 200
        assert (await town.world.rest(who, "PATCH", "/api/notifications/settings", hours))[0] == 200
    await town.say(ann, chat, "hello")
    await town.round()
    assert (bodies(town, token), bodies(town, awake)) == ([], ["Seed 1: hello"])
    town.later(hours=2)
    await town.round()
    assert bodies(town, token) == ["Seed 1: hello"]


# --------------------------------------------------------------------------------------- who and to whom


async def test_what_the_chat_says_of_itself_is_no_push(town):
    ann, _, chat, _ = await pair(town)
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "PATCH", f"/api/chats/{chat}", {"title": "Another name"})
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_a_block_is_silent_both_ways(town):
    ann, bob, chat, _ = await pair(town)
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", ann, bob)
    await town.say(ann, chat, "hello")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_a_ban_holds_until_its_time(town):
    ann, bob, chat, token = await pair(town)
    ban = "UPDATE users SET banned_at = now(), banned_until = now() + $2::interval WHERE id = $1"
    await town.run(ban, bob, timedelta(hours=1))
    await town.say(ann, chat, "one")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)
    await town.run(ban, bob, timedelta(hours=-1))
    await town.say(ann, chat, "two")
    await town.round()
    assert bodies(town, token) == ["Seed 1: two"]


async def test_a_session_that_ran_out_is_told_nothing(town):
    ann, bob, chat, _ = await pair(town)
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    await town.run("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = $1", bob)
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_a_request_of_a_stranger_does_not_ring(town):
    ann, bob = await town.world.users(2)
    _, token = await town.device(bob)
    status, _ = await town.world.rest(bob, "PATCH", "/api/privacy", {"messages_from": "shared_chats"})
    assert status == 200
    chat = await town.direct(ann, bob)
    await town.say(ann, chat, "buy this")
    await town.round()
    assert [got for got in town.push.got if got.body["data"].get("type") == "message.new"] == []
    assert (await town.world.rest(bob, "POST", f"/api/message-requests/{chat}/accept"))[0] < 300
    await town.say(ann, chat, "thank you")
    await town.round()
    assert bodies(town, token)[-1:] == ["thank you"]


# -------------------------------------------------------------------------------------- how many, how often


async def test_of_each_chat_one_push_and_the_badge_counts_over_all(town):
    ann, bob, chat, token = await pair(town)
    other = await town.direct(ann, bob)
    for text in ("one", "two"):
        await town.say(ann, chat, text)
    await town.say(ann, other, "three")
    await town.round()
    got = town.push.to(token)
    assert sorted(bodies(town, token)) == ["Seed 1: two", "three"]
    assert len({each.body["android"]["collapse_key"] for each in got}) == 2
    counts = {each.body["android"]["notification"]["notification_count"] for each in got}
    assert counts == {3}


async def test_what_is_said_while_a_push_is_on_its_way_is_pushed_after_it(town):
    ann, _, chat, token = await pair(town)
    await town.say(ann, chat, "one")
    await jobs.watch(town.ctx())
    now = town.world.clock.now()
    [claimed] = await outbox_store.claim(town.ctx().db, now, now + timedelta(seconds=60), 10)
    [due] = await outbox_store.due(town.ctx().db, [claimed.device_id], [claimed.collapse_key], now)
    await town.say(ann, chat, "two")
    await jobs.watch(town.ctx())
    await outbox_store.finish(town.ctx().db, due.device_id, due.collapse_key, due.version, now)
    await jobs.send(town.ctx())
    assert (bodies(town, token), await town.waiting()) == (["Seed 1: two"], 0)


async def test_what_one_node_looks_at_no_other_looks_at(town):
    ann, _, chat, _ = await pair(town)
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


async def test_a_service_that_is_set_up_no_more_is_done_with(town):
    ann, bob, chat, _ = await pair(town)
    _, apple = await town.device(bob, provider="apns")
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    for node in town.world.nodes:
        secrets = structs.replace(node.ctx.settings.secrets, fcm_account="")
        node.ctx = replace(node.ctx, settings=structs.replace(node.ctx.settings, secrets=secrets))
    await jobs.send(town.ctx())
    assert ([got.token for got in town.push.got], await town.waiting()) == ([apple], 0)


async def test_a_notice_tells_no_more_than_its_user_wants_to_be_shown(town):
    _, bob, _, token = await pair(town)
    notice = Notice("key", "A title", "the secret", {"type": "notification.new"})
    for preview, body in ((True, "the secret"), (False, "")):
        settings = {"preview": preview}
        assert (await town.world.rest(bob, "PATCH", "/api/notifications/settings", settings))[0] == 200
        async with town.ctx().db.transaction() as tx:
            await service.notify(tx, town.ctx(), [bob], notice)
        await jobs.send(town.ctx())
        assert town.push.to(token)[-1].body["notification"].get("body", "") == body
    assert "secret" not in str(town.push.got[-1].body)
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"push": False})
    async with town.ctx().db.transaction() as tx:
        await service.notify(tx, town.ctx(), [bob], notice)
    assert await town.waiting() == 0


async def test_a_group_s_talk_is_less_urgent_than_a_call(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    browser = await town.browser(bob)
    for urgency, more in (("normal", {}), ("high", {"mentions": [bob]})):
        await town.say(ann, chat, "hello", **more)
        await town.round()
        assert town.push.to(browser.endpoint)[-1].headers["Urgency"] == urgency


async def test_a_push_of_a_node_that_died_over_it_is_another_s_after_a_while(town):
    ann, _, chat, token = await pair(town)
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    assert len(await jobs._claim(town.ctx())) == 1
    await jobs.send(town.ctx())
    assert town.push.got == []
    town.later(seconds=300)
    await jobs.send(town.ctx())
    assert bodies(town, token) == ["Seed 1: hello"]


async def test_a_device_that_registers_again_while_its_service_says_it_is_gone_stays(town):
    ann, bob, chat, token = await pair(town)
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


async def test_the_waits_for_a_service_that_fails_grow_and_have_an_end(town):
    ann, _, chat, token = await pair(town)
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
