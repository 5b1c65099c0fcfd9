"""SQL of GPs: their life, members and votes. Time is always the caller's, so that one clock rules.

``limits_store`` has what bounds creating and moving, ``discovery_store`` what looks for GPs by place.
"""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries, Tx
from chatd.core.ids import ChatId, UserId
from chatd.features.gp.contract import Choice, CreateGp, GpId
from chatd.features.gp.geo import Place
from chatd.features.gp.rows import Ballot, Card, Gp, Seat
from chatd.features.gp.rules import Subject

# ------------------------------------------------------------------------------------------------ reading


async def find(q: Queries, gp_id: GpId) -> Gp | None:
    return await q.maybe(
        Gp,
        """
        SELECT id, chat_id, created_by, status, member_count, message_count, created_at, lifetime_ends_at,
               expires_at, conversion, eligible_at, vote_closes_at, vote_retry_at,
               category, sub_type, specific_name, genre, topics, description, cell
        FROM gps WHERE id = $1
        """,
        gp_id,
    )


async def lock(tx: Tx, gp_id: GpId) -> Gp | None:
    """Hold the GP's row until the transaction ends: whoever changes a GP holds it first."""
    return await tx.maybe(
        Gp,
        """
        SELECT id, chat_id, created_by, status, member_count, message_count, created_at, lifetime_ends_at,
               expires_at, conversion, eligible_at, vote_closes_at, vote_retry_at,
               category, sub_type, specific_name, genre, topics, description, cell
        FROM gps WHERE id = $1 FOR NO KEY UPDATE
        """,
        gp_id,
    )


async def lock_overdue(tx: Tx, now: datetime, limit: int) -> list[Gp]:
    """Hold some GPs past their time that nobody else holds, in the order of their chats."""
    return await tx.rows(
        Gp,
        """
        WITH due AS (
            SELECT * FROM gps WHERE status = 'active' AND expires_at <= $1
            ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
        )
        SELECT id, chat_id, created_by, status, member_count, message_count, created_at, lifetime_ends_at,
               expires_at, conversion, eligible_at, vote_closes_at, vote_retry_at,
               category, sub_type, specific_name, genre, topics, description, cell
        FROM due ORDER BY chat_id
        """,
        now,
        limit,
    )


async def due_votes(q: Queries, now: datetime, limit: int) -> list[GpId]:
    """GPs whose vote is past its deadline."""
    return await q.rows(
        GpId,
        """
        SELECT id FROM gps
        WHERE status = 'active' AND conversion = 'voting' AND vote_closes_at <= $1
        ORDER BY vote_closes_at LIMIT $2
        """,
        now,
        limit,
    )


async def least_looked_at(q: Queries, now: datetime, before: datetime, limit: int) -> list[GpId]:
    """Living GPs that nobody has looked at since ``before``, the longest ago first."""
    return await q.rows(
        GpId,
        """
        SELECT id FROM gps WHERE status = 'active' AND looked_at < $2 AND expires_at > $1
        ORDER BY looked_at LIMIT $3
        """,
        now,
        before,
        limit,
    )


async def cards(q: Queries, ids: Sequence[str]) -> list[Card]:
    """These GPs as they are shown, in no order."""
    return await q.rows(
        Card,
        """
        SELECT g.id, g.chat_id, g.created_by, g.status, g.member_count, g.created_at, g.lifetime_ends_at,
               g.expires_at, g.conversion, g.eligible_at, g.vote_closes_at, g.vote_retry_at,
               g.category, g.sub_type, g.specific_name, g.genre, g.topics, g.description,
               g.creation_reason, g.reason_note, g.city, g.zone, g.cell, m.ids, m.joined,
               b.yes, b.no, b.voters
        FROM gps g
        CROSS JOIN LATERAL (
            SELECT array_agg(m.user_id ORDER BY m.joined_at, m.user_id) AS ids,
                   array_agg(m.joined_at ORDER BY m.joined_at, m.user_id) AS joined
            FROM gp_members m WHERE m.gp_id = g.id
        ) m
        CROSS JOIN LATERAL (
            SELECT count(*) FILTER (WHERE b.choice = 'yes') AS yes,
                   count(*) FILTER (WHERE b.choice = 'no') AS no, count(*) AS voters
            FROM gp_ballots b WHERE b.gp_id = g.id
        ) b
        WHERE g.id = ANY ($1::uuid[])
        """,
        ids,
    )


