"""What was said, who said it and who would hear of it: each alone speaks against a push."""

from datetime import timedelta

from chatd.features.devices import jobs


async def test_what_the_chat_says_of_itself_is_no_push(town):
    ann, _, chat, _ = await town.pair()
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "PATCH", f"/api/chats/{chat}", {"title": "Another name"})
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_neither_one_s_own_words_nor_the_chat_s_are_shown_to_anybody(town):
    ann, bob, chat, token = await town.pair()
    (cee,) = await town.world.users(1)
    await town.world.rest(ann, "POST", f"/api/chats/{chat}/members", {"user_ids": [cee]})
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, cee)
    await town.say(ann, chat, "dinner?")
    await town.say(bob, chat, "at eight")
    await town.world.rest(ann, "PATCH", f"/api/chats/{chat}", {"title": "Dinner"})
    await town.say(cee, chat, "unseen")
    await town.round()
    assert town.bodies(token) == ["Seed 1: dinner?"]


async def test_a_deleted_or_hidden_message_is_not_pushed(town):
    ann, _, chat, _ = await town.pair()
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


async def test_a_block_is_silent_both_ways(town):
    ann, bob, chat, _ = await town.pair()
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", ann, bob)
    await town.say(ann, chat, "hello")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)


async def test_where_the_last_who_spoke_is_blocked_the_one_before_is_shown(town):
    ann, bob, cee = await town.world.users(3)
    chat = await town.world.group(ann, bob, cee)
    _, token = await town.device(bob)
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, cee)
    await town.say(ann, chat, "dinner?")
    await town.say(cee, chat, "unseen")
    await town.round()
    assert [got.body["notification"]["body"] for got in town.push.to(token)] == ["Seed 1: dinner?"]


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


async def test_a_ban_holds_until_its_time(town):
    ann, bob, chat, token = await town.pair()
    ban = "UPDATE users SET banned_at = now(), banned_until = now() + $2::interval WHERE id = $1"
    await town.run(ban, bob, timedelta(hours=1))
    await town.say(ann, chat, "one")
    await town.round()
    assert (town.push.got, await town.waiting()) == ([], 0)
    await town.run(ban, bob, timedelta(hours=-1))
    await town.say(ann, chat, "two")
    await town.round()
    assert town.bodies(token) == ["Seed 1: two"]


async def test_a_session_that_ran_out_is_told_nothing(town):
    ann, bob, chat, _ = await town.pair()
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
    assert town.bodies(token)[-1:] == ["thank you"]
