"""The calls as a client makes them: methods, paths, statuses and bodies on a real socket."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest

from chatd.core.context import Actor
from chatd.core.ids import UuidIds
from chatd.core.metrics import Stats
from chatd.features.chats import api
from chatd.rest.app import Parts, build
from chatd.rest.root import Readiness
from chatd.rest.server import protocol_factory


class NoLimiter:
    """Lets everything through: rates are the edge's matter."""

    async def require(self, bucket, key, *, limit, period_s, burst=0):
        assert bucket != "writes", "chat is not counted in writes_per_minute"


async def let_in(ctx):
    """Every session lives."""


async def ready():
    return Readiness()


@asynccontextmanager
async def serve(world):
    """A call: ``await call(user_id, method, path, body) -> (status, answer)``. The token is the user's id."""
    parts = Parts(
        settings=world.base.settings,
        routes=api.ROUTES,
        stats=Stats(),
        make_ctx=lambda actor, origin, address: replace(world.base, actor=actor, limiter=NoLimiter()),
        authenticate=Actor,
        require_live=let_in,
        readiness=ready,
        documents={},
    )
    factory = await protocol_factory(build(parts), drain_s=1)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        async with aiohttp.ClientSession(f"http://{host}:{port}") as client:

            async def call(user_id, method, path, body=None):
                headers = {"Authorization": f"Bearer {user_id}"} if user_id else {}
                async with client.request(method, path, json=body, headers=headers) as response:
                    return response.status, await response.json(
                        content_type=None
                    ) if response.status != 204 else None

            yield call
    finally:
        server.close()
        await factory.close()


async def test_the_life_of_a_group(world):
    ada, bob, eve = await world.people(3)
    async with serve(world) as call:
        body = {"type": "group", "member_ids": [bob], "title": "Friends"}
        status, chat = await call(ada, "POST", "/api/chats", body)
        assert (status, chat["my_role"], chat["member_count"]) == (201, "owner", 2)
        path = f"/api/chats/{chat['id']}"
        status, detail = await call(ada, "POST", f"{path}/members", {"user_ids": [eve]})
        assert (status, len(detail["members"])) == (200, 3)
        status, member = await call(ada, "PUT", f"{path}/members/{eve}", {"role": "moderator"})
        assert (status, member["role"]) == (200, "moderator")
        status, renamed = await call(eve, "PATCH", path, {"title": "Foes"})
        assert (status, renamed["title"], renamed["my_role"]) == (200, "Foes", "moderator")
        assert (await call(eve, "DELETE", f"{path}/members/{bob}"))[0] == 204
        assert (await call(eve, "DELETE", f"{path}/members/me"))[0] == 204
        status, page = await call(ada, "GET", "/chats?limit=1")
        assert (status, page["next_cursor"]) == (200, None)
        assert page["items"][0]["last_message"]["content"] == {
            "type": "system",
            "event": "member_left",
            "user_ids": [eve],
        }


async def test_a_direct_chat_is_made_once_and_found_ever_after(world):
    ada, bob = await world.people(2)
    async with serve(world) as call:
        statuses_and_ids = [
            (status, chat["id"])
            for status, chat in [
                await call(ada, "POST", "/chats", {"type": "direct", "member_ids": [bob]}),
                await call(bob, "POST", "/chats", {"type": "direct", "member_ids": [ada]}),
            ]
        ]
    assert [status for status, _ in statuses_and_ids] == [201, 200]
    assert len({chat_id for _, chat_id in statuses_and_ids}) == 1


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "$.type"),
        ({"type": "event", "member_ids": []}, "$.type"),
        ({"type": "group", "member_ids": ["usr_1"]}, "$.member_ids[0]"),
        ({"type": "group", "member_ids": [UuidIds().new("cht")]}, "$.member_ids[0]"),
        ({"type": "group", "member_ids": [], "title": ""}, "$.title"),
        ({"type": "group", "member_ids": [], "title": "x" * 121}, "$.title"),
        ({"type": "group", "member_ids": [], "title": "a\0b"}, "$.title"),
        ({"type": "direct", "member_ids": []}, "$.member_ids"),
    ],
)
async def test_what_is_wrong_with_a_new_chat_is_said_by_its_place(world, body, path):
    (ada,) = await world.people(1)
    async with serve(world) as call:
        status, problem = await call(ada, "POST", "/chats", body)
    assert (status, problem["code"], problem["errors"][0]["path"]) == (422, "validation_failed", path)


async def test_malformed_ids_and_cursors_are_validation_errors(world):
    (ada,) = await world.people(1)
    async with serve(world) as call:
        for method, path, body in (
            ("GET", "/chats/cht_1", None),
            ("GET", f"/chats/{ada}", None),
            ("GET", "/chats?cursor=%21", None),
            ("GET", "/chats?limit=0", None),
            ("GET", "/chats?limit=101", None),
            ("DELETE", f"/chats/{UuidIds().new('cht')}/members/you", None),
            ("PUT", f"/chats/{UuidIds().new('cht')}/members/me", {"role": "king"}),
        ):
            status, problem = await call(ada, method, path, body)
            assert (status, problem["code"]) == (422, "validation_failed"), path


async def test_without_a_token_nothing_is_answered(world):
    async with serve(world) as call:
        for route in api.ROUTES:
            path = route.path.replace("{chat_id}", UuidIds().new("cht")).replace("{user_id}", "me")
            assert (await call("", route.method, path))[0] == 401


async def test_a_stranger_is_told_chat_not_found_by_every_call(world):
    ada, bob, eve = await world.people(3)
    chat_id = await world.group(ada, bob)
    bodies = {"PATCH": {"title": "x"}, "POST": {"user_ids": [eve]}, "PUT": {"role": "owner"}}
    async with serve(world) as call:
        for route in api.ROUTES:
            if "{chat_id}" in route.path:
                path = route.path.replace("{chat_id}", chat_id).replace("{user_id}", bob)
                status, problem = await call(eve, route.method, path, bodies.get(route.method))
                assert (status, problem["code"]) == (404, "chat_not_found"), route
