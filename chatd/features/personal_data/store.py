"""SQL of personal data: one function, one statement."""

from datetime import datetime

from chatd.core.context import Queries
from chatd.features.personal_data.contract import Export, Membership, Part, Row, Work


async def begin(db: Queries, export_id: str, user_id: str, now: datetime, since: datetime, most: int) -> bool:
    """A new export; False where one is being made, or ``most`` were asked for since then."""
    return bool(
        await db.run(
            """
            WITH me AS (SELECT id FROM users WHERE id = $2 FOR UPDATE)
            INSERT INTO data_exports (id, user_id, requested_at, due_at)
            SELECT $1, me.id, $3, $3 FROM me
            WHERE NOT EXISTS (SELECT 1 FROM data_exports WHERE user_id = $2 AND finished_at IS NULL)
              AND (SELECT count(*) FROM data_exports WHERE user_id = $2 AND requested_at > $4) < $5
            """,
            export_id,
            user_id,
            now,
            since,
            most,
        )
    )


async def find(db: Queries, user_id: str, export_id: str | None, now: datetime) -> Export | None:
    """The user's export; without an id, the last one."""
    return await db.maybe(
        Export,
        """
        SELECT e.id, CASE WHEN e.finished_at IS NULL THEN 'pending' ELSE 'ready' END,
               e.requested_at, e.finished_at, e.expires_at,
               (SELECT count(*) FROM data_export_parts p WHERE p.export_id = e.id)
        FROM data_exports e
        WHERE e.user_id = $1 AND ($2::uuid IS NULL OR e.id = $2)
          AND (e.expires_at IS NULL OR e.expires_at > $3)
        ORDER BY e.requested_at DESC LIMIT 1
        """,
        user_id,
        export_id,
        now,
    )


async def find_part(db: Queries, user_id: str, export_id: str, part: int, now: datetime) -> Part | None:
    """A part of the user's own export, once it is whole."""
    return await db.maybe(
        Part,
        """
        SELECT p.section, p.data
        FROM data_export_parts p JOIN data_exports e ON e.id = p.export_id
        WHERE e.user_id = $1 AND p.export_id = $2 AND p.part = $3 AND e.expires_at > $4
        """,
        user_id,
        export_id,
        part,
        now,
    )


async def claim(db: Queries, now: datetime, until: datetime, limit: int) -> list[Work]:
    """Exports to go on with; nobody else takes them before ``until``."""
    return await db.rows(
        Work,
        """
        UPDATE data_exports SET due_at = $2 WHERE id IN (
            SELECT id FROM data_exports WHERE finished_at IS NULL AND due_at <= $1
            ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED
        )
        RETURNING id, user_id, section, position
        """,
        now,
        until,
        limit,
    )


async def move(
    db: Queries,
    work: Work,
    section: int,
    position: str | None,
    finished_at: datetime | None,
    expires_at: datetime,
) -> bool:
    """How far it is now; False where another has gone on with it meanwhile."""
    return bool(
        await db.run(
            """
            UPDATE data_exports SET
                section = $4, position = $5, finished_at = $6,
                expires_at = CASE WHEN $6::timestamptz IS NOT NULL THEN $7::timestamptz END
            WHERE id = $1 AND section = $2 AND position IS NOT DISTINCT FROM $3 AND finished_at IS NULL
            """,
            work.id,
            work.section,
            work.position,
            section,
            position,
            finished_at,
            expires_at,
        )
    )


async def add_part(db: Queries, export_id: str, section: str, data: bytes) -> int:
    """One more; the caller holds the export's row."""
    return await db.run(
        """
        INSERT INTO data_export_parts (export_id, part, section, data)
        SELECT $1, count(*), $2, $3::jsonb FROM data_export_parts WHERE export_id = $1
        """,
        export_id,
        section,
        data,
    )


async def purge(db: Queries, now: datetime, limit: int) -> int:
    return await db.run(
        """
        DELETE FROM data_exports WHERE id IN (
            SELECT id FROM data_exports WHERE finished_at IS NOT NULL AND expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        """,
        now,
        limit,
    )


async def memberships(db: Queries, user_id: str, after: str | None, limit: int) -> list[Membership]:
    return await db.rows(
        Membership,
        """
        SELECT p.chat_id, c.type, c.title, p.role, p.joined_at, p.last_read_seq, p.last_read_at
        FROM chat_participants p JOIN chat_chats c ON c.id = p.chat_id
        WHERE p.user_id = $1 AND ($2::uuid IS NULL OR p.chat_id > $2)
        ORDER BY p.chat_id LIMIT $3
        """,
        user_id,
        after,
        limit,
    )


async def rows_of_user(db: Queries, user_id: str, but: list[str], most: int) -> list[Row]:
    """What tables hold of the user by their own declaration (schema.sql, personal_tables)."""
    return await db.rows(
        Row, "SELECT section, data FROM rows_of_user($1, $2::text[], $3)", user_id, but, most
    )


async def forget_user(db: Queries, user_id: str, but: list[str]) -> int:
    """What goes with a user by the tables' own declaration; how many rows went."""
    return await db.one(int, "SELECT forget_user($1, $2::text[])", user_id, but)
