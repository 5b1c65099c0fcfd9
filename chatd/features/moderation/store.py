"""The SQL of cases and reports: one function, one statement."""

from datetime import datetime

import msgspec

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, UserId
from chatd.features.moderation.contract import CaseId, Report, Resolution


class CaseRow(msgspec.Struct, frozen=True):
    """A Case whose subject has no prefix yet."""

    id: CaseId
    subject: str
    subject_id: bytes
    chat_id: ChatId | None
    author_id: UserId | None
    source: str
    reason: str | None
    snapshot: msgspec.Raw | None
    report_count: int
    status: str
    claimed_by: UserId | None
    claimed_at: datetime | None
    closed_by: UserId | None
    closed_at: datetime | None
    resolution: Resolution | None
    note: str | None
    created_at: datetime


async def open_case(
    tx: Tx,
    case_id: str,
    subject: str,
    subject_id: str,
    chat_id: str | None,
    context_id: str | None,
    author_id: str | None,
    source: str,
    reason: str | None,
    snapshot: bytes | None,
) -> CaseId:
    """The open case of the subject: this one, or the one that is there, whose row is held either way."""
    return await tx.one(
        CaseId,
        """
        INSERT INTO moderation_cases AS c (id, subject, subject_id, chat_id, context_id, author_id, source,
                                           reason, snapshot)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (subject, subject_id) WHERE status IN ('pending', 'claimed')
        DO UPDATE SET report_count = c.report_count
        RETURNING id
        """,
        case_id,
        subject,
        subject_id,
        chat_id,
        context_id,
        author_id,
        source,
        reason,
        snapshot,
    )


async def add_report(
    tx: Tx, report_id: str, case_id: str, reporter_id: str, reason: str, description: str | None
) -> bool:
    """False where this user has reported it already. The caller holds the case's row."""
    return bool(
        await tx.run(
            """
            WITH made AS (
                INSERT INTO moderation_reports (id, case_id, reporter_id, reason, description)
                VALUES ($1, $2, $3, $4, $5) ON CONFLICT (case_id, reporter_id) DO NOTHING
                RETURNING case_id
            )
            UPDATE moderation_cases c SET report_count = c.report_count + 1
            FROM made WHERE c.id = made.case_id
            """,
            report_id,
            case_id,
            reporter_id,
            reason,
            description,
        )
    )


async def find_report(q: Queries, case_id: str, reporter_id: str) -> Report:
    """This user's report of a case, which is there."""
    return await q.one(
        Report,
        """
        SELECT id, reporter_id, reason, description, created_at FROM moderation_reports
        WHERE case_id = $1 AND reporter_id = $2
        """,
        case_id,
        reporter_id,
    )


async def reports(q: Queries, case_id: str, limit: int) -> list[Report]:
    """Of a case, earliest first."""
    return await q.rows(
        Report,
        """
        SELECT id, reporter_id, reason, description, created_at FROM moderation_reports
        WHERE case_id = $1 ORDER BY created_at, id LIMIT $2
        """,
        case_id,
        limit,
    )


async def page(
    q: Queries,
    status: str,
    chat_id: str | None,
    after_at: datetime | None,
    after_id: str | None,
    limit: int,
) -> list[CaseRow]:
    """The queue after a place, oldest first."""
    return await q.rows(
        CaseRow,
        """
        SELECT id, subject, subject_id, chat_id, author_id, source, reason, snapshot, report_count, status,
               claimed_by, claimed_at, closed_by, closed_at, resolution, note, created_at
        FROM moderation_cases
        WHERE status = $1 AND ($2::uuid IS NULL OR chat_id = $2)
          AND ($3::timestamptz IS NULL OR (created_at, id) > ($3, $4::uuid))
        ORDER BY created_at, id LIMIT $5
        """,
        status,
        chat_id,
        after_at,
        after_id,
        limit,
    )


async def find(q: Queries, case_id: str) -> CaseRow | None:
    return await q.maybe(
        CaseRow,
        """
        SELECT id, subject, subject_id, chat_id, author_id, source, reason, snapshot, report_count, status,
               claimed_by, claimed_at, closed_by, closed_at, resolution, note, created_at
        FROM moderation_cases WHERE id = $1
        """,
        case_id,
    )


async def lock(tx: Tx, case_id: str) -> CaseRow | None:
    """As ``find``; of two moderators at once the second waits, and sees what the first has done."""
    return await tx.maybe(
        CaseRow,
        """
        SELECT id, subject, subject_id, chat_id, author_id, source, reason, snapshot, report_count, status,
               claimed_by, claimed_at, closed_by, closed_at, resolution, note, created_at
        FROM moderation_cases WHERE id = $1 FOR NO KEY UPDATE
        """,
        case_id,
    )


async def set_claim(tx: Tx, case_id: str, by: str | None, at: datetime | None) -> None:
    """Claimed by this moderator, or (None) in the queue again."""
    await tx.run(
        """
        UPDATE moderation_cases SET status = CASE WHEN $2::uuid IS NULL THEN 'pending' ELSE 'claimed' END,
               claimed_by = $2, claimed_at = $3
        WHERE id = $1
        """,
        case_id,
        by,
        at,
    )


async def close(
    tx: Tx, case_id: str, status: str, by: str, at: datetime, resolution: str | None, note: str | None
) -> None:
    await tx.run(
        """
        UPDATE moderation_cases
        SET status = $2, closed_by = $3, closed_at = $4, resolution = $5, note = $6 WHERE id = $1
        """,
        case_id,
        status,
        by,
        at,
        resolution,
        note,
    )
