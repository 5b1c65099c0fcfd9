"""All that is held of me, nothing of others; and when I go, nothing of me, with others' talk left whole."""

import csv
import io
import json
import uuid
from dataclasses import replace

from msgspec import structs

from chatd.core.ids import to_bytes
from chatd.core.settings import Mail
from chatd.features.accounts import passwords
from chatd.features.devices import jobs as devices_jobs
from chatd.features.mail import jobs as mail_jobs
from chatd.features.personal_data import jobs, tables
from tests.features.mailbox import mailbox


async def exported(town, user: str) -> dict[str, list]:
    """The whole copy, by section."""
    status, asked = await town.world.rest(user, "POST", "/api/users/me/export")
    assert (status, asked["status"]) == (202, "pending")
    path = f"/api/users/me/export/{asked['id']}"
    assert (await town.world.rest(user, "GET", f"{path}/parts/0"))[0] == 404
    await jobs.export(town.ctx())
    status, ready = await town.world.rest(user, "GET", path)
    assert (status, ready["status"]) == (200, "ready")
    found: dict[str, list] = {}
    for number in range(ready["parts"]):
        _, part = await town.world.rest(user, "GET", f"{path}/parts/{number}")
        found.setdefault(part["section"], []).extend(part["rows"])
    return found


async def forget(town) -> None:
    town.later(minutes=5)
    await jobs.forget(town.ctx())


async def history(town, user: str, chat: str) -> list[dict]:
    status, page = await town.world.rest(user, "GET", f"/api/chats/{chat}/messages?limit=100")
    assert status == 200
    return list(reversed(page["messages"]))


# ------------------------------------------------------------------------------------------------- exports


