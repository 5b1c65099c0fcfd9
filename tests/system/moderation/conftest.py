"""The people of a group, and those who may judge them."""

from typing import Any

import pytest

from tests.system.moderation.scene import staff
from tests.system.world import World


@pytest.fixture
async def cast(one: World) -> dict[str, Any]:
    """A group with an owner, a moderator and two members; a stranger; staff and an admin of the server."""
    names = ("owner", "mod", "ann", "bob", "stranger", "staff", "admin")
    people: dict[str, Any] = dict(zip(names, await one.users(len(names)), strict=True))
    chat = await one.group(people["owner"], people["mod"], people["ann"], people["bob"])
    await one.rest(
        people["owner"], "PUT", f"/api/chats/{chat}/members/{people['mod']}", {"role": "moderator"}
    )
    await staff(one, people["staff"], "moderator")
    await staff(one, people["admin"], "admin")
    people["chat"] = chat
    return people