async def ids_of_member(q: Queries, user_id: UserId, now: datetime, limit: int) -> list[GpId]:
    """The GPs that the user is in: the living first, then the latest."""
    return await q.rows(
        GpId,
        """
        SELECT g.id FROM gp_members m JOIN gps g ON g.id = m.gp_id
        WHERE m.user_id = $1
        ORDER BY (g.status = 'active' AND g.expires_at > $2) DESC, g.created_at DESC, g.id DESC LIMIT $3
        """,
        user_id,
        now,
        limit,
    )


async def seats(q: Queries, gp_id: GpId) -> list[Seat]:
    """Who is in, earliest first."""
    return await q.rows(
        Seat,
        "SELECT user_id, joined_at FROM gp_members WHERE gp_id = $1 ORDER BY joined_at, user_id",
        gp_id,
    )


# --------------------------------------------------------------------------------------------------- life


async def insert(
    tx: Tx,
    gp_id: GpId,
    chat_id: ChatId,
    creator: UserId,
    wanted: CreateGp,
    subject: Subject,
    place: Place,
    now: datetime,
    expires_at: datetime,
) -> None:
    """A new GP with its creator in it."""
    await tx.run(
        """
        WITH made AS (
            INSERT INTO gps (id, chat_id, created_by, category, sub_type, specific_name, genre, topics,
                             description, creation_reason, reason_note, city, zone, cell, cell_5, cell_3,
                             lat, lng, last_activity_at, looked_at, created_at, lifetime_ends_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
                    $19, $19, $19, $20, $20)
            RETURNING id, created_by, created_at
        )
        INSERT INTO gp_members (gp_id, user_id, joined_at) SELECT id, created_by, created_at FROM made
        """,
        gp_id,
        chat_id,
        creator,
        wanted.category,
        wanted.sub_type,
        subject.specific_name,
        subject.genre,
        list(wanted.talk_topics),
        subject.description,
        wanted.creation_reason,
        subject.reason_note,
        subject.city,
        subject.zone,
        place.cell,
        place.cell_5,
        place.cell_3,
        place.lat,
        place.lng,
        now,
        expires_at,
    )


async def add_member(tx: Tx, gp_id: GpId, user_id: UserId, now: datetime) -> bool:
    """False where the user is in."""
    touched = await tx.run(
        """
        WITH seated AS (
            INSERT INTO gp_members (gp_id, user_id, joined_at) VALUES ($1, $2, $3)
            ON CONFLICT DO NOTHING RETURNING gp_id
        )
        UPDATE gps SET member_count = member_count + 1 WHERE id IN (SELECT gp_id FROM seated)
        """,
        gp_id,
        user_id,
        now,
    )
    return touched == 1


async def remove_member(tx: Tx, gp_id: GpId, user_id: UserId) -> bool:
    """The user's seat and ballot are gone; False where the user was not in."""
    touched = await tx.run(
        """
        WITH gone AS (
            DELETE FROM gp_members WHERE gp_id = $1 AND user_id = $2 RETURNING gp_id
        ), ballot AS (
            DELETE FROM gp_ballots WHERE gp_id = $1 AND user_id = $2
        )
        UPDATE gps SET member_count = member_count - 1 WHERE id IN (SELECT gp_id FROM gone)
        """,
        gp_id,
        user_id,
    )
    return touched == 1


async def end(tx: Tx, ids: Sequence[str], statuses: Sequence[str], now: datetime) -> None:
    """These living GPs, held by the transaction, end in these ways; an open vote ends with them."""
    await tx.run(
        """
        WITH ended AS (
            UPDATE gps g
            SET status = e.status, ended_at = $3,
                conversion = CASE WHEN e.status = 'converted' THEN 'approved'
                                  WHEN e.status = 'failed' OR g.conversion = 'voting' THEN 'failed'
                                  ELSE g.conversion END
            FROM unnest($1::uuid[], $2::text[]) AS e (id, status)
            WHERE g.id = e.id AND g.status = 'active' RETURNING g.id
        )
        UPDATE gp_census SET active = active - (SELECT count(*) FROM ended) WHERE id
        """,
        ids,
        statuses,
        now,
    )


