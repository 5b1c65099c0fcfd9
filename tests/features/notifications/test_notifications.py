"""What happened is told once, live and by push, to whom it concerns, until they have seen it."""

import asyncio
from dataclasses import replace

import pytest
from msgspec import structs

from chatd.features.devices import jobs as devices_jobs
from chatd.features.mail import jobs as mail_jobs
from chatd.features.notifications import jobs, service
from chatd.features.notifications.contract import Payload
from tests.features.mailbox import mailbox

HELLO = Payload(title="New comment", message="Ann: nice", action_url="/posts/1", data={"post_id": "pst_1"})


async def tell(town, *users: str, type: str = "post_comment", node: int = 0, **options):
    ctx = town.ctx(node=node)
    async with ctx.db.transaction() as tx:
        return await service.notify(tx, ctx, users, type, HELLO, **options)


async def listed(town, user: str, query: str = ""):
    status, page = await town.world.rest(user, "GET", f"/api/notifications{query}")
    assert status == 200, page
    return page


async def test_a_notification_is_live_on_every_node_and_listed_after(towns):
    ann, bob = await towns.world.users(2)
    here, there = await towns.world.phone(ann), await towns.world.phone(ann, node=1)
    await tell(towns, ann)
    for phone in (here, there):
        live = (await phone.event("notification.new"))["notification"]
        assert (live["type"], live["title"], live["action_url"]) == (
            "post_comment",
            "New comment",
            "/posts/1",
        )
    page = await listed(towns, ann)
    assert page["notifications"] == [live]
    assert (live["payload"], live["is_read"], page["unread_count"]) == ({"post_id": "pst_1"}, False, 1)
    assert await listed(towns, bob) == {"notifications": [], "unread_count": 0, "next_cursor": None}


async def test_what_rolls_back_was_never_told(town):
    [ann] = await town.world.users(1)
    phone = await town.world.phone(ann)

    async def fail() -> None:
        async with town.ctx().db.transaction() as tx:
            await service.notify(tx, town.ctx(), [ann], "reaction", HELLO)
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        await fail()
    await phone.fence()
    assert phone.seen("notification.new") == []
    assert (await listed(town, ann))["unread_count"] == 0


async def test_the_same_reason_is_told_once_even_from_many_nodes_at_once(towns):
    [ann] = await towns.world.users(1)
    told = await asyncio.gather(*(tell(towns, ann, dedupe_key="x", node=i % 2) for i in range(10)))
    assert sorted(told, key=len)[-1:] == [[ann]]
    assert sum(map(len, told)) == 1
    assert (await listed(towns, ann))["unread_count"] == 1


async def test_nobody_is_told_of_their_own_doing_or_of_whom_they_have_a_block_with(town):
    ann, bob, cee, dan = await town.world.users(4)
    await town.run(
        "INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2), ($2, $3)", bob, ann, cee
    )
    assert await tell(town, ann, bob, cee, dan, actor_id=ann) == [dan]
    assert await tell(town, ann, bob, cee, dan, actor_id=bob) == [cee, dan]


async def test_a_type_that_is_turned_off_is_not_told_but_a_matter_of_security_is(town):
    [ann] = await town.world.users(1)
    settings = {"off_types": ["reaction", "new_login"]}
    await town.world.rest(ann, "PATCH", "/api/notifications/settings", settings)
    assert await tell(town, ann, type="reaction") == []
    assert await tell(town, ann, type="mention") == [ann]
    assert await tell(town, ann, type="new_login") == [ann]


async def test_pages_are_stable_while_new_ones_arrive(town):
    [ann] = await town.world.users(1)
    for _ in range(5):
        await tell(town, ann)
    first = await listed(town, ann, "?limit=2")
    await tell(town, ann)
    second = await listed(town, ann, f"?limit=2&cursor={first['next_cursor']}")
    third = await listed(town, ann, f"?limit=2&cursor={second['next_cursor']}")
    ids = [n["id"] for page in (first, second, third) for n in page["notifications"]]
    assert len(set(ids)) == len(ids) == 5
    assert third["next_cursor"] is None
    assert ids == sorted(ids, reverse=True)


async def test_reading_one_and_all_is_told_to_my_other_devices(town):
    [ann] = await town.world.users(1)
    phone = await town.world.phone(ann)
    for _ in range(3):
        await tell(town, ann)
    newest = (await listed(town, ann))["notifications"][0]["id"]
    for _ in range(2):
        status, left = await town.world.rest(ann, "POST", f"/api/notifications/{newest}/read")
        assert (status, left) == (200, {"success": True, "unread_count": 2})
    assert (await phone.event("notification.read", notification_ids=[newest]))["unread_count"] == 2
    assert newest not in [n["id"] for n in (await listed(town, ann, "?unread=true"))["notifications"]]
    assert (await town.world.rest(ann, "POST", "/api/notifications/read"))[1]["unread_count"] == 0
    await phone.event("notification.read", notification_ids=None, unread_count=0)
    assert len(phone.seen("notification.read")) == 2


