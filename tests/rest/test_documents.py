"""What the documents say is what the edge does."""

import asyncio
import re

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from chatd.core.declarations import Command, get, post
from chatd.core.errors import Muted
from chatd.core.settings import Limits, Settings
from chatd.rest import asyncapi, docs, openapi, snapshots
from chatd.wire.frames import CloseCode, Event
from chatd.wire.frames import Command as CommandFrame
from tests.rest.toy import ROUTES, make, serve, show


class Wave(CommandFrame, tag="toy.wave"):
    """Wave at ``somebody``."""

    whom: str


class Waved(Event, tag="toy.waved", frozen=True):
    """Somebody waved."""

    whom: str


async def wave(ctx, command):
    raise NotImplementedError


COMMANDS = [Command(Wave, wave, raises=(Muted,), answers=(Waved,))]


@pytest.fixture(scope="module")
def rest():
    return openapi.document(ROUTES)


@pytest.fixture(scope="module")
def socket():
    return asyncapi.document(COMMANDS, [])


def refs(document):
    """Every $ref in a document."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name == "$ref":
                yield value
            else:
                yield from refs(value)
    elif isinstance(document, list):
        for value in document:
            yield from refs(value)


@pytest.mark.parametrize("name", ["rest", "socket"])
def test_every_reference_points_at_something(name, request):
    document = request.getfixturevalue(name)
    for ref in refs(document):
        at = document
        for part in ref.removeprefix("#/").split("/"):
            at = at[part]


@pytest.mark.parametrize("name", ["rest", "socket"])
def test_every_shape_is_a_json_schema(name, request):
    for schema in request.getfixturevalue(name)["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema | {"$schema": "https://json-schema.org/draft/2020-12/schema"})


def test_the_documents_are_the_same_every_time():
    once = snapshots.documents(ROUTES, COMMANDS, [])
    again = snapshots.documents(tuple(reversed(ROUTES)), COMMANDS, [])
    assert {name: snapshots.text_of(each) for name, each in once.items()} == {
        name: snapshots.text_of(each) for name, each in again.items()
    }


def test_a_snapshot_that_differs_is_named_and_writing_heals_it(tmp_path):
    made = snapshots.documents(ROUTES, COMMANDS, [])
    assert snapshots.stale_snapshots(tmp_path, made) == ["openapi.json", "asyncapi.json"]
    snapshots.write_snapshots(tmp_path, made)
    assert snapshots.stale_snapshots(tmp_path, made) == []
    assert snapshots.stale_snapshots(tmp_path, snapshots.documents(ROUTES[:-1], COMMANDS, [])) == [
        "openapi.json"
    ]


def test_an_operation_says_its_input_its_answers_and_its_errors(rest):
    operation = rest["paths"]["/things"]["get"]
    assert {each["name"]: each["in"] for each in operation["parameters"]} == {
        "limit": "query",
        "user_ids": "query",
        "before": "query",
        "q": "query",
        "sizes": "query",
        "most": "query",
    }
    before = next(each for each in operation["parameters"] if each["name"] == "before")
    assert before["schema"] == {"type": "string", "format": "date-time"}
    assert set(operation["responses"]) == {"200", "400", "401", "403", "422", "429", "500", "503"}
    assert set(rest["paths"]["/things"]["patch"]["responses"]) >= {"200", "201", "413", "415"}
    assert rest["paths"]["/things/{chat_id}"]["delete"]["responses"]["204"]
    assert rest["paths"]["/whoami"]["get"]["security"] == [{}, {"bearer": []}]
    assert rest["servers"] == [{"url": "/api"}, {"url": "/"}]


def test_a_path_or_a_name_that_is_declared_twice_is_refused():
    with pytest.raises(ValueError, match="declared twice"):
        openapi.document((get("/a/{chat_id}", show), get("/b/{chat_id}", show)))
    with pytest.raises(ValueError, match="declared twice"):
        openapi.document((post("/a", make), post("/a", make)))


def test_a_command_says_its_answers_and_errors(socket):
    operation = socket["operations"]["take.toy.wave"]
    replies = [ref["$ref"].rpartition("/")[2] for ref in operation["reply"]["messages"]]
    assert replies == ["toy.waved", "error"]
    assert {"muted", "rate_limited", "validation_failed"} <= set(operation["x-errors"])
    assert {"socket", "chat"} == set(socket["channels"])


def test_every_close_code_is_explained(socket):
    assert set(socket["x-close-codes"]) == {str(int(code)) for code in CloseCode}


def test_the_page_names_everything_and_its_links_lead_somewhere(rest, socket):
    page, errors = docs.page(rest, socket), docs.errors_page(rest, socket)
    for route in ROUTES:
        assert f"<code>{route.path}</code>" in page
    for word in ("toy.wave", "toy.waved", "connection.init", "4508"):
        assert word in page
    ids = set(re.findall(r'id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids
    anchors = set(re.findall(r'id="([^"]+)"', errors))
    assert set(re.findall(r'href="/docs/errors#([^"]+)"', page)) <= anchors
    assert "<script" not in page + errors


async def test_the_documents_and_pages_are_served(client):
    for path, content_type in (
        ("/openapi.json", "application/json"),
        ("/asyncapi.json", "application/json"),
        ("/docs", "text/html"),
        ("/docs/errors", "text/html"),
    ):
        status, _, response = await client("GET", path, headers={})
        assert (status, response.content_type) == (200, content_type)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_whatever_the_document_allows_is_answered_as_it_says(rest):
    schema = schemathesis.openapi.from_dict(rest)
    off = Settings(limits=Limits(rest_per_minute=0, writes_per_minute=0))
    async with serve(off) as (_, host, port):

        def check_all():
            for result in schema.exclude(path="/explode").get_all_operations():
                operation = result.ok()

                @settings(
                    max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), database=None
                )
                @given(case=operation.as_strategy())
                def check(case):
                    case.call_and_validate(
                        base_url=f"http://{host}:{port}", headers={"Authorization": "Bearer good"}
                    )

                check()

        await asyncio.to_thread(check_all)
