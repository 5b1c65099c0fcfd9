"""What tests of moderation do and look at; who is in it, the fixture ``cast`` says."""

from typing import Any

from chatd.features.moderation import filters
from tests.system.world import World

SPAM = {"reason": "spam", "description": "buys watches"}


async def staff(world: World, user_id: str, role: str) -> None:
    """A global role, as an operator gives it."""
    db = world.nodes[0].db
    await db.run("UPDATE users SET roles = ARRAY['user', $2] WHERE id = $1", user_id, role)


async def written(world: World, user_id: str, chat: str) -> list[Any]:
    """The chat's messages that people wrote, newest first."""
    status, found = await world.rest(user_id, "GET", f"/api/chats/{chat}/messages")
    assert status == 200, found
    return [m for m in found["messages"] if m["client_message_id"] is not None]


async def with_filter(world: World, admin: str, **fields: Any) -> str:
    """A filter that every node has taken up; its id."""
    body = {"name": "test", "action": "flag", **fields}
    status, made = await world.rest(admin, "POST", "/api/moderation/filters", body)
    assert status == 201, made
    await refresh(world)
    return str(made["id"])


async def refresh(world: World) -> None:
    """Every node takes up the filters and the mutes of now."""
    for node in world.nodes:
        await filters.refresh(node.ctx)
