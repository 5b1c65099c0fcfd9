"""What the pool promises beyond running statements."""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from chatd.core.errors import StoreUnavailable, ValidationFailed
from chatd.db.pool import Db
from chatd.embedded import Embedded
from tests.databases import database_of, opened, patient


@pytest.fixture
async def db(database: str) -> AsyncIterator[Db]:
    """One connection."""
    async with opened(database, 1) as db:
        yield db


async def test_a_statement_costs_one_round_trip(db: Db, database: str) -> None:
    assert await db.one(int, "SELECT 42") == 42
    watcher = await asyncpg.connect(database)
    last = await watcher.fetchval(
        "SELECT query FROM pg_stat_activity WHERE application_name = 'chatd' AND datname = current_database()"
    )
    await watcher.close()
    assert last == "SELECT 42"


async def test_effects_come_at_once_after_the_commit_before_the_connection_is_given_back(db: Db) -> None:
    idle: list[int] = []
    async with db.transaction() as tx:
        tx.after_commit(lambda: idle.append(db.size[1]))
        assert idle == []
    assert idle == [0]
    assert db.size[1] == 1


async def test_a_transaction_that_fails_has_no_effects_and_leaves_a_clean_connection(db: Db) -> None:
    effects: list[int] = []

    async def fail() -> None:
        async with db.transaction() as tx:
            tx.after_commit(effects.append, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert effects == []
    assert await db.one(bool, "SELECT pg_current_xact_id_if_assigned() IS NULL") is True


async def test_a_server_that_lets_nobody_in_for_a_while_is_an_outage_that_ends(database: str) -> None:
    name = f"t{os.urandom(6).hex()}"
    admin = await asyncpg.connect(database)
    await admin.execute(f"CREATE ROLE {name} LOGIN")
    db = Db(patient(database.replace("//chatd@", f"//{name}@"), 1))
    try:
        await db.open()
        assert await db.one(str, "SELECT current_user::text") == name
        await admin.execute(f"ALTER ROLE {name} NOLOGIN")
        await admin.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'"
        )
        for _ in range(2):  # the connection that was there, then a new one
            with pytest.raises(StoreUnavailable):
                await db.one(int, "SELECT 1")
        await admin.execute(f"ALTER ROLE {name} LOGIN")
        assert await db.one(int, "SELECT 1") == 1
    finally:
        await db.close()
        await admin.execute(f"DROP ROLE {name}")
        await admin.close()


async def test_a_database_that_is_gone_is_an_outage_and_is_said_once(
    services: Embedded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chatd.db")
    async with database_of(services) as url:
        gone = AsyncExitStack()
        db = await gone.enter_async_context(opened(url, 1))
        assert await db.one(int, "SELECT 1") == 1
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await db.one(int, "SELECT 1")
    await gone.aclose()
    assert len([record for record in caplog.records if "does not serve" in record.getMessage()]) == 1


async def test_a_right_that_was_taken_away_is_an_outage_and_is_named(
    db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chatd.db")
    await db.run("SET ROLE pg_monitor")
    with pytest.raises(StoreUnavailable):
        await db.maybe(int, "SELECT 1 FROM users")
    assert "permission denied" in caplog.text
    await db.run("RESET ROLE")
    assert await db.maybe(int, "SELECT 1 FROM users") is None


async def test_a_value_that_cannot_be_stored_says_nothing_of_the_server(
    db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValidationFailed):
        await db.one(int, "SELECT 1 / (random() * 0)::int")
    assert "does not serve" not in caplog.text
