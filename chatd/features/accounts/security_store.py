"""SQL of the safety of accounts: sessions as their owner sees them, codes in letters, lock-out."""

from datetime import datetime

from chatd.core.context import Queries
from chatd.core.ids import UserId
from chatd.features.accounts.contract import NewLogin, Proof, Session


async def sessions_of(db: Queries, user_id: str, current: str | None, now: datetime) -> list[Session]:
    """Those that are open, last used first."""
    return await db.rows(
        Session,
        """
        SELECT id, device_name, device_platform, address, created_at, last_used_at, expires_at,
               coalesce(id = $2, false)
        FROM sessions
        WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $3
        ORDER BY last_used_at DESC, id DESC
        """,
        user_id,
        current,
        now,
    )


async def take_login_notices(db: Queries, limit: int) -> list[NewLogin]:
    """New logins that nobody has been told of; they are forgotten with the transaction's commit."""
    return await db.rows(
        NewLogin,
        """
        WITH taken AS (
            DELETE FROM login_notices WHERE session_id IN (
                SELECT session_id FROM login_notices ORDER BY session_id LIMIT $1 FOR UPDATE SKIP LOCKED
            )
            RETURNING session_id, at
        )
        SELECT s.id, u.id, u.email, u.email_verified, s.device_name, s.device_platform, s.address, t.at
        FROM taken t JOIN sessions s ON s.id = t.session_id JOIN users u ON u.id = s.user_id
        """,
        limit,
    )


async def insert_token(
    db: Queries, token_hash: bytes, user_id: str, purpose: str, email: str, expires_at: datetime
) -> int:
    return await db.run(
        """
        INSERT INTO account_tokens (hash, user_id, purpose, email, expires_at) VALUES ($1, $2, $3, $4, $5)
        """,
        token_hash,
        user_id,
        purpose,
        email,
        expires_at,
    )


async def take_token(db: Queries, token_hash: bytes, purpose: str, now: datetime) -> Proof | None:
    """Whose code it is, once: the row goes. None for a code that is unknown, used or out of date."""
    return await db.maybe(
        Proof,
        """
        DELETE FROM account_tokens WHERE hash = $1 AND purpose = $2 AND expires_at > $3
        RETURNING user_id, email
        """,
        token_hash,
        purpose,
        now,
    )


async def drop_tokens(db: Queries, user_id: str, purpose: str | None) -> int:
    """The codes of this purpose, or all of them, are good no more."""
    return await db.run(
        "DELETE FROM account_tokens WHERE user_id = $1 AND ($2::text IS NULL OR purpose = $2)",
        user_id,
        purpose,
    )


