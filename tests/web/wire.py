"""A cable between browsers and the server, which a test can pull and plug in again."""

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from tests.ops.serving import a_port


class Wire:
    """Carries bytes from a port of its own to the server; ``url`` is where browsers go."""

    def __init__(self, target: str) -> None:
        self._host, self._port = urlsplit(target).hostname or "", urlsplit(target).port or 0
        self._server: asyncio.Server | None = None
        self._carrying: set[asyncio.Task[None]] = set()
        self._ends: set[asyncio.StreamWriter] = set()
        #: One that nobody is given while the cable is pulled.
        self.port = a_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def plug_in(self) -> None:
        """Carry; the port stays the same each time."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port)

    async def pull(self) -> None:
        """Every connection is lost, and nobody gets a new one."""
        if self._server is not None:
            self._server.close()
        for end in self._ends:
            end.transport.abort()
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=10)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        ends = {writer}
        self._ends.add(writer)
        try:
            with suppress(OSError):
                there, back = await asyncio.open_connection(self._host, self._port)
                ends.add(back)
                self._ends.add(back)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pour(reader, back))
                    both.create_task(_pour(there, writer))
        finally:
            self._carrying.discard(task)
            self._ends -= ends
            for end in ends:
                end.transport.abort()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    with suppress(OSError, RuntimeError):
        sink.write_eof()
