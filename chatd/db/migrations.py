"""The schema of the database: a fresh one gets schema.sql, an older one the upgrades after its version.

``upgrades/0001_base.sql`` is the first version as it was; ``0002_<name>.sql`` and on lead from each
version to the next, forward only. schema.sql is what they end in (a test compares the two).

One transaction a step, under a lock that all chatds of a database share: read the version, do the next
step, write down its number. So a half-done step cannot be, and of several starters each step has one.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from chatd.core.context import Queries
from chatd.core.errors import StoreUnavailable
from chatd.db.pool import OUTAGES, SESSION

#: A link to the repository's schema.sql; a wheel has the file itself here.
SCHEMA = Path(__file__).with_name("schema.sql")
UPGRADES = Path(__file__).with_name("upgrades")

MIN_POSTGRES = 15
CONNECT_S = 10.0
LOCK_S = 60.0
"""How long to wait for another chatd that is upgrading, or for a lock on a table that is in use."""
STEP_S = 3600.0
"""How long one step may take; a big table may have to be rewritten."""

_POOLER = (
    "postgres.url leads to a pooler (PgBouncer?) and not to PostgreSQL itself: {why}. "
    "chatd has a pool of its own; docs/operating.md says what a pooler would have to allow"
)

# One number for all chatds of a database ("chatd" in ASCII).
_LOCK = 0x6368617464


class SchemaError(Exception):
    """The database is not one that this chatd can work with; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What ``apply`` found and what it left; ``before`` is None where the database was empty."""

    before: int | None
    after: int

    @property
    def changed(self) -> bool:
        """Whether anything was done."""
        return self.before != self.after


@cache
def upgrades() -> dict[int, Path]:
    """The version that each file leads to, in order; the first is the base. Raises SchemaError on a hole."""
    found: dict[int, Path] = {}
    for path in sorted(UPGRADES.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", path.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise SchemaError(f"{path}: upgrades are named 0001_<name>.sql, 0002_<name>.sql … without holes")
        found[int(match[1])] = path
    return found


def latest() -> int:
    """The version that this chatd works with."""
    return max(upgrades())


def schema() -> str:
    """The text of schema.sql."""
    return SCHEMA.read_text("utf-8")


async def apply(url: str) -> Applied:
    """Bring the database to the latest version; safe to call from several chatds at once.

    Raises SchemaError where that cannot be (a newer schema, somebody else's tables, a PostgreSQL that is
    too old, a step that fails), StoreUnavailable where PostgreSQL does not answer.
    """
    async with _connect(url) as connection:
        before = found = await _step(connection)
        while found != latest():
            found = await _step(connection)
        return Applied(before, found)


async def current(url: str) -> int | None:
    """The database's version, None where it has no schema. Raises SchemaError and StoreUnavailable."""
    async with _connect(url) as connection:
        return await _version(connection)


async def require_current(db: Queries) -> None:
    """Raise SchemaError unless the database has the version that this chatd works with."""
    known = await db.maybe(bool, "SELECT to_regclass('schema_version') IS NOT NULL")
    found = await db.maybe(int, "SELECT max(version) FROM schema_version") if known else None
    if found is None:
        raise SchemaError("the database has no schema yet: run `chatd schema apply`")
    if found < latest():
        raise SchemaError(
            f"the database has schema version {found}, this chatd needs {latest()}: run `chatd schema apply`"
        )
    _refuse_newer(found)


async def require_session(url: str) -> None:
    """Raise SchemaError where connections are not PostgreSQL sessions, StoreUnavailable where none answers.

    Statements are prepared once a connection, its settings are said when it opens, and one holds a lock.
    """
    async with _connect(url, SESSION) as ours:
        pid = await ours.fetchval("SELECT pg_backend_pid()")
        if pid == ours.get_server_pid():
            return  # a pooler makes up this number
        async with _connect(url, SESSION) as other, other.transaction():
            # Who keeps our session for us while another works on it does not keep it.
            taken = await other.fetchval("SELECT pg_backend_pid()") == pid
            if taken or await ours.fetchval("SELECT pg_backend_pid()") != pid:
                raise SchemaError(_POOLER.format(why="it gives each transaction another session"))


async def _step(connection: Any) -> int | None:
    """Do the next step, if there is one; the version that was found before it."""
    doing = "looking at the schema"
    try:
        async with connection.transaction(isolation="read_committed"):
            await connection.execute("SELECT set_config('lock_timeout', $1, true)", f"{LOCK_S:.0f}s")
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            found = await _version(connection)
            if found is None:
                await _require_empty(connection)
                doing = "schema.sql"
                await connection.execute(schema())
            elif found < latest():
                path = upgrades()[found + 1]
                doing = f"upgrade {path.name}"
                await connection.execute(path.read_text("utf-8"))
                await connection.execute("INSERT INTO schema_version (version) VALUES ($1)", found + 1)
            else:
                _refuse_newer(found)
            return found
    except OUTAGES as error:
        raise StoreUnavailable(f"PostgreSQL went away during {doing}: {error}") from error
    except asyncpg.LockNotAvailableError:
        raise SchemaError(
            f"{doing} waited {LOCK_S:.0f} s for a lock: another chatd is upgrading this database, or a long "
            "transaction holds a table; nothing was changed, start again when it is done"
        ) from None
    except asyncpg.PostgresError as error:
        raise SchemaError(f"{doing} failed, and nothing of it was done: {error}") from error


def _refuse_newer(found: int) -> None:
    if found > latest():
        raise SchemaError(
            f"the database has schema version {found}, and this chatd knows versions up to {latest()}: "
            "a newer chatd has upgraded it. Run that one; upgrades are not undone"
        )


async def _version(connection: Any) -> int | None:
    if not await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"):
        return None
    found: int | None = await connection.fetchval("SELECT max(version) FROM schema_version")
    if found is None:
        raise SchemaError("the table schema_version is empty: this is no database of chatd, or a damaged one")
    return found


async def _require_empty(connection: Any) -> None:
    # What an extension brought (pg_stat_statements puts its views in public) does not count.
    others = await connection.fetch(
        "SELECT c.relname FROM pg_class c"
        " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND NOT EXISTS (SELECT 1 FROM pg_depend d"
        "     WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
        " ORDER BY c.relname LIMIT 4"
    )
    if others:
        names = ", ".join(record["relname"] for record in others)
        raise SchemaError(f"the database is not chatd's but has tables ({names}): give chatd one of its own")


@asynccontextmanager
async def _connect(url: str, settings: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
    try:
        connection = await asyncpg.connect(
            url,
            timeout=CONNECT_S,
            command_timeout=STEP_S,
            statement_cache_size=0,  # prepared statements do not go through every connection pooler
            server_settings={**(settings or {}), "application_name": "chatd schema"},
        )
    except asyncpg.ProtocolViolationError as error:
        raise SchemaError(_POOLER.format(why=error)) from None
    except ValueError as error:  # asyncpg's ClientConfigurationError is one, and not the only one it raises
        raise SchemaError(f"postgres.url cannot be used: {error}") from None
    except OUTAGES as error:
        raise StoreUnavailable(f"PostgreSQL does not answer: {error}") from error
    except asyncpg.PostgresError as error:
        raise SchemaError(f"PostgreSQL does not let chatd in: {error}") from None
    try:
        version = connection.get_server_version()
        if version.major < MIN_POSTGRES:
            raise SchemaError(
                f"this is PostgreSQL {version.major}.{version.minor}; chatd needs {MIN_POSTGRES} or newer"
            )
        yield connection
    finally:
        try:
            await connection.close(timeout=CONNECT_S)
        except OUTAGES:
            connection.terminate()
