"""A chatd that is none, to load, and somebody with an account there."""

from collections.abc import AsyncIterator

import pytest

from loadtest.rest import Account, Api
from tests.loadtest.fake import FakeChatd, running


@pytest.fixture
async def fake() -> AsyncIterator[FakeChatd]:
    async with running() as fake:
        yield fake


@pytest.fixture
async def api(fake: FakeChatd) -> AsyncIterator[Api]:
    async with Api(fake.url) as api:
        yield api


@pytest.fixture
async def ann(api: Api) -> Account:
    await api.register("ann@example.com", "a long password", "Ann")
    return await api.login("ann@example.com", "a long password")
