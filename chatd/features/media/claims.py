"""Uploads under way: whose each is, for how long, and what it counts for.

A claim is a lease in the database's clock that the upload renews, so it dies with the process that held it.
What an upload may bring counts against its owner's day from the moment it is claimed, or, where it does not
say how long it is, before each piece is taken.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from chatd.core.context import Ctx, Queries
from chatd.core.declarations import Incoming
from chatd.core.errors import AppError, Conflict, RateLimited
from chatd.core.ids import MediaId, UserId
from chatd.features.accounts import service as accounts
from chatd.features.media import store
from chatd.features.media.contract import MediaNotFound, Row

log = logging.getLogger("chatd.media")

#: Uploads of one user that may be under way at once.
AT_ONCE = 4
#: How long a claim outlives its process; several renewals, so that one that fails costs nothing.
LEASE_S = 60.0
RENEW_S = 15.0
#: What does not say how long it is counts for so much more than was read of it.
AHEAD = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """A medium whose upload is the holder's alone, and the name of the claim."""

    row: Row
    id: str
    reserved: int


@asynccontextmanager
async def claimed(ctx: Ctx, media_id: MediaId, size: int) -> AsyncIterator[Claim]:
    """The upload of a pending medium, of this many bytes (0: not known yet), for the caller alone for as long
    as it takes; given back where it does not come to an end.

    Raises MediaNotFound, Conflict (used, in use, or taken by another while nobody could renew the claim),
    RateLimited (too many at once, or too much for a day).
    """
    claim = await _take(ctx, media_id, size)
    held = asyncio.timeout(None)
    keeper = asyncio.create_task(_keep(ctx, claim, held), name="keep an upload's claim")
    try:
        async with held:
            yield claim
    except TimeoutError:
        if not held.expired():
            raise
        raise Conflict("This upload was lost sight of: send it again") from None
    finally:
        keeper.cancel()
        await asyncio.wait([keeper], timeout=1)
        try:
            # Where it has come to its end this changes nothing.
            await store.release(ctx.db, media_id, claim.id)
        except AppError as error:
            log.debug("the claim of %s runs out by itself: %s", media_id, error.code)


async def _take(ctx: Ctx, media_id: MediaId, size: int) -> Claim:
    now, claim = ctx.clock.now(), ctx.ids.new("upl")
    async with ctx.db.transaction() as tx:
        # Counted one after the other: of many at once none would see another's claim, and all would pass.
        await store.lock_uploads(tx, media_id)
        until = now + timedelta(seconds=grace(ctx))
        row = await store.claim(tx, media_id, claim, LEASE_S, size, now, until, AT_ONCE)
        if row is not None:
            if row.owner_id is not None:
                if await accounts.present(ctx, tx, row.owner_id) is None:
                    raise MediaNotFound
                await require_day(ctx, tx, row.owner_id)
            return Claim(row, claim, size)
    raise await _unclaimed(ctx, media_id)


async def _unclaimed(ctx: Ctx, media_id: MediaId) -> AppError:
    """Why an upload cannot begin."""
    row = await store.find(ctx.db, media_id)
    if row is None:
        return MediaNotFound()
    if row.status != "pending":
        return Conflict("This link has been used")
    if await store.is_claimed(ctx.db, media_id):
        return Conflict("This upload is under way")
    return RateLimited(f"At most {AT_ONCE} uploads at once", retry_after_ms=5000)


async def _keep(ctx: Ctx, claim: Claim, held: asyncio.Timeout) -> None:
    """Renew a claim until cancelled; where it is lost, or this ends, what is done under it ends."""
    while True:
        await asyncio.sleep(RENEW_S)
        try:
            if not await store.renew(ctx.db, claim.row.id, claim.id, LEASE_S):
                break
        except AppError as error:
            log.debug("the claim of %s could not be renewed: %s", claim.row.id, error.code)
        except Exception:  # else the upload would go on, and be refused at its end
            log.exception("the claim of %s is renewed no more", claim.row.id)
            break
    held.reschedule(asyncio.get_running_loop().time())


async def metered(ctx: Ctx, claim: Claim, body: Incoming, most: int) -> AsyncIterator[bytes]:
    """The bytes of a body (``most`` of them), each counted before it is given on.

    Raises RateLimited, Conflict, and what ``body.chunks`` does.
    """
    read, reserved = 0, claim.reserved
    async for chunk in body.chunks(most):
        read += len(chunk)
        if read > reserved:
            reserved = max(min(read + AHEAD, most) if body.length is None else body.length, read)
            await reserve(ctx, claim, reserved)
        yield chunk


async def reserve(ctx: Ctx, claim: Claim, size: int) -> None:
    """The upload counts for so many bytes from now on. Raises RateLimited (too much for a day), Conflict."""
    async with ctx.db.transaction() as tx:
        await store.lock_uploads(tx, claim.row.id)
        if not await store.reserve(tx, claim.row.id, claim.id, size):
            raise Conflict("This upload was lost sight of: send it again")
        if claim.row.owner_id is not None:
            await require_day(ctx, tx, claim.row.owner_id)


async def require_day(ctx: Ctx, q: Queries, owner_id: UserId, more: int = 0) -> None:
    """Raises RateLimited where what a user has uploaded in a day, what uploads under way count for, and so
    much more are over the bound. Asked when an upload is announced (many may be, before the first comes) and,
    in the transaction that counts it, when it begins.
    """
    most = ctx.settings.media.bytes_per_day
    since = ctx.clock.now() - timedelta(days=1)
    if most and await store.taken_since(q, owner_id, since) + more > most:
        raise RateLimited("That was much for one day", retry_after_ms=3_600_000)


def grace(ctx: Ctx) -> float:
    """Longer than an upload and the looking into it may take."""
    return ctx.settings.media.upload_timeout_s + 300
