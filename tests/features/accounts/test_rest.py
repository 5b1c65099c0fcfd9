"""The same over HTTP: protocol.md, section 2, as a client sees it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from chatd.core.metrics import Stats
from chatd.features.accounts import api, service, tokens
from chatd.rest.app import Parts, build
from chatd.rest.root import Readiness
from chatd.rest.server import protocol_factory
from tests.waiting import PATIENCE_S

NEW = {
    "email": "alex@example.com",
    "password": "S3cur3!!",
    "display_name": "Alex",
    "city": "Austin",
    "interests": ["hiking", "music"],
    "signup_source": "ios",
    "a_field_of_tomorrow": True,
}


class Client:
    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self.http, self.url = http, url

    async def __call__(self, method: str, path: str, body=None, token: str = "", prefix: str = "/api"):
        """(status, answer)."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.http.request(
            method, self.url + prefix + path, json=body, headers=headers
        ) as response:
            return response.status, (
                await response.json() if response.content_type.endswith("json") else None
            )

    async def member(self, email: str) -> tuple[str, str]:
        """(id, access token) of somebody new."""
        status, made = await self("POST", "/users", NEW | {"email": email})
        assert status == 201, made
        status, signed = await self("POST", "/auth/login", {"email": email, "password": NEW["password"]})
        assert status == 200, signed
        return made["id"], signed["access_token"]


@pytest.fixture
async def client(world) -> AsyncIterator[Client]:
    world.set(limits={"rest_per_minute": 0, "writes_per_minute": 0})

    async def ready() -> Readiness:
        return Readiness()

    parts = Parts(
        settings=world.base.settings,
        routes=api.ROUTES,
        stats=Stats(),
        make_ctx=lambda actor, origin, address: replace(
            world.base, actor=actor, origin=origin, address=address
        ),
        authenticate=lambda token: tokens.verify(world.base.settings, token, world.clock.now()),
        require_live=service.require_live_session,
        readiness=ready,
        documents={},
    )
    factory = await protocol_factory(build(parts), drain_s=1)
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as http:
        yield Client(http, f"http://{host}:{port}")
    server.close()
    await factory.close()


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_somebody_registers_signs_in_refreshes_and_leaves(client, prefix):
    status, made = await client("POST", "/users", NEW, prefix=prefix)
    assert status == 201
    assert set(made) == {"id", "display_name", "city", "interests", "created_at"}
    assert made["created_at"].endswith("Z")
    status, signed = await client(
        "POST",
        "/auth/login",
        {
            "email": "ALEX@example.com",
            "password": NEW["password"],
            "device": {"name": "D", "platform": "ios"},
        },
        prefix=prefix,
    )
    assert status == 200
    assert set(signed) == {"access_token", "token_type", "expires_in", "refresh_token", "user"}
    assert (signed["token_type"], signed["expires_in"], signed["user"]["id"]) == ("Bearer", 900, made["id"])
    body = {"refresh_token": signed["refresh_token"]}
    status, fresh = await client("POST", "/auth/refresh", body, prefix=prefix)
    assert status == 200
    assert set(fresh) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert await client("POST", "/auth/logout", token=fresh["access_token"], prefix=prefix) == (204, None)
    status, problem = await client("GET", "/users/me", token=fresh["access_token"], prefix=prefix)
    assert (status, problem["code"]) == (401, "unauthenticated")


async def test_a_taken_email_is_a_conflict(client):
    await client("POST", "/users", NEW)
    status, problem = await client("POST", "/users", NEW | {"email": "Alex@Example.com"})
    assert (status, problem["code"]) == (409, "email_taken")


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": None},
        {"email": "x"},
        {"password": "short"},
        {"password": "x" * 129},
        {"display_name": ""},
        {"display_name": "x" * 61},
        {"interests": ["x"] * 21},
        {"city": 1},
    ],
    ids=str,
)
async def test_a_registration_that_cannot_be_says_where(client, wrong):
    status, problem = await client("POST", "/users", NEW | wrong)
    assert (status, problem["code"]) == (422, "validation_failed")
    assert problem["errors"][0]["path"].startswith("$")


