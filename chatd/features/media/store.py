"""The SQL of media: one function, one statement."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries, Tx
from chatd.core.ids import MediaId
from chatd.features.media.contract import Found, Row


async def insert(
    q: Queries,
    media_id: str,
    owner_id: str,
    purpose: str,
    kind: str,
    declared_type: str,
    file_name: str,
    storage_key: str,
    upload_until: datetime,
    collect_after: datetime,
) -> Row:
    """A medium that waits for its bytes."""
    return await q.one(
        Row,
        """
        INSERT INTO media (id, owner_id, purpose, kind, declared_type, file_name, storage_key, upload_until,
                           collect_after)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        RETURNING id, owner_id, purpose, kind, declared_type, file_name, status, reason, storage_key,
                  content_type, size, width, height, thumbnail, held, upload_until, claimed_until, created_at
        """,
        media_id,
        owner_id,
        purpose,
        kind,
        declared_type,
        file_name,
        storage_key,
        upload_until,
        collect_after,
    )


async def taken_since(q: Queries, owner_id: str, since: datetime) -> int:
    """The bytes that a user has uploaded, and those that uploads under way count for."""
    return await q.one(
        int,
        """
        SELECT coalesce(sum(CASE WHEN claimed_until >= clock_timestamp() THEN reserved ELSE size END),
                        0)::bigint
        FROM media WHERE owner_id = $1 AND created_at > $2
        """,
        owner_id,
        since,
    )


async def find(q: Queries, media_id: str) -> Row | None:
    """Whatever its state, whoever asks."""
    return await q.maybe(
        Row,
        """
        SELECT id, owner_id, purpose, kind, declared_type, file_name, status, reason, storage_key,
               content_type, size, width, height, thumbnail, held, upload_until, claimed_until, created_at
        FROM media WHERE id = $1
        """,
        media_id,
    )


async def find_open(
    q: Queries, media_id: str, user_id: str | None, moderator: bool, now: datetime
) -> Row | None:
    """A medium that this user may see: one's own that is not sent yet, one of a message that can be read in
    a chat where one is, an avatar; for moderators, also one of a message that is an open case.
    """
    return await q.maybe(
        Row,
        """
        SELECT m.id, m.owner_id, m.purpose, m.kind, m.declared_type, m.file_name, m.status, m.reason,
               m.storage_key, m.content_type, m.size, m.width, m.height, m.thumbnail, m.held,
               m.upload_until, m.claimed_until, m.created_at
        FROM media m
        WHERE m.id = $1 AND (m.collect_after IS NULL OR m.collect_after > $4) AND (
            (m.owner_id = $2 AND m.held = 0)
            OR (m.status = 'ready' AND (
                m.purpose = 'avatar'
                OR media_open(m.id, $2)
                OR ($3 AND EXISTS (
                    SELECT 1 FROM message_attachments a
                    JOIN moderation_cases c ON c.subject = 'message' AND c.subject_id = a.message_id
                                            AND c.status IN ('pending', 'claimed')
                    WHERE a.media_id = m.id
                ))
            ))
        )
        """,
        media_id,
        user_id,
        moderator,
        now,
    )


async def owner_reported(q: Queries, owner_id: str) -> bool:
    """Whether a case about this user is open."""
    return await q.one(
        bool,
        """
        SELECT EXISTS (SELECT 1 FROM moderation_cases
                       WHERE subject = 'user' AND subject_id = $1 AND status IN ('pending', 'claimed'))
        """,
        owner_id,
    )


async def lock_uploads(tx: Tx, media_id: str) -> None:
    """Nobody else claims an upload of this medium's owner until the transaction ends."""
    await tx.run(
        """
        SELECT pg_advisory_xact_lock(hashtextextended('media.claim ' || owner_id::text, 0))
        FROM media WHERE id = $1
        """,
        media_id,
    )


