"""Empty databases of a private PostgreSQL, and a real `chatd serve` as a child process."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from chatd.embedded import Embedded
from tests.ops.catalog import NewDatabase
from tests.ops.serving import Serving

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("postgres")
    with Embedded(directory, redis=False, postgres_settings={"fsync": "off"}) as servers:
        yield servers.postgres.url


@pytest.fixture
def new_database(cluster: str) -> NewDatabase:
    """Each call makes an empty database; its url."""

    async def new() -> str:
        name = f"ops_{next(NUMBERS)}"
        connection = await asyncpg.connect(cluster, timeout=10)
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return cluster.replace("@/chatd?", f"@/{name}?")

    return new


@pytest.fixture
async def database(new_database: NewDatabase) -> str:
    return await new_database()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts `chatd serve --port 0` in the test's directory; what still runs at the end is stopped."""
    started: list[Serving] = []

    def start(*arguments: str, **environ: str) -> Serving:
        serving = Serving(tmp_path, arguments or ("--port", "0", "--workers", "2"), environ)
        started.append(serving)
        return serving

    yield start
    for serving in started:
        serving.end()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CHATD_"):
            monkeypatch.delenv(name)
