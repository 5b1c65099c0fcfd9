"""Under the frames: compression that is paid once a chat, TLS, and the first bytes of a connection."""

import asyncio
import json
import ssl
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from chatd.wire import codec
from tests.certificates import for_localhost
from tests.system.world import Phone, World
from tests.waiting import PATIENCE_S, until


async def test_compressed_and_plain_sockets_of_a_chat_hear_the_same(one: World) -> None:
    on = msgspec.structs.replace(one.settings.socket, compression=True)
    await one.node(socket=on)
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    a, b = await one.phone(ann, node=1), await one.phone(bob, node=1)
    plain = await one.phone(eve, node=1, compression=None)
    assert "permessage-deflate" in a.socket.response.headers["Sec-WebSocket-Extensions"]
    packed = []
    real = codec.deflated
    codec.deflated = lambda frames: packed.append(frames) or real(frames)  # type: ignore[assignment,func-returns-value]
    try:
        await a.say(chat, "compress me " * 100)
        for phone in (a, b, plain):
            new = await phone.event("message.new", seq=1)
            assert new["message"]["content"]["text"] == "compress me " * 100
    finally:
        codec.deflated = real
    assert len(packed) == 1  # once for the chat, whatever the number of sockets
    await b.call("typing.start", chat_id=chat)
    await a.event("typing.start", user_id=bob)
    await a.call("presence.watch", user_ids=[bob])


async def test_tls_serves_sockets_and_rest_on_the_one_port(one: World, tmp_path: Path) -> None:
    cert, key = for_localhost(tmp_path)
    server = msgspec.structs.replace(one.settings.server, tls_cert=str(cert), tls_key=str(key))
    node = await one.node(server=server)
    trust = ssl.create_default_context(cafile=str(cert))
    (ann,) = await one.users(1)
    base = f"localhost:{node.listener.port}"
    async with one.http.get(f"https://{base}/healthz", ssl=trust) as answer:
        assert answer.status == 200
    from websockets.asyncio.client import connect

    socket = await connect(f"wss://{base}/ws", ssl=trust, proxy=None, host="127.0.0.1")
    phone = Phone(socket, ann)
    await phone.send("connection.init", token=one.token(ann))
    await phone.event("connection.ready")
    await phone.fence()
    await phone.close()


async def test_an_upgrade_in_pieces_is_an_upgrade(one: World) -> None:
    (ann,) = await one.users(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    head = (
        f"GET /ws?token={one.token(ann)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    for at in range(0, len(head), 37):
        writer.write(head[at : at + 37])
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.close()


async def test_who_says_nothing_or_half_a_request_is_let_go(one: World) -> None:
    quick = msgspec.structs.replace(one.settings.socket, init_timeout_s=0.3)
    node = await one.node(socket=quick)
    for start in (b"", b"GET /ws HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01\x02\x00"):
        reader, writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
        writer.write(start)
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_a_head_without_end_is_refused(one: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    writer.write(b"GET /ws HTTP/1.1\r\nX: " + b"x" * 40_000)
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.read(20))[9:12] == b"400"
    writer.close()


async def test_a_head_that_is_too_long_opens_no_socket_however_it_arrives(one: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    writer.write(
        b"GET /ws?pad="
        + b"x" * 60_000
        + b" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    async with asyncio.timeout(10):
        assert (await reader.read(20))[9:12] == b"400"
    writer.close()


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("//[x", "http://x", (400, 404)),
        ("/ws", "http://[", (403,)),
        ("/chats/cht_01h455vb4pex5vsknk084sn02q%0A", "http://x", (400, 401, 404, 422)),
    ],
)
async def test_an_upgrade_to_what_is_no_address_is_refused(
    one: World, path: str, origin: str, status: tuple[int, ...]
) -> None:
    (ann,) = await one.users(1)
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nAuthorization: Bearer {one.token(ann)}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    async with asyncio.timeout(PATIENCE_S):
        assert int((await reader.readuntil(b"\r\n"))[9:12]) in status
    writer.close()
    await writer.wait_closed()


async def test_a_packed_socket_has_no_more_at_work_than_any_other(one: World) -> None:
    socket = msgspec.structs.replace(one.settings.socket, compression=True, max_inflight_commands=2)
    node = await one.node(socket=socket)
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    a = await one.phone(ann, node=1)
    (connection,) = node.edge.connections
    frames = bytearray()
    for n in range(100):
        said = {"type": "text", "text": "x" * 4000}
        command = {"type": "message.send", "chat_id": chat, "client_message_id": f"c{n}", "content": said}
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(json.dumps(command).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
        packed = packed[:-4]
        frames += bytes((0xC1, 0x80 | 126)) + len(packed).to_bytes(2, "big") + bytes(4) + packed
    async with one.nodes[0].db.transaction() as tx:
        await tx.run("SELECT 1 FROM chat_chats WHERE id = $1 FOR UPDATE", chat)
        a.socket.transport.write(bytes(frames))  # one segment or two: all of them are read at once
        await until(lambda: connection.inflight)
        assert connection.inflight <= 2
        assert connection.paused_reading
    for n in range(100):
        await a.event("ack", client_message_id=f"c{n}")
    assert sorted(a.seqs(chat)) == list(range(1, 101))


async def test_who_comes_on_an_old_connection_while_the_node_drains_is_turned_away(one: World) -> None:
    node = one.nodes[0]
    reader, writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        node.edge.announce_drain(1.0)
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert b"101 Switching" not in await reader.read()
    writer.close()
    await until(lambda: not node.edge.connections)


async def test_proxies_may_each_add_a_line_of_their_own(one: World) -> None:
    server = msgspec.structs.replace(one.settings.server, trusted_proxies=("127.0.0.1", "10.0.0.0/8"))
    node = await one.node(server=server)
    forwarded = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "10.0.0.2")]
    async with await one.raw(node=1, additional_headers=forwarded):
        (connection,) = node.edge.connections
        assert connection.address == "203.0.113.9"


async def test_what_a_body_says_opens_no_socket_though_its_request_was_answered_before(one: World) -> None:
    node = one.nodes[0]
    upgrade = (
        b"GET /ws HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", node.listener.port)
    async with asyncio.timeout(PATIENCE_S):
        writer.write(b"POST /chats HTTP/1.1\r\nHost: chat\r\nContent-Length: %d\r\n\r\n" % len(upgrade))
        assert b" 401 " in await reader.readuntil(b"}")
        writer.write(upgrade)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: chat\r\n\r\n")
        assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
        await reader.readuntil(b"}")
        writer.write(upgrade)  # and now it is one
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("path", ["/ws", "/api/ws", "/chats/cht_01h455vb4pex5vsknk084sn02q"])
async def test_a_strangers_page_is_told_that_it_may_not_open_a_socket(one: World, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await one.raw(path, origin=Origin("https://evil.example"))
    problem = msgspec.json.decode(refused.value.response.body)
    assert (refused.value.response.status_code, problem["code"]) == (403, "forbidden")
    socket = await one.raw(path, origin=Origin(one.url()))
    await socket.close()
