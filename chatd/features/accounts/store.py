"""SQL of accounts: one function, one statement."""

from collections.abc import Collection, Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.features.accounts.contract import Card, Credentials, LastActive, Person


async def insert_user(
    db: Queries,
    user_id: str,
    email: str,
    password_hash: str | None,
    display_name: str,
    *,
    now: datetime,
    email_verified: bool = False,
    city: str | None = None,
    interests: Collection[str] = (),
    signup_source: str | None = None,
) -> bool:
    """The account and its profile; False where users_email_key says that the email is taken."""
    return bool(
        await db.run(
            """
            WITH made AS (
                INSERT INTO users (id, email, password_hash, display_name, created_at, updated_at,
                                   email_verified, city, signup_source)
                VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8)
                ON CONFLICT (lower(email)) DO NOTHING
                RETURNING id
            )
            INSERT INTO user_profiles (user_id, interests) SELECT id, $9::text[] FROM made
            """,
            user_id,
            email,
            password_hash,
            display_name,
            now,
            email_verified,
            city,
            signup_source,
            list(interests),
        )
    )


async def insert_users(
    db: Queries,
    user_ids: Sequence[str],
    emails: Sequence[str],
    names: Sequence[str],
    session_ids: Sequence[str],
    now: datetime,
    expires_at: datetime,
) -> int:
    """Accounts without a password, each with an open session; arrays run in parallel."""
    return await db.run(
        """
        WITH input AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[])
                          AS i (user_id, email, name, session_id)
        ), made AS (
            INSERT INTO users (id, email, display_name, created_at, updated_at)
            SELECT user_id, email, name, $5, $5 FROM input
        ), profile AS (
            INSERT INTO user_profiles (user_id) SELECT user_id FROM input
        )
        INSERT INTO sessions (id, user_id, device_name, created_at, last_used_at, expires_at)
        SELECT session_id, user_id, 'seed', $5, $5, $6 FROM input
        """,
        user_ids,
        emails,
        names,
        session_ids,
        now,
        expires_at,
    )


async def find_person(db: Queries, user_id: str) -> Person | None:
    return await db.maybe(
        Person,
        """
        SELECT u.id, u.email, u.email_verified, u.display_name, u.bio, u.city, u.avatar_url,
               coalesce(p.interests, '{}'), u.premium_tier, u.roles, u.time_zone, p.icebreaker_prompt_id,
               coalesce(p.settings, '{}'), u.created_at, u.last_active_at
        FROM users u LEFT JOIN user_profiles p ON p.user_id = u.id
        WHERE u.id = $1
        """,
        user_id,
    )


async def find_last_active(db: Queries, user_ids: Collection[str]) -> list[LastActive]:
    """Of those of the users that ever were."""
    return await db.rows(
        LastActive,
        "SELECT id, last_active_at FROM users WHERE id = ANY ($1::uuid[]) AND last_active_at IS NOT NULL",
        list(user_ids),
    )


async def find_cards(db: Queries, user_ids: Collection[str]) -> list[Card]:
    """Those of the users that there are."""
    return await db.rows(
        Card,
        "SELECT id, display_name, avatar_url FROM users WHERE id = ANY ($1::uuid[])",
        list(user_ids),
    )


