"""A pool that looks at the plan of everything that goes through it."""

import json
from collections.abc import Iterator
from typing import Any

from chatd.db.pool import Db


class Watched(Db):
    """chatd's pool. Each statement is explained the first time it comes, with the arguments it came with and
    (as PostgreSQL plans it for good) without; ``seq_scans`` names the tables that a plan reads whole.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.seq_scans: set[str] = set()
        self._known: set[str] = set()

    async def _call(self, method: str, sql: str, args: tuple[Any, ...]) -> Any:
        if sql not in self._known:
            self._known.add(sql)
            async with self.connection() as connection:
                plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *args)
                self.seq_scans.update(_scanned(json.loads(plan)[0]["Plan"]))
                self.seq_scans.update(_scanned(await _generic(connection, sql)))
        return await super()._call(method, sql, args)


async def _generic(connection: Any, sql: str) -> dict[str, Any]:
    """The plan that a prepared statement ends up with. Its arguments are never sent, so they are made up."""
    name, types = "watched", (await connection.prepare(sql)).get_parameters()
    declared = ", ".join(f"{t.schema}.{t.name}" for t in types)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE {name} {f'({declared})' if declared else ''} AS {sql}")
    try:
        call = f"({', '.join(['NULL'] * len(types))})" if types else ""
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE {name}{call}")
    finally:
        await connection.execute(f"DEALLOCATE {name}")
        await connection.execute("RESET plan_cache_mode")
    return dict(json.loads(plan)[0]["Plan"])


def _scanned(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for inner in plan.get("Plans", ()):
        yield from _scanned(inner)
