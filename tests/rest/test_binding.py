"""Input to arguments, results to answers."""

import asyncio
import gzip
import io
import json

import pytest
from yarl import URL

from chatd.core.context import Ctx
from chatd.core.declarations import get
from chatd.rest import binding
from tests.rest.toy import CHAT, USER, Thing


def raw(path: str) -> URL:
    return URL(path, encoded=True)


async def test_a_route_answers_with_and_without_the_prefix(client):
    for path in ("/things", "/api/things"):
        status, found, _ = await client("GET", path)
        assert (status, found["limit"], found["user_id"]) == (200, 50, USER)


async def test_a_list_in_a_query_may_be_repeated_or_joined_by_commas(client):
    for query in (f"user_ids={USER}&user_ids={USER}", f"user_ids={USER},{USER}"):
        status, found, _ = await client("GET", f"/things?{query}")
        assert (status, found["user_ids"]) == (200, [USER, USER])


async def test_an_empty_list_in_a_query_is_empty(client):
    assert (await client("GET", "/things?user_ids="))[1]["user_ids"] == []


async def test_query_values_are_percent_decoded_and_plus_is_a_space(client):
    _, found, _ = await client("GET", raw("/things?q=a+b%2Bc%20%C3%A9&limit=7&before=2026-01-01T00:00:00Z"))
    assert (found["q"], found["limit"], found["before"]) == ("a b+c é", 7, "2026-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "$.limit"),
        ("limit=201", "$.limit"),
        ("limit=ten", "$.limit"),
        ("limit=", "$.limit"),
        ("limit=5&limit=6", "$.limit"),
        ("limit=" + "9" * 5000, "$.limit"),
        ("before=yesterday", "$.before"),
        ("user_ids=usr_nonsense", "$.user_ids[0]"),
        (f"user_ids={CHAT}", "$.user_ids[0]"),
        ("q=%00", "$.q"),
        ("q=%ff", "$.q"),
        ("q=%ed%a0%80", "$.q"),
        ("q=%zz", "$.q"),
        ("q=%", "$.q"),
        ("%ff=q", "$"),
    ],
)
async def test_a_bad_query_says_where(client, query, path):
    status, problem, _ = await client("GET", raw(f"/things?{query}"))
    assert (status, problem["code"]) == (422, "validation_failed")
    assert problem["errors"][0]["path"] == path


@pytest.mark.parametrize(
    "written",
    ["1e1", "1.0", "+1", "%2B1", "%201", "1%20", "1_0", "0x1", "%D9%A1", "%EF%BC%91", "null", "true", "--1"],
)
@pytest.mark.parametrize("place", ["query", "query list", "path"])
async def test_a_whole_number_is_written_in_decimal_digits(client, place, written):
    target, path = {
        "query": (f"/things?limit={written}", "$.limit"),
        "query list": (f"/things?sizes=1,{written}", "$.sizes[1]"),
        "path": (f"/sizes/{written}", "$.size"),
    }[place]
    status, problem, _ = await client("GET", raw(target))
    assert (status, problem["code"]) == (422, "validation_failed")
    assert problem["errors"][0]["path"] == path


async def test_a_whole_number_in_decimal_digits_is_one(client):
    assert (await client("GET", "/things?limit=17&sizes=1,22"))[1]["sizes"] == [1, 22]
    assert (await client("GET", "/sizes/17"))[1]["name"] == "17"


@pytest.mark.parametrize(
    "query", ["before=5", "before=1e3", "before=null", "most=nan", "most=inf", "most=null"]
)
async def test_a_time_is_written_as_one_and_a_number_is_a_number(client, query):
    status, problem, _ = await client("GET", raw(f"/things?{query}"))
    assert (status, problem["code"]) == (422, "validation_failed")
    assert problem["errors"][0]["path"] == f"$.{query.partition('=')[0]}"


async def test_what_a_query_does_not_know_is_let_be(client):
    assert (await client("GET", "/things?utm=1&utm=2"))[0] == 200


@pytest.mark.parametrize(
    "bad", ["x", USER, CHAT.upper(), CHAT + "%0A", "%00", "{x}", "%7Bx%7D", "cht_%C3%A9", "a%2Fb"]
)
async def test_a_malformed_id_is_a_validation_error(client, bad):
    status, problem, _ = await client("GET", raw(f"/things/{bad}"))
    assert (status, problem["code"], problem["errors"][0]["path"]) == (422, "validation_failed", "$.chat_id")


