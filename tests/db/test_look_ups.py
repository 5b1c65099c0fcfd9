"""What a send reads does not grow with its chat, whenever its connection made its plans.

A connection plans once, perhaps in the first minute of a server, when the log has a few rows and one index
looks as good as the next. Rows are counted here, as PostgreSQL counts them, and no times.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from chatd.core.context import Tx
from chatd.core.ids import UuidIds
from chatd.db.pool import Db
from chatd.features.conversations import scheduled_store
from chatd.features.devices import outbox_store as outbox
from chatd.features.messages import activity_store, marks_store, moderating_store, store
from tests.databases import patient

STORED = 20_000
TEXT = '{"type": "text", "text": "hello", "attachments": []}'
_READ = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'chat_messages'"
_READ_OF_ALL = "SELECT sum(idx_tup_fetch + seq_tup_read)::bigint FROM pg_stat_xact_user_tables"
new = UuidIds().new


class Chat:
    """Two who talk, over a single connection to the database."""

    def __init__(self, db: Db) -> None:
        self.db = db
        self.chat, self.ann, self.bob = new("cht"), new("usr"), new("usr")
        self.said: list[str] = []

    async def open(self) -> None:
        await self.db.run("ALTER TABLE chat_messages SET (autovacuum_enabled = off)")
        for user in (self.ann, self.bob):
            await self.db.run(
                "INSERT INTO users (id, email, display_name) VALUES ($1, $2, 'x')",
                user,
                f"{user}@chat.example",
            )
        await self.db.run(
            "INSERT INTO chat_chats (id, type, member_count) VALUES ($1, 'group', 2)", self.chat
        )
        await self.db.run(
            "INSERT INTO chat_participants (chat_id, user_id, role)"
            " SELECT $1, u, 'member' FROM unnest($2::uuid[]) AS u",
            *(self.chat, [self.ann, self.bob]),
        )

    async def fill(self) -> None:
        """A long log that no statistics know of."""
        await self.db.run(
            """
            WITH head AS (
                UPDATE chat_chats SET head_seq = head_seq + $4::int WHERE id = $1
                RETURNING head_seq - $4::int AS seq, last_event_at AS at
            )
            INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id, content,
                                       sent_at)
            SELECT $1, seq + n, seq + n, gen_random_uuid(), $2, 'fill-' || n, $3::jsonb, at
            FROM head, generate_series(1, $4::int) AS n
            """,
            *(self.chat, self.ann, TEXT, STORED),
        )

    async def crowd(self) -> None:
        """5,000 others with phones, who are not in the chat; and bob has one too."""
        await self.db.run(
            """
            WITH u AS (
                INSERT INTO users (id, email, display_name)
                SELECT gen_random_uuid(), 'c' || n, 'x' FROM generate_series(1, 5000) AS n RETURNING id
            ), chat AS (
                INSERT INTO chat_chats (id, type) VALUES ($2, 'group')
            ), everybody AS (
                SELECT id FROM u UNION ALL SELECT $1
            ), s AS (
                INSERT INTO sessions (id, user_id, expires_at) SELECT id, id, 'infinity' FROM everybody
            ), n AS (
                INSERT INTO notification_settings (user_id) SELECT id FROM everybody
            ), p AS (
                INSERT INTO chat_participants (chat_id, user_id, role) SELECT $2, id, 'member' FROM everybody
            ), w AS (
                INSERT INTO chat_settings (user_id, chat_id) SELECT id, $2 FROM everybody
            )
            INSERT INTO push_devices (id, user_id, session_id, provider, token, token_hash, created_at,
                                      registered_at)
            SELECT id, id, id, 'fcm', id::text, id::text::bytea, now(), now() FROM everybody
            """,
            *(self.bob, new("cht")),
        )

    async def reads(self, act: Callable[[Tx], Awaitable[None]], count: str = _READ) -> int:
        """The messages that it reads."""
        async with self.db.transaction() as tx:
            before = await tx.one(int, count)
            await act(tx)
            return await tx.one(int, count) - before

    async def send(self, tx: Tx) -> None:
        await self._append(tx, 1)

    async def send_many(self, tx: Tx) -> None:
        await self._append(tx, 20)

    async def reply(self, tx: Tx) -> None:
        await self._append(tx, 1, reply_to=self.said[0])

    async def repeat(self, tx: Tx) -> None:
        first = self.said[0]
        rows = await store.append(
            tx, [self.chat], [self.ann], [first], [1], [new("msg")], [TEXT], [None], None, None, False
        )
        assert [(row.outcome, row.message_id) for row in rows] == [("repeat", first)]

    async def _append(self, tx: Tx, count: int, reply_to: str | None = None) -> None:
        ids = [new("msg") for _ in range(count)]
        rows = await store.append(
            *(tx, [self.chat] * count, [self.ann] * count, ids, [1] * count, ids),
            *([TEXT] * count, [reply_to] * count, None, None, False),
        )
        assert {row.outcome for row in rows} == {"sent"}
        self.said += ids

    async def converse(self, tx: Tx) -> None:
        said = new("msg")
        rows = await store.append_conversation(
            *(tx, [self.chat], [self.ann], [said], [1], [said], [TEXT], [self.said[0]]),
            *(None, None, False, [False], [1], [self.bob]),
        )
        assert [row.outcome for row in rows] == ["sent"]

    async def gather(self, hiding: int) -> None:
        """5,000 more come into the chat, of whom so many show nobody what they have read; so do 5,000 others.
        No statistics know of it.
        """
        await self.db.run(
            """
            WITH u AS (
                INSERT INTO users (id, email, display_name)
                SELECT gen_random_uuid(), 'g' || n, 'x' FROM generate_series(1, 10000) AS n
                RETURNING id, email
            ), p AS (
                INSERT INTO chat_participants (chat_id, user_id, role)
                SELECT $1, id, 'member' FROM u WHERE substr(email, 2)::int <= 5000
            )
            INSERT INTO user_privacy (user_id, read_receipts)
            SELECT id, false FROM u WHERE substr(email, 2)::int > 5000 - $2::int
            """,
            self.chat,
            hiding,
        )

    async def read_all(self, tx: Tx) -> None:
        """Both read the last message."""
        users = [self.ann, self.bob]
        rows = await marks_store.advance(tx, [self.chat] * 2, users, ["read"] * 2, [self.said[-1]] * 2)
        assert {row.outcome for row in rows} <= {"moved", "kept"}
        self.hiding = [row.secretive for row in rows]

    async def mark(self, tx: Tx) -> None:
        (row,) = await marks_store.advance(tx, [self.chat], [self.bob], ["received"], [self.said[-1]])
        assert row.outcome in ("moved", "kept")

    async def look(self, tx: Tx) -> None:
        """As who changes a message or reports it."""
        assert await store.find_target(tx, self.chat, self.said[0], None) is not None
        assert await moderating_store.find_subject(tx, self.chat, self.said[0]) is not None

    async def think_better_of_it(self, tx: Tx) -> None:
        """Schedule a message, put it off, take it back."""
        later = datetime.now(UTC) + timedelta(hours=1)
        made = new("sch")
        await scheduled_store.insert_scheduled(
            tx, made, self.chat, self.ann, TEXT.encode(), None, later, None, None
        )
        assert await scheduled_store.change_scheduled(tx, made, self.ann, None, later) is not None
        assert await scheduled_store.delete_scheduled(tx, made, self.ann) is not None

    async def ask_who_spoke(self, tx: Tx) -> None:
        assert await store.spoken_in(tx, [self.chat], [self.ann])
        assert not await store.spoken_in(tx, [self.chat], [self.bob])
        assert await activity_store.activity(tx, [self.chat])


@pytest.fixture
async def chat(database: str) -> AsyncIterator[Chat]:
    db = Db(patient(database, 1))
    await db.open()
    made = Chat(db)
    try:
        await made.open()
        yield made
    finally:
        await db.close()


@pytest.mark.parametrize(
    ("act", "most"),
    [
        (Chat.send, 2),
        (Chat.send_many, 40),
        (Chat.reply, 3),
        (Chat.repeat, 3),
        (Chat.converse, 10),
        (Chat.look, 4),
        (Chat.think_better_of_it, 0),
        (Chat.ask_who_spoke, 10),
    ],
)
async def test_plans_of_an_empty_log_find_one_row_in_a_long_one(
    chat: Chat, act: Callable[[Chat, Tx], Awaitable[None]], most: int
) -> None:
    await chat.reads(chat.send)
    await chat.db.run("ANALYZE")  # the least that statistics can say: the log has one row
    for _ in range(6):  # as often as it takes PostgreSQL to plan for good
        await chat.reads(lambda tx: act(chat, tx))
    await chat.fill()
    assert await chat.reads(lambda tx: act(chat, tx)) <= most


async def test_a_mark_of_an_empty_log_reads_what_it_covers_in_a_long_one(chat: Chat) -> None:
    await chat.reads(chat.send)
    await chat.db.run("ANALYZE")
    for _ in range(6):
        await chat.reads(chat.send)
        await chat.reads(chat.mark)
    await chat.fill()
    await chat.reads(chat.send)
    # It tells the senders of the last 1,000 that it covers.
    assert await chat.reads(chat.mark) <= 1002
    await chat.reads(chat.send)
    assert await chat.reads(chat.mark) <= 3


async def test_a_read_does_not_look_at_each_member_nor_at_each_who_hides_it(chat: Chat) -> None:
    await chat.reads(chat.send)
    await chat.db.run("ANALYZE")
    for _ in range(6):
        await chat.reads(chat.send)
        await chat.reads(chat.read_all)
    await chat.gather(hiding=20)
    for plan in ("nothing", "ANALYZE"):
        if plan == "ANALYZE":
            await chat.db.run(plan)
        await chat.reads(chat.send)
        # The 20, once for the two marks, and some rows for each mark.
        assert await chat.reads(chat.read_all, _READ_OF_ALL) <= 60, plan
        assert [len(each or ()) for each in chat.hiding] == [20, 0]


async def test_push_reads_the_time_it_asks_for_and_who_was_there(chat: Chat) -> None:
    start = datetime.now(UTC) - timedelta(seconds=1)
    await chat.reads(chat.send_many)
    await chat.crowd()
    await chat.fill()
    await chat.db.run("UPDATE chat_messages SET sent_at = now() - interval '1 hour' WHERE seq > 20")
    for plan in ("nothing", "ANALYZE"):
        if plan == "ANALYZE":
            await chat.db.run(plan)

        async def watch(tx: Tx) -> None:
            made = await outbox.enqueue_messages(tx, start, datetime.now(UTC), start)
            assert made == 1

        # The 20 messages, the two members with what they wish and have, and the push.
        assert await chat.reads(watch, _READ_OF_ALL) <= 60, plan


async def test_a_batch_is_told_apart_as_its_messages_would_be_alone(chat: Chat) -> None:
    (stranger, refused), names = (new("usr"), "c"), ["a", "b", "a", "a", "b", "c", "d"]
    senders = [chat.ann, chat.bob, chat.ann, chat.ann, chat.ann, stranger, chat.ann]
    marks, ids = [1, 2, 1, 9, 3, 4, 5], [new("msg") for _ in names]
    statuses = ["visible"] * 6 + ["refused"]
    async with chat.db.transaction() as tx:
        rows = await store.append(
            *(tx, [chat.chat] * 7, senders, names, marks, ids, [TEXT] * 7, [None] * 7),
            *(statuses, [refused] * 7, False),
        )
    assert [(row.outcome, row.seq) for row in rows] == [
        ("sent", 1),
        ("sent", 2),
        ("repeat", 1),
        ("conflict", 1),
        ("sent", 3),
        ("chat_not_found", None),
        ("refused", None),
    ]
    assert [row.message_id for row in rows[:5]] == [ids[0], ids[1], ids[0], ids[0], ids[4]]
    assert rows[2].sent_at == rows[0].sent_at
    times = [rows[place].sent_at for place in (0, 1, 4)]
    assert None not in times
    assert len(set(times)) == 3
    assert times == sorted(times, key=str)


async def test_of_a_strangers_few_words_those_that_come_again_are_counted_once(chat: Chat) -> None:
    direct, low, high = new("cht"), *sorted((chat.ann, chat.bob))
    await chat.db.run(
        "INSERT INTO chat_chats (id, type, direct_low, direct_high, member_count)"
        " VALUES ($1, 'direct', $2, $3, 1)",
        *(direct, low, high),
    )
    await chat.db.run(
        "INSERT INTO chat_participants (chat_id, user_id, role) VALUES ($1, $2, 'member')", direct, chat.ann
    )

    async def say(*names: str) -> list[str]:
        count = len(names)
        rows = await store.append(
            *(chat.db, [direct] * count, [chat.ann] * count, names, [1] * count),
            *([new("msg") for _ in names], [TEXT] * count, [None] * count, None, None, False),
        )
        return [row.outcome for row in rows]

    assert await say("a", "b") == ["sent", "sent"]
    assert await say("a", "b", "c", "d", "e", "f") == ["repeat", "repeat", "sent", "sent", "sent", "blocked"]
    assert await say("e", "f") == ["repeat", "blocked"]