async def claim(
    tx: Tx,
    media_id: str,
    claim: str,
    lease_s: float,
    size: int,
    now: datetime,
    collect_after: datetime,
    at_once: int,
) -> Row | None:
    """Take the upload of a pending medium for oneself, of so many bytes; None where it is none, or is taken,
    or its owner has so many under way already. The caller has locked the uploads of its owner, in a statement
    before.
    """
    return await tx.maybe(
        Row,
        """
        UPDATE media SET claim = $2, claimed_until = clock_timestamp() + make_interval(secs => $3),
                         reserved = $4, collect_after = greatest(collect_after, $6)
        WHERE id = $1 AND status = 'pending' AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
          AND collect_after > $5
          AND $7 > (SELECT count(*) FROM media o
                    WHERE o.owner_id = media.owner_id AND o.created_at > $5 - interval '1 day'
                      AND o.status = 'pending' AND o.claimed_until >= clock_timestamp())
        RETURNING id, owner_id, purpose, kind, declared_type, file_name, status, reason, storage_key,
                  content_type, size, width, height, thumbnail, held, upload_until, claimed_until, created_at
        """,
        media_id,
        claim,
        lease_s,
        size,
        now,
        collect_after,
        at_once,
    )


async def is_claimed(q: Queries, media_id: str) -> bool:
    """Whether somebody brings it now."""
    return await q.one(
        bool,
        "SELECT EXISTS (SELECT 1 FROM media WHERE id = $1 AND claimed_until >= clock_timestamp())",
        media_id,
    )


async def renew(q: Queries, media_id: str, claim: str, lease_s: float) -> bool:
    """Go on with an upload; False where it is not under this claim any more."""
    return (
        await q.run(
            """
            UPDATE media SET claimed_until = clock_timestamp() + make_interval(secs => $3)
            WHERE id = $1 AND claim = $2 AND status = 'pending'
            """,
            media_id,
            claim,
            lease_s,
        )
        > 0
    )


async def reserve(tx: Tx, media_id: str, claim: str, size: int) -> bool:
    """Count an upload for so many bytes; False where it is not under this claim any more."""
    return (
        await tx.run(
            "UPDATE media SET reserved = $3 WHERE id = $1 AND claim = $2 AND status = 'pending'",
            media_id,
            claim,
            size,
        )
        > 0
    )


async def release(q: Queries, media_id: str, claim: str) -> None:
    """Give the upload back: its bytes did not arrive."""
    await q.run(
        """
        UPDATE media SET claim = NULL, claimed_until = NULL, reserved = 0
        WHERE id = $1 AND claim = $2 AND status = 'pending'
        """,
        media_id,
        claim,
    )


async def settle(
    q: Queries, media_id: str, claim: str, found: Found, thumbnail: bool, collect_after: datetime
) -> int:
    """It is ready; 0 where it was taken away meanwhile, or its claim was."""
    return await q.run(
        """
        UPDATE media SET status = 'ready', ready_at = clock_timestamp(), claim = NULL, claimed_until = NULL,
                         reserved = 0, content_type = $3, size = $4, width = $5, height = $6, thumbnail = $7,
                         collect_after = $8
        WHERE id = $1 AND claim = $2 AND status = 'pending'
        """,
        media_id,
        claim,
        found.content_type,
        found.size,
        found.width,
        found.height,
        thumbnail,
        collect_after,
    )


async def reject(q: Queries, media_id: str, claim: str, reason: str) -> None:
    """It is not kept."""
    await q.run(
        """
        UPDATE media SET status = 'rejected', reason = $3, claim = NULL, claimed_until = NULL, reserved = 0
        WHERE id = $1 AND claim = $2 AND status = 'pending'
        """,
        media_id,
        claim,
        reason,
    )


async def discard(q: Queries, media_id: str, owner_id: str, now: datetime) -> int:
    """0 where it is not this user's, or is in use."""
    return await q.run(
        "UPDATE media SET collect_after = $3 WHERE id = $1 AND owner_id = $2 AND held = 0",
        media_id,
        owner_id,
        now,
    )


