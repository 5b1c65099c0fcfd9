"""A client for the toy API, over a real socket."""

from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.rest.toy import serve

GOOD = {"Authorization": "Bearer good"}


class Client:
    """``await client("GET", "/things")`` gives (status, JSON or text, headers)."""

    def __init__(self, toy, session, where):
        self.toy, self.session, self.where = toy, session, where

    async def __call__(self, method, path, *, headers=GOOD, **options):
        async with self.session.request(method, path, headers=headers, **options) as response:
            json = response.content_type.endswith("json") and method != "HEAD" and response.status != 204
            return (
                response.status,
                await (response.json(content_type=None) if json else response.text()),
                response,
            )


@pytest.fixture
async def client():
    async with serve() as (toy, host, port), aiohttp.ClientSession(f"http://{host}:{port}") as session:
        yield Client(toy, session, (host, port))


@pytest.fixture
def client_with():
    """For other settings: ``async with client_with(settings) as client``."""

    @asynccontextmanager
    async def make(settings):
        async with (
            serve(settings) as (toy, host, port),
            aiohttp.ClientSession(f"http://{host}:{port}") as session,
        ):
            yield Client(toy, session, (host, port))

    return make
