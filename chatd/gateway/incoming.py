"""The reading half of a socket: bytes in, whole messages out, and when its bytes are not taken.

``websockets``' Sans-I/O protocol does what is rare; one callback a read, no task, queue or lock a socket.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode, apply_mask  # type: ignore[attr-defined]  # in C if built
from websockets.http11 import Request
from websockets.protocol import State

from chatd.gateway import closing
from chatd.gateway.session import Phase

if TYPE_CHECKING:
    from chatd.gateway.edge import Edge

_TEXT, _BINARY, _CONT, _CLOSE = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.CLOSE


class Incoming(asyncio.Protocol, ABC):
    """From a client's bytes to its messages. What they mean, and all that is written, is Connection's."""

    __slots__ = (
        "address",
        "answered",
        "deflates",
        "edge",
        "fragments",
        "heard",
        "in_line",
        "paused_reading",
        "phase",
        "resuming",
        "skip",
        "transport",
        "unread",
        "ws",
    )

    IN_LINE_BYTES = 65_536

    def __init__(self, edge: "Edge", address: str, answered: bytes | None) -> None:
        self.edge = edge
        self.address = address
        self.answered = answered  # the 101 that opens it; without, the library is asked
        self.phase = Phase.HANDSHAKE
        self.in_line = False  # before it is open, what it says waits its turn (edge.doors)
        self.fragments: list[bytes] | None = None
        self.heard = True
        self.deflates = False
        self.paused_reading = False
        self.unread = b""
        self.skip = 0  # bytes of a frame that is not read any more
        self.resuming = False  # _read_on is on its way
        self.transport: Any = None
        self.ws: Any = None

    @abstractmethod
    def text(self, data: Any) -> None:
        """A whole text message."""

    @abstractmethod
    def binary(self) -> None:
        """A whole binary message, which no client has a reason to send."""

    @abstractmethod
    def send_pending(self) -> None:
        """Write what the library has to say: pongs, close frames, the answer to an upgrade."""

    # --------------------------------------------------------------- parsing

    def data_received(self, data: bytes) -> None:
        """One read: answer what can be answered, as long as this socket may be read."""
        self.heard = True
        self.edge.stats.bytes_in += len(data)
        if self.transport.is_closing() and self.phase is Phase.HANDSHAKE:
            return
        if self.phase is Phase.HANDSHAKE:
            head, end, data = data.partition(b"\r\n\r\n")
            if self.answered is not None:
                self.transport.write(self.answered)
                self.answered, self.phase = b"", Phase.INIT
            else:
                self._parse(head + end)
        if data and self.phase is Phase.INIT:
            self._stand_in_line(data)
        elif data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        if self.phase is Phase.CLOSING:
            self._wait_for_close(self.unread + data)
        else:
            self._frames(self.unread + data)

    def _stand_in_line(self, data: bytes) -> None:
        """What a stranger says is heard in its turn."""
        self.unread += data
        if not self.in_line:
            self.in_line = True
            self.edge.doors.enter(self.address, self._served)
        elif len(self.unread) > self.IN_LINE_BYTES:
            self.pause_reading()

    def _served(self) -> None:
        self.in_line = False
        if self.transport.is_closing():
            return
        if self.paused_reading and not self.edge.draining:
            self.paused_reading = False
            self.transport.resume_reading()
        data, self.unread = self.unread, b""
        self._take(data)

    def _frames(self, data: bytes) -> None:
        """Cut whole frames off ``data``; the rest stays ``unread``.

        RFC 6455, 5.2. The library's parser is a generator that takes 10 µs a frame, a quarter of what a send
        costs. So the one kind of frame that nearly all are, a whole masked text message of allowed length, is
        taken here; any other is handed to the library, whole, so that it always stands between two frames. A
        packed one, too: so it is unpacked when it is its turn, and not with all that came in the same read.
        """
        ws, text, at, n = self.ws, self.text, 0, len(data)
        self.unread = b""
        while at < n:
            if self.paused_reading or n - at < 2:
                break
            length, head = data[at + 1] & 0x7F, 6
            if length >= 126:
                head = 8 if length == 126 else 14
                if n - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head - 4], "big")
            if ws.state is not State.OPEN or length > ws.max_message_size or not data[at + 1] & 0x80:
                self._parse(data[at:])  # which fails, or reads on for the close frame alone
                return
            body, at_next = at + head, at + head + length
            if at_next > n:
                break
            if data[at] == 0x81 and ws.current_size is None:  # else it is in the middle of fragments
                text(apply_mask(data[body:at_next], data[body - 4 : body]))
            else:
                self._parse(data[at:at_next])
            at = at_next
            if self.phase is Phase.CLOSING:
                self._wait_for_close(data[at:])
                return
        if at < n:
            self.unread = data[at:] if at else data

    def _wait_for_close(self, data: bytes) -> None:
        self.skip, self.unread, answer = closing.answer_in(data, self.skip)
        if answer:
            self._parse(answer)

    def _parse(self, data: bytes) -> None:
        """Let the library parse it all, and do what it says."""
        ws = self.ws
        try:
            ws.receive_data(data)
        except (ProtocolError, AssertionError, EOFError):  # data after its end
            return
        for event in ws.events_received():
            if type(event) is Frame:
                self._frame(event)
            elif isinstance(event, Request):
                self._upgrade(event)
        self.send_pending()

    def _upgrade(self, request: Request) -> None:
        response = self.ws.accept(request)
        response.headers["X-Chatd-Node"] = self.edge.node_id
        self.ws.send_response(response)
        if self.ws.state is State.OPEN:
            self.phase = Phase.INIT
            self.deflates = bool(self.ws.extensions)

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is _TEXT and frame.fin:
            self.text(frame.data)
        elif opcode is _TEXT:
            self.fragments = [bytes(frame.data)]
        elif opcode is _CONT and self.fragments is not None:
            self.fragments.append(bytes(frame.data))
            if frame.fin:
                parts, self.fragments = self.fragments, None
                self.text(b"".join(parts))
        elif opcode is _BINARY or opcode is _CONT:
            if frame.fin:
                self.binary()
        elif opcode is _CLOSE:
            self.phase = Phase.CLOSING

    # --------------------------------------------------------------- pausing

    def pause_reading(self) -> None:
        """Take no more bytes until ``resume_reading``: back-pressure for who sends too much."""
        self.resuming = False
        if not self.paused_reading and not self.transport.is_closing():
            self.paused_reading = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes again, those first that came before the pause."""
        if self.edge.draining and self.phase is not Phase.CLOSING:
            return  # nothing new is begun
        if self.paused_reading and not self.resuming and not self.transport.is_closing():
            if self.unread:
                # Not at once: this may be in the middle of a round of group commit.
                self.resuming = True
                asyncio.get_running_loop().call_soon(self._read_on)
            else:
                self.paused_reading = False
                self.transport.resume_reading()

    def _read_on(self) -> None:
        if not self.resuming or self.transport.is_closing():
            return
        self.resuming = self.paused_reading = False
        data, self.unread = self.unread, b""
        self._take(data)
        if not self.paused_reading and not self.transport.is_closing():
            self.transport.resume_reading()