async def test_nobody_reads_or_marks_what_is_another_s(town):
    ann, bob = await town.world.users(2)
    await tell(town, ann)
    [one] = (await listed(town, ann))["notifications"]
    status, problem = await town.world.rest(bob, "POST", f"/api/notifications/{one['id']}/read")
    assert (status, problem["code"]) == (404, "not_found")
    await town.world.rest(bob, "POST", "/api/notifications/read")
    assert (await listed(town, ann))["unread_count"] == 1
    assert (await town.world.rest(None, "GET", "/api/notifications"))[0] == 401
    assert (await town.world.rest(ann, "POST", "/api/notifications/ntf_nonsense/read"))[0] == 422
    assert (await town.world.rest(ann, "GET", "/api/notifications?cursor=nonsense"))[0] == 422


async def test_who_has_no_socket_gets_a_push_unless_they_read_it_first(town):
    ann, bob = await town.world.users(2)
    _, token = await town.device(ann)
    await town.device(bob)
    await tell(town, ann, bob)
    await town.world.rest(bob, "POST", "/api/notifications/read")
    await devices_jobs.send(town.ctx())
    [got] = town.push.got
    assert got.token == token
    assert got.body["notification"] == {"title": "New comment", "body": "Ann: nice"}
    assert got.body["data"]["action_url"] == "/posts/1"


async def test_a_login_from_a_new_device_is_told_in_app_and_by_letter(town):
    [ann] = await town.world.users(1)
    await town.run("UPDATE users SET email_verified = true, last_active_at = now() WHERE id = $1", ann)
    await town.run("INSERT INTO login_notices (session_id, at) VALUES ($1, now())", town.world.sessions[ann])
    name = "a phone\n\n\x1b[1mYour account is locked: call 0190 1234\r\n"
    await town.run("UPDATE sessions SET device_name = $1, device_platform = '\n'", name)
    async with mailbox() as box:
        node = town.world.nodes[0]
        mail = structs.replace(node.ctx.settings.mail, host="127.0.0.1", port=box.port, security="none")
        node.ctx = replace(node.ctx, settings=structs.replace(node.ctx.settings, mail=mail))
        await jobs.tell_logins(node.ctx)
        await jobs.tell_logins(node.ctx)
        await mail_jobs.deliver(node.ctx)
    [told] = (await listed(town, ann))["notifications"]
    assert (told["type"], told["payload"]) == ("new_login", {"session_id": town.world.sessions[ann]})
    [letter] = box.letters
    assert letter["Subject"] == "New login to your account"
    # What whoever logged in calls the device cannot look like what chatd says.
    assert "logged in to: a phone [1mYour account is locked: call 0190 1234," in letter.get_content()
    assert "\x1b" not in letter.get_content()


async def test_a_digest_is_sent_once_a_day_to_who_wants_one_and_has_something_unread(town):
    ann, bob, cee = await town.world.users(3)
    await town.run("UPDATE users SET email_verified = true")
    for user in (ann, bob, cee):
        await town.world.rest(user, "PATCH", "/api/notifications/settings", {"email": "daily"})
    await tell(town, ann, cee)
    ban = "UPDATE users SET banned_at = now(), banned_until = now() + interval '12 hours' WHERE id = $1"
    await town.run(ban, cee)
    async with mailbox() as box:
        node = town.world.nodes[0]
        mail = structs.replace(node.ctx.settings.mail, host="127.0.0.1", port=box.port, security="none")
        node.ctx = replace(node.ctx, settings=structs.replace(node.ctx.settings, mail=mail))
        for _ in range(2):
            await jobs.send_digests(node.ctx)
            await mail_jobs.deliver(node.ctx)
        assert [letter["To"] for letter in box.letters] == [f"{ann}@seed.invalid"]
        assert "* New comment: Ann: nice" in box.letters[0].get_content()
        town.later(days=1, hours=1)
        await tell(town, ann)
        await jobs.send_digests(node.ctx)
        await mail_jobs.deliver(node.ctx)
        later = sorted(str(letter["To"]) for letter in box.letters[1:])
        assert later == sorted(f"{user}@seed.invalid" for user in (ann, cee)), "the ban is over"


async def test_old_notifications_are_forgotten(town):
    [ann] = await town.world.users(1)
    await tell(town, ann)
    town.later(days=91)
    await tell(town, ann)
    await jobs.purge(town.ctx())
    assert await town.world.nodes[0].db.one(int, "SELECT count(*) FROM notifications") == 1
