"""SQL that counts accounts."""

from datetime import datetime

from chatd.core.context import Queries


async def count_active(db: Queries, since: datetime) -> int:
    """Users who were active since then."""
    return await db.one(int, "SELECT count(*) FROM users WHERE last_active_at >= $1", since)
