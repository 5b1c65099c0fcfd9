"""The database as a start finds it: perhaps not up yet, perhaps not up to date."""

import asyncio
import logging
import time

from chatd.core.errors import StoreUnavailable
from chatd.db import migrations

PATIENCE_S = 30.0
"""How long to wait for a PostgreSQL that does not answer: it may be starting beside us."""
RETRY_S = 0.5

log = logging.getLogger("chatd.supervisor")


async def bring_up_to_date(url: str) -> None:
    """Apply the schema and its upgrades, waiting for PostgreSQL. Raises SchemaError, StoreUnavailable."""
    applied = await _apply(url)
    if applied.before is None:
        log.info("made the tables (schema version %d)", applied.after)
    elif applied.changed:
        log.info("upgraded the schema from version %d to %d", applied.before, applied.after)


async def _apply(url: str) -> migrations.Applied:
    begun, told = time.monotonic(), False
    while True:
        try:
            await migrations.require_session(url)
            return await migrations.apply(url)
        except StoreUnavailable as error:
            if time.monotonic() - begun > PATIENCE_S:
                raise
            if not told:
                log.warning("waiting for PostgreSQL, at most %g s: %s", PATIENCE_S, error)
                told = True
        await asyncio.sleep(RETRY_S)
