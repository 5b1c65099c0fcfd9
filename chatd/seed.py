"""Accounts, chats and tokens for client authors and load tests: what ``chatd seed`` and ``chatd token`` do.

Both make out of nothing what elsewhere a password or an invitation stands before, so the command line
refuses them in production.
"""

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from chatd.core.clock import SystemClock
from chatd.core.context import Queries
from chatd.core.errors import UserNotFound
from chatd.core.ids import ChatId, SessionId, UserId, UuidIds
from chatd.core.settings import Settings, SettingsError
from chatd.db import migrations
from chatd.db.pool import Db
from chatd.features.accounts import service as accounts
from chatd.features.accounts import tokens

SESSION_S = 24 * 3600
"""How long a seeded account's token is good."""
BULK = 500
"""Chats in one statement."""


class SeededUser(msgspec.Struct, frozen=True):
    """An account and a token of it."""

    id: UserId
    access_token: str


class SeededChat(msgspec.Struct, frozen=True):
    """A chat; its first member is the owner."""

    id: ChatId
    type: str
    member_ids: list[UserId]


class Seeded(msgspec.Struct, frozen=True):
    """The file that ``chatd seed`` writes (protocol.md, section 8)."""

    users: list[SeededUser]
    chats: list[SeededChat]


async def seed(settings: Settings, *, users: int, chats: int, members: int) -> Seeded:
    """New accounts with live sessions, and group chats among them; everybody is in about as many chats.

    Raises SettingsError for numbers that cannot be, SchemaError, StoreUnavailable.
    """
    if chats and members > users:
        raise SettingsError(f"--members {members} of each chat are more than --users {users}")
    if members > settings.chats.max_members:
        raise SettingsError(f"--members {members} is over chats.max_members ({settings.chats.max_members})")
    ids, now = UuidIds(), SystemClock().now()
    async with _database(settings) as db:
        made = await accounts.create_many(db, users, ids=ids, now=now, session_ttl_s=SESSION_S)
        seats = _deal([account.user_id for account in made], chats, members)
        seeded = [SeededChat(ids.new("cht"), "group", user_ids) for user_ids in seats]
        for first in range(0, chats, BULK):
            await _insert_chats(db, seeded[first : first + BULK], first)
    return Seeded(
        users=[
            SeededUser(
                account.user_id,
                tokens.issue(settings, account.user_id, account.session_id, ("user",), now, SESSION_S),
            )
            for account in made
        ],
        chats=seeded,
    )


async def token(settings: Settings, user_id: str, ttl_s: int) -> str:
    """An access token of a new session of this user. Raises UserNotFound, SchemaError, StoreUnavailable."""
    session_id, now = UuidIds().new("ses"), SystemClock().now()
    async with _database(settings) as db:
        roles = await _open_session(db, session_id, user_id, ttl_s)
    if roles is None:
        raise UserNotFound(f"There is no user {user_id}")
    return tokens.issue(settings, user_id, session_id, roles, now, ttl_s)


def _deal(user_ids: Sequence[str], chats: int, members: int) -> list[list[str]]:
    """Members of each chat, at random, but all users are dealt before any comes again."""
    deck: list[str] = []
    hands = []
    for _ in range(chats):
        hand = deck[:members]
        del deck[:members]
        if len(hand) < members:
            taken = set(hand)
            deck = random.sample(user_ids, len(user_ids))
            rest = [user_id for user_id in deck if user_id not in taken][: members - len(hand)]
            drawn = set(rest)
            deck = [user_id for user_id in deck if user_id not in drawn]
            hand += rest
        hands.append(hand)
    return hands


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Db]:
    await migrations.apply(settings.postgres.url)
    db = Db(settings.postgres)
    await db.open()
    try:
        yield db
    finally:
        await db.close()


async def _insert_chats(db: Queries, chats: Sequence[SeededChat], number: int) -> None:
    # Past chats.service, which makes one at a time and tells the nodes of it: nobody is connected yet
    # whom a node would have to tell.
    seats = [(chat.id, user_id, i == 0) for chat in chats for i, user_id in enumerate(chat.member_ids)]
    await db.run(
        """
        WITH chat AS (
            INSERT INTO chat_chats (id, type, title, created_by, member_count)
            SELECT c.id, 'group', 'Chat ' || (c.ord + $1), c.owner, c.members
            FROM unnest($2::uuid[], $3::uuid[], $4::integer[]) WITH ORDINALITY AS c (id, owner, members, ord)
        )
        INSERT INTO chat_participants (chat_id, user_id, role)
        SELECT s.chat_id, s.user_id, CASE WHEN s.owner THEN 'owner' ELSE 'member' END
        FROM unnest($5::uuid[], $6::uuid[], $7::boolean[]) AS s (chat_id, user_id, owner)
        """,
        number,
        [chat.id for chat in chats],
        [chat.member_ids[0] for chat in chats],
        [len(chat.member_ids) for chat in chats],
        [chat_id for chat_id, _, _ in seats],
        [user_id for _, user_id, _ in seats],
        [owner for _, _, owner in seats],
    )


async def _open_session(db: Queries, session_id: SessionId, user_id: UserId, ttl_s: int) -> list[str] | None:
    """The user's roles; None where there is no such user."""
    return await db.maybe(
        list[str],
        """
        WITH whose AS (
            SELECT id, roles FROM users WHERE id = $2
        ), opened AS (
            INSERT INTO sessions (id, user_id, device_name, expires_at)
            SELECT $1, id, 'chatd token', now() + make_interval(secs => $3) FROM whose
        )
        SELECT roles FROM whose
        """,
        session_id,
        user_id,
        ttl_s,
    )
