"""What admins may do, over REST and from the command line; asked as everybody who may not, too."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from chatd import administer
from chatd.administer import Wish
from chatd.core.errors import UserNotFound
from tests.system.world import World

NOBODY = "usr_01h455vb4pex5vsknk084sn02q"


async def command(world: World, capsysbinary: pytest.CaptureFixture[bytes], **wish: Any) -> Any:
    """`chatd admin …`: what it writes."""
    await administer.run(world.settings, Wish(**wish))
    written = capsysbinary.readouterr().out
    return json.loads(written) if written else None


async def make(world: World, user_id: str, *roles: str) -> None:
    await administer.run(world.settings, Wish(action="roles", user_id=user_id, roles=roles))


async def audit(world: World) -> list[tuple[str, dict[str, Any]]]:
    connection = await asyncpg.connect(world.settings.postgres.url)
    try:
        rows = await connection.fetch("SELECT action, detail FROM audit_log ORDER BY id")
        return [(row["action"], json.loads(row["detail"])) for row in rows]
    finally:
        await connection.close()


async def test_every_call_is_for_admins_only(one: World) -> None:
    user, moderator, target = await one.users(3)
    await make(one, moderator, "moderator", "organizer")
    chat = await one.group(target)
    path = f"/api/admin/users/{target}"
    calls = [
        ("GET", path, None),
        ("PUT", f"{path}/roles", {"roles": []}),
        ("PUT", f"{path}/ban", {}),
        ("DELETE", f"{path}/ban", None),
        ("GET", f"{path}/sessions", None),
        ("DELETE", f"{path}/sessions", None),
        ("DELETE", f"{path}/sessions/{one.sessions[target]}", None),
        ("GET", f"/api/admin/chats/{chat}", None),
        ("GET", f"/api/admin/chats?user_id={target}", None),
        ("POST", "/api/admin/drain", None),
    ]
    for method, where, body in calls:
        assert (await one.rest(None, method, where, body))[0] == 401, where
        for who in (user, moderator, target):
            assert (await one.rest(who, method, where, body))[0] == 403, where
    # Who is no admin does not learn either who is there.
    assert (await one.rest(user, "GET", f"/api/admin/users/{NOBODY}"))[0] == 403
    assert [action for action, _ in await audit(one)] == ["user.roles"]


async def test_a_ban_closes_sockets_on_every_node_and_the_door(two: World) -> None:
    admin, target = await two.users(2)
    await make(two, admin, "admin")
    phones = [await two.phone(target), await two.phone(target, node=1)]
    until = "2999-01-01T00:00:00Z"
    status, state = await two.rest(
        admin, "PUT", f"/api/admin/users/{target}/ban", {"until": until, "reason": "spam"}
    )
    assert (status, state["banned_until"], state["sessions"]) == (200, until, 0)
    assert [await phone.closed() for phone in phones] == [4403, 4403]
    assert (await two.rest(target, "GET", "/api/chats"))[1]["code"] == "banned"
    assert (await two.rest(admin, "DELETE", f"/api/admin/users/{target}/ban"))[0] == 204
    assert (await two.rest(admin, "DELETE", f"/api/admin/users/{target}/ban"))[0] == 204
    status, state = await two.rest(admin, "GET", f"/api/admin/users/{target}")
    assert (status, state["banned_at"]) == (200, None)
    assert (await two.rest(target, "GET", "/api/chats"))[1]["code"] == "unauthenticated"
    assert [action for action, _ in await audit(two)] == ["user.roles", "user.ban", "user.unban"]


async def test_who_loses_a_role_is_logged_out_and_who_gains_one_is_not(one: World) -> None:
    admin, target = await one.users(2)
    await make(one, admin, "admin")
    phone = await one.phone(target)
    path = f"/api/admin/users/{target}/roles"
    status, state = await one.rest(admin, "PUT", path, {"roles": ["organizer", "moderator"]})
    assert (status, state["roles"]) == (200, ["user", "moderator", "organizer"])
    await phone.fence()
    status, state = await one.rest(admin, "PUT", path, {"roles": ["organizer"]})
    assert (status, state["roles"]) == (200, ["user", "organizer"])
    assert await phone.closed() == 4401
    assert (await one.rest(admin, "PUT", path, {"roles": ["emperor"]}))[0] == 422
    assert (await audit(one))[-1] == (
        "user.roles",
        {"before": ["user", "moderator", "organizer"], "after": ["user", "organizer"]},
    )


async def test_admins_do_not_ban_each_other_and_one_always_stays(one: World) -> None:
    first, second = await one.users(2)
    await make(one, first, "admin")
    await make(one, second, "admin")
    path = "/api/admin/users/{}/"
    assert (await one.rest(first, "PUT", path.format(second) + "ban", {}))[0] == 403
    assert (await one.rest(first, "PUT", path.format(first) + "ban", {}))[0] == 403
    # Both take the other's role at once: one comes first, and then the other is none any more.
    answers = await asyncio.gather(
        one.rest(first, "PUT", path.format(second) + "roles", {"roles": []}),
        one.rest(second, "PUT", path.format(first) + "roles", {"roles": []}),
    )
    assert sorted(status for status, _ in answers)[0] == 200
    left = first if answers[0][0] == 200 else second
    assert (await one.rest(left, "PUT", path.format(left) + "roles", {"roles": []}))[1]["code"] == "conflict"
    assert (await one.rest(left, "GET", f"/api/admin/users/{left}"))[1]["roles"] == ["user", "admin"]


async def test_sessions_are_listed_and_ended(one: World) -> None:
    admin, target, other = await one.users(3)
    await make(one, admin, "admin")
    path = f"/api/admin/users/{target}/sessions"
    status, answer = await one.rest(admin, "GET", path)
    assert (status, [each["id"] for each in answer["sessions"]]) == (200, [one.sessions[target]])
    phone = await one.phone(target)
    assert (await one.rest(admin, "DELETE", f"{path}/{one.sessions[other]}"))[0] == 404
    assert (await one.rest(admin, "DELETE", f"{path}/{one.sessions[target]}"))[0] == 204
    assert await phone.closed() == 4401
    assert (await one.rest(admin, "DELETE", path))[1] == {"ended": 0}
    assert (await one.rest(admin, "GET", f"/api/admin/users/{NOBODY}/sessions"))[1][
        "code"
    ] == "user_not_found"


async def test_chats_heads_say_where_a_log_stands_and_not_what_it_says(one: World) -> None:
    admin, ann = await one.users(2)
    await make(one, admin, "admin")
    chat = await one.group(ann)
    await (await one.phone(ann)).say(chat, "a secret")
    status, head = await one.rest(admin, "GET", f"/api/admin/chats/{chat}")
    assert (status, head["head_seq"], head["message_count"], head["member_count"]) == (200, 1, 1, 1)
    status, heads = await one.rest(admin, "GET", f"/api/admin/chats?user_id={ann}")
    assert (status, heads["items"]) == (200, [head])
    assert "secret" not in json.dumps(heads)
    assert (await one.rest(admin, "GET", "/api/admin/chats/cht_01h455vb4pex5vsknk084sn02q"))[0] == 404


async def test_the_command_line_does_the_same(two: World, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    phone = await two.phone(bob, node=1)
    state = await command(two, capsysbinary, action="ban", user_id=bob, for_s=60.0, reason="spam")
    assert state["banned_until"] is not None
    assert await phone.closed() == 4403
    assert await command(two, capsysbinary, action="unban", user_id=bob) is None
    assert (await command(two, capsysbinary, action="show", user_id=bob))["banned_at"] is None
    assert len((await command(two, capsysbinary, action="sessions", user_id=ann))["sessions"]) == 1
    phone = await two.phone(ann)
    assert await command(two, capsysbinary, action="logout", user_id=ann) == {"ended": 1}
    assert await phone.closed() == 4401
    assert (await command(two, capsysbinary, action="heads", chat_id=chat))["id"] == chat
    assert [c["id"] for c in (await command(two, capsysbinary, action="heads", user_id=ann))["items"]] == [
        chat
    ]
    with pytest.raises(UserNotFound):
        await command(two, capsysbinary, action="show", user_id=NOBODY)
    actions = [action for action, _ in await audit(two)]
    assert actions == ["user.ban", "user.unban", "session.end_all"]
