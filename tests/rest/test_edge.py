"""What every request passes: who, how often, under which id, with which headers."""

import asyncio
import logging

import msgspec
import pytest

from chatd.core import logs
from chatd.core.context import Ctx
from chatd.core.declarations import get
from chatd.core.settings import Limits, Server, Settings
from chatd.rest import app as edge
from chatd.rest.root import Readiness
from tests.rest.toy import CHAT, ROUTES, USER, Thing, serve

NONE: dict[str, str] = {}


def settings(**server) -> Settings:
    return Settings(server=Server(**server))


# --- who ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer bad"},
        {"Authorization": "Basic good"},
        {"Authorization": "Bearer revoked"},
    ],
)
async def test_without_a_live_token_a_route_is_closed(client, headers):
    status, problem, response = await client("GET", "/things", headers=headers)
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_the_scheme_is_not_case_sensitive(client):
    assert (await client("GET", "/things", headers={"Authorization": "bearer good"}))[0] == 200


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "nobody"),
        ({"Authorization": "Bearer bad"}, "nobody"),
        ({"Authorization": "Bearer revoked"}, "nobody"),
        ({"Authorization": "Bearer good"}, USER[:20]),
    ],
)
async def test_an_open_route_takes_anybody_and_knows_who_has_a_token(client, headers, name):
    status, thing, _ = await client("GET", "/whoami", headers=headers)
    assert (status, thing["name"]) == (200, name)


# --- how often ----------------------------------------------------------------------------------------


async def test_reads_are_counted_per_user_and_refused_past_the_limit(client_with):
    async with client_with(Settings(limits=Limits(rest_per_minute=2))) as client:
        assert [(await client("GET", "/things"))[0] for _ in range(3)] == [200, 200, 429]
        _, problem, response = await client("GET", "/things")
        assert problem["code"] == "rate_limited"
        assert response.headers["Retry-After"] == "60"
        assert client.toy.limiter.counts == {("rest", USER): 4}


async def test_writes_have_a_bucket_of_their_own_and_none_is_not_counted(client):
    await client("PATCH", "/things", json={"name": "new"})
    await client("POST", "/things", json={"name": "new"})
    assert client.toy.limiter.counts == {("writes", USER): 1}


async def test_zero_turns_a_limit_off(client_with):
    async with client_with(Settings(limits=Limits(rest_per_minute=0))) as client:
        assert (await client("GET", "/things"))[0] == 200
        assert client.toy.limiter.counts == {}


