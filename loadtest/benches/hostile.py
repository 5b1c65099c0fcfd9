"""Clients that no server wants: malformed frames, half a request for ever, a socket that says nothing, frames
that are too large, and a reader that does not read.
"""

import asyncio
import socket
import time
from typing import Any

from loadtest.benches.lean import Link, masked

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Bad(asyncio.Protocol):
    """Connects, misbehaves, and notes when it was thrown out."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.began = time.perf_counter()
        self.gone_after_s: float | None = None
        self.upgraded = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.begin()

    def data_received(self, data: bytes) -> None:
        if not self.upgraded and b" 101 " in data[:16]:
            self.upgraded = True
            self.misbehave()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone_after_s = time.perf_counter() - self.began

    def begin(self) -> None:
        self.transport.write(_UPGRADE)

    def misbehave(self) -> None:
        """The upgrade is through."""


class Malformed(Bad):
    """An unmasked frame with reserved bits and an opcode that does not exist (RFC 6455, 5.2)."""

    def misbehave(self) -> None:
        self.transport.write(b"\xf7\x05hello")


class SlowLoris(Bad):
    """A request whose head never ends, a byte at a time."""

    def begin(self) -> None:
        self.transport.write(_UPGRADE[:20])
        self._drip(20)

    def _drip(self, at: int) -> None:
        if self.gone_after_s is None:
            self.transport.write(_UPGRADE[at : at + 1] if at < len(_UPGRADE) - 4 else b"x")
            asyncio.get_running_loop().call_later(0.5, self._drip, at + 1)


class HalfOpen(Bad):
    """Upgrades, and never says connection.init."""


class Oversized(Bad):
    """Announces ten megabytes and begins to send them."""

    def misbehave(self) -> None:
        self.transport.write(b"\x81\xff" + (10_000_000).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 32_768)


class Flooder(Bad):
    """Frames that are no commands, before any token."""

    def misbehave(self) -> None:
        self.transport.write(masked(b'{"nonsense":true}') * 200)


KINDS: tuple[type[Bad], ...] = (Malformed, SlowLoris, HalfOpen, Oversized, Flooder)


class Siege:
    """Many of them at once."""

    def __init__(self) -> None:
        self._bad: list[Bad] = []

    async def attack(self, port: int, count: int) -> int:
        """Connect so many, of each kind as many; how many came through."""
        loop = asyncio.get_running_loop()
        for i in range(0, count, 100):
            kinds = [KINDS[n % len(KINDS)] for n in range(i, min(count, i + 100))]
            made = await asyncio.gather(
                *(loop.create_connection(kind, "127.0.0.1", port) for kind in kinds), return_exceptions=True
            )
            self._bad += [found[1] for found in made if not isinstance(found, BaseException)]
        return len(self._bad)

    async def until_gone(self, patience_s: float) -> dict[str, Any]:
        """How many of each kind are still there at the end, and how long the slowest took to go."""
        end = time.perf_counter() + patience_s
        while time.perf_counter() < end and any(b.gone_after_s is None for b in self._bad):  # noqa: ASYNC110  many
            await asyncio.sleep(0.05)
        left = [bad for bad in self._bad if bad.gone_after_s is None]
        for bad in left:
            bad.transport.abort()
        slowest = {
            kind.__name__: max((bad.gone_after_s or 0 for bad in self._bad if type(bad) is kind), default=0)
            for kind in KINDS
        }
        return {"left": len(left), "gone_after_s": slowest}


class Stuck(Link):
    """Opens in good order, and never reads again."""

    def _event(self, payload: bytes) -> None:
        super()._event(payload)
        if self.live:
            self.transport.pause_reading()


def small_socket(port: int) -> socket.socket:
    """A connected socket whose kernel buffer holds next to nothing."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made
