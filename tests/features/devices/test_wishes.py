"""What users wish of pushes: mutes, levels, previews, quiet hours. Each alone decides."""

from datetime import timedelta

from chatd.features.devices import jobs, service
from chatd.features.devices.contract import Notice


async def test_a_mute_holds_until_its_time_and_no_longer(town):
    ann, bob, chat, token = await town.pair()
    mute = "INSERT INTO chat_settings (user_id, chat_id, muted_until) VALUES ($1, $2, clock_timestamp() + $3)"
    await town.run(mute, bob, chat, timedelta(hours=1))
    await town.say(ann, chat, "hush")
    await jobs.watch(town.ctx())
    assert await town.waiting() == 0
    await town.run("UPDATE chat_settings SET muted_until = clock_timestamp() - interval '1 second'")
    await town.say(ann, chat, "good morning")
    await town.round()
    assert town.bodies(token) == ["Seed 1: good morning"]


async def test_a_chat_that_is_muted_while_its_push_waits_stays_silent(town):
    ann, bob, chat, token = await town.pair()
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
    assert town.bodies(token) == ["Seed 1: you there"]
    await town.say(ann, chat, "you again", mentions=[bob])
    await jobs.watch(town.ctx())
    status, _ = await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"notifications": "none"})
    await jobs.send(town.ctx())
    assert (status, len(town.push.got), await town.waiting()) == (200, 1, 0)


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


async def test_of_what_came_the_newest_that_called_them_is_shown(town):
    ann, bob, chat, token = await town.pair()
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"notifications": "mentions"})
    await town.say(ann, chat, "you", mentions=[bob])
    await town.say(ann, chat, "and you", mentions=[cee])
    last = await town.say(ann, chat, "forget it", mentions=[bob])
    await jobs.watch(town.ctx())
    await town.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{last['message_id']}")
    await jobs.send(town.ctx())
    assert town.bodies(token) == ["Seed 1: you"]


async def test_an_archived_chat_is_out_of_the_list_and_not_out_of_mind(town):
    ann, bob, chat, token = await town.pair()
    status, _ = await town.world.rest(bob, "PUT", f"/api/chats/{chat}/settings", {"archived": True})
    assert status == 200
    await town.say(ann, chat, "hello")
    await town.round()
    assert town.bodies(token) == ["Seed 1: hello"]


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


async def test_a_notice_tells_no_more_than_its_user_wants_to_be_shown(town):
    _, bob, _, token = await town.pair()
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


async def test_who_wants_no_push_gets_none(town):
    ann, bob, chat, _ = await town.pair()
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"push": False})
    await town.say(ann, chat, "hello")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_who_wants_no_push_any_more_gets_not_even_what_waits(town):
    ann, bob, chat, _ = await town.pair()
    await town.say(ann, chat, "hello")
    await jobs.watch(town.ctx())
    assert await town.waiting() == 1
    await town.world.rest(bob, "PATCH", "/api/notifications/settings", {"push": False})
    await jobs.send(town.ctx())
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_quiet_hours_end_with_one_push_for_all_that_came_in_them(town):
    ann, bob, chat, _ = await town.pair()
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


async def test_quiet_hours_are_those_of_the_user_s_own_clock(town):
    ann, bob, chat, token = await town.pair()
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
    assert (town.bodies(token), town.bodies(awake)) == ([], ["Seed 1: hello"])
    town.later(hours=2)
    await town.round()
    assert town.bodies(token) == ["Seed 1: hello"]