async def patch_user(
    db: Queries,
    user_id: str,
    fields: Collection[str],
    *,
    now: datetime,
    display_name: str | None = None,
    bio: str | None = None,
    city: str | None = None,
    avatar_url: str | None = None,
    time_zone: str | None = None,
    interests: Sequence[str] = (),
    icebreaker_prompt_id: str | None = None,
    settings: bytes = b"{}",
) -> bool:
    """Set those fields that are named in ``fields``, null or not; False where there is no such user."""
    return bool(
        await db.run(
            """
            WITH changed AS (
                UPDATE users SET
                    display_name = CASE WHEN 'display_name' = ANY ($2::text[]) THEN $3 ELSE display_name END,
                    bio = CASE WHEN 'bio' = ANY ($2) THEN $4 ELSE bio END,
                    city = CASE WHEN 'city' = ANY ($2) THEN $5 ELSE city END,
                    avatar_url = CASE WHEN 'avatar_url' = ANY ($2) THEN $6 ELSE avatar_url END,
                    avatar_media_id = CASE WHEN 'avatar_url' <> ALL ($2) THEN avatar_media_id END,
                    time_zone = CASE WHEN 'time_zone' = ANY ($2) THEN $7 ELSE time_zone END,
                    updated_at = $8
                WHERE id = $1
                RETURNING id
            )
            INSERT INTO user_profiles AS p (user_id, interests, icebreaker_prompt_id, settings)
            SELECT id, $9::text[], $10, $11::jsonb FROM changed
            ON CONFLICT (user_id) DO UPDATE SET
                interests = CASE WHEN 'interests' = ANY ($2) THEN excluded.interests ELSE p.interests END,
                icebreaker_prompt_id = CASE WHEN 'icebreaker_prompt_id' = ANY ($2)
                    THEN excluded.icebreaker_prompt_id ELSE p.icebreaker_prompt_id END,
                settings = CASE WHEN 'settings' = ANY ($2) THEN excluded.settings ELSE p.settings END
            """,
            user_id,
            list(fields),
            display_name,
            bio,
            city,
            avatar_url,
            time_zone,
            now,
            list(interests),
            icebreaker_prompt_id,
            settings,
        )
    )


async def touch_last_active(
    db: Queries, user_ids: Sequence[str], ats: Sequence[datetime], slack_s: float
) -> int:
    """Move ``last_active_at`` forward where it is more than ``slack_s`` behind; arrays run in parallel.
    Rows are locked in id order.
    """
    return await db.run(
        """
        WITH newest AS (
            SELECT i.id, max(i.at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS i (id, at)
            GROUP BY i.id
        ), due AS (
            SELECT u.id, n.at FROM users u JOIN newest n ON n.id = u.id
            WHERE u.last_active_at IS NULL OR u.last_active_at < n.at - make_interval(secs => $3)
            ORDER BY u.id FOR NO KEY UPDATE OF u
        )
        UPDATE users u SET last_active_at = due.at FROM due WHERE u.id = due.id
        """,
        list(user_ids),
        list(ats),
        slack_s,
    )


async def find_credentials(db: Queries, email: str, now: datetime) -> Credentials | None:
    return await db.maybe(
        Credentials,
        """
        SELECT id, password_hash, email_verified,
               banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > $2)
        FROM users WHERE lower(email) = lower($1)
        """,
        email,
        now,
    )


async def lock_by_email(db: Queries, email: str, now: datetime) -> Credentials | None:
    """As ``find_credentials``, and no log-in by password goes on until the transaction ends."""
    return await db.maybe(
        Credentials,
        """
        SELECT id, password_hash, email_verified,
               banned_at IS NOT NULL AND (banned_until IS NULL OR banned_until > $2)
        FROM users WHERE lower(email) = lower($1) FOR NO KEY UPDATE
        """,
        email,
        now,
    )


async def find_by_identity(db: Queries, provider: str, subject: str, now: datetime) -> Credentials | None:
    return await db.maybe(
        Credentials,
        """
        SELECT u.id, u.password_hash, u.email_verified,
               u.banned_at IS NOT NULL AND (u.banned_until IS NULL OR u.banned_until > $3)
        FROM user_identities i JOIN users u ON u.id = i.user_id
        WHERE i.provider = $1 AND i.subject = $2
        """,
        provider,
        subject,
        now,
    )


async def insert_identity(db: Queries, provider: str, subject: str, user_id: str, now: datetime) -> bool:
    """False where the identity is somebody's already."""
    return bool(
        await db.run(
            """
            INSERT INTO user_identities (provider, subject, user_id, created_at) VALUES ($1, $2, $3, $4)
            ON CONFLICT (provider, subject) DO NOTHING
            """,
            provider,
            subject,
            user_id,
            now,
        )
    )


async def hand_over(db: Queries, user_id: str, now: datetime) -> int:
    """The email is proven to be another's than who set the password, if any: the password goes."""
    return await db.run(
        "UPDATE users SET email_verified = true, password_hash = NULL, updated_at = $2 WHERE id = $1",
        user_id,
        now,
    )
