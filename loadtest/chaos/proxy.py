"""A network that misbehaves: TCP between clients and one node, which can cut, stall, throttle or go deaf."""

import asyncio
import random
import socket
from contextlib import suppress
from typing import Self

_CHUNK = 4096


class _Lane:
    """One direction of one connection."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.bytes_per_s = 0.0

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            await self.open.wait()
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            writer.write(data)
            await writer.drain()


class Passage:
    """One client's connection through the proxy."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._ends = (client, server)
        self.up, self.down = _Lane(), _Lane()

    def cut(self) -> None:
        """Both ends see a connection reset."""
        for end in self._ends:
            end.transport.abort()

    def stall(self) -> None:
        """Nothing passes; both connections stay."""
        self.up.open.clear()
        self.down.open.clear()

    def deafen(self) -> None:
        """The server writes to a reader that does not read."""
        self.down.open.clear()

    def throttle(self, bytes_per_s: float) -> None:
        """No more than this, either way."""
        self.up.bytes_per_s = self.down.bytes_per_s = bytes_per_s

    def relieve(self) -> None:
        """As it was."""
        self.throttle(0.0)
        self.up.open.set()
        self.down.open.set()


class Proxy:
    """In front of one port of this machine."""

    #: What the kernel takes in for a reader that does not read: little, so that the server notices.
    RECEIVE_BYTES = 16_384

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.passages: set[Passage] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for passage in list(self.passages):
            passage.relieve()
            passage.cut()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def some(self, share: float, rng: random.Random) -> list[Passage]:
        """So many of the connections, at least one where there are any."""
        there = sorted(self.passages, key=id)
        return rng.sample(there, max(1, round(share * len(there)))) if there else []

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            beyond = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        passage = Passage(writer, beyond[1])
        self.passages.add(passage)
        lanes = [
            asyncio.create_task(passage.up.pump(reader, beyond[1])),
            asyncio.create_task(passage.down.pump(beyond[0], writer)),
        ]
        try:
            await asyncio.wait(lanes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.passages.discard(passage)
            for lane in lanes:
                lane.cancel()
            ended = await asyncio.gather(*lanes, return_exceptions=True)
            orderly = any(result is None for result in ended)
            for end in (writer, beyond[1]):
                # What was read before an orderly end is still to be delivered: a close frame, say.
                end.close() if orderly else end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.RECEIVE_BYTES)
            async with asyncio.timeout(5):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._target))
            return await asyncio.open_connection(sock=sock, limit=_CHUNK)
        except BaseException:
            with suppress(OSError):
                sock.close()
            raise
