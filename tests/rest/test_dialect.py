"""Refusals in the words of a room's own document, and routes for the operator's programs."""

import aiohttp
import msgspec
import pytest

from chatd.core.declarations import Dialect, post
from chatd.core.errors import Conflict, Forbidden
from chatd.core.settings import Secrets, Settings
from chatd.rest import openapi
from tests.rest import toy

KEY = "an-internal-key"


class Refusal(msgspec.Struct, frozen=True):
    """A refusal of this room."""

    error: str


class Wish(msgspec.Struct, frozen=True):
    """What is wished."""

    number: int


async def wish(ctx, body: Wish) -> Wish:
    """Wish something."""
    if body.number == 13:
        raise Conflict("not that one")
    if body.number == 0:
        raise ZeroDivisionError
    return body


async def sweep(ctx) -> Wish:
    """Do the operator's work."""
    if "operator" not in ctx.actor.roles:
        raise Forbidden
    return Wish(1)


DIALECT = Dialect(Refusal, lambda error: Refusal(error.code))
ROUTES = (
    post("/wishes", wish, raises=(Conflict,), dialect=DIALECT),
    post("/sweep", sweep, status=200, internal=True, dialect=DIALECT),
)


@pytest.fixture
async def ask():
    async with (
        toy.serve(Settings(secrets=Secrets(internal_api_key=KEY)), routes=ROUTES) as (_, host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):

        async def ask(path, token="good", **options):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            async with session.post(path, headers=headers, **options) as response:
                assert response.content_type == "application/json"
                return response.status, await response.json()

        yield ask


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"json": {"number": 13}}, 409, "conflict"),
        ({"json": {"number": "x"}}, 422, "validation_failed"),
        ({"json": {"number": 0}}, 500, "internal"),
        ({"json": {"number": 1}, "token": ""}, 401, "unauthenticated"),
    ],
)
async def test_every_refusal_of_a_route_with_a_dialect_is_in_its_words(ask, options, status, code):
    assert await ask("/wishes", **options) == (status, {"error": code})


async def test_an_internal_route_takes_the_internal_key_and_nothing_else(ask):
    assert await ask("/sweep", KEY) == (200, {"number": 1})
    for token in ("", "good", KEY + "x"):
        assert await ask("/sweep", token) == (401, {"error": "unauthenticated"})


async def test_without_a_key_in_the_settings_nothing_opens_an_internal_route():
    async with (
        toy.serve(Settings(), routes=ROUTES) as (_, host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer good"}):
            async with session.post("/sweep", headers=headers) as response:
                assert response.status == 401


def test_the_document_says_the_dialect():
    paths = openapi.document(ROUTES)["paths"]
    content = paths["/wishes"]["post"]["responses"]["409"]["content"]
    assert content == {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    assert paths["/sweep"]["post"]["security"] == [{"internal": []}]
