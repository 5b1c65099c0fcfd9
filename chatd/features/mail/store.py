"""SQL of mail: one function, one statement."""

from datetime import datetime

from chatd.core.context import Queries
from chatd.features.mail.contract import Letter, Waiting


async def insert(db: Queries, mail_id: str, letter: Letter, now: datetime, expires_at: datetime) -> int:
    return await db.run(
        """
        INSERT INTO mail_outbox (id, recipient, subject, body, created_at, due_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $5, $6)
        """,
        mail_id,
        letter.recipient,
        letter.subject,
        letter.body,
        now,
        expires_at,
    )


async def claim(db: Queries, now: datetime, until: datetime, limit: int) -> list[Waiting]:
    """Take letters that are due; nobody else takes them before ``until``."""
    return await db.rows(
        Waiting,
        """
        UPDATE mail_outbox SET attempts = attempts + 1, due_at = $2
        WHERE id IN (
            SELECT id FROM mail_outbox WHERE due_at <= $1 ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING id, recipient, subject, body, attempts, created_at, expires_at
        """,
        now,
        until,
        limit,
    )


async def postpone(db: Queries, mail_id: str, due_at: datetime) -> int:
    return await db.run("UPDATE mail_outbox SET due_at = $2 WHERE id = $1", mail_id, due_at)


async def remove(db: Queries, mail_id: str) -> int:
    return await db.run("DELETE FROM mail_outbox WHERE id = $1", mail_id)


async def remove_to(db: Queries, recipient: str) -> int:
    """Whatever still waits for this address."""
    return await db.run("DELETE FROM mail_outbox WHERE lower(recipient) = lower($1)", recipient)
