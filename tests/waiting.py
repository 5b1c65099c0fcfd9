"""How tests wait: for the thing itself, with an end that only a failure reaches."""

import asyncio
from collections.abc import Callable

#: Not a measure of anything: a machine may be busy, and what comes soon is not waited for any longer.
PATIENCE_S = 60.0


async def until(what: Callable[[], object]) -> None:
    """Wait until ``what()`` is true. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(0.01)
