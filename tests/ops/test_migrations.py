"""The schema: made once, upgraded step by step, never half-way."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from chatd.core.errors import StoreUnavailable
from chatd.db import migrations
from chatd.db.migrations import Applied, SchemaError
from chatd.db.pool import Db
from chatd.embedded import Embedded
from tests.databases import ask, patient
from tests.ops.catalog import NewDatabase, catalog
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]


async def climb(url: str) -> None:
    """What a database of the first version goes through, whatever schema.sql says."""
    connection = await asyncpg.connect(url, timeout=PATIENCE_S)
    try:
        await connection.execute(migrations.upgrades()[1].read_text())
    finally:
        await connection.close()
    await migrations.apply(url)


@pytest.fixture
def steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts other upgrades in the place of ours; the first is the base, and schema.sql at first."""

    def put(**files: str) -> None:
        for name, text in files.items():
            (tmp_path / f"{name.removeprefix('v')}.sql").write_text(text)
        migrations.upgrades.cache_clear()

    monkeypatch.setattr(migrations, "UPGRADES", tmp_path)
    monkeypatch.setattr(migrations, "SCHEMA", tmp_path / "0001_base.sql")
    put(
        v0001_base="CREATE TABLE schema_version (version integer, applied_at timestamptz DEFAULT now());"
        "CREATE TABLE things (id integer); INSERT INTO schema_version VALUES (1)"
    )
    yield put
    migrations.upgrades.cache_clear()


async def test_an_empty_database_gets_the_schema(database: str) -> None:
    assert await migrations.current(database) is None
    assert await migrations.apply(database) == Applied(None, migrations.latest())
    assert await migrations.current(database) == migrations.latest()


async def test_what_is_up_to_date_is_left_alone(database: str) -> None:
    await migrations.apply(database)
    again = await migrations.apply(database)
    assert again == Applied(migrations.latest(), migrations.latest())
    assert not again.changed


async def test_of_many_starters_one_makes_the_schema(database: str) -> None:
    applied = await asyncio.gather(*(migrations.apply(database) for _ in range(20)))
    assert [each.before for each in applied].count(None) == 1
    assert {each.after for each in applied} == {migrations.latest()}


async def test_an_upgraded_database_is_the_same_as_a_fresh_one(new_database: NewDatabase) -> None:
    fresh, upgraded = await new_database(), await new_database()
    await migrations.apply(fresh)
    await climb(upgraded)
    assert await catalog(upgraded) == await catalog(fresh)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE users ADD COLUMN nick text",
        "ALTER TABLE users ALTER COLUMN city SET DEFAULT 'Paris'",
        "ALTER TABLE users ALTER COLUMN city SET NOT NULL",
        "ALTER TABLE users ALTER COLUMN city TYPE varchar(10)",
        "ALTER TABLE chat_chats DROP CONSTRAINT chat_chats_type_check",
        "ALTER TABLE chat_chats SET (fillfactor = 90)",
        "ALTER TABLE sessions DROP CONSTRAINT sessions_user_id_fkey",
        "DROP INDEX sessions_expiry",
        "DROP INDEX users_email_key; CREATE UNIQUE INDEX users_email_key ON users (email)",
        "ALTER FUNCTION append_event(uuid, text, uuid, uuid, jsonb) STRICT",
        "ALTER FUNCTION advance_marks(uuid[], uuid[], text[], uuid[]) RESET ALL",
        "CREATE VIEW everybody AS SELECT id FROM users",
        "CREATE SEQUENCE numbers",
        "CREATE TYPE mood AS ENUM ('good')",
        "CREATE TRIGGER twice AFTER INSERT ON users FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "UPDATE schema_version SET version = version + 1",
    ],
)
async def test_the_comparison_sees_every_difference(new_database: NewDatabase, change: str) -> None:
    one, other = await new_database("chatd"), await new_database("chatd")
    await ask(other, change, "SELECT 1")
    assert await catalog(other) != await catalog(one)


async def test_upgrades_go_in_order_and_each_once(database: str, steps: Callable[..., None]) -> None:
    await migrations.apply(database)
    steps(
        v0002_name="ALTER TABLE things ADD COLUMN name text DEFAULT 'a'; INSERT INTO things VALUES (1)",
        v0003_more="UPDATE things SET name = name || 'b'",
    )
    assert await migrations.apply(database) == Applied(1, 3)
    assert await migrations.apply(database) == Applied(3, 3)
    assert await ask(database, "SELECT string_agg(name, ',') FROM things") == "ab"
    assert await ask(database, "SELECT array_agg(version ORDER BY version) FROM schema_version") == [1, 2, 3]


async def test_many_starters_do_each_upgrade_once(database: str, steps: Callable[..., None]) -> None:
    await migrations.apply(database)
    steps(**{f"v000{n}_add": f"INSERT INTO things VALUES ({n})" for n in range(2, 8)})
    applied = await asyncio.gather(*(migrations.apply(database) for _ in range(10)))
    assert {each.after for each in applied} == {7}
    assert await ask(database, "SELECT array_agg(id ORDER BY id) FROM things") == [2, 3, 4, 5, 6, 7]


