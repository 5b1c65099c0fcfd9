"""Bytes that are no HTTP get a problem or a closed connection, never a traceback, never a 5xx."""

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.rest.toy import serve
from tests.waiting import PATIENCE_S


async def talk(host: str, port: int, sent: bytes, *, patience_s: float = PATIENCE_S) -> bytes:
    """What the server answers to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    answer = b""
    try:
        writer.write(sent)
        async with asyncio.timeout(patience_s):
            while piece := await reader.read(65536):
                answer += piece
    except (ConnectionError, TimeoutError):
        return answer
    finally:
        writer.close()
    return answer


def is_fine(answer: bytes) -> bool:
    return not answer or (
        b"HTTP/1." in answer[:8] and answer.split(b" ")[1][:1] in b"234" and b"Traceback" not in answer
    )


CLOSE = b"Host: x\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + CLOSE + b"\r\n",
        b"GET /\x00 HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET http:// HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
        b"GET / HTTP/1.1\r\n" + CLOSE + b"X: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + CLOSE + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n",
        b"GET / HTTP/1.1\r\n" + CLOSE + b"X: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + CLOSE + b"X : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /things HTTP/1.1\r\n" + CLOSE + b"Content-Length: -1\r\n\r\n",
        b"POST /things HTTP/1.1\r\n" + CLOSE + b"Content-Length: ten\r\n\r\n",
        b"POST /things HTTP/1.1\r\n"
        + CLOSE
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /things HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: gzip\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem(sent):
    async with serve() as (toy, host, port):
        answer = await talk(host, port, sent)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
        assert b"application/problem+json" in head
        assert b"X-Correlation-Id" in head
        assert json.loads(body)["code"] == "bad_request"
        assert toy.stats.errors["rest", "bad_request"] == 1


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/things/\xff\xfe", 400),
        (b"/\xff", 400),
        (b"/things?q=\xff", 400),
        (b"/things/\xed\xa0\x80", 400),
        (b"/%", 422),
        (b"/things/../things", 404),
        (b"//evil.example/things", 404),
        (b"/%2e%2e/etc/passwd", 404),
        (b"http://evil.example/things", 200),
        (b"/things#fragment", 200),
        (b"/things?", 200),
        (b"/things?&&=&=1", 200),
        (b"*", 400),
        (b"/things?q=" + b"a" * 30_000, 200),
    ],
)
async def test_strange_targets_are_answered(target, status):
    async with serve() as (_, host, port):
        answer = await talk(
            host, port, b"GET " + target + b" HTTP/1.1\r\nAuthorization: Bearer good\r\n" + CLOSE + b"\r\n"
        )
        assert int(answer.split(b" ")[1]) == status


async def test_options_of_the_server_itself_and_connect_are_answered():
    async with serve() as (_, host, port):
        assert is_fine(await talk(host, port, b"OPTIONS * HTTP/1.1\r\n" + CLOSE + b"\r\n"))
        assert is_fine(await talk(host, port, b"CONNECT a:1 HTTP/1.1\r\n" + CLOSE + b"\r\n"))


async def test_a_broken_chunk_is_a_bad_request():
    async with serve() as (_, host, port):
        head = b"POST /things HTTP/1.1\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\n"
        answer = await talk(
            host, port, head + CLOSE + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
        )
        assert b" 400 " in answer.splitlines()[0]


async def test_pipelined_requests_are_answered_in_their_order():
    async with serve() as (_, host, port):
        one = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Correlation-Id: %d\r\n\r\n"
        last = b"GET /healthz HTTP/1.1\r\nX-Correlation-Id: 9\r\n" + CLOSE + b"\r\n"
        answer = await talk(host, port, one % 7 + one % 8 + last)
        ids = [line for line in answer.lower().splitlines() if line.startswith(b"x-correlation-id")]
        assert [line[-1:] for line in ids] == [b"7", b"8", b"9"]


TARGET = st.binary(max_size=40).map(
    lambda raw: raw.replace(b" ", b"+").replace(b"\r", b"").replace(b"\n", b"")
)
HEADER = st.tuples(
    st.sampled_from(
        [
            b"Content-Type",
            b"Content-Length",
            b"Authorization",
            b"Origin",
            b"Expect",
            b"X-Forwarded-For",
            b"Transfer-Encoding",
            b"Upgrade",
            b"Connection",
            b"X-Correlation-Id",
            b"Content-Encoding",
        ]
    ),
    st.one_of(
        st.binary(max_size=20), st.sampled_from([b"chunked", b"websocket", b"Upgrade", b"100-continue", b"5"])
    ),
)


async def test_no_request_whatever_gets_a_5xx_or_a_traceback():
    async with serve() as (toy, host, port):
        loop = asyncio.get_running_loop()

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(
            st.sampled_from([b"GET", b"POST", b"PATCH", b"OPTIONS", b"HEAD", b"QUERY"]),
            TARGET,
            st.lists(HEADER, max_size=4),
            st.binary(max_size=60),
        )
        def check(method, target, headers, body):
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            sent = method + b" /things/" + target + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n" + body
            # The garbage behind it fills any body that is still waited for, or ends the connection.
            talking = talk(host, port, sent + b"\0" * 20_000, patience_s=2)
            answer = asyncio.run_coroutine_threadsafe(talking, loop).result(PATIENCE_S)
            assert is_fine(answer), (sent, answer)

        await asyncio.to_thread(check)
        assert ("rest", "internal") not in toy.stats.errors
