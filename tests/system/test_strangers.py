"""Connections that never come in: they are heard in their turn, and gone within their limits."""

import asyncio
import json
import resource
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
from websockets.frames import Frame, Opcode

from chatd.core.settings import Settings, Socket
from tests.system.world import World, world

_UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[World]:
    """A node that waits for nobody's connection.init."""
    hasty = msgspec.structs.replace(settings, socket=Socket(init_timeout_s=0.2))
    async with world(hasty, 1) as made:
        # Who has been in may take for ever to answer a close frame: so this is not what ends a stranger.
        made.nodes[0].edge.CLOSE_WAIT_S = 3600.0  # type: ignore[misc]
        yield made


async def _upgraded(one: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    writer.write(_UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


def _text(command: str) -> bytes:
    return Frame(Opcode.TEXT, command.encode()).serialize(mask=True)


async def _until_gone(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the server ends the connection, though we do not."""
    said = b""
    async with asyncio.timeout(60):
        try:
            while data := await reader.read(65_536):
                said += data
        except ConnectionError:
            pass
    return said


async def test_who_says_nothing_is_gone_without_answering(impatient: World) -> None:
    reader, writer = await _upgraded(impatient)
    said = await _until_gone(reader)
    assert (4408).to_bytes(2, "big") in said
    writer.close()


async def test_half_a_request_is_cut_off_and_counted(impatient: World) -> None:
    stats = impatient.nodes[0].stats
    before = stats.strangers
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.nodes[0].listener.port)
    writer.write(_UPGRADE[:30])
    await _until_gone(reader)
    assert stats.strangers == before + 1
    writer.close()


async def test_nonsense_before_the_init_has_an_end(one: World) -> None:
    reader, writer = await _upgraded(one)
    most = one.settings.limits.bad_frames_per_minute
    writer.write(_text('{"nonsense":true}') * (most * 20))
    said = await _until_gone(reader)
    assert said.count(b'"validation_failed"') == most + 1
    assert (4400).to_bytes(2, "big") in said
    writer.close()


async def test_who_talks_on_after_a_close_can_still_answer_it(one: World) -> None:
    reader, writer = await _upgraded(one)
    close = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big")).serialize(mask=True)
    one.nodes[0].edge.STRANGER_WAIT_S = 3600.0  # type: ignore[misc]  # so that nothing else ends it
    talk = _text('{"type":"ping"}') * 2000 + _text("x" * 20_000)
    writer.write(talk + close)
    said = await _until_gone(reader)
    assert (4401).to_bytes(2, "big") in said
    assert said.count(b'"unauthenticated"') == 1
    writer.close()


async def test_an_init_in_pieces_behind_a_long_line_is_heard(one: World) -> None:
    (ann,) = await one.users(1)
    reader, writer = await _upgraded(one)
    init = _text(json.dumps({"type": "connection.init", "token": one.token(ann)}))
    doors, order = one.nodes[0].edge.doors, []
    for i in range(300):
        doors.enter("elsewhere", lambda i=i: order.append(i))  # type: ignore[misc]
    for at in range(0, len(init), 7):
        writer.write(init[at : at + 7])
        await writer.drain()
    async with asyncio.timeout(60):
        await reader.readuntil(b'{"type":"connection.ready"')
    writer.close()


async def test_a_node_without_file_descriptors_takes_connections_when_it_has_some(one: World) -> None:
    node = one.nodes[0]
    waiting = socket.socket()
    waiting.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A descriptor's number may be below the limit only: no new one fits, and those in use stay good.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(waiting.fileno(), soft), hard))
    try:
        await asyncio.get_running_loop().sock_connect(waiting, ("127.0.0.1", node.listener.port))
        async with asyncio.timeout(60):
            while node.listener._pause is None:
                await asyncio.sleep(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    reader, writer = await asyncio.open_connection(sock=waiting)
    writer.write(_UPGRADE)
    async with asyncio.timeout(60):
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()
