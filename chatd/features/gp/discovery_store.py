"""SQL that looks for GPs by place, and for those who watch a place."""

from collections.abc import Sequence
from datetime import datetime

from chatd.core.context import Queries
from chatd.core.ids import UserId
from chatd.features.gp.contract import GpId
from chatd.features.gp.geo import Cells, Place
from chatd.features.gp.rows import Ranked, Search, Watcher
from chatd.features.gp.vocabulary import Kind


async def ranked(q: Queries, cells: Cells, per_cell: int, search: Search) -> list[Ranked]:
    """Living GPs with a free place near a place, by priority: a page of them.

    Looks into the cells in their order, for ``per_cell`` GPs a cell and ``search.most`` in all, so that the
    cost does not grow with a city; within a cell those with the most members come first, then those with
    the most time.
    """
    # Of the three resolutions only one has cells; each branch is a walk down one partial index, cell by cell.
    return await q.rows(
        Ranked,
        """
        WITH found AS (
            SELECT * FROM (
                SELECT g.* FROM unnest($1::bigint[]) AS c (cell) CROSS JOIN LATERAL (
                    SELECT g.id, g.member_count, g.message_count, g.last_activity_at, g.expires_at,
                           gp_km($6, $7, g.lat, g.lng) AS km
                    FROM gps g
                    WHERE g.cell = c.cell AND g.status = 'active' AND g.member_count < $9
                      AND g.expires_at > $8::timestamptz + $12::interval
                      AND gp_km($6, $7, g.lat, g.lng) <= $11::double precision + 0.000001
                      AND ($10::text IS NULL OR g.topics @> ARRAY[$10])
                    ORDER BY g.member_count DESC, g.expires_at DESC LIMIT $4
                ) g
                UNION ALL
                SELECT g.* FROM unnest($2::bigint[]) AS c (cell) CROSS JOIN LATERAL (
                    SELECT g.id, g.member_count, g.message_count, g.last_activity_at, g.expires_at,
                           gp_km($6, $7, g.lat, g.lng) AS km
                    FROM gps g
                    WHERE g.cell_5 = c.cell AND g.status = 'active' AND g.member_count < $9
                      AND g.expires_at > $8::timestamptz + $12::interval
                      AND gp_km($6, $7, g.lat, g.lng) <= $11::double precision + 0.000001
                      AND ($10::text IS NULL OR g.topics @> ARRAY[$10])
                    ORDER BY g.member_count DESC, g.expires_at DESC LIMIT $4
                ) g
                UNION ALL
                SELECT g.* FROM unnest($3::bigint[]) AS c (cell) CROSS JOIN LATERAL (
                    SELECT g.id, g.member_count, g.message_count, g.last_activity_at, g.expires_at,
                           gp_km($6, $7, g.lat, g.lng) AS km
                    FROM gps g
                    WHERE g.cell_3 = c.cell AND g.status = 'active' AND g.member_count < $9
                      AND g.expires_at > $8::timestamptz + $12::interval
                      AND gp_km($6, $7, g.lat, g.lng) <= $11::double precision + 0.000001
                      AND ($10::text IS NULL OR g.topics @> ARRAY[$10])
                    ORDER BY g.member_count DESC, g.expires_at DESC LIMIT $4
                ) g
            ) every LIMIT $5
        )
        SELECT f.id, f.km,
               gp_priority($9 - f.member_count, f.expires_at - $8, f.km, $8 - f.last_activity_at,
                           f.message_count, $13) AS score,
               count(*) OVER ()::integer
        FROM found f WHERE f.id <> ALL ($16::uuid[])
        ORDER BY score DESC, f.expires_at DESC, f.id LIMIT $14 OFFSET $15
        """,
        cells.sevens,
        cells.fives,
        cells.threes,
        per_cell,
        search.most,
        search.place.lat,
        search.place.lng,
        search.now,
        search.max_members,
        search.topic,
        search.max_km,
        search.min_left,
        search.fine,
        search.limit,
        search.offset,
        search.hidden,
    )