async def purge_tokens(db: Queries, now: datetime, limit: int) -> int:
    return await db.run(
        """
        DELETE FROM account_tokens WHERE hash IN (
            SELECT hash FROM account_tokens WHERE expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        now,
        limit,
    )


async def change_password(db: Queries, user_id: str, checked_hash: str, new_hash: str, now: datetime) -> bool:
    """False where the password is another by now than the one that was checked."""
    return bool(
        await db.run(
            "UPDATE users SET password_hash = $3, updated_at = $4 WHERE id = $1 AND password_hash = $2",
            user_id,
            checked_hash,
            new_hash,
            now,
        )
    )


async def reset_password(db: Queries, proof: Proof, new_hash: str, now: datetime) -> bool:
    """False where the account has another email by now. Who reads the letter has proven the email."""
    return bool(
        await db.run(
            """
            UPDATE users SET password_hash = $3, email_verified = true, updated_at = $4
            WHERE id = $1 AND lower(email) = lower($2)
            """,
            proof.user_id,
            proof.email,
            new_hash,
            now,
        )
    )


async def verify_email(db: Queries, proof: Proof, now: datetime) -> bool:
    """False where the account has another email by now."""
    return bool(
        await db.run(
            """
            UPDATE users SET email_verified = true, updated_at = $3
            WHERE id = $1 AND lower(email) = lower($2)
            """,
            proof.user_id,
            proof.email,
            now,
        )
    )


async def locked_until(db: Queries, email_hash: bytes, now: datetime) -> datetime | None:
    return await db.maybe(
        datetime,
        "SELECT locked_until FROM login_failures WHERE email_hash = $1 AND locked_until > $2",
        email_hash,
        now,
    )


async def count_failure(
    db: Queries, email_hash: bytes, now: datetime, after: int, first_s: float, most_s: float
) -> int:
    """One more wrong password in a row; from the ``after``-th on it locks, each time twice as long."""
    return await db.run(
        """
        INSERT INTO login_failures AS f (email_hash, failures, last_at, locked_until)
        VALUES ($1, 1, $2, CASE WHEN $3 <= 1 THEN $2::timestamptz + make_interval(secs => $4) END)
        ON CONFLICT (email_hash) DO UPDATE SET
            failures = f.failures + 1,
            last_at = $2,
            locked_until = CASE WHEN f.failures + 1 >= $3 THEN
                $2::timestamptz + make_interval(
                    secs => least($5::float8, $4::float8 * 2 ^ least(f.failures + 1 - $3, 30))) END
        """,
        email_hash,
        now,
        after,
        first_s,
        most_s,
    )


async def forgive(db: Queries, email_hash: bytes) -> int:
    """The right password has come: the row ends."""
    return await db.run("DELETE FROM login_failures WHERE email_hash = $1", email_hash)


async def purge_failures(db: Queries, before: datetime, limit: int) -> int:
    """Forget rows whose last wrong password is older, so that mistypings of weeks do not add up."""
    return await db.run(
        """
        DELETE FROM login_failures WHERE email_hash IN (
            SELECT email_hash FROM login_failures WHERE last_at < $1
            ORDER BY last_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        before,
        limit,
    )


async def mark_departed(db: Queries, user_id: str, now: datetime) -> bool:
    """From now on the account is nobody's; False where it was so already."""
    return bool(
        await db.run(
            """
            INSERT INTO account_deletions (user_id, requested_at, due_at) VALUES ($1, $2, $2)
            ON CONFLICT (user_id) DO NOTHING
            """,
            user_id,
            now,
        )
    )


async def scrub(db: Queries, user_id: str, now: datetime) -> int:
    """Leave a tombstone of the account: an id that others' conversations name, and nothing of a person."""
    return await db.run(
        """
        WITH identities AS (
            DELETE FROM user_identities WHERE user_id = $1
        ), profile AS (
            UPDATE user_profiles SET interests = '{}', icebreaker_prompt_id = NULL, settings = '{}'
            WHERE user_id = $1
        )
        UPDATE users SET
            email = id || '@deleted.invalid', email_verified = false, password_hash = NULL,
            display_name = 'Deleted user', bio = NULL, city = NULL, avatar_url = NULL,
            avatar_media_id = NULL, premium_tier = NULL,
            roles = '{user}', signup_source = NULL, time_zone = NULL, last_active_at = NULL, updated_at = $2
        WHERE id = $1
        """,
        user_id,
        now,
    )


async def claim_departures(db: Queries, now: datetime, until: datetime, limit: int) -> list[str]:
    """Accounts whose data is to go; nobody else takes them before ``until``."""
    return await db.rows(
        UserId,
        """
        UPDATE account_deletions SET due_at = $2 WHERE user_id IN (
            SELECT user_id FROM account_deletions WHERE finished_at IS NULL AND due_at <= $1
            ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING user_id
        """,
        now,
        until,
        limit,
    )


async def finish_departure(db: Queries, user_id: str, now: datetime) -> int:
    """All is gone; whatever was written late about the user's last moments too."""
    return await db.run(
        """
        WITH tombstone AS (
            UPDATE users SET last_active_at = NULL WHERE id = $1
        )
        UPDATE account_deletions SET finished_at = $2 WHERE user_id = $1
        """,
        user_id,
        now,
    )
