"""The safety of one's own account: open sessions, passwords, proven emails, lock-out.

A code in a letter is good once and for a while, and is stored hashed. Whether an email has an account is
told to nobody: asking for a letter answers the same after the same time, and wrong passwords lock an
email that is nobody's just like one that is somebody's.
"""

import asyncio
import hashlib
import secrets
from datetime import timedelta

from chatd.core.context import Ctx, Tx
from chatd.core.errors import Conflict, Forbidden, NotFound, RateLimited, Unauthenticated, ValidationFailed
from chatd.features.accounts import passwords, rules, sessions, store
from chatd.features.accounts import security_store as safe
from chatd.features.accounts.contract import NewLogin, Sessions
from chatd.features.mail import service as mail
from chatd.features.mail.contract import Letter

#: An answer that must not tell whether there is an account comes no sooner: longer than the work takes.
SAME_TIME_S = 0.25
LETTERS_PER_HOUR = 5


async def list_sessions(ctx: Ctx) -> Sessions:
    """The actor's open sessions."""
    actor = ctx.actor
    found = await safe.sessions_of(ctx.db, actor.user_id, actor.session_id, ctx.clock.now())
    return Sessions(sessions=found)


async def end_session(ctx: Ctx, session_id: str) -> None:
    """End one of the actor's sessions; its sockets close. Raises NotFound where they have none such open."""
    async with ctx.db.transaction() as tx:
        if not await sessions.end_session(tx, ctx, session_id, reason="revoked", of=ctx.actor.user_id):
            raise NotFound("You have no such session open")


async def end_sessions(ctx: Ctx, *, keep_current: bool) -> int:
    """End the actor's sessions, this one perhaps not; how many there were."""
    kept = ctx.actor.session_id if keep_current else None
    async with ctx.db.transaction() as tx:
        return await sessions.end_sessions(tx, ctx, ctx.actor.user_id, reason="revoked", but=kept)


async def change_password(ctx: Ctx, current: str, new: str) -> None:
    """Another password, for who knows the present one; all other sessions end.

    Raises Forbidden for a wrong password, Conflict for an account without one (``forgot`` sets one),
    RateLimited, Unavailable.
    """
    me = ctx.actor.user_id
    person = await store.find_person(ctx.db, me)
    known = await store.find_credentials(ctx.db, person.email, ctx.clock.now()) if person else None
    if person is None or known is None or known.user_id != me:
        raise Unauthenticated
    if known.password_hash is None:
        raise Conflict("This account has no password yet: ask for a letter to set one")
    # Somebody who found an unlocked phone must not guess here what the log-in would not let them guess.
    await require_unlocked(ctx, person.email)
    await ctx.limiter.require("passwords", me, limit=ctx.settings.limits.logins_per_minute, period_s=60)
    pool = passwords.pool(ctx.settings.auth.hash_threads)
    if not await pool.verify(known.password_hash, current):
        await count_failure(ctx, person.email)
        raise Forbidden("Wrong password")
    new_hash = await pool.hash(new)
    async with ctx.db.transaction() as tx:
        now = ctx.clock.now()
        if not await safe.change_password(tx, me, known.password_hash, new_hash, now):
            raise Conflict("The password has been changed meanwhile")
        await safe.drop_tokens(tx, me, "reset_password")
        kept = ctx.actor.session_id
        await sessions.end_sessions(tx, ctx, me, reason="password_changed", but=kept)
        await mail.write(ctx, tx, _changed(person.email))
    await forgive(ctx, person.email)


async def forgot_password(ctx: Ctx, email: str) -> None:
    """Send a code to the email's account, if there is one. Raises RateLimited, by address and by email."""
    started = ctx.clock.monotonic()
    wanted = rules.email(email)
    await _require_letters(ctx, wanted or email)
    known = await store.find_credentials(ctx.db, wanted or "", ctx.clock.now())
    if wanted is not None and known is not None and not known.banned:
        ttl_s = ctx.settings.auth.reset_ttl_s
        async with ctx.db.transaction() as tx:
            code = await _code(ctx, tx, known.user_id, "reset_password", wanted, ttl_s)
            await mail.write(ctx, tx, _reset(ctx, wanted, code), good_for_s=ttl_s)
    await asyncio.sleep(max(0.0, SAME_TIME_S - (ctx.clock.monotonic() - started)))


async def reset_password(ctx: Ctx, token: str, new: str) -> None:
    """Set a password by a letter's code: the email is proven by it, and all sessions end.

    Raises ValidationFailed for a code that is unknown, used or too old, RateLimited, Unavailable.
    """
    new_hash = await passwords.pool(ctx.settings.auth.hash_threads).hash(new)
    async with ctx.db.transaction() as tx:
        now = ctx.clock.now()
        proof = await safe.take_token(tx, _hash(token), "reset_password", now)
        if proof is None or not await safe.reset_password(tx, proof, new_hash, now):
            raise ValidationFailed.at("$.token", "not a code that is good now")
        await safe.drop_tokens(tx, proof.user_id, "reset_password")
        await safe.forgive(tx, _hash(proof.email))
        await sessions.end_sessions(tx, ctx, proof.user_id, reason="password_reset")
        await mail.write(ctx, tx, _changed(proof.email))


