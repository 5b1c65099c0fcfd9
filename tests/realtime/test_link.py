"""The link to Redis in the moment of its loss."""

import asyncio

from chatd.embedded import Embedded
from chatd.realtime.redis import Link
from tests.waiting import PATIENCE_S


async def test_what_is_said_while_the_connection_breaks_is_dropped_and_counted(services: Embedded) -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    up = asyncio.Event()
    link = Link(
        services.redis.url,
        timeout_s=PATIENCE_S,
        buffer_bytes=1 << 20,
        on_message=lambda channel, payload: None,
        on_up=up.set,
        on_down=up.clear,
    )
    link.start()
    async with asyncio.timeout(PATIENCE_S):
        await up.wait()
        link.reset()
        link.publish(b"a channel", b"a word")
        assert await link.subscribe([b"another"]) is False
        await up.wait()
        assert link.dropped == 1
        assert await link.subscribe([b"a third"]) is True
    await link.close()
    assert failures == []