async def test_a_wrong_login_is_unauthenticated(client):
    await client("POST", "/users", NEW)
    answers = [
        await client("POST", "/auth/login", {"email": email, "password": "something wrong"})
        for email in ("alex@example.com", "nobody@example.com", "nonsense")
    ]
    for status, problem in answers:
        assert (status, problem["code"]) == (401, "unauthenticated")
        assert problem["detail"] == answers[0][1]["detail"]


async def test_who_may_see_and_change_what(client, world):
    alex, token = await client.member("alex@example.com")
    _, other = await client.member("other@example.com")
    admin_id, _ = await client.member("admin@example.com")
    await world.db.run("UPDATE users SET roles = '{user,admin}' WHERE id = $1", admin_id)
    body = {"email": "admin@example.com", "password": NEW["password"]}
    admin = (await client("POST", "/auth/login", body))[1]["access_token"]

    assert (await client("GET", f"/users/{alex}"))[0] == 401
    assert (await client("PATCH", f"/users/{alex}", {"bio": "x"}))[0] == 401
    status, seen = await client("GET", f"/users/{alex}", token=other)
    assert status == 200
    assert "email" not in seen
    assert "settings" not in seen
    assert (await client("PATCH", f"/users/{alex}", {"bio": "x"}, other))[0] == 403
    done = (200, {"success": True})
    assert await client("PATCH", "/users/me", {"bio": "mine", "city": None}, token) == done
    assert await client("PATCH", f"/users/{alex}", {"settings": {"a": 1}}, token) == done
    status, mine = await client("GET", "/users/me", token=token)
    assert (mine["bio"], mine["city"], mine["settings"]) == ("mine", None, {"a": 1})
    assert mine == (await client("GET", f"/users/{alex}", token=token))[1]
    assert await client("PATCH", f"/users/{alex}", {"bio": "seen to"}, admin) == done
    assert "email" not in (await client("GET", f"/users/{alex}", token=admin))[1]


async def test_ids_that_are_none_are_refused_and_ids_of_nobody_are_not_found(client, world):
    _, token = await client.member("alex@example.com")
    for wrong in ("usr_123", "cht_01h455vb4pex5vsknk084sn02q", "me%0A", "ME", "usr_" + "z" * 26):
        assert (await client("GET", f"/users/{wrong}", token=token))[0] == 422
    status, problem = await client("GET", f"/users/{world.base.ids.new('usr')}", token=token)
    assert (status, problem["code"]) == (404, "user_not_found")


async def test_a_refresh_token_that_is_none_is_unauthenticated(client):
    status, problem = await client("POST", "/auth/refresh", {"refresh_token": "nonsense"})
    assert (status, problem["code"]) == (401, "unauthenticated")


async def test_a_provider_that_there_is_not_is_refused(client):
    assert (await client("POST", "/auth/oidc/myspace", {"id_token": "x"}))[0] == 422
    assert (await client("POST", "/auth/oidc/google", {"id_token": "x"}))[0] == 401


async def test_logging_out_needs_a_token(client):
    assert (await client("POST", "/auth/logout"))[0] == 401


async def test_too_many_logins_say_when_to_come_back(client, world):
    world.set(limits={"logins_per_minute": 1})
    body = {"email": "alex@example.com", "password": "something wrong"}
    assert (await client("POST", "/auth/login", body))[0] == 401
    status, problem = await client("POST", "/auth/login", body)
    assert (status, problem["code"]) == (429, "rate_limited")


async def test_many_names_come_in_one_call(client: Client) -> None:
    ann, token = await client.member("ann@example.com")
    bob, _ = await client.member("bob@example.com")
    nobody = "usr_01h455vb4pex5vsknk084sn02q"
    status, answer = await client("GET", f"/users?ids={ann},{bob}&ids={nobody}", token=token)
    assert status == 200
    assert {user["id"]: user["display_name"] for user in answer["users"]} == {ann: "Alex", bob: "Alex"}
    assert all(set(user) == {"id", "display_name", "avatar_url"} for user in answer["users"])


async def test_names_are_for_those_who_are_logged_in_and_at_most_a_hundred(client: Client) -> None:
    ann, token = await client.member("ann@example.com")
    assert (await client("GET", f"/users?ids={ann}"))[0] == 401
    assert (await client("GET", "/users?ids=" + ",".join([ann] * 101), token=token))[0] == 422
    assert (await client("GET", "/users?ids=cht_01h455vb4pex5vsknk084sn02q", token=token))[0] == 422