@pytest.mark.parametrize("bad", ["%ff", "%zz", "%ed%a0%80"])
async def test_a_path_that_is_no_text_is_a_validation_error(client, bad):
    status, problem, _ = await client("GET", raw(f"/things/{bad}"))
    assert (status, problem["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("sent", "seen"), [("%F0%9F%91%8D", "👍"), ("a%2Fb", "a/b"), ("%25", "%"), ("+", "+")]
)
async def test_a_path_parameter_is_decoded_once(client, sent, seen):
    status, thing, _ = await client("PUT", raw(f"/things/{CHAT}/reactions/{sent}"))
    assert (status, thing["name"]) == (200, seen)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "validation_failed"),
        (b"{", 400, "bad_frame"),
        (b"nonsense", 400, "bad_frame"),
        (b'{"name":"\xff"}', 400, "bad_frame"),
        (b'{"name":"a","unknown":"\xff"}', 400, "bad_frame"),
        (b'{"name":"\\ud800"}', 400, "bad_frame"),
        (b'{"name":NaN}', 400, "bad_frame"),
        (b'{"name":"a","x":' + b"[" * 200_000, 400, "bad_frame"),
        (b"[]", 422, "validation_failed"),
        (b"{}", 422, "validation_failed"),
        (b'{"name":5}', 422, "validation_failed"),
        (b'{"name":""}', 422, "validation_failed"),
        (b'{"name":"a","at":"never"}', 422, "validation_failed"),
        (b'{"name":"a\\u0000"}', 422, "validation_failed"),
        (b'{"name":"a\\\\\\u0000"}', 422, "validation_failed"),
    ],
)
async def test_a_bad_body_says_what_is_wrong(client, body, status, code):
    got, problem, _ = await client(
        "POST", "/things", data=body, headers={**AUTH, "Content-Type": "application/json"}
    )
    assert (got, problem["code"]) == (status, code)


AUTH = {"Authorization": "Bearer good"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "$"),
        (b"[]", "$"),
        (b"{}", "$.name"),
        (b'{"name":5}', "$.name"),
        (b'{"name":"a","at":"never"}', "$.at"),
        (b'{"name":"a\\u0000"}', "$.name"),
    ],
)
async def test_a_bad_body_names_the_field(client, body, path):
    _, problem, _ = await client(
        "POST", "/things", data=body, headers={**AUTH, "Content-Type": "application/json"}
    )
    assert (problem["code"], problem["errors"][0]["path"]) == ("validation_failed", path)


async def test_a_nul_that_is_not_taken_and_a_backslash_before_u0000_are_let_be(client):
    body = json.dumps({"name": "a\\u0000", "unknown": "\0"}).encode()
    assert (await client("POST", "/things", data=body, headers={**AUTH, "Content-Type": "application/json"}))[
        0
    ] == 201


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON;charset=UTF-8", 201),
        ("application/json;", 201),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=nonsense", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("nonsense", 415),
    ],
)
async def test_a_body_must_be_json_by_its_type(client, content_type, status):
    got, _, _ = await client(
        "POST", "/things", data=b'{"name":"a"}', headers={**AUTH, "Content-Type": content_type}
    )
    assert got == status


async def test_a_body_without_a_type_is_taken_for_json(client):
    got, _, _ = await client("POST", "/things", data=b'{"name":"a"}', skip_auto_headers=["Content-Type"])
    assert got == 201


async def test_a_compressed_body_is_refused(client):
    headers = {**AUTH, "Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, _, _ = await client("POST", "/things", data=gzip.compress(b'{"name":"a"}'), headers=headers)
    assert status == 415


async def test_a_body_over_the_limit_is_refused_told_or_untold(client):
    async def chunks():
        for _ in range(40):
            yield b" " * 65536

    for body in (io.BytesIO(b" " * 2_000_000), chunks()):
        headers = {**AUTH, "Content-Type": "application/json"}
        status, problem, response = await client("POST", "/things", data=body, headers=headers)
        assert (status, problem["code"]) == (413, "too_large")
        assert response.headers["Connection"] == "close"


async def test_a_body_that_does_not_come_is_not_waited_for_for_ever(client, monkeypatch):
    monkeypatch.setattr(binding, "BODY_TIMEOUT_S", 0.05)
    never = asyncio.Event()

    async def stalled():
        yield b'{"name":'
        await never.wait()
        yield b""

    headers = {**AUTH, "Content-Type": "application/json"}
    status, problem, _ = await client("POST", "/things", data=stalled(), headers=headers)
    assert (status, problem["code"]) == (408, "request_timeout")


async def test_an_answer_may_choose_its_status_and_nothing_is_204(client):
    assert (await client("PATCH", "/things", json={"name": "old"}))[0] == 200
    assert (await client("PATCH", "/things", json={"name": "new"}))[0] == 201
    status, text, response = await client("DELETE", f"/things/{CHAT}")
    assert (status, text) == (204, "")
    assert "Content-Type" not in response.headers


async def test_times_are_rfc_3339_with_a_z(client):
    _, thing, _ = await client("POST", "/things", json={"name": "a", "at": "2026-03-01T12:00:00+02:00"})
    assert thing["at"] in ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z")


def test_a_handler_that_does_not_fit_its_path_is_refused_when_the_application_is_built():
    async def handler(ctx: Ctx, chat: str) -> Thing:
        raise NotImplementedError

    with pytest.raises(TypeError, match="disagree"):
        binding.Binding(get("/things/{chat_id}", handler), max_body=1)


async def test_a_client_that_leaves_during_its_body_is_no_error_of_ours(client, caplog):
    _, writer = await asyncio.open_connection(*client.where)
    writer.write(
        b"POST /things HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nContent-Length: 10\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await client("GET", "/healthz"))[0] == 200
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "WARNING")]
