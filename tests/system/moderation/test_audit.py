"""What power was used is written down, and stays."""

from typing import Any

import asyncpg
import pytest

from tests.system.calls import said
from tests.system.moderation.scene import with_filter
from tests.system.world import World


async def test_power_used_outside_the_moderation_room_is_in_the_audit_too(
    one: World, cast: dict[str, Any]
) -> None:
    chat, ann, bob, owner, mod = (cast[name] for name in ("chat", "ann", "bob", "owner", "mod"))
    own, other = await said(one, ann, chat, "mine"), await said(one, ann, chat, "rude")
    assert (await one.rest(ann, "DELETE", f"/api/chats/{chat}/messages/{own}"))[0] == 200
    assert (await one.rest(mod, "DELETE", f"/api/chats/{chat}/messages/{other}"))[0] == 200
    assert (await one.rest(mod, "DELETE", f"/api/chats/{chat}/messages/{other}"))[0] == 200, "twice is once"
    assert (await one.rest(owner, "PUT", f"/api/chats/{chat}/members/{bob}", {"role": "moderator"}))[0] == 200
    assert (await one.rest(owner, "DELETE", f"/api/chats/{chat}/members/{ann}"))[0] == 204
    assert (await one.rest(bob, "DELETE", f"/api/chats/{chat}/members/me"))[0] == 204
    assert (await one.rest(ann, "PATCH", "/api/users/me", {"bio": "mine"}))[0] == 200
    assert (await one.rest(cast["admin"], "PATCH", f"/api/users/{ann}", {"bio": None, "city": "Rome"}))[
        0
    ] == 200
    _, log = await one.rest(cast["admin"], "GET", "/api/moderation/audit")
    deeds = [(e["actor_id"], e["action"], e["target_id"], e["detail"]) for e in reversed(log["items"])]
    assert deeds == [
        (owner, "member.role", mod, {"before": "member", "after": "moderator"}),
        (mod, "message.deleted", other, {"author_id": ann}),
        (owner, "member.role", bob, {"before": "member", "after": "moderator"}),
        (owner, "member.removed", ann, {}),
        (cast["admin"], "user.profile", ann, {"fields": ["bio", "city"]}),
    ]
    assert {e["chat_id"] for e in log["items"]} == {chat, None}


async def test_the_audit_log_takes_no_change(one: World, cast: dict[str, Any]) -> None:
    await with_filter(one, cast["admin"], config={"kind": "words", "words": ["x"]})
    async with one.nodes[0].db.connection() as connection:
        for statement in (
            "UPDATE audit_log SET action = 'nothing'",
            "DELETE FROM audit_log",
            "TRUNCATE audit_log",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        grants = await connection.fetch(
            "SELECT privilege_type FROM information_schema.role_table_grants WHERE table_name = 'audit_log'"
        )
    assert {privilege for (privilege,) in grants}.isdisjoint({"UPDATE", "DELETE", "TRUNCATE"})
