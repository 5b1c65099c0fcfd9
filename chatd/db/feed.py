"""Reading the node feed (schema.sql, node_feed). Rooms write it; every node reads it."""

from dataclasses import dataclass

import msgspec

from chatd.core.context import Queries
from chatd.core.ids import ChatId, SessionId, UserId


class Row(msgspec.Struct, frozen=True):
    """One thing that every node must learn."""

    id: int
    txid: int
    kind: str
    chat_id: ChatId | None
    user_ids: list[UserId]
    session_id: SessionId | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """The rows that a reading found, and the xmin from which on the next one must ask."""

    rows: list[Row]
    xmin: int


async def xmin(q: Queries) -> int:
    """The oldest transaction that may still be writing."""
    return await q.one(int, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


async def read(q: Queries, since: int) -> Page:
    """Rows of transactions from ``since`` on. Some may have been read before: the caller knows their ids."""
    # The horizon before the rows: a transaction that ends in between is then read twice, never skipped.
    horizon = await xmin(q)
    rows = await q.rows(
        Row,
        """
        SELECT id, txid::text::bigint, kind, chat_id, user_ids, session_id, reason
        FROM node_feed WHERE txid >= $1::bigint::text::xid8 ORDER BY id
        """,
        since,
    )
    return Page(rows, horizon)


async def prune(q: Queries, older_than_s: float) -> int:
    """Forget what every node has long read."""
    return await q.run(
        "DELETE FROM node_feed WHERE at < clock_timestamp() - make_interval(secs => $1)", older_than_s
    )


async def drain(q: Queries) -> None:
    """Ask every supervisor to replace its workers, one by one, each by one that is ready first."""
    await q.run("INSERT INTO node_feed (kind) VALUES ('node.drain')")
