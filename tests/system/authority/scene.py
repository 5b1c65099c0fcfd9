"""Things to ask about, of one or another of the cast: fresh ones, so that no answer depends on another."""

from typing import Any

from chatd.core.ids import MessageId, UuidIds
from tests.features.media.files import picture
from tests.system.authority.cast import INSIDE, Actor, Cast
from tests.system.world import World

PASSWORD = "correct horse battery staple"
#: Somewhere else than anybody: an id of nothing.
NOTHING = "01h455vb4pex5vsknk084sn02q"
GP = {
    "category": "Vibe GP",
    "subType": "Chill",
    "specificName": "",
    "genre": "",
    "talkTopics": ["Life stuff"],
    "description": "Chill late-night talk.",
    "location": {"latitude": 28.6139, "longitude": 77.2090, "city": "New Delhi", "zone": "Central"},
}


class Scene(Cast):
    """The cast, and makers of what they are asked about."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.ids = UuidIds()
        self.kept: dict[str, str] = {}

    # -------------------------------------------------------------------------------------- whom it is about

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

    # ----------------------------------------------------------------------------------------- what was said

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

    # ------------------------------------------------------------------------------------------- other rooms

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