async def ask_to_verify(ctx: Ctx) -> None:
    """Send the actor a code for their email; nothing where it is proven. Raises RateLimited."""
    person = await store.find_person(ctx.db, ctx.actor.user_id)
    if person is None:
        raise Unauthenticated
    if not person.email_verified:
        await _require_letters(ctx, person.email)
        async with ctx.db.transaction() as tx:
            await send_verification(ctx, tx, person.id, person.email)


async def send_verification(ctx: Ctx, tx: Tx, user_id: str, email: str) -> None:
    """Write the letter that proves an email, beside what else the transaction does."""
    ttl_s = ctx.settings.auth.verify_ttl_s
    await safe.drop_tokens(tx, user_id, "verify_email")
    code = await _code(ctx, tx, user_id, "verify_email", email, ttl_s)
    await mail.write(ctx, tx, _verify(ctx, email, code), good_for_s=ttl_s)


async def verify_email(ctx: Ctx, token: str) -> None:
    """The email is its account's. Raises ValidationFailed for a code that is unknown, used or too old."""
    async with ctx.db.transaction() as tx:
        now = ctx.clock.now()
        proof = await safe.take_token(tx, _hash(token), "verify_email", now)
        if proof is None or not await safe.verify_email(tx, proof, now):
            raise ValidationFailed.at("$.token", "not a code that is good now")


async def take_new_logins(tx: Tx, limit: int) -> list[NewLogin]:
    """Logins of unknown devices that their users are yet to be told of, each given once (with the commit)."""
    return await safe.take_login_notices(tx, limit)


# ----------------------------------------------------------------------------------------------- lock-out


async def require_unlocked(ctx: Ctx, email: str) -> None:
    """Raises RateLimited while the email takes no password.

    Guesses that are under way when the last one locks it still count, and get their answer; how many
    that can be is what ``logins_per_minute`` allows.
    """
    now = ctx.clock.now()
    until = await safe.locked_until(ctx.db, _hash(email), now)
    if until is not None:
        wait_ms = max(1, int((until - now).total_seconds() * 1000))
        raise RateLimited("Too many wrong passwords: wait, or set a new one", retry_after_ms=wait_ms)


async def count_failure(ctx: Ctx, email: str) -> None:
    """A wrong password; from ``auth.lockout_after`` in a row on, the email is locked for longer each time."""
    auth = ctx.settings.auth
    if auth.lockout_after:
        now = ctx.clock.now()
        await safe.count_failure(
            ctx.db, _hash(email), now, auth.lockout_after, auth.lockout_s, auth.lockout_max_s
        )


async def forgive(ctx: Ctx, email: str) -> None:
    """The right password came: wrong ones are counted from none."""
    await safe.forgive(ctx.db, _hash(email))


# ------------------------------------------------------------------------------------------------- steps


async def _require_letters(ctx: Ctx, email: str) -> None:
    key = hashlib.sha256(email.encode("utf-8", "surrogatepass")).hexdigest()
    await ctx.limiter.require("letters", key, limit=LETTERS_PER_HOUR, period_s=3600)


async def _code(ctx: Ctx, tx: Tx, user_id: str, purpose: str, email: str, ttl_s: float) -> str:
    code = secrets.token_urlsafe(24)
    await safe.insert_token(
        tx, _hash(code), user_id, purpose, email, ctx.clock.now() + timedelta(seconds=ttl_s)
    )
    return code


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _link(ctx: Ctx, what: str, code: str) -> str:
    base = ctx.settings.server.public_url.rstrip("/")
    # After the "#", so that no log of a server or proxy gets to see the code.
    return (
        f"Open {base}/#{what}={code}\n\nor give your app this code:" if base else "Give your app this code:"
    )


def _reset(ctx: Ctx, email: str, code: str) -> Letter:
    minutes = ctx.settings.auth.reset_ttl_s // 60
    return Letter(
        email,
        "Set a new password",
        f"Somebody, you perhaps, asked to set a new password for this account.\n\n"
        f"{_link(ctx, 'reset_password', code)}\n\n    {code}\n\n"
        f"It is good once, for {minutes} minutes. If it was not you, nothing needs to be done.\n",
    )


def _verify(ctx: Ctx, email: str, code: str) -> Letter:
    return Letter(
        email,
        "Is this your email?",
        f"An account was made with this address. If it is yours, prove it:\n\n"
        f"{_link(ctx, 'verify_email', code)}\n\n    {code}\n\n"
        f"If it is not, nothing needs to be done.\n",
    )


def _changed(email: str) -> Letter:
    return Letter(
        email,
        "Your password was changed",
        "The password of your account was changed just now, and other devices were logged out.\n\n"
        "If it was not you, ask for a letter to set a new password at once.\n",
    )
