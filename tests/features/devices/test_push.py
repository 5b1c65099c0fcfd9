"""A push crosses a local wire, when it should, once, and says the right thing."""

import asyncio

from chatd.features.devices import jobs
from tests.features.devices.services import Said
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


# ----------------------------------------------------------------------------------- what speaks against it


async def test_a_deleted_or_hidden_message_is_not_pushed(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    said = await town.say(ann, chat, "oops")
    await jobs.watch(town.ctx())
    assert (await town.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{said['message_id']}"))[
        0
    ] == 200
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)
    said = await town.say(ann, chat, "ugly")
    await jobs.watch(town.ctx())
    await town.run("UPDATE chat_messages SET moderation_status = 'hidden' WHERE id = $1", said["message_id"])
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_a_block_a_ban_an_ended_session_or_a_leave_after_the_queueing_stops_it(town):
    ann, bob, cee, dan, eve = await town.world.users(5)
    chat = await town.world.group(ann, bob, cee, dan, eve)
    for user in (bob, cee, dan, eve):
        await town.device(user)
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    assert await town.waiting() == 4
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, ann)
    await town.run("UPDATE users SET banned_at = now() WHERE id = $1", cee)
    assert (await town.world.rest(dan, "POST", "/api/auth/logout"))[0] == 204
    assert (await town.world.rest(eve, "DELETE", f"/api/chats/{chat}/members/me"))[0] < 300
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_muted_chats_and_those_at_level_mentions_ring_for_a_mention_only_and_level_none_never(town):
    users = await town.world.users(5)
    ann, bob, cee, dan, eve = users
    chat = await town.world.group(ann, bob, cee, dan, eve)
    tokens = {user: (await town.device(user))[1] for user in (bob, cee, dan, eve)}
    await town.run(
        """
        INSERT INTO chat_settings (user_id, chat_id, muted_until, notifications)
        SELECT u, $2, m, n FROM unnest($1::uuid[], ARRAY['infinity', NULL, NULL]::timestamptz[],
                                       ARRAY['all', 'mentions', 'none']) AS i (u, m, n)
        """,
        [bob, cee, dan],
        chat,
    )
    await town.say(ann, chat, "hello")
    await town.round()
    assert [got.token for got in town.push.got] == [tokens[eve]]
    town.push.got.clear()
    await town.say(ann, chat, "you three", mentions=[bob, cee, dan])
    await town.say(ann, chat, "and that was it")
    await town.round()
    by_token = {got.token: got.body["notification"]["body"] for got in town.push.got}
    assert by_token == {
        tokens[bob]: "Seed 1: you three",
        tokens[cee]: "Seed 1: you three",
        tokens[eve]: "Seed 1: and that was it",
    }


async def test_who_calls_everybody_is_heard_in_muted_chats_and_not_by_themselves(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, mine = await town.device(ann)
    _, token = await town.device(bob)
    await town.run(
        "INSERT INTO chat_settings (user_id, chat_id, muted_until) VALUES ($1, $2, 'infinity')", bob, chat
    )
    await town.say(bob, chat, "I speak too")
    await town.say(ann, chat, "all of you", mentions_all=True)
    await town.round()
    by_token = {got.token: got.body["notification"]["body"] for got in town.push.got}
    assert by_token == {token: "Seed 1: all of you", mine: "Seed 2: I speak too"}


async def test_where_the_last_who_spoke_is_blocked_the_one_before_is_shown(town):
    ann, bob, cee = await town.world.users(3)
    chat = await town.world.group(ann, bob, cee)
    _, token = await town.device(bob)
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, cee)
    await town.say(ann, chat, "dinner?")
    await town.say(cee, chat, "unseen")
    await town.round()
    assert [got.body["notification"]["body"] for got in town.push.to(token)] == ["Seed 1: dinner?"]


async def test_without_preview_nothing_of_what_was_said_leaves_the_server(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    await town.device(bob)
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"preview": False})
    await town.say(ann, chat, "the secret")
    await town.round()
    [got] = town.push.got
    assert got.body["notification"] == {"title": "Seed 1", "body": "New message"}
    assert "secret" not in str(got.body)


async def test_who_wants_no_push_gets_none(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"push": False})
    await town.say(ann, chat, "hello")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_quiet_hours_end_with_one_push_for_all_that_came_in_them(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
    now = town.world.clock.now()
    hours = {
        "quiet_from": f"{(now.hour - 1) % 24:02}:00:00",
        "quiet_until": f"{(now.hour + 3) % 24:02}:00:00",
    }
    assert (await town.world.rest(bob, "PATCH", "/api/notifications/settings", hours))[0] == 200
    for text in ("one", "two"):
        await town.say(ann, chat, text)
        await town.round()
    assert town.push.got == []
    town.later(hours=3)
    await town.round()
    [got] = town.push.got
    assert got.body["notification"]["body"] == "Seed 1: two"


# -------------------------------------------------------------------------------------------- what they say


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
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob)
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
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob)
    town.push.answers[token] = [Said(503)] * 9
    await town.say(ann, chat, "hello")
    await town.round()
    town.later(seconds=3700)
    await town.round()
    assert (len(town.push.got), await town.waiting()) == (1, 0)


async def test_what_is_refused_is_not_asked_again_and_the_device_stays(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob)
    town.push.answers[token] = [Said(400, {"error": {"status": "INVALID_ARGUMENT"}})]
    await town.say(ann, chat, "hello")
    await town.round()
    assert await town.waiting() == 0
    assert len((await town.world.rest(bob, "GET", "/api/devices"))[1]["devices"]) == 1


async def test_a_revoked_oauth_token_is_replaced(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    _, token = await town.device(bob)
    town.push.answers[token] = [Said(401)]
    await town.say(ann, chat, "hello")
    await town.round()
    town.later(seconds=10)
    await town.round()
    assert (town.push.grants, len(town.push.to(token))) == (2, 2)


async def test_a_token_endpoint_that_fails_loses_nothing(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    await town.device(bob)
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