async def test_an_upgrade_that_fails_leaves_nothing_of_itself(
    database: str, steps: Callable[..., None]
) -> None:
    await migrations.apply(database)
    steps(
        v0002_good="INSERT INTO things VALUES (2)",
        v0003_bad="INSERT INTO things VALUES (3); ALTER TABLE things ADD COLUMN a text; SELECT 1 / 0",
    )
    with pytest.raises(
        SchemaError, match=r"0003_bad\.sql failed, and nothing of it was done: division by zero"
    ):
        await migrations.apply(database)
    assert await migrations.current(database) == 2
    assert await ask(database, "SELECT array_agg(t::text) FROM things t") == ["(2)"]
    steps(v0003_bad="INSERT INTO things VALUES (33)")
    assert await migrations.apply(database) == Applied(2, 3)


async def test_a_table_in_use_does_not_hold_up_an_upgrade_for_ever(
    database: str, steps: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrations.apply(database)
    steps(v0002_add="ALTER TABLE things ADD COLUMN a text")
    monkeypatch.setattr(migrations, "LOCK_S", 1)
    holder = await asyncpg.connect(database)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE things IN ACCESS SHARE MODE")
            with pytest.raises(SchemaError, match="waited 1 s for a lock"):
                await migrations.apply(database)
    finally:
        await holder.close()
    assert await migrations.apply(database) == Applied(1, 2)


async def test_a_newer_schema_is_refused_with_what_to_do(database: str) -> None:
    await migrations.apply(database)
    newer = migrations.latest() + 6
    await ask(database, f"INSERT INTO schema_version (version) VALUES ({newer})", "SELECT 1")
    with pytest.raises(SchemaError, match=rf"version {newer}.*up to {migrations.latest()}.*Run that one"):
        await migrations.apply(database)
    assert await migrations.current(database) == newer


async def test_a_database_of_somebody_else_is_not_touched(database: str) -> None:
    await ask(database, "CREATE TABLE invoices (id integer)", "SELECT 1")
    with pytest.raises(SchemaError, match="invoices"):
        await migrations.apply(database)
    assert await ask(database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1


async def test_an_old_postgresql_is_refused(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "MIN_POSTGRES", 99)
    with pytest.raises(SchemaError, match="needs 99 or newer"):
        await migrations.apply(database)


async def test_a_postgresql_that_is_not_there_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await migrations.apply(f"postgresql://chatd@/chatd?host={tmp_path}")


@pytest.mark.parametrize("wrong", ["http://localhost/chatd", "postgresql://localhost:port/chatd"])
async def test_a_url_that_is_none_is_an_error_of_the_settings(wrong: str) -> None:
    with pytest.raises(SchemaError, match=re.escape("postgres.url")):
        await migrations.apply(wrong)


async def test_a_database_that_is_not_there_is_an_error_of_the_settings(services: Embedded) -> None:
    with pytest.raises(SchemaError, match="nowhere"):
        await migrations.apply(services.postgres.url.replace("@/chatd?", "@/nowhere?"))


async def test_require_current_tells_what_is_missing(database: str, steps: Callable[..., None]) -> None:
    db = Db(patient(database, 4))
    await db.open()
    try:
        with pytest.raises(SchemaError, match="no schema"):
            await migrations.require_current(db)
        await migrations.apply(database)
        await migrations.require_current(db)
        steps(v0002_add="ALTER TABLE things ADD COLUMN a text")
        with pytest.raises(SchemaError, match="version 1, this chatd needs 2"):
            await migrations.require_current(db)
        await ask(database, "INSERT INTO schema_version VALUES (9)", "SELECT 1")
        with pytest.raises(SchemaError, match="a newer chatd"):
            await migrations.require_current(db)
    finally:
        await db.close()


def test_a_hole_in_the_upgrades_is_refused(steps: Callable[..., None]) -> None:
    steps(v0003_third="SELECT 1")
    with pytest.raises(SchemaError, match="without holes"):
        migrations.upgrades()


def test_the_schema_says_the_version_that_the_upgrades_lead_to() -> None:
    versions = re.findall(r"INSERT INTO schema_version \(version\) VALUES \((\d+)\)", migrations.schema())
    assert versions == [str(migrations.latest())]
    assert migrations.schema() == (ROOT / "schema.sql").read_text()


def test_no_upgrade_ends_the_transaction_that_it_runs_in() -> None:
    for path in [migrations.SCHEMA, *migrations.upgrades().values()]:
        statements = re.sub(r"\$\$.*?\$\$|--[^\n]*", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"\b(BEGIN|START|COMMIT|ROLLBACK|ABORT)\b", statements, re.IGNORECASE), path
        assert "CONCURRENTLY" not in statements.upper(), f"{path}: cannot run in a transaction"
