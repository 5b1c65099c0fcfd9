"""WebSocket clients that cost next to nothing, so that a measurement measures the server.

One asyncio.BufferedProtocol a socket over one buffer for all: no task, no queue, no JSON but where a frame
is looked into. What a client does with its frames is its subclass: ``Idle``, ``Listener``, ``Sampler``,
``Sender``.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from zlib import crc32

import msgspec

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"
TEXT = 0x81
#: What an event begins with; the server puts the tag first.
_TYPE_AT = len('{"type":"')
_ACK, _ERROR = ord("a"), ord("e")


def masked(payload: bytes) -> bytes:
    """A client's text frame. The mask is zero, so masking is free here; the server pays for it anyway."""
    n = len(payload)
    if n < 126:
        return bytes((TEXT, 0x80 | n)) + b"\0\0\0\0" + payload
    return bytes((TEXT, 0x80 | 126)) + n.to_bytes(2, "big") + b"\0\0\0\0" + payload


def frames(data: bytes | bytearray, n: int, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """(first byte, begin of payload, end) of every whole frame in ``data[start:n]``."""
    i = start
    while i + 2 <= n:
        length, head = data[i + 1], 2
        if length == 126:
            if i + 4 > n:
                return
            length, head = data[i + 2] << 8 | data[i + 3], 4
        elif length == 127:
            if i + 10 > n:
                return
            length, head = int.from_bytes(data[i + 2 : i + 10], "big"), 10
        end = i + head + length
        if end > n:
            return
        yield data[i], i + head, end
        i = end


class Link(asyncio.BufferedProtocol):
    """One socket, from connect to ``ready``; then its subclass's ``heard`` gets every read.

    ``opened`` resolves with None when the socket is open (with ``since``: when its replay is complete), or
    with what went wrong. ``closed`` is called when an open socket ends.
    """

    buffer = bytearray(1 << 18)
    view = memoryview(buffer)

    def __init__(
        self, token: str, since: dict[str, int] | None = None, closed: Callable[["Link"], None] | None = None
    ) -> None:
        self.token, self.since, self.on_closed = token, since, closed
        self.opened: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self.node = ""
        self.live = False
        self.rest = b""
        self._upgraded = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(_UPGRADE)

    def get_buffer(self, sizehint: int) -> memoryview:
        return Link.view

    def buffer_updated(self, n: int) -> None:
        if self.live:
            self.heard(n)
        else:
            self._opening(self.rest + bytes(Link.view[:n]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.live = False
        if not self.opened.done():
            self.opened.set_result(f"lost: {exc}")
        elif self.on_closed is not None:
            self.on_closed(self)

    def heard(self, n: int) -> None:
        """``n`` bytes are in ``Link.buffer``: by default, find the pings."""
        if Link.buffer.find(PING, 0, n) >= 0:
            self.transport.write(PONG)

    def payload(self, payload: bytes) -> None:
        """A text frame from before the socket was live: ready, replay, sync.complete."""

    def _opening(self, data: bytes) -> None:
        self.rest = b""
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self.rest = head
                return
            self._upgrade(head)
        consumed = 0
        for first, begin, end_ in frames(data, len(data)):
            consumed = end_
            if first == TEXT:
                self._event(data[begin:end_])
            elif first == 0x89:
                self.transport.write(PONG)
            if self.live:
                break
        left = data[consumed:]
        if self.live and left:  # live frames in the same read
            Link.buffer[: len(left)] = left
            self.heard(len(left))
        else:
            self.rest = left

    def _upgrade(self, head: bytes) -> None:
        self._upgraded = True
        status, _, headers = head.partition(b"\r\n")
        if b" 101 " not in status:
            self._done(status.decode("latin-1"))
            self.transport.abort()
            return
        for line in headers.lower().split(b"\r\n"):
            if line.startswith(b"x-chatd-node:"):
                self.node = line.partition(b":")[2].strip().decode()
        init: dict[str, Any] = {"type": "connection.init", "token": self.token}
        if self.since is not None:
            init["since"] = self.since
        self.transport.write(masked(msgspec.json.encode(init)))

    def _event(self, payload: bytes) -> None:
        self.payload(payload)
        last = b'{"type":"connection.ready"' if self.since is None else b'{"type":"sync.complete"'
        if payload.startswith(last):
            self.live = True
            self._done(None)
        elif payload.startswith(b'{"type":"error"'):
            self._done(payload.decode())

    def _done(self, problem: str | None) -> None:
        if not self.opened.done():
            self.opened.set_result(problem)


class Idle(Link):
    """Answers pings."""


class Listener(Link):
    """Counts the text frames of every read, all of them, by the one byte that begins a frame and that ASCII
    JSON does not contain. (A length's bytes may: ``Sampler`` checks the count against whole frames.)
    """

    got = 0

    def heard(self, n: int) -> None:
        self.got += Link.buffer.count(TEXT, 0, n)
        if Link.buffer.find(PING, 0, n) >= 0:
            self.transport.write(PONG)


class _Message(msgspec.Struct):
    client_message_id: str
    seq: int
    content: dict[str, Any]


class _New(msgspec.Struct, tag="message.new", tag_field="type"):
    chat_id: str
    seq: int
    message: _Message


_new = msgspec.json.Decoder(_New).decode


class Parser(Link):
    """Takes whole frames apart; ``text`` gets each text payload."""

    def heard(self, n: int) -> None:
        data: bytes | bytearray = Link.buffer
        if self.rest:
            data = self.rest + bytes(Link.view[:n])
            n, self.rest = len(data), b""
        consumed = 0
        for first, begin, end in frames(data, n):
            consumed = end
            if first == TEXT:
                self.text(data, begin, end)
            elif first == 0x89:
                self.transport.write(PONG)
        if consumed < n:
            self.rest = bytes(data[consumed:n])

    def text(self, data: bytes | bytearray, begin: int, end: int) -> None:
        raise NotImplementedError


class Sampler(Parser):
    """Checks everything: each frame is a message of the right text, and seq goes up by one."""

    got = 0
    wrong = 0
    ambiguous = 0
    size = 0
    seq: int | None = None

    def text(self, data: bytes | bytearray, begin: int, end: int) -> None:
        self.got += 1
        self.size = end - begin + 4
        payload = bytes(data[begin:end])
        # A Listener would count this frame twice.
        self.ambiguous += TEXT in (end - begin).to_bytes(8, "big") or TEXT in payload
        try:
            new = _new(payload)
        except msgspec.MsgspecError:
            self.wrong += 1
            return
        right = new.message.content.get("text") == said(new.message.client_message_id)
        if not right or new.seq != new.message.seq or (self.seq is not None and new.seq != self.seq + 1):
            self.wrong += 1
        self.seq = new.seq


TEXT_BYTES = 120
_TALK = (
    "are you coming to the lake tomorrow, or shall we meet at the station again? bring the blue tent and"
    " something to read, it may rain in the evening and the train back home is late on sundays"
)
_WORDS = _TALK.split()
_SAID = tuple(
    " ".join(_WORDS[i:] + _WORDS[:i])[:TEXT_BYTES].rstrip().ljust(TEXT_BYTES, ".") for i in range(32)
)


def said(client_message_id: str) -> str:
    """The 120 bytes that the message of this id says: words, as people use them."""
    return _SAID[crc32(client_message_id.encode()) % len(_SAID)]


class Sender(Parser):
    """Sends to one chat in a closed loop, ``window`` at a time, and counts what is acked and refused."""

    def __init__(self, token: str, chat_id: str, name: str, **more: Any) -> None:
        super().__init__(token, **more)
        self.chat_id, self.name = chat_id, name
        self.sent = self.acked = self.refused = self.got = 0
        self.number = 0
        self.going = False
        self._due = 0
        self._begin = f'{{"type":"message.send","chat_id":"{chat_id}","client_message_id":"'.encode()

    def message(self, client_message_id: str) -> bytes:
        """The frame of a send."""
        return masked(
            b'%b%b","content":{"type":"text","text":"%b"}}'
            % (self._begin, client_message_id.encode(), said(client_message_id).encode())
        )

    def start(self, window: int) -> None:
        self.going = True
        self._send(window)

    def stop(self) -> None:
        self.going = False

    @property
    def flying(self) -> int:
        return self.sent - self.acked - self.refused

    def _send(self, count: int) -> None:
        made = [self.message(f"{self.name}-{self.number + i:09d}") for i in range(count)]
        self.number += count
        self.sent += count
        self.transport.write(made[0] if count == 1 else b"".join(made))

    def heard(self, n: int) -> None:
        super().heard(n)
        due, self._due = self._due, 0
        if due and self.going:
            self._send(due)

    def text(self, data: bytes | bytearray, begin: int, end: int) -> None:
        kind = data[begin + _TYPE_AT]
        if kind == _ACK:
            self.acked += 1
            self._due += 1
        elif kind == _ERROR:
            self.refused += 1
            self._due += 1
        else:
            self.got += 1
