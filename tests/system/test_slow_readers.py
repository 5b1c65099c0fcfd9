"""A reader that does not read costs the node a bounded number of bytes, and finds all by resuming."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from chatd.boot import Node
from chatd.core.settings import Socket
from chatd.features.chats.contract import RequestNew
from chatd.gateway.connection import Connection
from tests.system.world import Phone, World
from tests.waiting import PATIENCE_S, until

EPHEMERAL_MARK, CLOSE_MARK = 16_384, 65_536
#: What the kernels take for a reader that does not read: ours (TCP_NOTSENT_LOWAT and what is on its way).
KERNEL = 131_072 + 300_000


async def small(one: World) -> Node:
    """Node 1: its marks are soon reached."""
    return await one.node(socket=Socket(ephemeral_mark_bytes=EPHEMERAL_MARK, close_mark_bytes=CLOSE_MARK))


async def deaf(one: World, user_id: str) -> Phone:
    """A socket on node 1 that is open and reads no more."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", one.nodes[1].listener.port))
    phone = Phone(await one.raw(node=1, sock=narrow, ping_interval=None), user_id)
    one.phones.append(phone)
    await phone.send("connection.init", token=one.token(user_id))
    await phone.event("connection.ready")
    return phone


def there(node: Node, phone: Phone) -> Connection:
    """The server's end of it."""
    return next(iter(node.edge.hub.by_user[phone.user_id]))


async def test_a_reader_that_does_not_read_is_closed_soon_past_the_mark_and_resumes(one: World) -> None:
    node = await small(one)
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b, a = await one.phone(bob), await deaf(one, ann)
    a.socket.transport.pause_reading()
    sent = 0
    while not node.stats.slow_closes:
        await b.say(chat, "x" * 4000)
        sent += 1
        assert sent * 4000 < KERNEL + CLOSE_MARK
        await asyncio.sleep(0)
    a.socket.transport.resume_reading()
    assert await a.closed() == 4508
    seen = a.seqs(chat)
    again = await one.phone(ann, since={chat: seen[-1] if seen else 0})
    await again.event("sync.complete")
    assert seen + again.seqs(chat) == list(range(1, sent + 1))


Road = Callable[[Node, Phone, str], Awaitable[int]]


async def pongs(node: Node, phone: Phone, chat: str) -> int:
    await phone.socket.ping(f"{id(object()):>020}{node.stats.bytes_in:>0100}".encode())
    return 120


async def answers(node: Node, phone: Phone, chat: str) -> int:
    await phone.send("ping", id="x" * 64)
    return 120


async def acks(node: Node, phone: Phone, chat: str) -> int:
    content = {"type": "text", "text": "the same again and again"}
    await phone.send("message.send", chat_id=chat, client_message_id="x" * 64, content=content, id="y" * 64)
    return 300


async def refusals(node: Node, phone: Phone, chat: str) -> int:
    await phone.send("typing.start", id="z" * 64)  # in which chat?
    return 200


async def pushes(node: Node, phone: Phone, chat: str) -> int:
    node.broker.to_users([phone.user_id], RequestNew(chat_id=chat, from_id=phone.user_id))
    return 100


@pytest.mark.parametrize("road", [pongs, answers, acks, refusals, pushes])
async def test_every_road_to_a_reader_that_does_not_read_ends_at_the_mark(one: World, road: Road) -> None:
    node = await small(one)
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    phone = await deaf(one, ann)
    connection = there(node, phone)
    phone.socket.transport.pause_reading()
    said = most = 0
    while not node.stats.slow_closes:
        said += await road(node, phone, chat)
        most = max(most, connection.buffered, node.edge.queue_bytes)
        assert said < 2 * (KERNEL + CLOSE_MARK)
        await asyncio.sleep(0)
    assert most < 2 * CLOSE_MARK
    phone.socket.transport.resume_reading()
    assert await phone.closed() == 4508
    assert not node.edge.slow


async def test_one_who_comes_again_and_again_and_never_reads_leaves_one_queue_behind(one: World) -> None:
    node = await small(one)
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    ends: list[Connection] = []
    for closed in range(1, 5):
        phone = await deaf(one, ann)
        ends.append(there(node, phone))
        phone.socket.transport.pause_reading()
        while node.stats.slow_closes < closed:
            await pushes(node, phone, chat)
            assert node.edge.queue_bytes < 3 * CLOSE_MARK
            await asyncio.sleep(0)
    assert [end in node.edge.slow for end in ends[:-2]] == [False, False]
    assert ends[-1] in node.edge.slow


async def make_slow(node: Node, phone: Phone) -> None:
    """Past the first mark, and not past the second."""
    connection = there(node, phone)
    phone.socket.transport.pause_reading()
    note = RequestNew(chat_id="cht_01h455vb4pex5vsknk084sn02q", from_id=phone.user_id)
    while not connection.slow:
        for _ in range(20):
            node.broker.to_users([phone.user_id], note)
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        while any(connection in room.live for room in node.edge.hub.rooms.values()):
            await asyncio.sleep(0)


