import ast
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from loadtest.rest import Account, Api, ChatdError, Refused, Unreachable, expiry
from tests.loadtest.fake import FakeChatd, jwt

ROOT = Path(__file__).parents[2]
#: What other programs build upon; it must stay a stranger to the server.
CLIENTS = (
    "audit",
    "client",
    "crowd",
    "device",
    "irc",
    "ledger",
    "link",
    "locustfile",
    "outbox",
    "replay",
    "rest",
)


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[web.Response], Awaitable[Api]]]:
    """A server that has one answer to everything."""
    runners: list[web.AppRunner] = []
    apis: list[Api] = []

    async def start(response: web.Response) -> Api:
        async def answer(_: web.Request) -> web.Response:
            return response

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        apis.append(Api(f"http://127.0.0.1:{runner.addresses[0][1]}"))
        return apis[-1]

    yield start
    for api in apis:
        await api.close()
    for runner in runners:
        await runner.cleanup()


async def test_where_nothing_listens_the_next_address_is_asked(fake: FakeChatd):
    async with Api("http://127.0.0.1:9", fake.url) as api:
        assert (await api.register("ann@example.com", "a long password", "Ann")).startswith("usr_")
        assert api.urls[0] == fake.url


async def test_nothing_anywhere_is_unreachable():
    async with Api("http://127.0.0.1:9") as api:
        with pytest.raises(Unreachable):
            await api.call("GET", "/chats")


async def test_a_problem_is_a_refusal_with_its_code(answering):
    problem = {"code": "rate_limited", "title": "Too many", "detail": "slowly"}
    api = await answering(web.json_response(problem, status=429, headers={"Retry-After": "7"}))
    with pytest.raises(Refused, match="slowly") as refused:
        await api.call("GET", "/chats")
    assert (refused.value.code, refused.value.retry_after_s) == ("rate_limited", 7.0)


async def test_an_error_that_is_no_problem_is_named_by_its_status(answering):
    api = await answering(web.Response(status=502, text="<html>"))
    with pytest.raises(Refused, match="http_502"):
        await api.call("GET", "/chats")


async def test_an_answer_that_is_not_json_is_an_error(answering):
    api = await answering(web.Response(text="<html>"))
    with pytest.raises(ChatdError, match="not JSON"):
        await api.call("GET", "/chats")


async def test_a_token_is_renewed_once_for_all_who_ask(fake: FakeChatd, ann: Account):
    ann.distrust_token()
    old, before = ann.access, fake._refreshes
    tokens = await asyncio.gather(*(ann.token() for _ in range(10)))
    assert set(tokens) == {ann.access} != {old}
    assert fake._refreshes == before + 1


async def test_a_refresh_token_that_failed_is_not_tried_again(fake: FakeChatd, ann: Account):
    fake.fail_refresh = True
    for _ in range(2):
        ann.distrust_token()
        await ann.token()  # by logging in
    assert len(fake.refreshed) == len(set(fake.refreshed)) == 2


def test_a_token_says_when_it_runs_out():
    assert expiry(jwt("usr_x", 900)) > expiry(jwt("usr_x", 60))
    for token in ("", "a.b.c", "a.e30.c"):
        with pytest.raises(ValueError):  # noqa: PT011 - of base64, of JSON or ours
            expiry(token)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_knows_the_contract_and_not_the_server(name: str):
    tree = ast.parse((ROOT / "loadtest" / f"{name}.py").read_text("utf-8"))
    imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [
        alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    ]
    assert [module for module in imported if module.split(".")[0] == "chatd"] == []