async def test_nobody_is_counted_by_address():
    async def open_read(ctx: Ctx) -> Thing:
        return Thing("open")

    async with serve(routes=(get("/open", open_read, auth=False),)) as (toy, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b" 200 " in await reader.readline()
        writer.close()
        assert toy.limiter.counts == {("rest", "address 127.0.0.1"): 1}


@pytest.mark.parametrize("token", ["", "Bearer bad", "Bearer revoked"])
async def test_an_address_that_comes_without_a_good_token_is_told_to_wait(client_with, token):
    async with client_with(Settings(limits=Limits(rest_per_minute=1))) as client:
        strangers = {"Authorization": token} if token else {}
        calls = [
            ("GET", "/things"),
            ("GET", f"/things/{CHAT}"),
            ("POST", "/things"),
            ("DELETE", f"/things/{CHAT}"),
        ]
        statuses = [(await client(*calls[i % 4], headers=strangers))[0] for i in range(12)]
        assert statuses == [401] * 10 + [429] * 2
        _, problem, response = await client("GET", "/things", headers=strangers)
        assert problem["code"] == "rate_limited"
        assert response.headers["Retry-After"] == "60"
        # Whoever has a token is let in from there as before, and counted nowhere but among their own.
        assert (await client("GET", "/things"))[0] == 200
        assert (await client("GET", "/whoami", headers=strangers))[0] == 200
        assert client.toy.limiter.counts == {("strangers", "127.0.0.1"): 13, ("rest", USER): 1}


async def test_strangers_behind_a_trusted_proxy_are_told_apart(client_with):
    with_proxy = Settings(limits=Limits(rest_per_minute=1), server=Server(trusted_proxies=("127.0.0.0/8",)))
    async with client_with(with_proxy) as client:
        for said in ("203.0.113.9", "2001:db8::1", "2001:db8::2"):
            await client("GET", "/things", headers={"X-Forwarded-For": said})
        counted = {"203.0.113.9": 1, "2001:db8::/64": 2}
        assert client.toy.limiter.counts == {("strangers", key): count for key, count in counted.items()}


async def test_strangers_are_not_counted_where_the_limit_is_off(client_with):
    async with client_with(Settings(limits=Limits(rest_per_minute=0))) as client:
        assert (await client("GET", "/things", headers=NONE))[0] == 401
        assert client.toy.limiter.counts == {}


async def test_forwarded_addresses_are_believed_from_trusted_proxies_only(client, client_with):
    sent = {"Authorization": "Bearer good", "X-Forwarded-For": "6.6.6.6, 203.0.113.9"}
    assert (await client("GET", "/things", headers=sent))[1]["address"] == "127.0.0.1"
    async with client_with(settings(trusted_proxies=("127.0.0.0/8",))) as behind:
        assert (await behind("GET", "/things", headers=sent))[1]["address"] == "203.0.113.9"


# --- errors -------------------------------------------------------------------------------------------


async def test_a_defect_is_logged_with_its_traceback_and_tells_the_caller_nothing(client, caplog):
    status, problem, response = await client("GET", "/explode")
    assert (status, problem["code"]) == (500, "internal")
    assert "hunter2" not in str(problem)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert problem["instance"] == response.headers["X-Correlation-Id"]


async def test_what_an_error_knows_more_is_in_the_problem(client):
    status, problem, _ = await client("GET", "/refuse")
    assert status == 409
    assert problem == {
        "type": "/docs/errors#conflict",
        "title": "This contradicts what is there",
        "status": 409,
        "detail": "no",
        "instance": problem["instance"],
        "code": "conflict",
        "current": 3,
    }


async def test_retry_after_is_in_whole_seconds_rounded_up(client):
    status, problem, response = await client("GET", "/hurry")
    assert (status, problem["retry_after_ms"], response.headers["Retry-After"]) == (429, 1200, "2")
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("path", ["/nope", "/api/nope", "/things/", "/api/api/things", "/api"])
async def test_an_unknown_path_is_a_problem(client, path):
    status, problem, _ = await client("GET", path)
    assert (status, problem["code"]) == (404, "not_found")


async def test_a_wrong_method_says_which_are_right(client):
    status, problem, response = await client("DELETE", "/api/things")
    assert (status, problem["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "GET,HEAD,PATCH,POST"
    status, _, response = await client("OPTIONS", "/api/things")
    assert (status, response.headers["Allow"]) == (204, "GET,HEAD,PATCH,POST")


async def test_head_is_get_without_the_body(client):
    status, text, response = await client("HEAD", "/things")
    assert (status, text) == (200, "")
    assert int(response.headers["Content-Length"]) > 0


async def test_an_expectation_that_is_not_known_is_a_problem(client):
    for path in ("/things", "/nope"):
        status, problem, response = await client("GET", path, headers={"Expect": "miracles"})
        assert (status, problem["code"]) == (400, "bad_request")
        assert "X-Correlation-Id" in response.headers


async def test_a_handler_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(edge, "REQUEST_TIMEOUT_S", 0.05)
    ended = asyncio.Event()

    async def hang(ctx: Ctx) -> Thing:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise NotImplementedError

    async with serve(routes=(get("/hang", hang, auth=False, limit="none"),)) as (_, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /hang HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
    assert b" 503 " in answer.splitlines()[0]
    assert b'"code":"unavailable"' in answer
    assert ended.is_set()


# --- ids, headers, the log ----------------------------------------------------------------------------


async def test_a_correlation_id_comes_back_and_a_bad_one_is_replaced(client):
    for sent, same in (("abc 1", True), ("x" * 128, True), ("x" * 129, False), ("a\tb", False), ("é", False)):
        for path in ("/healthz", "/nope"):
            _, _, response = await client("GET", path, headers={"X-Correlation-Id": sent})
            assert (response.headers["X-Correlation-Id"] == sent) is same
            assert response.headers["X-Correlation-Id"]


async def test_lines_logged_by_a_handler_carry_the_request_and_the_user():
    seen = []

    async def look(ctx: Ctx) -> Thing:
        seen.append(
            (logs.correlation_id(), ctx.origin, logs.fields_of(logging.makeLogRecord({}), "")["user_id"])
        )
        return Thing("x")

    async with serve(routes=(get("/look", look),)) as (_, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"GET /look HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nX-Correlation-Id: c7\r\n"
            b"Connection: close\r\n\r\n"
        )
        await reader.read()
        writer.close()
    assert seen == [("c7", "c7", USER)]


async def test_the_access_line_has_the_template_and_no_query(client, caplog):
    caplog.set_level(logging.INFO, "chatd.access")
    await client("GET", f"/api/things/{CHAT}?token=eyJhbGciOi.secret.x")
    (record,) = [record for record in caplog.records if record.name == "chatd.access"]
    assert record.getMessage() == "GET /things/{chat_id} 200"
    assert "secret" not in str(record.__dict__)


async def test_answers_are_not_cached_nor_sniffed(client):
    for path in ("/things", "/nope", "/healthz"):
        _, _, response = await client("GET", path)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in response.headers["Server"]


# --- CORS ---------------------------------------------------------------------------------------------

APP = "https://app.example"
PREFLIGHT = {"Origin": APP, "Access-Control-Request-Method": "POST"}


async def test_no_origin_may_read_by_default(client):
    for method, headers in (("GET", {"Origin": APP}), ("OPTIONS", PREFLIGHT)):
        _, _, response = await client(method, "/things", headers=headers)
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_named_origin_may_read_and_another_may_not(client_with):
    async with client_with(settings(allowed_origins=(APP,))) as client:
        status, _, response = await client("OPTIONS", "/things", headers=PREFLIGHT)
        assert (status, response.headers["Access-Control-Allow-Origin"]) == (204, APP)
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        for path in ("/healthz", "/nope", "/things"):
            _, _, response = await client("GET", path, headers={"Origin": APP})
            assert response.headers["Access-Control-Allow-Origin"] == APP
            assert response.headers["Vary"] == "Origin"
            assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
        _, _, response = await client("GET", "/things", headers={"Origin": "https://evil.example"})
        assert "Access-Control-Allow-Origin" not in response.headers
        assert response.headers["Vary"] == "Origin"


async def test_a_star_lets_every_origin_read(client_with):
    async with client_with(settings(allowed_origins=("*",))) as client:
        _, _, response = await client("GET", "/healthz", headers={"Origin": APP})
        assert response.headers["Access-Control-Allow-Origin"] == "*"


# --- the root -----------------------------------------------------------------------------------------


async def test_readiness_says_what_is_missing_and_what_it_works_without(client):
    assert (await client("GET", "/readyz", headers=NONE))[:2] == (
        200,
        {"status": "ready", "missing": [], "degraded": []},
    )
    client.toy.state = Readiness(degraded=["redis"])
    status, body, _ = await client("GET", "/readyz", headers=NONE)
    assert (status, body["status"], body["degraded"]) == (200, "degraded", ["redis"])
    client.toy.state = Readiness(missing=["database"])
    status, body, response = await client("GET", "/readyz", headers=NONE)
    assert (status, body["code"], body["missing"]) == (503, "unavailable", ["database"])
    assert "Retry-After" in response.headers


async def test_a_health_check_that_fails_is_not_ready(client, monkeypatch):
    client.toy.state = None  # the toy's check now answers nonsense, as a defect would
    status, _, _ = await client("GET", "/readyz", headers=NONE)
    assert status == 500


async def test_metrics_count_requests_by_template(client):
    await client("GET", f"/api/things/{CHAT}")
    status, text, response = await client("GET", "/metrics", headers=NONE)
    assert (status, response.content_type) == (200, "text/plain")
    assert 'chatd_rest_requests_total{method="GET",route="/things/{chat_id}",status="200"}' in text


async def test_a_plain_request_to_the_socket_path_is_told_to_upgrade(client):
    status, problem, response = await client("GET", "/ws", headers=NONE)
    assert (status, problem["code"], response.headers["Upgrade"]) == (426, "upgrade_required", "websocket")


async def test_errors_are_counted_by_code(client):
    await client("GET", "/refuse")
    await client("GET", "/nope")
    assert client.toy.stats.errors == {("rest", "conflict"): 1, ("rest", "not_found"): 1}


async def test_a_static_path_wins_over_a_parameter():
    async def static(ctx: Ctx) -> Thing:
        return Thing("static")

    routes = (*ROUTES, get("/things/unread", static, limit="none"))
    async with serve(routes=routes) as (_, host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"GET /things/unread HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n"
            b"Connection: close\r\n\r\n"
        )
        answer = await reader.read()
        writer.close()
    assert msgspec.json.decode(answer.split(b"\r\n\r\n")[1])["name"] == "static"
