"""Which upgrades are answered at once, and which the library has to look at."""

import pytest

from chatd.gateway.upgrade import answer

PLAIN = {
    "Host": "chat.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def _answer(
    changes: dict[str, str | None] | None = None,
    *,
    first: str = "GET /ws HTTP/1.1",
    more: str = "",
    extensions: bool = False,
) -> bytes | None:
    wanted = {name: value for name, value in (PLAIN | (changes or {})).items() if value is not None}
    head = "\r\n".join([first, *(f"{name}: {value}" for name, value in wanted.items())]) + more
    headers = {name.lower(): value for name, value in wanted.items()}
    return answer(head.encode("latin-1"), headers, "nod_1", extensions=extensions)


def test_the_example_of_the_rfc_has_its_accept_key() -> None:
    said = _answer()
    assert said is not None
    assert said.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in said
    assert said.endswith(b"X-Chatd-Node: nod_1\r\n\r\n")


@pytest.mark.parametrize("connection", ["upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive"])
def test_connection_may_say_more_than_upgrade(connection: str) -> None:
    assert _answer({"Connection": connection}) is not None


@pytest.mark.parametrize(
    ("offered", "chosen"), [("chatd.v1", True), ("other, chatd.v1", True), ("chatd.v10", False), ("", False)]
)
def test_the_subprotocol_is_echoed_where_it_was_offered(offered: str, chosen: bool) -> None:
    said = _answer({"Sec-WebSocket-Protocol": offered})
    assert said is not None
    assert (b"Sec-WebSocket-Protocol: chatd.v1\r\n" in said) is chosen


def test_an_offer_of_compression_is_the_library_s_only_where_it_would_be_taken() -> None:
    offer: dict[str, str | None] = {"Sec-WebSocket-Extensions": "permessage-deflate"}
    assert _answer(offer) is not None
    assert _answer(offer, extensions=True) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "h2c"},
        {"Upgrade": None},
        {"Connection": "keep-alive"},
        {"Connection": None},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Version": None},
        {"Sec-WebSocket-Key": None},
        {"Sec-WebSocket-Key": "short=="},
        {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==x"},
        {"Content-Length": "5"},
        {"Transfer-Encoding": "chunked"},
        {"Bad Name": "x"},
        {"X-Control": "a\x01b"},
        {"X-Nul": "a\x00b"},
    ],
)
def test_what_is_unusual_is_left_to_the_library(changes: dict[str, str | None]) -> None:
    assert _answer(changes) is None


@pytest.mark.parametrize(
    "first", ["POST /ws HTTP/1.1", "GET /ws HTTP/1.0", "GET  /ws HTTP/1.1", "get /ws HTTP/1.1"]
)
def test_another_request_line_is_left_to_the_library(first: str) -> None:
    assert _answer(first=first) is None


@pytest.mark.parametrize("more", ["\r\nHost: again", "\r\n folded", "\r\nno-colon", "\nX: y"])
def test_lines_that_are_no_single_headers_are_left_to_the_library(more: str) -> None:
    assert _answer(more=more) is None
