"""What a database's catalogs say of its schema, in a form that can be compared."""

from collections.abc import Awaitable, Callable

import asyncpg

from tests.waiting import PATIENCE_S

NewDatabase = Callable[..., Awaitable[str]]

# Names, not oids; columns by name, because an upgrade can only add one at the end.
QUERIES = {
    "tables": """
        SELECT c.relname, c.relkind::text, c.relpersistence::text, c.reloptions
        FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    """,
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text,
               a.attgenerated::text, a.attstorage::text, a.attstattarget, l.collname,
               pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'i')
          AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
    """,
    "indexes": """
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE c.relnamespace = 'public'::regnamespace
    """,
    "functions": """
        SELECT p.oid::regprocedure::text, pg_get_functiondef(p.oid)
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    """,
    "triggers": """
        SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid), t.tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
    """,
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    "sequences": """
        SELECT sequencename, data_type::text, start_value, increment_by, max_value, cycle
        FROM pg_sequences WHERE schemaname = 'public'
    """,
    "types": """
        SELECT t.typname, t.typtype::text, array_agg(e.enumlabel ORDER BY e.enumsortorder)
        FROM pg_type t LEFT JOIN pg_enum e ON e.enumtypid = t.oid
        WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r') GROUP BY 1, 2
    """,
    "extensions": "SELECT extname FROM pg_extension",
    "rows": "SELECT max(version) FROM schema_version",
}


async def catalog(url: str) -> dict[str, list[str]]:
    """Every kind of thing in the schema, sorted."""
    connection = await asyncpg.connect(url, timeout=PATIENCE_S)
    try:
        return {
            kind: sorted(repr(tuple(row)) for row in await connection.fetch(query))
            for kind, query in QUERIES.items()
        }
    finally:
        await connection.close()
