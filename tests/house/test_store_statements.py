"""Every statement of every store.py is one that the schema understands, and finds its rows by an index."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from chatd.embedded import Embedded
from tests.databases import database_of

FEATURES = Path(__file__).parents[2] / "chatd" / "features"
STORES = sorted(FEATURES.glob("*/*store.py"))
#: What reads a whole table on purpose, as (room, function): none yet.
WHOLE_TABLE: frozenset[tuple[str, str]] = frozenset()


#: Where the statement stands among the arguments of a call that runs one.
PLACES = {"rows": 1, "maybe": 1, "one": 1, "run": 0, "execute": 0, "fetch": 0, "fetchrow": 0, "fetchval": 0}


def statements(path: Path) -> Iterator[tuple[str, int, ast.expr]]:
    """(function, line, expression) of whatever is run as a statement."""
    for function in ast.walk(ast.parse(path.read_text())):
        if isinstance(function, ast.AsyncFunctionDef):
            for call in ast.walk(function):
                match call:
                    case ast.Call(func=ast.Attribute(attr=method), args=args) if method in PLACES:
                        yield function.name, call.lineno, args[PLACES[method]]


FOUND = [
    pytest.param(path.parent.name, name, argument, id=f"{path.parent.name}.{name}:{line}")
    for path in STORES
    for name, line, argument in statements(path)
]


@pytest.fixture(scope="module")
def url(services: Embedded) -> Iterator[str]:
    """A database for all of them: nothing is written to it."""
    with asyncio.Runner() as runner:
        made = database_of(services)
        yield runner.run(made.__aenter__())
        runner.run(made.__aexit__(None, None, None))


@pytest.fixture
async def connection(url):
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


@pytest.mark.parametrize(("room", "function", "sql"), FOUND)
async def test_the_schema_understands_every_statement(connection, room, function, sql):
    assert isinstance(sql, ast.Constant), "a statement is one literal where it is run, never built of strings"
    await connection.prepare(sql.value)


@pytest.mark.parametrize(("room", "function", "sql"), FOUND)
async def test_every_statement_finds_its_rows_by_an_index(connection, room, function, sql):
    assert isinstance(sql, ast.Constant)
    if (room, function) in WHOLE_TABLE:
        pytest.skip("reads a whole table on purpose")
    parameters = (await connection.prepare(sql.value)).get_parameters()
    # A plan that still scans a table when that costs the earth has no index to go by.
    await connection.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE it AS {sql.value}")
    nulls = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
    plan = "\n".join(line for (line,) in await connection.fetch(f"EXPLAIN EXECUTE it{nulls}"))
    assert "Seq Scan on" not in plan, plan


def test_there_are_statements_to_look_at():
    assert {param.values[0] for param in FOUND} >= {"chats"}
