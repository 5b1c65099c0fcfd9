"""One port: sockets go to the gateway, everything else to aiohttp, by the first request of a connection."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chatd.core.ids import id_meta
from chatd.gateway import upgrade
from chatd.gateway.connection import Connection
from chatd.gateway.edge import Edge

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_CHAT = re.compile(r"(?:/api)?/chats/([^/]+)")
_CHAT_ID = re.compile(str(id_meta("cht").pattern))
_MAX_HEAD = 16_384
_UNSENT_BYTES = 131_072


#: Makes the protocol of a REST connection, which asks back before each later request whether it is ours.
Http = Callable[[Callable[[asyncio.Transport, bytes], asyncio.Protocol | None]], asyncio.Protocol]


class FirstRequest(asyncio.Protocol):
    """A connection until its first request is whole; then it belongs to one of the two edges."""

    __slots__ = ("_data", "_edge", "_http", "_queued", "_timer", "_transport")

    def __init__(self, edge: Edge, http: Http) -> None:
        self._edge, self._http = edge, http
        self._data = b""
        self._queued = False
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A slow or silent client has as long as for its connection.init."""
        self._transport = transport
        wait = self._edge.settings.socket.init_timeout_s
        self._timer = asyncio.get_running_loop().call_later(wait, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Wait for the end of the request's head."""
        self._data = self._data + data if self._data else data
        if self._queued:
            return
        if b"\r\n\r\n" in self._data:
            self._queued = True
            if not self._edge.doors.enter(self._hand_over):
                self._transport.pause_reading()  # what it says on while it waits is left to TCP
        elif len(self._data) > _MAX_HEAD:
            self._to(self._http(self._claim))  # which knows how to refuse it

    def connection_lost(self, exc: Exception | None) -> None:
        """It never asked for anything."""
        if self._timer is not None:
            self._timer.cancel()

    def _hand_over(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.resume_reading()  # nothing where it was not paused
        self._to(self._claim(self._transport, self._data) or self._http(self._claim))

    def _claim(self, transport: asyncio.Transport, data: bytes) -> Connection | None:
        """A Connection where this request opens a WebSocket."""
        head, end, _ = data.partition(b"\r\n\r\n")
        if not end or len(head) > _MAX_HEAD:
            return None
        return self._socket(head) if _UPGRADE.search(head + b"\r\n") else None

    def _to(self, protocol: asyncio.Protocol) -> None:
        if self._timer is not None:
            self._timer.cancel()
        transport, data = self._transport, self._data
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(data)

    def _socket(self, head: bytes) -> Connection | None:
        """A Connection where the path is a socket's and the Origin may come in; else aiohttp refuses it."""
        lines = head.decode("latin-1").split("\r\n")
        target = lines[0].split(" ")[1] if lines[0].count(" ") == 2 else ""
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        path, scope = urlsplit(target).path, None
        if path not in ("/ws", "/api/ws"):
            chat = _CHAT.fullmatch(path)
            if chat is None or not _CHAT_ID.search(unquote(chat[1])):
                return None
            scope = unquote(chat[1])
        if not self._welcome(headers):
            return None
        edge = self._edge
        answer = upgrade.answer(head, headers, edge.node_id, extensions=edge.extensions is not None)
        return Connection(edge, scope, _token(target, headers), self._address(headers), answer)

    def _welcome(self, headers: dict[str, str]) -> bool:
        """Phones send no Origin; a browser's page must be ours or allowed (cross-site hijacking)."""
        origin = headers.get("origin")
        allowed = self._edge.settings.server.allowed_origins
        if origin is None or "*" in allowed or origin in allowed:
            return True
        return urlsplit(origin).netloc == headers.get("host", "")

    def _address(self, headers: dict[str, str]) -> str:
        peer = self._transport.get_extra_info("peername")
        host = peer[0] if isinstance(peer, tuple) else ""
        forwarded = headers.get("x-forwarded-for")
        return self._edge.proxies.client(host, [forwarded] if forwarded else [])


def _token(target: str, headers: dict[str, str]) -> str | None:
    """From ``?token=`` or ``Authorization: Bearer``."""
    found = parse_qs(urlsplit(target).query).get("token")
    if found:
        return found[0]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class Listener:
    """The public port of one worker."""

    def __init__(self, edge: Edge, http: Http) -> None:
        self._edge, self._http = edge, http
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Listen, sharing the port with the other workers. Raises OSError."""
        settings = self._edge.settings
        tls: ssl.SSLContext | None = None
        if settings.server.tls_cert:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(settings.server.tls_cert, settings.server.tls_key or None)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # The kernel takes up to net.ipv4.tcp_wmem (4 MB) for a reader that does not read, where our own
            # marks do not see it. Accepted sockets inherit this bound on what is not sent yet.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            listening.bind((host, port))
            self._server = await asyncio.get_running_loop().create_server(
                lambda: FirstRequest(self._edge, self._http),
                sock=listening,
                backlog=settings.socket.backlog,
                ssl=tls,
            )
        except BaseException:
            listening.close()
            raise
        self.port = listening.getsockname()[1]

    def close(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()
