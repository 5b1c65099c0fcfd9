"""One port: sockets go to the gateway, everything else to aiohttp, by the first request of a connection."""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from chatd.core.addresses import welcomes
from chatd.core.ids import id_meta
from chatd.gateway import upgrade
from chatd.gateway.connection import Connection
from chatd.gateway.edge import Edge
from chatd.gateway.tls import context_of

log = logging.getLogger("chatd.gateway.server")

_UPGRADE = re.compile(rb"\r\nupgrade:[ \t]*websocket[ \t]*\r\n", re.IGNORECASE)
_CHAT = re.compile(r"(?:/api)?/chats/([^/]+)")
_CHAT_ID = re.compile(str(id_meta("cht").pattern))
_MAX_HEAD = 16_384
_MAX_WAITING = 65_536
_UNSENT_BYTES = 131_072


#: Makes the protocol of a REST connection, which asks back before each later request whether it is ours.
Http = Callable[[Callable[[asyncio.Transport, bytes], asyncio.Protocol | None]], asyncio.Protocol]


class FirstRequest(asyncio.Protocol):
    """A connection until its first request is whole; then it belongs to one of the two edges."""

    __slots__ = ("_address", "_data", "_edge", "_http", "_queued", "_timer", "_transport")

    def __init__(self, edge: Edge, http: Http, address: str) -> None:
        self._edge, self._http, self._address = edge, http, address
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
            if len(self._data) > _MAX_WAITING:
                self._transport.pause_reading()
            return
        if b"\r\n\r\n" in self._data:
            self._queued = True
            self._edge.doors.enter(self._address, self._hand_over)
        elif len(self._data) > _MAX_HEAD:
            self._to(self._http(self._claim))  # which knows how to refuse it

    def connection_lost(self, exc: Exception | None) -> None:
        """It never asked for anything."""
        self._edge.stats.strangers += 1
        if self._timer is not None:
            self._timer.cancel()

    def _hand_over(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.resume_reading()
        self._to(self._claim(self._transport, self._data) or self._http(self._claim))

    def _claim(self, transport: asyncio.Transport, data: bytes) -> Connection | None:
        """A Connection where this request opens a WebSocket."""
        head, end, _ = data.partition(b"\r\n\r\n")
        if not end or len(head) > _MAX_HEAD:
            return None
        try:
            return self._socket(head) if _UPGRADE.search(head + b"\r\n") else None
        except ValueError:
            return None  # what it names is no URL: aiohttp knows how to refuse it

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
        forwarded: list[str] = []  # some proxies add a line of their own each
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = value
            if name == "x-forwarded-for":
                forwarded.append(value)
        path, scope = urlsplit(target).path, None
        if path not in ("/ws", "/api/ws"):
            chat = _CHAT.fullmatch(path)
            if chat is None or not _CHAT_ID.fullmatch(unquote(chat[1])):
                return None
            scope = unquote(chat[1])
        edge = self._edge
        if not welcomes(edge.settings.server.allowed_origins, headers.get("origin"), headers.get("host", "")):
            return None
        answer = upgrade.answer(head, headers, edge.node_id, extensions=edge.extensions is not None)
        address = edge.proxies.client(self._address, forwarded)
        return Connection(edge, scope, _token(target, headers), address, answer)


def _token(target: str, headers: dict[str, str]) -> str | None:
    """From ``?token=`` or ``Authorization: Bearer``."""
    found = parse_qs(urlsplit(target).query).get("token")
    if found:
        return found[0]
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


class Listener:
    """The public port of one worker.

    It accepts by itself, a few connections a turn of the event loop: the loop's own server takes all that the
    kernel has, and a thousand that come together are a tenth of a second for those who are in.
    """

    PER_TURN = 4
    PAUSE_S = 0.5  # without a file descriptor left there is no use in trying at once

    def __init__(self, edge: Edge, http: Http) -> None:
        self._edge, self._http = edge, http
        self._listening: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._coming: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self.port = 0

    async def open(self, host: str, port: int) -> None:
        """Listen, sharing the port with the other workers. Raises OSError and SettingsError."""
        settings = self._edge.settings
        self._tls = context_of(settings.server)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # Accepted sockets inherit these. The kernel takes up to net.ipv4.tcp_wmem (4 MB) for a reader
            # that does not read, where our own marks do not see it: a bound on what is not sent yet.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.bind((host, port))
            listening.listen(settings.socket.backlog)
        except BaseException:
            listening.close()
            raise
        self._listening = listening
        self.port = listening.getsockname()[1]
        self._listen()

    def close(self) -> None:
        """Take no new connections."""
        if self._listening is not None:
            if self._pause is not None:
                self._pause.cancel()
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for task in self._coming:
            task.cancel()

    def _listen(self) -> None:
        if self._listening is not None:
            asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        """Some of what the kernel has for us; what is left is there in the next turn of the loop."""
        if self._listening is None:
            return
        loop = asyncio.get_running_loop()
        for _ in range(self.PER_TURN):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:  # no file descriptors, no memory
                log.error("connections are not accepted for a while: %s", error)
                loop.remove_reader(self._listening)
                self._pause = loop.call_later(self.PAUSE_S, self._listen)
                return
            accepted.setblocking(False)
            task = loop.create_task(self._come_in(accepted, address[0]), name="come in")
            self._coming.add(task)
            task.add_done_callback(partial(self._came, accepted))

    def _came(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        self._coming.discard(task)
        if task.cancelled():  # it may not even have begun
            accepted.close()

    async def _come_in(self, accepted: socket.socket, address: str) -> None:
        """Hand an accepted connection to its protocol; with TLS after its handshake."""
        timeout = self._edge.settings.socket.init_timeout_s if self._tls else None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: FirstRequest(self._edge, self._http, address),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=timeout,
            )
        except (OSError, TimeoutError) as error:  # gone meanwhile, or no TLS: worth a count, not a log line
            log.debug("a connection did not come in: %s", type(error).__name__, extra={"address": address})
            self._edge.stats.strangers += 1
            accepted.close()
