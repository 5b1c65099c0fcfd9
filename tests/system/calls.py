"""Calls over REST that tests of many things make."""

from typing import Any

from tests.system.world import Frame, World


async def ok(world: World, user: str, method: str, path: str, body: Any = None, **options: Any) -> Any:
    """The answer to what must be let through; ``path`` is below /api."""
    status, answer = await world.rest(user, method, f"/api{path}", body, **options)
    assert status < 300, answer
    return answer


async def code(world: World, user: str, method: str, path: str, body: Any = None) -> str:
    """The code of the error that comes."""
    _, answer = await world.rest(user, method, f"/api{path}", body)
    return str(answer["code"])


async def direct(world: World, one: str, other: str) -> tuple[int, Any]:
    """Open the direct chat of two."""
    return await world.rest(one, "POST", "/api/chats", {"type": "direct", "member_ids": [other]})


async def opened(world: World, one: str, other: str) -> str:
    """The direct chat of two: its id."""
    status, chat = await direct(world, one, other)
    assert status in (200, 201), chat
    return str(chat["id"])


async def post(world: World, user: str, chat: str, text: str, **fields: Any) -> tuple[int, Any]:
    """A message over REST: (status, body). ``content_…`` fields go into the content."""
    content = {"type": "text", "text": text}
    content |= {
        name.removeprefix("content_"): fields.pop(name) for name in list(fields) if "content_" in name
    }
    # Of the text, so that to say it again is a repeat; but not the text, which may have to be seen nowhere.
    cmid = fields.pop("cmid", None) or f"{user[-5:]}-{text.encode().hex()[:58]}"
    body = {"client_message_id": cmid, "content": content, **fields}
    return await world.rest(user, "POST", f"/api/chats/{chat}/messages", body)


async def said(world: World, user: str, chat: str, text: str, **fields: Any) -> str:
    """A message's id."""
    status, body = await post(world, user, chat, text, **fields)
    assert status == 202, body
    return str(body["message_id"])


async def history(world: World, user: str, chat: str) -> dict[str, Frame]:
    """Every message of a chat as REST shows it, without its delivery."""
    status, body = await world.rest(user, "GET", f"/api/chats/{chat}/messages?limit=200")
    assert status == 200, body
    return {m["id"]: {k: v for k, v in m.items() if k != "delivery"} for m in body["messages"]}
