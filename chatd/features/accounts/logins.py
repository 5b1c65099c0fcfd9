"""Coming in: by registering, by a password, by the word of a provider (OpenID Connect)."""

import hashlib
from datetime import datetime

from chatd.core.addresses import rate_key
from chatd.core.context import Ctx, Tx
from chatd.core.errors import Banned, EmailTaken, Unauthenticated, ValidationFailed
from chatd.features.accounts import oidc, passwords, profiles, rules, security, store
from chatd.features.accounts.avatars import lock_profile
from chatd.features.accounts.contract import (
    Credentials,
    Login,
    OidcLogin,
    Person,
    Provider,
    Register,
    Registered,
    SignedIn,
    Tokens,
)
from chatd.features.accounts.sessions import end_sessions, open_session


async def register(ctx: Ctx, wanted: Register) -> Registered:
    """A new account. Raises EmailTaken, ValidationFailed, RateLimited."""
    limit = ctx.settings.limits.registrations_per_minute
    await ctx.limiter.require("registrations", rate_key(ctx.address), limit=limit, period_s=60)
    email = rules.require_email(wanted.email)
    name = rules.display_name(wanted.display_name)
    city = rules.line("$.city", wanted.city)
    interests = rules.interests(wanted.interests)
    user_id, now = ctx.ids.new("usr"), ctx.clock.now()
    password_hash = await passwords.pool(ctx.settings.auth.hash_threads).hash(wanted.password)
    async with ctx.db.transaction() as tx:
        made = await store.insert_user(
            tx,
            user_id,
            email,
            password_hash,
            name,
            now=now,
            city=city,
            interests=interests,
            signup_source=rules.line("$.signup_source", wanted.signup_source),
        )
        if not made:
            raise EmailTaken
        await security.send_verification(ctx, tx, user_id, email)
    return Registered(id=user_id, display_name=name, city=city, interests=interests, created_at=now)


async def login(ctx: Ctx, wanted: Login) -> SignedIn:
    """A new session.

    Raises Unauthenticated (the same, after the same time, for a wrong email and a wrong password),
    Banned, RateLimited (also while wrong passwords have locked the email), Unavailable where too many
    sign in at once.
    """
    email = rules.email(wanted.email)
    await require_attempts(ctx, account=email or wanted.email)
    if email is not None:
        await security.require_unlocked(ctx, email)
    known = await store.find_credentials(ctx.db, email or "", ctx.clock.now())
    stored = known.password_hash if known else None
    pool = passwords.pool(ctx.settings.auth.hash_threads)
    right = await pool.verify(stored, wanted.password)
    if known is None or stored is None or not right:
        if email is not None:
            await security.count_failure(ctx, email)
        raise Unauthenticated("Wrong email or password")
    if known.banned:  # said only to who knows the password
        raise Banned
    new_hash = await pool.hash(wanted.password) if passwords.outdated(stored) else None
    person = await profiles.person(ctx.db, known.user_id)
    tokens = await open_session(
        ctx, ctx.db, person.id, person.roles, wanted.device, checked_hash=stored, new_hash=new_hash
    )
    await security.forgive(ctx, person.email)
    return _signed_in(tokens, person)


async def require_attempts(ctx: Ctx, *, account: str = "") -> None:
    """Count an attempt to sign in, for the account and for the address. Raises RateLimited."""
    limit = ctx.settings.limits.logins_per_minute
    await ctx.limiter.require("logins_of_address", rate_key(ctx.address), limit=10 * limit, period_s=60)
    if account:
        key = hashlib.sha256(account.encode()).hexdigest()  # Redis need not know who has an account
        await ctx.limiter.require("logins_of_account", key, limit=limit, period_s=60)


async def login_oidc(ctx: Ctx, provider: Provider, wanted: OidcLogin) -> SignedIn:
    """A new session of the account that the provider's identity belongs to, made or linked where needed.

    Raises Unauthenticated, Banned, RateLimited, Unavailable.
    """
    await require_attempts(ctx)
    identity = await oidc.identify(ctx, provider, wanted.id_token, wanted.nonce)
    async with ctx.db.transaction() as tx:
        account = await _account_of(ctx, tx, identity)
        if account.banned:
            raise Banned
        person = await profiles.person(tx, account.user_id)
        tokens = await open_session(ctx, tx, person.id, person.roles, wanted.device)
    return _signed_in(tokens, person)


async def _account_of(ctx: Ctx, tx: Tx, identity: oidc.Identity) -> Credentials:
    now, provider, subject = ctx.clock.now(), identity.provider, identity.subject
    account = await _known(tx, identity, now)
    if account is not None:
        return account
    if identity.email is None:
        raise Unauthenticated(f"{provider} has not verified an email of yours")
    account = await store.lock_by_email(tx, identity.email, now)
    if account is None:
        name = _name_of(identity)
        user_id = ctx.ids.new("usr")
        await store.insert_user(tx, user_id, identity.email, None, name, now=now, email_verified=True)
        # Not made where another transaction has just made it: then this finds that one.
        account = await store.lock_by_email(tx, identity.email, now)
    if account is None:
        raise Unauthenticated("The account has changed meanwhile: sign in again")
    if not account.email_verified:
        # Somebody registered with an email that they never proved to be theirs, perhaps to wait for its
        # owner. The owner has come: the password and the sessions from before must not let anybody in.
        await store.hand_over(tx, account.user_id, now)
        await end_sessions(tx, ctx, account.user_id, reason="account_linked")
    if not await store.insert_identity(tx, provider, subject, account.user_id, now):
        # The same identity came in twice at once, and the other was first.
        return await _known(tx, identity, now) or account
    return account


async def _known(tx: Tx, identity: oidc.Identity, now: datetime) -> Credentials | None:
    """The account of this identity, held until the transaction ends: nobody deletes it meanwhile."""
    found = await store.find_by_identity(tx, identity.provider, identity.subject, now)
    if found is None:
        return None
    await lock_profile(tx, found.user_id)
    # A second statement sees what the last holder of the lock has left: who goes takes the identities along.
    return await store.find_by_identity(tx, identity.provider, identity.subject, now)


def _name_of(identity: oidc.Identity) -> str:
    try:
        return rules.display_name((identity.name or "")[: rules.MAX_DISPLAY_NAME])
    except ValidationFailed:
        return "New member"  # not a part of the email, which others must not see


def _signed_in(tokens: Tokens, person: Person) -> SignedIn:
    return SignedIn(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        user=profiles.own(person),
    )
