"""A reader that does not read costs the node a bounded number of bytes, and finds all by resuming."""

import asyncio
import socket

from chatd.core.settings import Socket
from tests.system.world import Phone, World

CLOSE_MARK = 65_536


async def test_a_reader_that_does_not_read_is_closed_soon_past_the_mark_and_resumes(one: World) -> None:
    node = await one.node(socket=Socket(ephemeral_mark_bytes=16_384, close_mark_bytes=CLOSE_MARK))
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b = await one.phone(bob)
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", node.listener.port))
    a = Phone(await one.raw(node=1, sock=deaf, ping_interval=None), ann)
    one.phones.append(a)
    await a.send("connection.init", token=one.token(ann))
    await a.event("connection.ready")
    a.socket.transport.pause_reading()
    sent = 0
    while not node.stats.slow_closes:
        await b.say(chat, "x" * 4000)
        sent += 1
        # What the kernel holds back, what ours does, and what was on its way.
        assert sent * 4000 < 131_072 + CLOSE_MARK + 300_000
        await asyncio.sleep(0)
    a.socket.transport.resume_reading()
    assert await a.closed() == 4508
    seen = a.seqs(chat)
    again = await one.phone(ann, since={chat: seen[-1] if seen else 0})
    await again.event("sync.complete")
    assert seen + again.seqs(chat) == list(range(1, sent + 1))