async def ranked_of_kinds(q: Queries, cells: Cells, kinds: Sequence[Kind], search: Search) -> list[Ranked]:
    """``ranked``, of these kinds only, in cells of the coarser two resolutions."""
    fives = [(cell, *kind) for cell in cells.fives for kind in kinds]
    threes = [(cell, *kind) for cell in cells.threes for kind in kinds]
    return await q.rows(
        Ranked,
        """
        WITH found AS (
            SELECT * FROM (
                SELECT g.* FROM unnest($1::bigint[], $2::text[], $3::text[]) AS c (cell, category, sub_type)
                CROSS JOIN LATERAL (
                    SELECT g.id, g.member_count, g.message_count, g.last_activity_at, g.expires_at,
                           gp_km($8, $9, g.lat, g.lng) AS km
                    FROM gps g
                    WHERE g.cell_5 = c.cell AND g.category = c.category AND g.sub_type = c.sub_type
                      AND g.status = 'active' AND g.member_count < $11
                      AND g.expires_at > $10::timestamptz + $14::interval
                      AND gp_km($8, $9, g.lat, g.lng) <= $13::double precision + 0.000001
                      AND ($12::text IS NULL OR g.topics @> ARRAY[$12])
                    ORDER BY g.member_count DESC, g.expires_at DESC LIMIT $7
                ) g
                UNION ALL
                SELECT g.* FROM unnest($4::bigint[], $5::text[], $6::text[]) AS c (cell, category, sub_type)
                CROSS JOIN LATERAL (
                    SELECT g.id, g.member_count, g.message_count, g.last_activity_at, g.expires_at,
                           gp_km($8, $9, g.lat, g.lng) AS km
                    FROM gps g
                    WHERE g.cell_3 = c.cell AND g.category = c.category AND g.sub_type = c.sub_type
                      AND g.status = 'active' AND g.member_count < $11
                      AND g.expires_at > $10::timestamptz + $14::interval
                      AND gp_km($8, $9, g.lat, g.lng) <= $13::double precision + 0.000001
                      AND ($12::text IS NULL OR g.topics @> ARRAY[$12])
                    ORDER BY g.member_count DESC, g.expires_at DESC LIMIT $7
                ) g
            ) every LIMIT $7
        )
        SELECT f.id, f.km,
               gp_priority($11 - f.member_count, f.expires_at - $10, f.km, $10 - f.last_activity_at,
                           f.message_count, $15) AS score,
               count(*) OVER ()::integer
        FROM found f WHERE f.id <> ALL ($18::uuid[])
        ORDER BY score DESC, f.expires_at DESC, f.id LIMIT $16 OFFSET $17
        """,
        [cell for cell, _, _ in fives],
        [category for _, category, _ in fives],
        [sub_type for _, _, sub_type in fives],
        [cell for cell, _, _ in threes],
        [category for _, category, _ in threes],
        [sub_type for _, _, sub_type in threes],
        search.most,
        search.place.lat,
        search.place.lng,
        search.now,
        search.max_members,
        search.topic,
        search.max_km,
        search.min_left,
        search.fine,
        search.limit,
        search.offset,
        search.hidden,
    )


async def hidden_gps(q: Queries, user_id: UserId, gp_id: GpId | None, limit: int) -> list[GpId]:
    """Living GPs (or this one) without the user, but with somebody with whom a block stands."""
    return await q.rows(
        GpId,
        """
        SELECT DISTINCT m.gp_id FROM (
            SELECT b.blocked_id AS id FROM user_blocks b WHERE b.blocker_id = $1
            UNION
            SELECT b.blocker_id FROM user_blocks b WHERE b.blocked_id = $1
        ) o
        JOIN gp_members m ON m.user_id = o.id AND ($2::uuid IS NULL OR m.gp_id = $2)
        JOIN gps g ON g.id = m.gp_id AND g.status = 'active'
        WHERE NOT EXISTS (SELECT 1 FROM gp_members i WHERE i.gp_id = m.gp_id AND i.user_id = $1)
        LIMIT $3
        """,
        user_id,
        gp_id,
        limit,
    )


async def set_watch(
    q: Queries,
    user_id: UserId,
    place: Place,
    max_km: float,
    category: str | None,
    sub_type: str | None,
    topic: str | None,
    until: datetime,
) -> None:
    """The user's watch, in place of any before."""
    await q.run(
        """
        INSERT INTO gp_watches (user_id, cell, cell_5, lat, lng, max_km, category, sub_type, topic, until)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
        ON CONFLICT (user_id) DO UPDATE
        SET cell = excluded.cell, cell_5 = excluded.cell_5, lat = excluded.lat, lng = excluded.lng,
            max_km = excluded.max_km, category = excluded.category, sub_type = excluded.sub_type,
            topic = excluded.topic, until = excluded.until
        """,
        user_id,
        place.cell,
        place.cell_5,
        place.lat,
        place.lng,
        max_km,
        category,
        sub_type,
        topic,
        until,
    )


async def delete_watch(q: Queries, user_id: UserId) -> None:
    await q.run("DELETE FROM gp_watches WHERE user_id = $1", user_id)


async def delete_lapsed(q: Queries, now: datetime, limit: int) -> int:
    """Forget some watches that nobody renewed; how many."""
    return await q.run(
        """
        DELETE FROM gp_watches WHERE user_id IN (SELECT user_id FROM gp_watches WHERE until <= $1 LIMIT $2)
        """,
        now,
        limit,
    )


async def watchers(
    q: Queries, gp_id: GpId, cells_5: Sequence[int], now: datetime, limit: int
) -> list[Watcher]:
    """Who watches a place that this GP is near to, with filters that let it pass, and from whom of them it
    is hidden: a block stands with somebody in it.
    """
    return await q.rows(
        Watcher,
        """
        SELECT w.user_id, w.cell,
               EXISTS (
                   SELECT 1 FROM gp_members m JOIN user_blocks b
                     ON (b.blocker_id = m.user_id AND b.blocked_id = w.user_id)
                     OR (b.blocker_id = w.user_id AND b.blocked_id = m.user_id)
                   WHERE m.gp_id = g.id)
        FROM gps g
        JOIN gp_watches w ON w.cell_5 = ANY ($2::bigint[]) AND w.until > $3
        WHERE g.id = $1 AND gp_km(w.lat, w.lng, g.lat, g.lng) <= w.max_km + 0.000001
          AND (w.category IS NULL OR w.category = g.category)
          AND (w.sub_type IS NULL OR w.sub_type = g.sub_type)
          AND (w.topic IS NULL OR g.topics @> ARRAY[w.topic])
        LIMIT $4
        """,
        gp_id,
        cells_5,
        now,
        limit,
    )
