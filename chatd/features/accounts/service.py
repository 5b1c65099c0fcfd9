"""Accounts, as other rooms know them: when they were there, many made at once, and by name all the rest.

Other rooms and boot use this module and ``contract`` (and ``tokens``, to sign and check without I/O).
"""

from collections.abc import Collection
from datetime import datetime, timedelta

from chatd.core.context import Queries
from chatd.core.ids import Ids
from chatd.features.accounts import census_store, store
from chatd.features.accounts.avatars import lock_profile, set_avatar
from chatd.features.accounts.bans import (
    ban,
    banned,
    lock_standings,
    present,
    rank,
    standing,
    unban,
)
from chatd.features.accounts.contract import (
    NewAccount,
)
from chatd.features.accounts.departing import (
    claim_departures,
    depart,
    finish_departure,
    require_oneself,
)
from chatd.features.accounts.logins import login, login_oidc, register, require_attempts
from chatd.features.accounts.profiles import get_cards, get_profile, patch_profile, person
from chatd.features.accounts.roles import account, end_session_of, lock_admins, sessions_of, set_roles
from chatd.features.accounts.security import take_new_logins
from chatd.features.accounts.sessions import (
    end_sessions,
    logout,
    refresh,
    require_live_session,
    session_refusal,
    session_states,
)

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
