"""The rules of accounts: who may come in, and who may see and change what.

Other rooms and boot use this module and ``contract`` (and ``tokens``, to sign and check without I/O).
"""

import hashlib
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import UNSET

from chatd.core.addresses import rate_key
from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import Banned, EmailTaken, Forbidden, Unauthenticated, UserNotFound, ValidationFailed
from chatd.core.ids import Ids, UserId
from chatd.features.accounts import census_store, oidc, passwords, rules, security, sessions_store, store
from chatd.features.accounts.avatars import already_shows, lock_profile, set_avatar
from chatd.features.accounts.bans import (
    ban,
    banned,
    end_sessions,
    lock_standings,
    present,
    rank,
    standing,
    unban,
)
from chatd.features.accounts.contract import (
    MAX_CARDS,
    Cards,
    Credentials,
    Login,
    NewAccount,
    OidcLogin,
    PatchProfile,
    Person,
    Profile,
    Provider,
    Register,
    Registered,
    SignedIn,
    Tokens,
)
from chatd.features.accounts.departing import (
    claim_departures,
    depart,
    finish_departure,
    require_oneself,
)
from chatd.features.accounts.roles import account, end_session_of, lock_admins, sessions_of, set_roles
from chatd.features.accounts.security import take_new_logins
from chatd.features.accounts.sessions import (
    logout,
    open_session,
    refresh,
    require_live_session,
    session_refusal,
    session_states,
)
from chatd.features.audit import service as audit
from chatd.features.relations import service as relations

__all__ = [
    "account",
    "ban",
    "banned",
    "claim_departures",
    "count_active",
    "create_many",
    "depart",
    "end_session_of",
    "end_sessions",
    "finish_departure",
    "get_cards",
    "get_profile",
    "last_active",
    "lock_admins",
    "lock_profile",
    "lock_standings",
    "login",
    "login_oidc",
    "logout",
    "patch_profile",
    "person",
    "present",
    "rank",
    "refresh",
    "register",
    "require_attempts",
    "require_live_session",
    "require_oneself",
    "session_refusal",
    "session_states",
    "sessions_of",
    "set_avatar",
    "set_roles",
    "standing",
    "take_new_logins",
    "touch_last_active",
    "unban",
]

#: Accounts that create_many makes in one statement: some 100 ms of PostgreSQL.
BULK = 2000


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
    person = await _person(ctx.db, known.user_id)
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
        person = await _person(tx, account.user_id)
        tokens = await open_session(ctx, tx, person.id, person.roles, wanted.device)
    return _signed_in(tokens, person)


async def _account_of(ctx: Ctx, tx: Tx, identity: oidc.Identity) -> Credentials:
    now, provider, subject = ctx.clock.now(), identity.provider, identity.subject
    account = await store.find_by_identity(tx, provider, subject, now)
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
        if await sessions_store.end_sessions_of(tx, account.user_id, "account_linked", now):
            tx.after_commit(ctx.broker.feed_changed)
    if not await store.insert_identity(tx, provider, subject, account.user_id, now):
        # The same identity came in twice at once, and the other was first.
        return await store.find_by_identity(tx, provider, subject, now) or account
    return account


def _name_of(identity: oidc.Identity) -> str:
    try:
        return rules.display_name((identity.name or "")[: rules.MAX_DISPLAY_NAME])
    except ValidationFailed:
        return "New member"  # not a part of the email, which others must not see


async def get_profile(ctx: Ctx, user_id: str) -> Profile:
    """The user as the actor may see them. Raises UserNotFound."""
    person = await _person(ctx.db, _resolve(ctx, user_id))
    if person.id == ctx.actor.user_id:
        return _own(person)
    if await relations.profiles_hidden(ctx.db, ctx.actor.user_id, [person.id]):
        return _name_alone(person)
    shown = await relations.last_seen_is_shown(ctx.db, ctx.actor.user_id, person.id)
    return _public(person) if shown else msgspec.structs.replace(_public(person), last_active_at=None)


async def get_cards(ctx: Ctx, user_ids: Collection[str]) -> Cards:
    """Names for ids, and the pictures of those who show the actor their profile.

    Raises ValidationFailed for more than MAX_CARDS, or for what is no user's id.
    """
    if len(user_ids) > MAX_CARDS:
        raise ValidationFailed.at("$.ids", f"at most {MAX_CARDS} users")
    try:
        wanted = msgspec.convert(list(user_ids), list[UserId])
    except msgspec.ValidationError:
        raise ValidationFailed.at("$.ids", "expected user ids") from None
    hidden = await relations.profiles_hidden(ctx.db, ctx.actor.user_id, wanted)
    return Cards(
        users=[
            msgspec.structs.replace(card, avatar_url=None) if card.id in hidden else card
            for card in await store.find_cards(ctx.db, wanted)
        ]
    )


