"""Following chats: who counts, what a failed start leaves, and that healing ends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from chatd.core.context import Addressed
from chatd.core.errors import StoreUnavailable
from chatd.core.metrics import Stats
from chatd.core.settings import Fanout, Redis, Settings
from chatd.realtime.broker import NodeBroker
from chatd.realtime.streams import Found, Head, Missing, Streams
from tests.waiting import PATIENCE_S

CHAT = "cht_1"
LINGER_S = 0.05


class Log:
    """PostgreSQL's side: a head, and a gate that holds its answers back."""

    def __init__(self) -> None:
        self.head = Head(CHAT, 0, 0)
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False
        self.asked = 0

    async def heads(self, chat_ids: Sequence[str]) -> list[Head]:
        self.asked += 1
        await self.gate.wait()
        if self.broken:
            raise StoreUnavailable()
        return [self.head]

    async def missing(self, wanted: Sequence[Missing]) -> list[Found]:
        self.asked += 1
        return []


class Sockets:
    """What came through to this node's sockets."""

    def __init__(self) -> None:
        self.seqs: list[int] = []

    def log(self, chat_id: str, first_seq: int, frames: list[bytes]) -> None:
        self.seqs += range(first_seq, first_seq + len(frames))

    def marks(self, chat_id: str, frames: Sequence[Addressed]) -> None: ...

    def restart(self, chat_id: str) -> None: ...

    def ephemeral(self, chat_id: str, frame: bytes, but: str) -> None: ...

    def users(self, user_ids: Any, frame: bytes, chat_id: str = "") -> None: ...

    def typing(self, chat_id: str, user_id: str, on: bool) -> None: ...


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def sockets() -> Sockets:
    return Sockets()


@pytest.fixture
async def broker(log: Log, sockets: Sockets) -> AsyncIterator[NodeBroker]:
    made = NodeBroker(
        Settings(redis=Redis(url="unix:///nowhere"), fanout=Fanout(linger_s=LINGER_S)),
        node_id="nod_1",
        reader=log,
        sink=sockets,
        on_feed=lambda: None,
        on_node=lambda said: None,
        presence_version=lambda: 0,
        on_up=lambda: None,
    )
    yield made
    await made.close()


async def lingered() -> None:
    """As long as a chat is followed that nobody is in any more."""
    await asyncio.sleep(2 * LINGER_S)


async def test_who_gives_up_while_a_chat_is_opened_takes_it_from_nobody_else(
    broker: NodeBroker, log: Log, sockets: Sockets
) -> None:
    log.gate.clear()
    goes, stays = asyncio.create_task(broker.listen([CHAT])), asyncio.create_task(broker.listen([CHAT]))
    await asyncio.sleep(0)
    goes.cancel()
    await asyncio.wait([goes])
    broker.leave(CHAT)
    log.gate.set()
    await stays
    await lingered()
    broker.log(CHAT, 1, 1, [b"hello"])
    assert sockets.seqs == [1]


async def test_a_chat_that_could_not_be_opened_can_be_later(
    broker: NodeBroker, log: Log, sockets: Sockets
) -> None:
    log.broken = True
    failed = await asyncio.gather(*(broker.listen([CHAT]) for _ in range(2)), return_exceptions=True)
    assert [type(error) for error in failed] == [StoreUnavailable] * 2
    broker.leave(CHAT)
    log.broken = False
    await broker.listen([CHAT])
    broker.leave(CHAT)  # the second of those who failed is slower to go
    await lingered()
    broker.log(CHAT, 1, 1, [b"hello"])
    assert sockets.seqs == [1]


async def test_healing_ends_where_postgresql_has_no_more_of_a_chat(log: Log, sockets: Sockets) -> None:
    stats = Stats()
    streams = Streams(log, sockets, patience_s=0.0, sweep_s=60.0, stats=stats)
    streams.start(streams.add(CHAT), Head(CHAT, 0, 0))
    log.head = Head(CHAT, 5, 0)
    tasks = [asyncio.create_task(streams.sweep_forever()), asyncio.create_task(streams.heal_forever())]
    streams.sweep_soon()
    async with asyncio.timeout(PATIENCE_S):
        while log.asked < 2:
            await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert log.asked == 2
    assert stats.heals == 0
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_healing_ends_though_many_chats_have_gaps_that_nothing_closes(
    log: Log, sockets: Sockets
) -> None:
    streams = Streams(log, sockets, patience_s=60.0, sweep_s=60.0)
    chats = [f"cht_{n}" for n in range(2 * Streams.MAX_HEAL + 1)]
    for chat in chats:
        streams.start(streams.add(chat), Head(chat, 0, 0))
        streams.offer_log(chat, 2, [b"early"])
    rounds = 0
    while await streams._heal():
        rounds += 1
        assert rounds < 10, "it goes on for ever"
    assert log.asked == 3, "every one of them was asked for, once"
    streams.offer_log(chats[-1], 4, [b"early, too"])
    assert not await streams._heal()
    assert log.asked == 4, "what is heard anew is asked for anew"
