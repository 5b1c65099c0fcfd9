"""A worker that has just come shows nobody of the other nodes as offline (protocol.md, section 5)."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from chatd.boot import Node
from chatd.core.settings import Settings
from chatd.realtime import envelope
from chatd.realtime.settling import settle
from tests.system.world import World, world
from tests.waiting import PATIENCE_S

BOUND_S = 30.0  # far more than it takes


@pytest.fixture
async def three(settings: Settings) -> AsyncIterator[World]:
    # So slow a beat that no node is taken for silent on a busy machine.
    redis = msgspec.structs.replace(settings.redis, heartbeat_s=1.0)
    async with world(msgspec.structs.replace(settings, redis=redis), 3) as made:
        async with asyncio.timeout(PATIENCE_S):
            while any(node.broker.degraded or len(node.presence._peers._nodes) < 2 for node in made.nodes):
                await asyncio.sleep(0.02)
        yield made


def hard_of_hearing(node: Node) -> None:
    """It does not hear a question to everybody (Redis lost it), only one to itself."""
    heard = node.presence.heard

    def lossy(said: envelope.NodeEnvelope) -> None:
        if not (isinstance(said, envelope.PresenceAsk) and said.of != node.node_id):
            heard(said)

    node.broker._on_node = lossy


async def test_it_waits_for_the_word_of_every_node_that_beats(three: World) -> None:
    ann, *others = await three.users(4)
    await three.group(ann, *others)
    for index, user in enumerate(others):
        await three.phone(user, node=index)
    for node in three.nodes[1:]:
        hard_of_hearing(node)
    fresh = Node(three.settings, clock=three.clock)
    await fresh.open("127.0.0.1", 0, settle_s=BOUND_S)
    three.nodes.append(fresh)
    a = await three.phone(ann, node=3)
    state = await a.call("presence.watch", user_ids=others)
    assert [user["status"] for user in state["users"]] == ["online"] * 3
    await a.fence()
    assert not a.seen("presence.update")


async def test_it_does_not_wait_for_one_that_dies_meanwhile(three: World) -> None:
    ann, bob = await three.users(2)
    await three.group(ann, bob)
    await three.phone(bob)
    dies = three.nodes[2]
    dies.presence._tell_all = lambda: None  # type: ignore[method-assign]  # it never comes to that
    fresh = Node(three.settings, clock=three.clock)
    await fresh.open("127.0.0.1", 0)
    three.nodes.append(fresh)
    async with asyncio.timeout(PATIENCE_S):
        while dies.node_id not in fresh.presence._peers._nodes:
            await asyncio.sleep(0.01)
    beat_s = three.settings.redis.heartbeat_s
    waits = asyncio.create_task(settle(fresh.broker, fresh.presence, beat_s=beat_s, within_s=BOUND_S))
    for task in dies.broker.tasks:
        task.cancel()
    assert await waits
    assert fresh.presence.status_of(bob) == "online"


async def test_alone_it_does_not_wait_for_others(one: World) -> None:
    node = one.nodes[0]
    assert await settle(node.broker, node.presence, beat_s=1000.0, within_s=BOUND_S)
    other = await one.node()
    async with asyncio.timeout(PATIENCE_S):
        while other.broker.degraded:
            await asyncio.sleep(0.01)
    assert not await settle(node.broker, node.presence, beat_s=1000.0, within_s=0.1)
