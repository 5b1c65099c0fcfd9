"""Callers' contexts over a database of the test's own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from chatd.core.clock import SystemClock
from chatd.core.context import Actor, Ctx
from chatd.core.ids import UuidIds, from_bytes
from chatd.core.settings import Chats, Settings
from chatd.db.group_commit import GroupCommit
from chatd.db.pool import Db
from chatd.features.chats import api, service
from chatd.features.chats.contract import CreateChat, TextContent
from chatd.wire import codec


@dataclass
class Broker:
    """Remembers what it was told: at the protocol of core.context, which is all that the room sees."""

    logged: list[tuple[str, int, int, list[bytes]]] = field(default_factory=list)
    feeds: int = 0

    def log(self, chat_id: str, first_seq: int, last_seq: int, frames: Any) -> None:
        self.logged.append((chat_id, first_seq, last_seq, list(frames)))

    def left(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        pass

    def feed_changed(self) -> None:
        self.feeds += 1


@dataclass
class World:
    """People, and what each of them may call with."""

    db: Db
    broker: Broker
    base: Ctx

    def as_(self, user_id: str) -> Ctx:
        return replace(self.base, actor=Actor(user_id))

    def limited(self, **chats: int) -> None:
        self.base = replace(self.base, settings=Settings(chats=Chats(**chats)))

    async def people(self, count: int) -> list[str]:
        """New accounts, in the order of their ids."""
        made = [self.base.ids.new("usr") for _ in range(count)]
        await self.db.run(
            "INSERT INTO users (id, email, display_name) "
            "SELECT u, u::text || '@example.org', 'Somebody' FROM unnest($1::uuid[]) u",
            made,
        )
        return made

    async def say(self, chat_id: str, sender: str, text: str = "hello") -> str:
        """A message, stored as the messages room stores it; its id."""
        message_id = self.base.ids.new("msg")
        outcome = await self.db.one(
            str,
            "SELECT outcome FROM append_messages($1, $2, $3, $4, $5, $6, ARRAY[NULL]::uuid[])",
            [chat_id],
            [sender],
            [message_id],
            [1],
            [message_id],
            [msgspec.json.encode(TextContent(type="text", text=text)).decode()],
        )
        assert outcome == "sent"
        return message_id

    async def read(self, chat_id: str, user_id: str, message_id: str) -> None:
        await self.db.run("SELECT advance_marks($1, $2, '{read}', $3)", [chat_id], [user_id], [message_id])

    async def group(self, owner: str, *members: str, moderators: Sequence[str] = ()) -> str:
        """A group of these; its id."""
        body = CreateChat(type="group", member_ids=[*moderators, *members], title="Friends")
        chat, _ = await service.open_chat(self.as_(owner), body)
        for user_id in moderators:
            await service.set_role(self.as_(owner), chat.id, user_id, "moderator")
        return chat.id

    async def direct(self, one: str, other: str) -> str:
        """The direct chat of these two; its id."""
        answer = await api.create_chat(self.as_(one), CreateChat(type="direct", member_ids=[other]))
        return answer.body.id

    async def roles(self, chat_id: str) -> dict[str, str]:
        """Who is in, as what: read from the table."""
        async with self.db.connection() as connection:
            rows = await connection.fetch(
                "SELECT user_id, role FROM chat_participants WHERE chat_id = $1", chat_id
            )
        return {from_bytes("usr", user_id): role for user_id, role in rows}

    def told(self, chat_id: str) -> list[dict[str, Any]]:
        """The contents of the message.new events that went to the chat, with their seqs."""
        events = [
            msgspec.json.decode(payload)
            for chat, _, _, frames in self.broker.logged
            if chat == chat_id
            for payload in codec.payloads(b"".join(frames))
        ]
        assert all(event["type"] == "message.new" for event in events)
        return [{"seq": event["seq"], **event["message"]["content"]} for event in events]

    async def feed(self) -> list[tuple[str, str, list[str], str | None]]:
        """(kind, chat, users, reason) of every row of the node feed, oldest first."""
        async with self.db.connection() as connection:
            rows = await connection.fetch("SELECT kind, chat_id, user_ids, reason FROM node_feed ORDER BY id")
        return [
            (kind, from_bytes("cht", chat), [from_bytes("usr", u) for u in users], reason)
            for kind, chat, users, reason in rows
        ]


@pytest.fixture
def world(db: Db) -> World:
    broker, groups = Broker(), GroupCommit()
    ctx = Ctx(
        actor=Actor(""),
        db=db,
        groups=groups,
        broker=broker,  # type: ignore[arg-type]
        presence=None,  # type: ignore[arg-type]
        limiter=None,  # type: ignore[arg-type]
        clock=SystemClock(),
        ids=UuidIds(),
        settings=Settings(),
    )
    groups.ctx = ctx
    return World(db, broker, ctx)
