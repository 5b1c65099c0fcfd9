"""Who goes, goes from every table by an index: none of them is read whole for one user."""

from chatd.db.pool import Db
from tests.databases import opened


async def test_the_rows_of_a_user_are_found_by_an_index_in_every_table(database: str) -> None:
    async with opened(database, 1) as db:
        assert await _without_index(db) == []


async def _without_index(db: Db) -> list[str]:
    return await db.rows(
        str,
        """
        SELECT t.place::text || '.' || t.named FROM personal_tables() t
        JOIN pg_attribute a ON a.attrelid = t.place AND a.attname = t.named
        WHERE NOT EXISTS (SELECT 1 FROM pg_index i
                          WHERE i.indrelid = t.place AND i.indkey[0] = a.attnum AND i.indpred IS NULL)
        """,
    )
