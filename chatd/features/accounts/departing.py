"""An account goes: at once for everybody, and its data step by step (the personal_data room).

What stays is a tombstone, because others' conversations name the id: no email, no name, no way in.
"""

from datetime import datetime

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Forbidden, Unauthenticated
from chatd.core.ids import UserId
from chatd.features.accounts import passwords, security, sessions_store, store
from chatd.features.accounts import security_store as safe
from chatd.features.accounts.avatars import lock_profile
from chatd.features.accounts.contract import Person
from chatd.features.mail import service as mail
from chatd.features.mail.contract import Letter


async def require_oneself(ctx: Ctx, password: str | None) -> Person:
    """The actor, who knows the account's password where it has one.

    Raises Unauthenticated, Forbidden for a wrong password, RateLimited, Unavailable.
    """
    person = await store.find_person(ctx.db, ctx.actor.user_id)
    known = await store.find_credentials(ctx.db, person.email, ctx.clock.now()) if person else None
    if person is None or known is None:
        raise Unauthenticated
    if known.password_hash is not None:
        await security.require_unlocked(ctx, person.email)
        pool = passwords.pool(ctx.settings.auth.hash_threads)
        if not await pool.verify(known.password_hash, password or ""):
            await security.count_failure(ctx, person.email)
            raise Forbidden("Wrong password")
    return person


async def depart(tx: Tx, ctx: Ctx, person: Person) -> None:
    """From the commit on the account is nobody's: no log-in, no session, no socket, no name."""
    now = ctx.clock.now()
    # The account before its sessions, as everybody does who changes both.
    await lock_profile(tx, person.id)
    if not await safe.mark_departed(tx, person.id, now):
        return
    await sessions_store.end_sessions_of(tx, person.id, "account_deleted", now)
    await safe.drop_tokens(tx, person.id, None)
    await safe.scrub(tx, person.id, now)
    await mail.forget(tx, person.email)
    if person.email_verified:
        body = (
            "Your account was deleted, as you asked. What you said is being removed from conversations now.\n"
        )
        await mail.write(ctx, tx, Letter(person.email, "Your account was deleted", body))
    tx.after_commit(ctx.broker.feed_changed)


async def claim_departures(q: Queries, now: datetime, until: datetime, limit: int) -> list[UserId]:
    """Accounts that have gone and whose data is yet to go; given to nobody else before ``until``."""
    return await safe.claim_departures(q, now, until, limit)


async def finish_departure(q: Queries, user_id: UserId, now: datetime) -> None:
    """All that was the user's is gone."""
    await safe.finish_departure(q, user_id, now)
