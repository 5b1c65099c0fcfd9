"""The eleven who ask, what each may bring, and what they say."""

import json
from itertools import count
from typing import Any

from tests.system.world import World

#: Who asks. ``blocked`` is a member whom everybody else whom a question is about has blocked; ``removed`` was
#: a member; ``banned`` is a member whom the server keeps out; ``staff`` and ``admin`` are in no chat.
ACTORS = (
    "nobody",
    "stranger",
    "member",
    "muted",
    "moderator",
    "owner",
    "blocked",
    "removed",
    "banned",
    "staff",
    "admin",
)
#: Who is in the group.
INSIDE = ("member", "muted", "moderator", "owner", "blocked", "banned")
_ROLES = {"staff": ("user", "moderator"), "admin": ("user", "admin")}


class Actor:
    """One who asks, and which group about; ``user_id`` is empty for nobody."""

    def __init__(self, role: str, user_id: str, chat: str = "") -> None:
        self.role, self.user_id, self.chat = role, user_id, chat


class Cast:
    """A world with a group in it, everybody in their place, and new ones of each kind."""

    def __init__(self, world: World) -> None:
        self.world, self.db = world, world.nodes[0].db
        self.chat = self.owner = self.author = self.operator = ""
        self.cast: dict[str, Actor] = {}
        self.directs: dict[str, str] = {}
        self.numbers = count(1)
        self.tokens: dict[str, str] = {}

    async def open(self) -> None:
        """Everybody takes their place."""
        # Periodic work would change the tables whose state is compared; nothing asked here waits for it.
        await self.world.nodes[0].runner.stop()
        self.owner, self.author, self.operator = await self.world.users(3)
        await self.give_roles(self.operator, "user", "admin")
        self.chat = await self.world.group(self.owner, self.author)
        self.cast = {role: await self.actor(role) for role in ACTORS}

    # ---------------------------------------------------------------------------------------------- who asks

    async def another(self, role: str) -> Actor:
        """One more of these, for a question that changes who asks it; an owner has a group of their own."""
        if role != "owner":
            return await self.actor(role)
        (user_id,) = await self.world.users(1)
        self.directs[user_id] = await self.direct_of(user_id, self.author)
        return Actor(role, user_id, await self.world.group(user_id, self.author))

    async def actor(self, role: str) -> Actor:
        """A new one of these; but the group has one owner."""
        if role == "nobody":
            return Actor(role, "", self.chat)
        user_id = self.owner if role == "owner" else (await self.world.users(1))[0]
        if role in _ROLES:
            await self.give_roles(user_id, *_ROLES[role])
        self.directs[user_id] = await self.direct_of(user_id, self.author)
        await self.said(chat=self.directs[user_id])
        if role == "removed" or (role in INSIDE and role != "owner"):
            await self.join(user_id)
        member = f"/api/chats/{self.chat}/members/{user_id}"
        match role:
            case "moderator":
                await self.done(self.owner, "PUT", member, {"role": "moderator"})
            case "muted":
                await self.done(self.owner, "PUT", f"{member}/mute", {})
            case "removed":
                await self.done(self.owner, "DELETE", member)
            case "blocked":
                await self.done(self.author, "PUT", f"/api/blocks/{user_id}")
            case "banned":
                await self.db.run("UPDATE users SET banned_at = now() WHERE id = $1", user_id)
        return Actor(role, user_id, self.chat)

    async def give_roles(self, user_id: str, *roles: str) -> None:
        await self.db.run("UPDATE users SET roles = $2 WHERE id = $1", user_id, list(roles))

    async def join(self, user_id: str) -> None:
        await self.done(self.owner, "POST", f"/api/chats/{self.chat}/members", {"user_ids": [user_id]})

    # ------------------------------------------------------------------------------------------ how they ask

    def token(self, actor: Actor) -> str:
        """As a log-in gives it."""
        if actor.user_id not in self.tokens:
            roles = _ROLES.get(actor.role, ("user",))
            self.tokens[actor.user_id] = self.world.token(actor.user_id, roles=roles)
        return self.tokens[actor.user_id]

    async def ask(self, actor: Actor, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, body); redirects are answers."""
        headers = {"Authorization": f"Bearer {self.token(actor)}"} if actor.user_id else {}
        content = {"data": body} if isinstance(body, bytes) else {"json": body}
        url = path if path.startswith("http") else self.world.url() + path
        async with self.world.http.request(
            method, url, headers=headers, allow_redirects=False, **content
        ) as answer:
            text = await answer.read()
            kind = answer.headers.get("Content-Type", "")
            return answer.status, json.loads(text) if "json" in kind else text

    async def done(self, user_id: str, method: str, path: str, body: Any = None) -> Any:
        """What this user does must be let through; the answer."""
        status, answer = await self.world.rest(user_id, method, path, body)
        assert status < 400, (method, path, answer)
        return answer

    # ----------------------------------------------------------------------------------------- what they say

    def number(self) -> str:
        return f"n{next(self.numbers)}"

    def text(self, text: str = "hello") -> dict[str, Any]:
        return {"type": "text", "text": f"{text} {self.number()}"}

    def message(self, **more: Any) -> dict[str, Any]:
        return {"client_message_id": self.number(), "content": self.text(), **more}

    async def said(self, by: str = "", chat: str = "", **more: Any) -> str:
        """A message, of the author in the group where nothing else is said."""
        path = f"/api/chats/{chat or self.chat}/messages"
        return str((await self.done(by or self.author, "POST", path, self.message(**more)))["message_id"])

    async def direct_of(self, one: str, other: str) -> str:
        body = {"type": "direct", "member_ids": [other]}
        return str((await self.done(one, "POST", "/api/chats", body))["id"])