async def test_presence_withheld_from_a_slow_reader_is_told_once_it_reads_on(one: World) -> None:
    node = await small(one)
    ann, bob, cat = await one.users(3)
    await one.group(ann, bob, cat)
    b, c, a = await one.phone(bob, node=1), await one.phone(cat, node=1), await deaf(one, ann)
    await a.call("presence.watch", user_ids=[bob, cat])
    await make_slow(node, a)
    for status in ("away", "online", "away"):
        await b.call("presence.set", status=status)
        await c.call("presence.set", status=status)
    await c.call("presence.set", status="online")  # where it was: nothing to tell
    async with asyncio.timeout(PATIENCE_S):
        while node.stats.ephemeral_drops < 2:
            await asyncio.sleep(0.01)
    assert node.stats.slow_closes == 0
    a.socket.transport.resume_reading()
    await a.event("presence.update", user_id=bob)
    await a.fence()
    assert [(f["user_id"], f["status"]) for f in a.seen("presence.update")] == [(bob, "away")]
    await c.call("presence.set", status="away")
    await a.event("presence.update", user_id=cat, status="away")


async def test_a_typing_that_ended_while_one_did_not_read_is_seen_to_end(one: World) -> None:
    node = await small(one)
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b, a = await one.phone(bob, node=1), await deaf(one, ann)
    await b.call("typing.start", chat_id=chat)
    await a.event("typing.start", user_id=bob)
    await make_slow(node, a)
    await b.call("typing.stop", chat_id=chat)
    async with asyncio.timeout(PATIENCE_S):
        while not node.edge.hub.withheld:
            await asyncio.sleep(0.01)
    a.socket.transport.resume_reading()
    await a.event("typing.stop", user_id=bob)
    assert not node.edge.hub.withheld


async def test_a_slow_reader_that_goes_is_owed_nothing_more(one: World) -> None:
    node = await small(one)
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b, a = await one.phone(bob, node=1), await deaf(one, ann)
    await a.call("presence.watch", user_ids=[bob])
    await make_slow(node, a)
    await b.call("presence.set", status="away")
    await b.call("typing.start", chat_id=chat)
    async with asyncio.timeout(PATIENCE_S):
        while not node.edge.hub.withheld:
            await asyncio.sleep(0.01)
    there(node, a).abort()
    async with asyncio.timeout(PATIENCE_S):
        while node.edge.slow:
            await asyncio.sleep(0.01)
    assert not node.edge.hub.withheld
    assert not node.presence._owed
    a.socket.transport.abort()


async def test_what_is_kept_for_a_socket_that_opens_is_bounded_over_all_its_chats(one: World) -> None:
    node = await small(one)
    ann, bob = await one.users(2)
    chats = [await one.group(ann, bob) for _ in range(3)]
    b, a = await one.phone(bob, node=1), await deaf(one, ann)
    connection = there(node, a)
    for chat in chats:  # as it stands while its replay is on its way
        node.edge.hub.leave(connection, chat)
        node.edge.hub.enter(connection, chat)
    text, rounds = "x" * 4000, 0
    async with asyncio.timeout(PATIENCE_S):
        while not node.stats.slow_closes:
            for chat in chats:
                ack = await b.say(chat, text)
                await b.call("delivery.read", chat_id=chat, last_read_message_id=ack["message_id"])
            rounds += 1
            assert rounds * 3 * 4000 < 2 * CLOSE_MARK
    assert await a.closed() == 4508


async def test_a_socket_that_is_too_slow_as_it_goes_live_is_in_no_room(one: World) -> None:
    node = await small(one)
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b, a = await one.phone(bob, node=1), await deaf(one, ann)
    connection, hub = there(node, a), node.edge.hub
    hub.leave(connection, chat)
    hub.enter(connection, chat)
    ack = await b.say(chat, "kept")
    await make_slow(node, a)
    frame = msgspec.json.encode({"padding": "x" * 1000})
    while connection.buffered <= CLOSE_MARK:
        connection.transport.write(frame)
    hub.go_live(connection, chat, ack["seq"] - 1, ack["seq"])
    assert connection.is_closing()
    room = hub.rooms[chat]
    assert connection not in room.live
    assert connection not in room.slow
    assert connection not in room.waiting
    a.socket.transport.abort()


@pytest.mark.parametrize(
    "last", [b"\x88\x80\0\0\0\0", b"\x83\x80\0\0\0\0", b""], ids=["close", "broken", "half"]
)
async def test_who_ends_the_conversation_and_does_not_read_is_not_waited_for_long(
    one: World, last: bytes
) -> None:
    node = await small(one)
    node.edge.CLOSE_WAIT_S = 0.1
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b, a = await one.phone(bob), await deaf(one, ann)
    connection = there(node, a)
    a.socket.transport.pause_reading()
    while not connection.slow:
        await b.say(chat, "x" * 4000)
        await asyncio.sleep(0)
    if last:
        a.socket.transport.write(last)
    else:
        a.socket.transport.write_eof()
    await until(lambda: not node.edge.hub.rooms.get(chat))
    await until(lambda: not node.edge.connections)
