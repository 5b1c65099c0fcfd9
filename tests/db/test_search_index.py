"""What the filling of search's index costs, as PostgreSQL counts it."""

import pytest

from chatd.core.context import Queries
from chatd.core.ids import UuidIds
from chatd.db.pool import Db
from chatd.features.messages import store as messages
from chatd.features.search import store

new = UuidIds().new
_READ = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'chat_messages'"
_CURSOR = "SELECT at::text FROM search_cursor"


async def say(db: Queries, count: int) -> None:
    """So many messages in a new chat."""
    chat, user = new("cht"), new("usr")
    await db.run("INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'x')", user, user)
    await db.run("INSERT INTO chat_chats (id, type, member_count) VALUES ($1, 'group', 1)", chat)
    await db.run(
        "INSERT INTO chat_participants (chat_id, user_id, role) VALUES ($1, $2, 'member')", chat, user
    )
    ids = [new("msg") for _ in range(count)]
    text = '{"type": "text", "text": "a word", "attachments": []}'
    await messages.append(
        *(db, [chat] * count, [user] * count, ids, [1] * count, ids),
        *([text] * count, [None] * count, None, None, False),
    )


async def reads(db: Db, limit: int) -> int:
    """The messages that a portion reads."""
    async with db.transaction() as tx:
        before = await tx.one(int, _READ)
        await store.index(tx, limit)
        return await tx.one(int, _READ) - before


async def test_each_message_is_read_once(db: Db) -> None:
    for _ in range(20):
        await say(db, 20)
    await db.run("ANALYZE")
    total = 0
    for _ in range(10):
        read = await reads(db, 50)
        assert read <= 52  # two more: the look whether there is anything to do, and the first of the next
        total += read
    assert await db.one(int, "SELECT count(*) FROM message_search") == 400
    assert total <= 420
    assert await reads(db, 50) == 0


async def test_messages_of_one_time_are_not_parted(db: Db) -> None:
    await say(db, 20)
    await db.run("UPDATE chat_messages SET sent_at = now() - interval '1 second'")
    assert await store.index(db, 5) == 20
    assert await db.one(int, "SELECT count(*) FROM message_search") == 20


async def test_it_does_not_wait_for_the_disk_and_loses_entries_with_the_cursor_only(db: Db) -> None:
    await say(db, 20)
    before = await db.one(str, _CURSOR)

    async def crash() -> None:
        async with db.transaction() as tx:
            assert await store.index(tx, 20) == 20
            assert await tx.one(str, "SELECT current_setting('synchronous_commit')") == "off"
            # All is one transaction: whatever becomes of it, becomes of all of it.
            assert await tx.one(int, "SELECT count(*) FROM message_search") == 20
            assert await tx.one(str, _CURSOR) != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert await db.one(str, _CURSOR) == before
    assert await db.one(int, "SELECT count(*) FROM message_search") == 0
    while await store.index(db, 10):
        pass
    assert await db.one(int, "SELECT count(*) FROM message_search") == 20
    assert await db.one(str, "SELECT current_setting('synchronous_commit')") == "on"


async def test_an_idle_server_writes_nothing(db: Db) -> None:
    await say(db, 3)
    while await store.index(db, 10):
        pass
    async with db.transaction() as tx:
        assert await store.index(tx, 10) == 0
        assert await tx.one(bool, "SELECT pg_current_xact_id_if_assigned() IS NULL")
