"""The upgrade of an ordinary client, answered at once (RFC 6455, 4.2).

The library's handshake takes 200 µs, a third of what a socket costs to open, and a storm is thousands of
them. What every client sends is one kind of request; that kind is answered here. Whatever is in any way
unlike it (a body, a header twice, another version, an extension that we would take) goes to the library,
which knows all that may be said and how to refuse it.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha1

SUBPROTOCOL = "chatd.v1"
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# RFC 9112, 3 and 5: one line each, no folding. Every class excludes what ends it, so this cannot run away.
_HEAD = re.compile(rb"GET [!-~]+ HTTP/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*)*", re.DOTALL)
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")  # 16 bytes
_UNUSUAL = ("content-length", "transfer-encoding", "expect")


def answer(head: bytes, headers: Mapping[str, str], node_id: str, *, extensions: bool) -> bytes | None:
    """The 101 that opens this socket, or None where the library shall look at the request.

    ``head`` is the request without its last two line ends, ``headers`` are its headers by lower-case name.
    """
    if not _HEAD.fullmatch(head) or head.count(b"\r\n") != len(headers):
        return None
    key = headers.get("sec-websocket-key", "")
    if (
        headers.get("upgrade", "").lower() != "websocket"
        or "upgrade" not in [each.strip() for each in headers.get("connection", "").lower().split(",")]
        or headers.get("sec-websocket-version") != "13"
        or not _KEY.fullmatch(key)
        or (extensions and "sec-websocket-extensions" in headers)
        or any(name in headers for name in _UNUSUAL)
    ):
        return None
    offered = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
    # Not a secret: RFC 6455, 4.2.2 says SHA-1, to show that the request was understood.
    accept = b64encode(sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n" if SUBPROTOCOL in offered else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n{chosen}X-Chatd-Node: {node_id}\r\n\r\n"
    ).encode()
