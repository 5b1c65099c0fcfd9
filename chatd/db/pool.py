"""The pool: one statement, one struct; every wait ends.

Ids go in and out as text (``usr_…``) and are uuids inside; jsonb goes in and out as JSON text.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, TypeVar

import asyncpg

from chatd.core import ids
from chatd.core.errors import StoreUnavailable, ValidationFailed
from chatd.core.settings import Postgres
from chatd.db.rows import decode

T = TypeVar("T")
log = logging.getLogger("chatd.db")

#: What says "the database is not there", as against "the statement is wrong".
OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection says that was killed under a statement
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.OperatorInterventionError,  # shutting down, starting up, killed by an admin
    asyncpg.InsufficientResourcesError,
    asyncpg.exceptions.DeadlockDetectedError,
    asyncpg.exceptions.SerializationError,
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # a standby that is about to be promoted
    asyncpg.PostgresSystemError,  # the disk answers with errors
)
#: What a server that has served says when an operator has work to do: to callers it is away, too.
REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a password that is being changed
    asyncpg.InvalidCatalogNameError,  # a database that is being restored
    asyncpg.exceptions.InsufficientPrivilegeError,  # likewise; and a data directory that can only be read
)
#: Of all these, what two statements do to each other: no word about the server.
_OURS = (asyncpg.exceptions.DeadlockDetectedError, asyncpg.exceptions.SerializationError)

SESSION = {
    "application_name": "chatd",
    "jit": "off",
    "synchronous_commit": "on",
    # A connection plans once, perhaps while a table has three rows, and to read three rows needs no index;
    # it would go on reading the whole table as that grows. Every statement has an index to go by (a test).
    "enable_seqscan": "off",
}


def _translate(error: Exception) -> Exception:
    if isinstance(error, (*OUTAGES, *REFUSALS)):
        return StoreUnavailable()
    if isinstance(error, asyncpg.DataError):
        return ValidationFailed("A value is out of the range that can be stored")
    return error


class Statements:
    """Runs statements on whatever ``_call`` acquires."""

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    async def rows(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """Every row as ``kind``."""
        return [decode(kind, record) for record in await self._call("fetch", sql, args)]

    async def maybe(self, kind: type[T], sql: str, *args: Any) -> T | None:
        """The first row as ``kind``, or None."""
        record = await self._call("fetchrow", sql, args)
        return None if record is None else decode(kind, record)

    async def one(self, kind: type[T], sql: str, *args: Any) -> T:
        """The first row as ``kind``. Raises LookupError where there is none: a defect, not an answer."""
        found = await self.maybe(kind, sql, *args)
        if found is None:
            raise LookupError("the statement gave no row")
        return found

    async def run(self, sql: str, *args: Any) -> int:
        """Do it; the number of rows touched."""
        status = await self._call("execute", sql, args)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0


class Transaction(Statements):
    """Statements of one transaction. Effects wait for the commit."""

    def __init__(self, connection: Any, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self.effects: list[tuple[Callable[..., None], tuple[Any, ...]]] = []

    def after_commit(self, effect: Callable[..., None], *args: Any) -> None:
        """Call ``effect(*args)`` once the transaction has committed; never if it has not."""
        self.effects.append((effect, args))

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        try:
            return await getattr(self._connection, method)(sql, *args, timeout=self._timeout)
        except Exception as error:
            translated = _translate(error)
            if translated is error:
                raise
            raise translated from error


class Db(Statements):
    """A pool of connections to PostgreSQL.

    ``open`` may fail (StoreUnavailable); afterwards every call raises StoreUnavailable while PostgreSQL
    is away, and works again by itself when it is back. What was the matter is logged, once in ``TELL_S``.
    """

    TELL_S = 10.0

    def __init__(self, settings: Postgres, *, url: str | None = None) -> None:
        self._settings = settings
        self._url = url or settings.url
        self._pool: Any = None
        self._quiet_until = 0.0

    async def open(self) -> None:
        """Connect. Raises StoreUnavailable."""
        try:
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=self._settings.pool_size,
                timeout=self._settings.connect_timeout_s,
                command_timeout=self._settings.command_timeout_s,
                max_inactive_connection_lifetime=300,
                init=prepare_connection,
                reset=_leave_as_it_is,
                server_settings=SESSION,
            )
        except (*OUTAGES, *REFUSALS) as error:
            raise StoreUnavailable(f"PostgreSQL does not answer: {error}") from error

    async def close(self) -> None:
        """Give back every connection, within the command timeout."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(self._settings.command_timeout_s):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @property
    def size(self) -> tuple[int, int]:
        """(open connections, idle ones), for /metrics."""
        if self._pool is None:
            return 0, 0
        return self._pool.get_size(), self._pool.get_idle_size()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A raw asyncpg connection, for what statements cannot say. Outages become StoreUnavailable."""
        if self._pool is None:
            raise StoreUnavailable("The database is not open")
        try:
            connection = await self._acquire()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        except Exception as error:
            translated = _translate(error)
            if translated is error:
                raise
            self._tell(error)
            raise translated from error

    async def _acquire(self) -> Any:
        try:
            return await self._pool.acquire(timeout=self._settings.connect_timeout_s)
        except asyncpg.PostgresError as error:
            # It answers, but lets nobody in: a password that is being changed, a role or a database that is
            # closed for a while. To us that is an outage like any other, of which we come back by ourselves.
            self._tell(error)
            raise StoreUnavailable from error

    def _tell(self, error: Exception) -> None:
        if isinstance(error, (*_OURS, asyncpg.DataError)) or monotonic() < self._quiet_until:
            return
        self._quiet_until = monotonic() + self.TELL_S
        # The first line only: what may follow (DETAIL) names values.
        said = str(error).partition("\n")[0] or "no answer in time"
        log.warning("PostgreSQL does not serve: %s", said, extra={"error": type(error).__name__})

    async def _give_back(self, connection: Any) -> None:
        # The caller may be cancelled meanwhile, and then nobody would ask what became of it.
        release = asyncio.ensure_future(self._pool.release(connection))
        release.add_done_callback(_asked)
        await asyncio.shield(release)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """BEGIN … COMMIT (READ COMMITTED), then the effects; an exception rolls back and drops them."""
        async with self.connection() as connection:
            async with connection.transaction():
                tx = Transaction(connection, self._settings.command_timeout_s)
                yield tx
            # At once: before the connection is given back, where the caller may still be cancelled.
            for effect, args in tx.effects:
                effect(*args)

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        async with self.connection() as connection:
            return await getattr(connection, method)(sql, *args)


async def _leave_as_it_is(connection: Any) -> None:
    """Between two uses asyncpg would undo what a session may have set, by one more round trip a statement.
    Nothing here sets anything but for its transaction; who holds a session's lock gives it back himself.
    """


def _asked(release: "asyncio.Future[None]") -> None:
    if not release.cancelled():
        release.exception()  # the caller hears of it, or is gone; the connection is closed


async def prepare_connection(connection: Any) -> None:
    """Ids as text, JSON as text."""
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=ids.to_bytes, decoder=bytes, format="binary"
    )
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=_json_text, decoder=str)


def _json_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
