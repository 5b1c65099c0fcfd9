"""The eleven who ask, and things for them to ask about: fresh ones, so that no answer depends on another."""

import json
from itertools import count
from typing import Any

import msgspec

from chatd.core.ids import MessageId, UuidIds
from tests.features.media.files import picture
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
PASSWORD = "correct horse battery staple"
#: Somewhere else than anybody: an id of nothing.
NOTHING = "01h455vb4pex5vsknk084sn02q"


class _Digest(msgspec.Struct, frozen=True):
    table: str
    digest: str


class Actor:
    """One who asks, and which group about; ``user_id`` is empty for nobody."""

    def __init__(self, role: str, user_id: str, chat: str = "") -> None:
        self.role, self.user_id, self.chat = role, user_id, chat


class Scene:
    """A world with a group in it, its cast, and makers of things that belong to one or another of them."""

    def __init__(self, world: World) -> None:
        self.world, self.db = world, world.nodes[0].db
        self.ids = UuidIds()
        self.chat = self.owner = self.author = self.operator = ""
        self.cast: dict[str, Actor] = {}
        self.directs: dict[str, str] = {}
        self.numbers = count(1)
        self.tokens: dict[str, str] = {}
        self.kept: dict[str, str] = {}

    async def open(self) -> None:
        """Everybody takes their place."""
        # Periodic work would change the tables whose state is compared; nothing asked here waits for it.
        await self.world.nodes[0].runner.stop()
        self.owner, self.author, self.operator = await self.world.users(3)
        await self.give_roles(self.operator, "user", "admin")
        self.chat = await self.world.group(self.owner, self.author)
        self.cast = {role: await self.actor(role) for role in ACTORS}

    # ------------------------------------------------------------------------------------------- who asks

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

    # ---------------------------------------------------------------------------------- whom it is about

    async def person(self, actor: Actor) -> str:
        """Somebody in no chat, who has blocked the one that asks where that is the one blocked."""
        (user_id,) = await self.world.users(1)
        if actor.role == "blocked":
            await self.done(user_id, "PUT", f"/api/blocks/{actor.user_id}")
        return user_id

    async def victim(self, actor: Actor) -> str:
        """A plain member of the group."""
        user_id = await self.person(actor)
        await self.join(user_id)
        return user_id

    async def muted_victim(self, actor: Actor) -> str:
        """A member who may not write."""
        user_id = await self.victim(actor)
        await self.done(self.owner, "PUT", f"/api/chats/{self.chat}/members/{user_id}/mute", {})
        return user_id

    async def sanctioned(self, actor: Actor, kind: str) -> str:
        """Somebody with a ban or a mute on the server (``bans``, ``mutes``), or a ban from the group."""
        user_id = await self.person(actor)
        path = f"/api/chats/{self.chat}/bans" if kind == "chat" else f"/api/moderation/{kind}"
        await self.done(self.operator, "PUT", f"{path}/{user_id}", {})
        return user_id

    async def session(self, user_id: str) -> str:
        """One more open session of this user."""
        session_id = self.ids.new("ses")
        await self.db.run(
            """
            INSERT INTO sessions (id, user_id, created_at, last_used_at, expires_at)
            VALUES ($1, $2, now(), now(), now() + interval '1 day')
            """,
            session_id,
            user_id,
        )
        return session_id

    # ------------------------------------------------------------------------------------ what was said

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

    async def own(self, actor: Actor) -> str:
        """A message of the one who asks, where they can (or could) say one; otherwise of the author."""
        if actor.role not in (*INSIDE, "removed") or actor.role == "banned":
            return await self.said()
        member = f"/api/chats/{self.chat}/members/{actor.user_id}"
        if actor.role == "removed":
            await self.join(actor.user_id)
        if actor.role == "muted":
            await self.done(self.owner, "DELETE", f"{member}/mute")
        message_id = await self.said(actor.user_id)
        if actor.role == "removed":
            await self.done(self.owner, "DELETE", member)
        if actor.role == "muted":
            await self.done(self.owner, "PUT", f"{member}/mute", {})
        return message_id

    async def thread(self) -> str:
        """A message that was replied to."""
        root = await self.said()
        await self.said(reply_to=root)
        return root

    async def pinned(self) -> str:
        message_id = await self.said()
        await self.done(self.owner, "PUT", f"/api/chats/{self.chat}/messages/{message_id}/pin")
        return message_id

    async def hidden(self) -> str:
        message_id = await self.said()
        await self.done(self.owner, "PUT", f"/api/chats/{self.chat}/messages/{message_id}/hidden", {})
        return message_id

    async def direct_of(self, one: str, other: str) -> str:
        body = {"type": "direct", "member_ids": [other]}
        return str((await self.done(one, "POST", "/api/chats", body))["id"])

    def direct(self, actor: Actor) -> str:
        """The direct chat of the one who asks and the author; nobody asks about a member's."""
        return self.directs[actor.user_id or self.cast["member"].user_id]

    async def pinned_in_direct(self, actor: Actor) -> str:
        """A message of the author there that is pinned."""
        message_id = await self.in_direct(actor)
        await self.db.run(
            "UPDATE chat_messages SET pinned_at = now(), pinned_by = sender_id WHERE id = $1", message_id
        )
        return message_id

    async def in_direct(self, actor: Actor) -> str:
        """A message of the author there, said before any block."""
        chat = self.direct(actor)
        if actor.role != "blocked":
            return await self.said(chat=chat)
        first = "SELECT id FROM chat_messages WHERE chat_id = $1 ORDER BY seq LIMIT 1"
        return str(await self.db.one(MessageId, first, chat))

    async def case(self, *, by: str = "", claimed_by: str = "") -> str:
        """An open case about a message of the author, or of another member."""
        message_id = await self.said(by)
        path = f"/api/chats/{self.chat}/messages/{message_id}/report"
        await self.done(self.owner, "POST", path, {"reason": "spam"})
        queue = await self.done(self.operator, "GET", f"/api/moderation/cases?chat_id={self.chat}&limit=100")
        case_id = next(each["id"] for each in queue["items"] if each["subject_id"] == message_id)
        if claimed_by:
            await self.done(claimed_by, "POST", f"/api/moderation/cases/{case_id}/claim")
        return str(case_id)

    def filter(self) -> dict[str, Any]:
        config = {"kind": "words", "words": ["zounds"]}
        return {"name": self.number(), "action": "flag", "config": config}

    async def filter_id(self) -> str:
        made = await self.done(self.operator, "POST", "/api/moderation/filters", self.filter())
        return str(made["id"])

    # ------------------------------------------------------------------------------------- other rooms

    async def medium(self, by: str) -> tuple[str, str]:
        """One announced: its id, and the link to put its bytes to."""
        body = {"type": "image", "content_type": "image/png", "file_name": "x"}
        begun = await self.done(by, "POST", "/api/media", body)
        return begun["media_id"], begun["upload_url"]

    async def uploaded(self, by: str) -> str:
        media_id, url = await self.medium(by)
        async with self.world.http.put(url, data=picture("PNG")) as answer:
            assert answer.status == 200, await answer.text()
        return media_id

    async def unsent(self) -> str:
        """A medium that the author has uploaded; one for all, since nobody else may do anything to it."""
        if "unsent" not in self.kept:
            self.kept["unsent"] = await self.uploaded(self.author)
        return self.kept["unsent"]

    async def shown(self) -> str:
        """A medium that the author has sent to the group; one for all, who only look at it."""
        if "shown" not in self.kept:
            self.kept["shown"] = await self.uploaded(self.author)
            attached = [{"media_id": self.kept["shown"]}]
            await self.said(content={"type": "text", "text": "", "attachments": attached})
        return self.kept["shown"]

    async def email(self) -> str:
        """Of an account with a password; one for all who log in with it."""
        if "email" not in self.kept:
            self.kept["email"] = f"{self.number()}@example.com"
            wanted = {"email": self.kept["email"], "password": PASSWORD, "display_name": "Kept"}
            status, answer = await self.ask(self.cast["nobody"], "POST", "/api/users", wanted)
            assert status == 201, answer
        return self.kept["email"]

    async def scheduled(self, by: str, chat: str) -> str:
        body = {"content": self.text(), "send_at": "2027-06-01T00:00:00Z"}
        return str((await self.done(by, "POST", f"/api/chats/{chat}/scheduled", body))["id"])

    async def device(self, of: str) -> str:
        device_id = self.ids.new("dev")
        await self.db.run(
            """
            INSERT INTO push_devices (id, user_id, session_id, provider, token, token_hash, created_at,
                                      registered_at)
            VALUES ($1, $2, $3, 'fcm', $4, sha256($4::text::bytea), now(), now())
            """,
            device_id,
            of,
            self.world.sessions[of],
            f"a-token-{self.number()}",
        )
        return device_id

    async def notification(self, of: str) -> str:
        notification_id = self.ids.new("ntf")
        await self.db.run(
            """
            INSERT INTO notifications (id, user_id, type, title, message, payload, created_at)
            VALUES ($1, $2, 'test', 'title', 'message', '{}', now())
            """,
            notification_id,
            of,
        )
        return notification_id

    async def export(self, of: str) -> str:
        """One that is whole, with one part."""
        export_id = self.ids.new("exp")
        await self.db.run(
            """
            WITH made AS (
                INSERT INTO data_exports (id, user_id, requested_at, due_at, finished_at, expires_at, section)
                VALUES ($1, $2, now(), now(), now(), now() + interval '1 day', 5) RETURNING id
            )
            INSERT INTO data_export_parts (export_id, part, section, data)
            SELECT id, 0, 'account', '[]' FROM made
            """,
            export_id,
            of,
        )
        return export_id

    async def gp(self, actor: Actor, *, inside: bool = False) -> str:
        """A GP of somebody; the one who asks is in it where they are in the group (``removed`` was)."""
        creator = (await self.world.users(1))[0]
        made = await self.done(creator, "POST", "/api/gp/create", GP)
        gp_id = str(made["gp"]["_id"])
        if inside and actor.role in (*INSIDE, "removed") and actor.role != "banned":
            await self.done(actor.user_id, "POST", "/api/gp/join", {"gpId": gp_id})
            if actor.role == "removed":
                await self.done(actor.user_id, "POST", "/api/gp/leave", {"gpId": gp_id})
        if actor.role == "blocked":
            await self.done(creator, "PUT", f"/api/blocks/{actor.user_id}")
        return gp_id

    async def request(self, actor: Actor) -> str:
        """A stranger's direct chat that waits for the answer of the one who asks (for nobody: a member's)."""
        to = actor.user_id or self.cast["member"].user_id
        await self.db.run(
            """
            INSERT INTO user_privacy (user_id, messages_from) VALUES ($1, 'shared_chats')
            ON CONFLICT (user_id) DO UPDATE SET messages_from = 'shared_chats'
            """,
            to,
        )
        stranger = await self.person(Actor("stranger", ""))
        chat = await self.direct_of(stranger, to)
        await self.said(stranger, chat)
        await self.db.run("DELETE FROM user_privacy WHERE user_id = $1", to)
        if actor.role == "blocked":
            await self.done(stranger, "PUT", f"/api/blocks/{to}")
        return chat

    # ------------------------------------------------------------------------------------------ the state

    async def state(self) -> dict[str, str]:
        """A digest of each table; but for what is written of whoever merely knocks."""
        tables = await self.db.rows(str, "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        parts = [
            f"SELECT '{table}', md5(coalesce(string_agg(d, ';' ORDER BY d), '')) "
            f"FROM (SELECT (to_jsonb(t) - 'last_active_at')::text AS d FROM {table} t) AS rows"
            for table in tables
            if table not in ("search_cursor", "push_cursor")
        ]
        rows = await self.db.rows(_Digest, " UNION ALL ".join(parts))
        return {row.table: row.digest for row in rows}


GP = {
    "category": "Vibe GP",
    "subType": "Chill",
    "specificName": "",
    "genre": "",
    "talkTopics": ["Life stuff"],
    "description": "Chill late-night talk.",
    "location": {"latitude": 28.6139, "longitude": 77.2090, "city": "New Delhi", "zone": "Central"},
}