async def tell_expiring(tx: Tx, now: datetime, until: datetime, limit: int) -> list[GpId]:
    """Mark living GPs that end before ``until`` as told of; they are told once."""
    return await tx.rows(
        GpId,
        """
        WITH due AS (
            SELECT id FROM gps
            WHERE status = 'active' AND NOT expiring_told AND expires_at > $1 AND expires_at <= $2
            ORDER BY expires_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
        )
        UPDATE gps g SET expiring_told = true FROM due WHERE g.id = due.id RETURNING g.id
        """,
        now,
        until,
        limit,
    )


async def lock_forgotten(tx: Tx, before: datetime, limit: int) -> list[Gp]:
    """GPs that ended before then and did not stay, in the order of their chats."""
    return await tx.rows(
        Gp,
        """
        WITH old AS (
            SELECT * FROM gps WHERE ended_at < $1 AND status <> 'converted'
            ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
        )
        SELECT id, chat_id, created_by, status, member_count, message_count, created_at, lifetime_ends_at,
               expires_at, conversion, eligible_at, vote_closes_at, vote_retry_at,
               category, sub_type, specific_name, genre, topics, description, cell
        FROM old ORDER BY chat_id
        """,
        before,
        limit,
    )


async def delete(tx: Tx, ids: Sequence[str]) -> None:
    await tx.run("DELETE FROM gps WHERE id = ANY ($1::uuid[])", ids)


# -------------------------------------------------------------------------------------------------- votes


async def note_activity(
    tx: Tx, gp_id: GpId, messages: int, last: datetime | None, eligible: bool, now: datetime
) -> None:
    """What was seen when the GP was looked at."""
    await tx.run(
        """
        UPDATE gps
        SET message_count = $2, last_activity_at = greatest(last_activity_at, $3), looked_at = $5,
            conversion = CASE WHEN conversion NOT IN ('none', 'eligible') THEN conversion
                              WHEN $4 THEN 'eligible' ELSE 'none' END,
            eligible_at = CASE WHEN $4 THEN coalesce(eligible_at, $5)
                               WHEN conversion = 'eligible' THEN NULL ELSE eligible_at END
        WHERE id = $1
        """,
        gp_id,
        messages,
        last,
        eligible,
        now,
    )


async def open_vote(tx: Tx, gp_id: GpId, now: datetime, closes_at: datetime) -> None:
    """A vote of those who are in now; the GP lives at least until it closes."""
    await tx.run(
        """
        WITH old AS (
            DELETE FROM gp_ballots b WHERE b.gp_id = $1 AND NOT EXISTS (
                SELECT 1 FROM gp_members m WHERE m.gp_id = $1 AND m.user_id = b.user_id)
        ), electorate AS (
            INSERT INTO gp_ballots (gp_id, user_id)
            SELECT m.gp_id, m.user_id FROM gp_members m WHERE m.gp_id = $1
            ON CONFLICT (gp_id, user_id) DO UPDATE SET choice = NULL, voted_at = NULL
        )
        UPDATE gps
        SET conversion = 'voting', vote_opened_at = $2, vote_closes_at = $3, vote_retry_at = NULL,
            expires_at = greatest(lifetime_ends_at, $3)
        WHERE id = $1
        """,
        gp_id,
        now,
        closes_at,
    )


async def fail_vote(tx: Tx, gp_id: GpId, retry_at: datetime) -> None:
    """The vote failed: the GP ends when it would have without it."""
    await tx.run(
        """
        UPDATE gps SET conversion = 'failed', vote_retry_at = $2, expires_at = lifetime_ends_at WHERE id = $1
        """,
        gp_id,
        retry_at,
    )


async def cast(tx: Tx, gp_id: GpId, user_id: UserId, choice: Choice, now: datetime) -> bool:
    """False where the user is not in the electorate."""
    touched = await tx.run(
        "UPDATE gp_ballots SET choice = $3, voted_at = $4 WHERE gp_id = $1 AND user_id = $2",
        gp_id,
        user_id,
        choice,
        now,
    )
    return touched == 1


async def ballots(q: Queries, gp_id: GpId) -> list[Ballot]:
    return await q.rows(Ballot, "SELECT user_id, choice FROM gp_ballots WHERE gp_id = $1", gp_id)
