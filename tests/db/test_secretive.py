"""Which members of a chat show nobody what they have read is known by chat, whatever came first."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from chatd.core.ids import UuidIds
from chatd.db.pool import Db
from chatd.features.chats import store as chats
from chatd.features.messages import marks_store
from chatd.features.relations import store as relations
from tests.databases import patient
from tests.waiting import PATIENCE_S

new = UuidIds().new


class Town:
    """Users and chats, straight in the database."""

    def __init__(self, db: Db) -> None:
        self.db = db

    async def user(self) -> str:
        user = new("usr")
        await self.db.run("INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'x')", user, user)
        return user

    async def chat(self, *members: str) -> str:
        chat = new("cht")
        await self.db.run("INSERT INTO chat_chats (id, type) VALUES ($1, 'group')", chat)
        await self.join(chat, *members)
        return chat

    async def join(self, chat: str, *members: str) -> None:
        await self.db.run(
            "INSERT INTO chat_participants (chat_id, user_id, role)"
            " SELECT $1, u, 'member' FROM unnest($2::uuid[]) AS u",
            *(chat, list(members)),
        )

    async def hide(self, user: str, hidden: bool = True) -> None:
        async with self.db.transaction() as tx:
            await relations.save_privacy(tx, user, None, not hidden, None, None)

    async def known(self, *chat_ids: str) -> set[tuple[str, str]]:
        return {(row.chat_id, row.user_id) for row in await marks_store.secretive_members(self.db, chat_ids)}


@pytest.fixture
async def town(database: str) -> AsyncIterator[Town]:
    db = Db(patient(database, 4))
    await db.open()
    yield Town(db)
    await db.close()


async def test_it_is_known_whichever_comes_first(town: Town) -> None:
    ann, bob, cee = [await town.user() for _ in range(3)]
    await town.hide(ann)
    one = await town.chat(ann, bob)
    two = await town.chat(bob, cee)
    assert await town.known(one, two) == {(one, ann)}
    await town.hide(bob)
    await town.hide(bob)
    assert await town.known(one, two) == {(one, ann), (one, bob), (two, bob)}
    await town.join(two, ann)
    assert await town.known(two) == {(two, ann), (two, bob)}
    await town.hide(ann, hidden=False)
    assert await town.known(one, two) == {(one, bob), (two, bob)}
    assert await chats.delete_member(town.db, two, bob)
    assert await town.known(one, two) == {(one, bob)}
    await town.db.run("DELETE FROM user_privacy")
    assert await town.known(one, two) == set()


@pytest.mark.parametrize("first", ["join", "hide"])
async def test_who_comes_in_and_hides_at_once_is_known(town: Town, database: str, first: str) -> None:
    ann, bob = await town.user(), await town.user()
    chat = await town.chat(bob)
    acts = {"join": lambda: town.join(chat, ann), "hide": lambda: town.hide(ann)}
    statements = {
        "join": "INSERT INTO chat_participants (chat_id, user_id, role)"
        " SELECT c.id, u.id, 'member' FROM chat_chats c, users u WHERE u.email = $1",
        "hide": "INSERT INTO user_privacy (user_id, read_receipts)"
        " SELECT id, false FROM users WHERE email = $1",
    }
    other = acts["hide" if first == "join" else "join"]
    holder = await asyncpg.connect(database)
    try:
        async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks, holder.transaction():
            await holder.execute(statements[first], ann)
            tasks.create_task(other())
            waiting = "wait_event_type = 'Lock' AND datname = current_database()"
            while not await holder.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {waiting}"):
                await holder.execute("SELECT pg_stat_clear_snapshot()")
                await asyncio.sleep(0.01)
    finally:
        await holder.close()
    assert await town.known(chat) == {(chat, ann)}
