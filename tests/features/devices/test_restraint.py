"""What speaks against a push, or for another: what was said, who said it, and what its reader wishes."""

from chatd.features.devices import jobs


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
