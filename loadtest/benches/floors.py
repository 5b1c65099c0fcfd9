"""What this machine can do at most: a bare server that writes, and the append function called directly."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import uvloop

from loadtest.benches.lean import TEXT, masked, said
from loadtest.benches.machine import pin

_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
_READY = b'{"type":"connection.ready"}'


class _Bare(asyncio.BufferedProtocol):
    """No WebSocket, no JSON, no chat: for each message read, one write of the same bytes to every socket."""

    view = memoryview(bytearray(1 << 18))
    sockets: dict["_Bare", Any] = {}  # noqa: RUF012  one server a process
    length = 0
    frame = b""

    def __init__(self) -> None:
        self.reads = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        _Bare.sockets[self] = transport.write

    def get_buffer(self, sizehint: int) -> memoryview:
        return _Bare.view

    def buffer_updated(self, n: int) -> None:
        self.reads += 1
        if self.reads == 1:
            self.transport.write(_ANSWER)
        elif self.reads == 2:
            self.transport.write(bytes((TEXT, len(_READY))) + _READY)
        else:
            for _ in range(n // _Bare.length):
                for write in _Bare.sockets.values():
                    write(_Bare.frame)

    def connection_lost(self, exc: Exception | None) -> None:
        _Bare.sockets.pop(self, None)


def floor_message(chat_id: str) -> bytes:
    """What the floor's publisher sends: as long as chatd's."""
    head = f'{{"type":"message.send","chat_id":"{chat_id}","client_message_id":"p-000000000"'
    return masked(f'{head},"content":{{"type":"text","text":"{said("p-000000000")}"}}}}'.encode())


def floor_frame(length: int) -> bytes:
    """A frame of ``length`` bytes that ends as an ack does for a lean publisher."""
    body = b'{"type":"ack"'.ljust(length - 5, b" ") + b"}"
    return bytes((TEXT, 126)) + len(body).to_bytes(2, "big") + body


@asynccontextmanager
async def bare_server(core: int | None, sent: int, written: int) -> AsyncIterator[tuple[int, int]]:
    """(port, process id) of a bare server that takes messages of ``sent`` bytes and writes ``written``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.benches.floors", str(sent), str(written)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        pin(process.pid, core)
        yield port, process.pid
    finally:
        process.kill()
        await process.wait()


async def _serve(sent: int, written: int) -> None:
    _Bare.length, _Bare.frame = sent, floor_frame(written)
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Future()


# ------------------------------------------------------------------------------------------------ appending

_APPEND = "SELECT outcome FROM append_messages($1, $2, $3, $4, $5, $6, $7)"


class Appender:
    """Calls the append function as chatd does, with nothing around it."""

    def __init__(self, seats: list[tuple[str, str]]) -> None:
        """``seats`` are (chat, user) as uuids, in turn for the messages."""
        self._seats = [(uuid.UUID(chat), uuid.UUID(user)) for chat, user in seats]

    async def batches(self, url: str, *, batch: int, connections: int, seconds: float) -> float:
        """Messages a second, in batches of this size over so many connections."""
        return await self._many(url, connections, seconds, lambda c, end: self._batches(c, batch, end))

    async def singles(self, url: str, *, connections: int, seconds: float) -> float:
        """Messages a second, a transaction each: the steps that the function does, one statement a step."""
        return await self._many(url, connections, seconds, self._singles)

    async def _many(self, url: str, connections: int, seconds: float, work: Any) -> float:
        pool = [await asyncpg.connect(url, timeout=10) for _ in range(connections)]
        try:
            began = time.perf_counter()
            done = await asyncio.gather(*(work(c, began + seconds) for c in pool))
            return float(sum(done) / (time.perf_counter() - began))
        finally:
            for connection in pool:
                await connection.close()

    async def _batches(self, connection: Any, batch: int, end: float) -> int:
        append = await connection.prepare(_APPEND)
        content = _content()
        done = 0
        while time.perf_counter() < end:
            seats = [self._seats[(done + i) % len(self._seats)] for i in range(batch)]
            ids = [uuid.uuid4() for _ in seats]
            rows = await append.fetch(
                *([chat for chat, _ in seats], [user for _, user in seats], [str(i) for i in ids]),
                *([1] * batch, ids, [content] * batch, [None] * batch),
            )
            if any(row[0] != "sent" for row in rows):
                raise RuntimeError(f"the floor's appends are refused: {rows[0][0]}")
            done += batch
        return done

    async def _singles(self, connection: Any, end: float) -> int:
        content, done = _content(), 0
        while time.perf_counter() < end:
            chat, user = self._seats[done % len(self._seats)]
            await _one_transaction(connection, chat, user, content)
            done += 1
        return done


async def _one_transaction(connection: Any, chat: uuid.UUID, user: uuid.UUID, content: str) -> None:
    message = uuid.uuid4()
    async with connection.transaction():
        seq = await connection.fetchval(
            "UPDATE chat_chats SET head_seq = head_seq + 1, message_count = message_count + 1,"
            " last_event_at = greatest(last_event_at, clock_timestamp()) WHERE id = $1 RETURNING head_seq",
            chat,
        )
        seated = await connection.fetchval(
            "SELECT true FROM chat_participants WHERE chat_id = $1 AND user_id = $2", chat, user
        )
        assert seated
        await connection.execute(
            "INSERT INTO chat_messages (chat_id, seq, updated_seq, id, sender_id, client_message_id,"
            " fingerprint, content, sent_at)"
            " VALUES ($1, $2, $2, $3, $4, $5, 1, $6::jsonb, clock_timestamp())",
            *(chat, seq, message, user, str(message), content),
        )


def _content() -> str:
    return msgspec.json.encode({"type": "text", "text": said("floor"), "attachments": []}).decode()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), int(sys.argv[2])))
