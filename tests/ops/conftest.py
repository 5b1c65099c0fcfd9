"""Empty databases, and a real `chatd serve` as a child process."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chatd.embedded import Embedded
from tests.databases import database_of
from tests.ops.catalog import NewDatabase
from tests.ops.serving import Serving


@pytest.fixture
async def new_database(services: Embedded) -> AsyncIterator[NewDatabase]:
    """Each call makes a database: an empty one, or (``chatd``) one with the schema; its url."""
    async with AsyncExitStack() as made:

        async def new(template: str = "template1") -> str:
            return await made.enter_async_context(database_of(services, template))

        yield new


@pytest.fixture
async def database(new_database: NewDatabase) -> str:
    """An empty one."""
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