async def test_all_that_is_held_of_me_is_in_it_and_nothing_of_others(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    left = await town.world.group(bob, ann)
    mine = await town.say(ann, chat, "my own words")
    gone = await town.say(ann, chat, "taken back")
    await town.say(ann, left, "said where I am no more")
    theirs = await town.say(bob, chat, "the words of bob")
    await town.world.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{gone['message_id']}")
    await town.world.rest(ann, "DELETE", f"/api/chats/{left}/members/me")
    await town.world.rest(ann, "PUT", f"/api/chats/{chat}/messages/{theirs['message_id']}/reactions/👍")
    await town.world.rest(ann, "PATCH", "/api/notifications/settings", {"email": "daily"})
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", bob, ann)
    await town.device(ann, "a-token-that-is-a-secret")
    await town.run("UPDATE users SET password_hash = 'argon' WHERE id = $1", ann)
    found = await exported(town, ann)
    assert found["account"][0]["email"] == f"{ann}@seed.invalid"
    assert [c["chat_id"] for c in found["chats"]] == [chat]
    assert {m["content"]["text"] for m in found["messages"]} == {"my own words", "said where I am no more"}
    assert mine["message_id"] in {m["id"] for m in found["messages"]}
    assert [(r["message_id"], r["emoji"]) for r in found["reactions"]] == [(theirs["message_id"], "👍")]
    assert found["notification_settings"][0]["email"] == "daily"
    assert found["push_devices"][0]["name"] == "a phone"
    assert len(found["sessions"]) == 1
    text = json.dumps(found)
    for foreign in (
        "the words of bob",
        bob,
        "taken back",
        "a-token-that-is-a-secret",
        "argon",
        "user_blocks",
    ):
        assert foreign not in text


async def test_my_reports_and_what_i_said_before_an_edit_are_in_it(town):
    ann, bob, staff = await town.world.users(3)
    chat = await town.world.group(ann, bob)
    theirs = await town.say(bob, chat, "the words of bob")
    mine = await town.say(ann, chat, "what I said first")
    path = f"/api/chats/{chat}/messages"
    report = {"reason": "spam", "description": "he sells watches"}
    assert (await town.world.rest(ann, "POST", f"{path}/{theirs['message_id']}/report", report))[0] == 201
    content = {"content": {"type": "text", "text": "what I said then"}}
    assert (await town.world.rest(ann, "PATCH", f"{path}/{mine['message_id']}", content))[0] == 200
    await town.run("INSERT INTO server_mutes (user_id, muted_by) VALUES ($1, $2)", ann, staff)
    found = await exported(town, ann)
    assert [(r["reason"], r["description"]) for r in found["moderation_reports"]] == [
        ("spam", "he sells watches")
    ]
    assert [v["content"]["text"] for v in found["message_versions"]] == ["what I said first"]
    assert len(found["server_mutes"]) == 1
    assert "moderation_reports" not in await exported(town, bob), "who reported me is not told"
    text = json.dumps(found)
    for foreign in ("the words of bob", str(uuid.UUID(bytes=to_bytes(staff)))):
        assert foreign not in text


async def test_a_report_outlives_its_reporter_without_their_name(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(ann, bob)
    theirs = await town.say(bob, chat, "cheap watches")
    path = f"/api/chats/{chat}/messages/{theirs['message_id']}/report"
    assert (await town.world.rest(ann, "POST", path, {"reason": "spam"}))[0] == 201
    assert (await town.world.rest(ann, "DELETE", "/api/users/me", {}))[0] == 202
    await forget(town)
    db = town.world.nodes[0].db
    named = "SELECT count(*) FROM moderation_reports WHERE reporter_id IS NOT NULL"
    assert await db.one(int, named) == 0
    assert await db.one(int, "SELECT count(*) FROM moderation_reports") == 1


async def test_much_is_given_in_pieces_and_none_is_lost_where_a_run_is_cut_short(town, monkeypatch):
    from chatd.features.personal_data import exporting

    monkeypatch.setattr(exporting, "ROWS", 7)
    monkeypatch.setattr(jobs, "STEPS", 2)
    ann, bob = await town.world.users(2)
    chats = [await town.world.group(bob, ann) for _ in range(3)]
    said = {f"{chat} {i}" for chat in chats for i in range(10)}
    for text in said:
        await town.say(ann, text.split()[0], text)
    _, asked = await town.world.rest(ann, "POST", "/api/users/me/export")
    path = f"/api/users/me/export/{asked['id']}"
    for _ in range(20):
        await jobs.export(town.ctx())
        town.later(minutes=5)
    _, ready = await town.world.rest(ann, "GET", path)
    assert ready["status"] == "ready"
    parts = [(await town.world.rest(ann, "GET", f"{path}/parts/{n}"))[1] for n in range(ready["parts"])]
    texts = [m["content"]["text"] for p in parts if p["section"] == "messages" for m in p["rows"]]
    assert sorted(texts) == sorted(said)
    assert max(len(p["rows"]) for p in parts if p["section"] == "messages") == 7


async def test_two_nodes_make_one_copy(towns):
    import asyncio

    ann, bob = await towns.world.users(2)
    chat = await towns.world.group(ann, bob)
    await towns.say(ann, chat, "once")
    _, asked = await towns.world.rest(ann, "POST", "/api/users/me/export")
    await towns.run("UPDATE data_exports SET due_at = now() - interval '1 hour'")
    work = (await jobs.store.claim(towns.ctx().db, towns.world.clock.now(), towns.world.clock.now(), 1))[0]
    await asyncio.gather(*(jobs._step(towns.ctx(node=i % 2), work) for i in range(6)))
    await jobs.export(towns.ctx(node=1))
    _, ready = await towns.world.rest(ann, "GET", f"/api/users/me/export/{asked['id']}")
    path = f"/api/users/me/export/{asked['id']}/parts"
    names = [(await towns.world.rest(ann, "GET", f"{path}/{n}"))[1]["section"] for n in range(ready["parts"])]
    assert len(names) == len(set(names))


async def test_it_is_announced_bounded_and_gone_after_a_week(town):
    [ann] = await town.world.users(1)
    _, asked = await town.world.rest(ann, "POST", "/api/users/me/export")
    _, again = await town.world.rest(ann, "POST", "/api/users/me/export")
    assert again["id"] == asked["id"]
    await jobs.export(town.ctx())
    _, page = await town.world.rest(ann, "GET", "/api/notifications")
    assert page["notifications"][0]["payload"] == {"export_id": asked["id"]}
    for _ in range(2):
        assert (await town.world.rest(ann, "POST", "/api/users/me/export"))[0] == 202
        await jobs.export(town.ctx())
    assert (await town.world.rest(ann, "POST", "/api/users/me/export"))[0] == 429
    await town.run("UPDATE data_exports SET expires_at = now() - interval '1 minute'")
    assert (await town.world.rest(ann, "GET", f"/api/users/me/export/{asked['id']}"))[0] == 404
    await jobs.purge(town.ctx())
    assert await town.world.nodes[0].db.one(int, "SELECT count(*) FROM data_export_parts") == 0


async def test_nobody_gets_the_copy_of_another(town):
    ann, bob = await town.world.users(2)
    _, asked = await town.world.rest(ann, "POST", "/api/users/me/export")
    await jobs.export(town.ctx())
    path = f"/api/users/me/export/{asked['id']}"
    for user, status in ((bob, 404), (None, 401)):
        for each in (path, f"{path}/parts/0"):
            assert (await town.world.rest(user, "GET", each))[0] == status
    assert (await town.world.rest(ann, "GET", f"{path}/parts/0"))[0] == 200
    assert (await town.world.rest(ann, "GET", f"{path}/parts/-1"))[0] == 422
    assert (await town.world.rest(ann, "GET", f"{path}/parts/99999"))[0] == 404


async def test_as_a_table_no_cell_is_a_formula(town):
    [ann] = await town.world.users(1)
    evil = '=HYPERLINK("http://evil.example","click")'
    await town.run("UPDATE users SET bio = $2, city = $3 WHERE id = $1", ann, evil, " @SUM(A1)")
    _, asked = await town.world.rest(ann, "POST", "/api/users/me/export")
    await jobs.export(town.ctx())
    _, part = await town.world.rest(ann, "GET", f"/api/users/me/export/{asked['id']}/parts/0?format=csv")
    names, row = csv.reader(io.StringIO(part["csv"]))
    cells = dict(zip(names, row, strict=True))
    assert (cells["bio"], cells["city"]) == (f"'{evil}", "' @SUM(A1)")


def test_a_table_has_every_name_once_and_what_is_no_scalar_as_json():
    text = tables.as_csv([{"a": 1, "b": [1, "x"]}, {"a": -1.5, "c": None, "d": True, "+e": "plain\nlines"}])
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b", "c", "d", "'+e"],
        ["1", '[1,"x"]', "", "", ""],
        ["-1.5", "", "", "true", "plain\nlines"],
    ]


# ------------------------------------------------------------------------------------------------- leaving


async def test_who_goes_is_out_at_once_and_nobody_finds_their_name_again(town):
    ann, bob = await town.world.users(2)
    phone = await town.world.phone(ann)
    assert (await town.world.rest(ann, "DELETE", "/api/users/me")) == (202, {"status": "deleting"})
    assert await phone.closed() == 4401
    assert (await town.world.rest(ann, "GET", "/api/users/me"))[0] == 401
    _, seen = await town.world.rest(bob, "GET", f"/api/users/{ann}")
    assert (seen["display_name"], seen["last_active_at"]) == ("Deleted user", None)
    email = await town.world.nodes[0].db.one(str, "SELECT email FROM users WHERE id = $1", ann)
    assert email.endswith("@deleted.invalid")


async def test_whoever_found_the_phone_unlocked_does_not_know_the_password(town):
    [ann] = await town.world.users(1)
    stored = await passwords.pool(1).hash("correct horse")
    await town.run("UPDATE users SET password_hash = $2 WHERE id = $1", ann, stored)
    for body in (None, {}, {"password": "wrong"}):
        status, problem = await town.world.rest(ann, "DELETE", "/api/users/me", body)
        assert (status, problem["code"]) == (403, "forbidden")
    assert (await town.world.rest(ann, "DELETE", "/api/users/me", {"password": "correct horse"}))[0] == 202


async def test_what_was_said_becomes_tombstones_for_all_who_have_it_and_all_else_goes(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(bob, ann)
    first = await town.say(ann, chat, "the words of ann")
    reply = await town.say(bob, chat, "the words of bob")
    await town.world.rest(ann, "PUT", f"/api/chats/{chat}/messages/{reply['message_id']}/reactions/👍")
    await town.run("INSERT INTO user_blocks (blocker_id, blocked_id) VALUES ($1, $2)", ann, bob)
    await town.world.rest(ann, "PATCH", "/api/notifications/settings", {"email": "daily"})
    watcher = await town.world.phone(bob)
    await town.world.rest(ann, "DELETE", "/api/users/me")
    await forget(town)
    told = await watcher.event("message.delete", message_id=first["message_id"])
    assert told["deleted_by"] == ann
    await watcher.event("message.update")
    shown = {m["id"]: m for m in await history(town, bob, chat)}
    assert shown[first["message_id"]]["content"] == {"type": "tombstone"}
    assert shown[reply["message_id"]]["content"]["text"] == "the words of bob"
    assert shown[reply["message_id"]]["reactions"] == []
    _, detail = await town.world.rest(bob, "GET", f"/api/chats/{chat}")
    assert [m["user_id"] for m in detail["members"]] == [bob]
    db = town.world.nodes[0].db
    assert await db.rows(str, "SELECT section FROM rows_of_user($1, '{}', 10)", ann) == [
        "account_deletions",
        "user_profiles",
    ]
    assert await db.one(bool, "SELECT finished_at IS NOT NULL FROM account_deletions")
    assert watcher.seqs(chat) == sorted(watcher.seqs(chat))


async def test_a_direct_chat_stays_with_the_other_side_and_is_closed(town):
    ann, bob = await town.world.users(2)
    chat = await town.direct(ann, bob)
    await town.say(ann, chat, "hello bob")
    await town.say(bob, chat, "hello ann")
    await town.world.rest(ann, "DELETE", "/api/users/me")
    await forget(town)
    assert [m["content"].get("text") for m in await history(town, bob, chat)] == [None, "hello ann"]
    _, mine = await town.world.rest(bob, "GET", f"/api/chats/{chat}")
    assert (mine["peer_id"], mine["read_only"]) == (ann, True)


async def test_the_chat_of_a_last_owner_is_handed_over(town):
    ann, bob, cee = await town.world.users(3)
    chat = await town.world.group(ann, bob, cee)
    await town.world.rest(ann, "PUT", f"/api/chats/{chat}/members/{cee}", {"role": "moderator"})
    alone = await town.world.group(ann)
    await town.world.rest(ann, "DELETE", "/api/users/me")
    await forget(town)
    _, detail = await town.world.rest(bob, "GET", f"/api/chats/{chat}")
    assert {m["user_id"]: m["role"] for m in detail["members"]} == {bob: "member", cee: "owner"}
    left = await town.world.nodes[0].db.one(
        int, "SELECT count(*) FROM chat_participants WHERE chat_id = $1", alone
    )
    assert left == 0


async def test_a_departure_that_is_cut_short_goes_on(town, monkeypatch):
    from chatd.features.messages import erasing

    monkeypatch.setattr(erasing, "STEP", 3)
    ann, bob = await town.world.users(2)
    chat = await town.world.group(bob, ann)
    for i in range(10):
        await town.say(ann, chat, f"number {i}")
    await town.world.rest(ann, "DELETE", "/api/users/me")
    assert await erasing.erase_said(town.ctx(), ann, chat)
    await forget(town)
    texts = [m["content"] for m in await history(town, bob, chat) if m["sender_id"] == ann]
    assert [t for t in texts if t["type"] == "text"] == []
    await forget(town)
    assert (
        await town.world.nodes[0].db.one(int, "SELECT count(*) FROM chat_events WHERE kind = 'delete'") == 10
    )


async def test_nothing_is_pushed_or_written_to_who_has_gone_but_a_last_letter(town):
    ann, bob = await town.world.users(2)
    chat = await town.world.group(bob, ann)
    await town.device(ann)
    await town.run("UPDATE users SET email_verified = true WHERE id = $1", ann)
    await town.say(bob, chat, "hello")
    await devices_jobs.watch(town.ctx())
    async with mailbox() as box:
        node = town.world.nodes[0]
        mail = Mail(host="127.0.0.1", port=box.port, security="none")
        node.ctx = replace(node.ctx, settings=structs.replace(node.ctx.settings, mail=mail))
        node._shared = {**node._shared, "settings": node.ctx.settings}  # what a request's Ctx is made of
        await town.world.rest(ann, "DELETE", "/api/users/me")
        await devices_jobs.send(town.ctx())
        await mail_jobs.deliver(town.ctx())
    assert town.push.got == []
    assert [letter["Subject"] for letter in box.letters] == ["Your account was deleted"]


async def test_who_has_gone_is_let_into_nothing_any_more(town):
    ann, bob, eve = await town.world.users(3)
    chat = await town.world.group(bob)
    assert (await town.world.rest(ann, "DELETE", "/api/users/me", {}))[0] == 202
    for job in (None, forget):
        if job is not None:
            await job(town)
        for path, body in (
            ("/api/chats", {"type": "direct", "member_ids": [ann]}),
            ("/api/chats", {"type": "group", "member_ids": [ann, eve]}),
            (f"/api/chats/{chat}/members", {"user_ids": [ann]}),
        ):
            status, answer = await town.world.rest(bob, "POST", path, body)
            assert (status, answer["code"]) == (404, "user_not_found"), (path, job)
    seats = "SELECT count(*) FROM chat_participants WHERE user_id = $1"
    assert await town.world.nodes[0].db.one(int, seats, ann) == 0