async def lock_own(tx: Tx, owner_id: str, media_id: str, now: datetime) -> Row | None:
    """A medium that is the user's, ready and not taken back, held until the transaction ends."""
    return await tx.maybe(
        Row,
        """
        SELECT id, owner_id, purpose, kind, declared_type, file_name, status, reason, storage_key,
               content_type, size, width, height, thumbnail, held, upload_until, claimed_until, created_at
        FROM media
        WHERE id = $2 AND owner_id = $1 AND status = 'ready' AND (collect_after IS NULL OR collect_after > $3)
        FOR UPDATE
        """,
        owner_id,
        media_id,
        now,
    )


async def make_avatar(tx: Tx, media_id: str) -> None:
    """From now on anybody may see it, and nobody send it."""
    await tx.run("UPDATE media SET purpose = 'avatar' WHERE id = $1 AND purpose <> 'avatar'", media_id)


async def lock_sendable(tx: Tx, user_id: str, media_ids: Sequence[str]) -> list[MediaId]:
    """Those of these that the user may send now, held until the transaction ends."""
    return await tx.rows(
        MediaId,
        """
        SELECT id FROM media WHERE id = ANY ($2::uuid[]) AND media_sendable(id, $1) ORDER BY id FOR UPDATE
        """,
        user_id,
        media_ids,
    )


async def keep_until(tx: Tx, media_ids: Sequence[str], until: datetime) -> None:
    """What nothing uses yet is not collected before this; what something uses goes when that goes."""
    await tx.run(
        """
        UPDATE media SET collect_after = greatest(collect_after, $2)
        WHERE id = ANY ($1::uuid[]) AND held = 0 AND collect_after IS NOT NULL
        """,
        media_ids,
        until,
    )


async def described(q: Queries, content: str, media_ids: Sequence[str]) -> str:
    """The content of a message with what is known of its attachments."""
    return await q.one(str, "SELECT attach_described($1::jsonb, $2)", content, media_ids)


async def reattach(tx: Tx, message_id: str, chat_id: str, user_id: str, media_ids: Sequence[str]) -> bool:
    """Put these in the place of a message's attachments; False where one of them may not be. The caller
    holds the chat's row.
    """
    return await tx.one(
        bool,
        "SELECT reattach($1, $2, $3, $4)",
        message_id,
        chat_id,
        user_id,
        media_ids,
    )


async def collect(q: Queries, now: datetime, limit: int) -> int:
    """Forget media that nothing uses; their objects wait in media_garbage. The number of objects."""
    return await q.run(
        """
        WITH gone AS (
            DELETE FROM media WHERE id IN (
                SELECT id FROM media
                WHERE collect_after <= $1 AND held = 0
                  AND (claimed_until IS NULL OR claimed_until < clock_timestamp())
                ORDER BY collect_after LIMIT $2 FOR UPDATE SKIP LOCKED
            ) RETURNING storage_key
        )
        INSERT INTO media_garbage (object_key, delete_after)
        SELECT o.key, $1 FROM gone g CROSS JOIN LATERAL (VALUES
            (g.storage_key), (g.storage_key || '-thumbnail'), ('incoming-' || g.storage_key)
        ) AS o (key)
        ON CONFLICT (object_key) DO UPDATE SET delete_after = EXCLUDED.delete_after
        """,
        now,
        limit,
    )


async def throw_away(q: Queries, key: str, after: datetime) -> None:
    """This object is to be deleted after that time."""
    await q.run(
        """
        INSERT INTO media_garbage (object_key, delete_after) VALUES ($1, $2)
        ON CONFLICT (object_key) DO UPDATE SET delete_after = EXCLUDED.delete_after
        """,
        key,
        after,
    )


async def garbage(q: Queries, now: datetime, limit: int) -> list[str]:
    """Objects that are to be deleted by now, the oldest first."""
    return await q.rows(
        str,
        "SELECT object_key FROM media_garbage WHERE delete_after <= $1 ORDER BY delete_after LIMIT $2",
        now,
        limit,
    )


async def forget_garbage(q: Queries, keys: Sequence[str]) -> None:
    """These are gone."""
    await q.run("DELETE FROM media_garbage WHERE object_key = ANY ($1::text[])", keys)