async def patch_profile(ctx: Ctx, user_id: str, wanted: PatchProfile) -> None:
    """Change one's own profile, or as admin anybody's. Raises Forbidden, UserNotFound, ValidationFailed."""
    user_id, me = _resolve(ctx, user_id), ctx.actor.user_id
    if user_id != me and rank((await standing(ctx, ctx.db, me)).roles) < rank(["admin"]):
        raise Forbidden("This is not your profile")
    given = {name: value for name, value in msgspec.structs.asdict(wanted).items() if value is not UNSET}
    async with ctx.db.transaction() as tx:
        if "avatar_url" in given and await already_shows(tx, UserId(user_id), given["avatar_url"]):
            del given["avatar_url"]
        checked = {name: _CHECKS[name](value) for name, value in given.items()}
        if not await store.patch_user(tx, user_id, list(checked), now=ctx.clock.now(), **checked):
            raise UserNotFound
        if user_id != me:
            await audit.record(tx, me, "user.profile", target=("user", user_id), fields=sorted(checked))


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "display_name": rules.display_name,
    "bio": rules.bio,
    "city": lambda value: rules.line("$.city", value),
    "avatar_url": rules.avatar_url,
    "interests": rules.interests,
    "icebreaker_prompt_id": lambda value: rules.line("$.icebreaker_prompt_id", value),
    "time_zone": rules.time_zone,
    "settings": rules.settings,
}


async def last_active(db: Queries, user_ids: Collection[str]) -> dict[str, datetime]:
    """When those of the users who ever were active last were, in one statement."""
    if not user_ids:
        return {}
    return {row.user_id: row.at for row in await store.find_last_active(db, user_ids)}


async def count_active(db: Queries, since: datetime) -> int:
    """How many users were active since then."""
    return await census_store.count_active(db, since)


async def touch_last_active(
    db: Queries, pairs: Collection[tuple[str, datetime]], *, unless_within_s: float = 0.0
) -> int:
    """Move ``last_active_at`` of many (user id, time) forward, never back, and not where it is but so many
    seconds behind; how many moved.
    """
    if not pairs:
        return 0
    users, ats = [user for user, _ in pairs], [at for _, at in pairs]
    return await store.touch_last_active(db, users, ats, unless_within_s)


async def create_many(
    db: Queries, count: int, *, ids: Ids, now: datetime, session_ttl_s: float, name: str = "Seed"
) -> list[NewAccount]:
    """Accounts in bulk, without passwords, each with a session of ``session_ttl_s``; for ``chatd seed``.

    ``tokens.issue`` makes their access tokens. Done in statements of BULK each: a failure on the way
    leaves what was made before it.
    """
    made: list[NewAccount] = []
    while len(made) < count:
        part = [NewAccount(ids.new("usr"), ids.new("ses")) for _ in range(min(BULK, count - len(made)))]
        await store.insert_users(
            db,
            [each.user_id for each in part],
            [f"{each.user_id}@seed.invalid" for each in part],  # RFC 2606: nobody's mail
            [f"{name} {len(made) + i + 1}" for i in range(len(part))],
            [each.session_id for each in part],
            now,
            now + timedelta(seconds=session_ttl_s),
        )
        made += part
    return made


def _resolve(ctx: Ctx, user_id: str) -> str:
    return ctx.actor.user_id if user_id == "me" else user_id


async def person(db: Queries, user_id: str) -> Person:
    """All of an account but its secrets, for its owner. Raises UserNotFound."""
    return await _person(db, user_id)


async def _person(db: Queries, user_id: str) -> Person:
    person = await store.find_person(db, user_id)
    if person is None:
        raise UserNotFound
    return person


def _public(person: Person) -> Profile:
    return Profile(
        id=person.id,
        display_name=person.display_name,
        bio=person.bio,
        city=person.city,
        avatar_url=person.avatar_url,
        interests=person.interests,
        badges=[],  # nothing here gives badges, and nobody has clubs, until rooms do that
        premium_tier=person.premium_tier,
        mutual_clubs=[],
        last_active_at=person.last_active_at,
    )


def _name_alone(person: Person) -> Profile:
    """What is shown of somebody who shows the viewer no more: who it is that speaks."""
    return Profile(
        id=person.id,
        display_name=person.display_name,
        bio=None,
        city=None,
        avatar_url=None,
        interests=[],
        badges=[],
        premium_tier=None,
        mutual_clubs=[],
        last_active_at=None,
    )


def _own(person: Person) -> Profile:
    return msgspec.structs.replace(
        _public(person),
        email=person.email,
        email_verified=person.email_verified,
        roles=person.roles,
        time_zone=person.time_zone,
        icebreaker_prompt_id=person.icebreaker_prompt_id,
        settings=person.settings,
        created_at=person.created_at,
    )


def _signed_in(tokens: Tokens, person: Person) -> SignedIn:
    return SignedIn(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
        user=_own(person),
    )
