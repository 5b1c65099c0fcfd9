"""Sockets that open while something else happens to them."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from chatd.core.errors import StoreUnavailable
from chatd.core.settings import Fanout, Presence, Redis, Settings, Socket
from chatd.db import feed
from chatd.embedded import Service
from tests.system.world import Phone, World, world
from tests.waiting import PATIENCE_S, until


@pytest.fixture
async def fragile(own_redis: Service, settings: Settings) -> AsyncIterator[World]:
    """Two nodes over a Redis of their own, that soon forget a chat."""
    redis = Redis(url=own_redis.url, prefix=f"t{os.urandom(4).hex()}", heartbeat_s=5.0, timeout_s=5.0)
    changed = msgspec.structs.replace(
        settings, redis=redis, fanout=Fanout(linger_s=0.2), presence=Presence(offline_grace_s=0.2)
    )
    async with world(changed, 2) as made:
        await until(lambda: not any(node.broker.degraded for node in made.nodes))
        yield made


async def half_open(world: World, user_id: str, **init: object) -> Phone:
    """A socket that has introduced itself and waits for its connection.ready."""
    phone = Phone(await world.raw(), user_id)
    world.phones.append(phone)
    await phone.send("connection.init", token=world.token(user_id), **init)
    await until(lambda: any(c.user_id == user_id and c.rooms for c in world.nodes[0].edge.connections))
    return phone


async def test_a_socket_that_is_closed_while_it_opens_takes_the_chat_from_nobody(
    fragile: World, own_redis: Service
) -> None:
    ann, bob = await fragile.users(2)
    chat = await fragile.group(ann, bob, node=1)
    own_redis.pause()  # so that to subscribe takes its whole timeout
    try:
        goes = await half_open(fragile, ann)
        stays = asyncio.create_task(fragile.phone(bob))
        await until(lambda: len(fragile.nodes[0].edge.hub.rooms[chat].waiting) == 2)
        await fragile.rest(ann, "POST", "/auth/logout")
        assert await goes.closed() == 4401
        b = await stays
    finally:
        own_redis.resume()
    stream = fragile.nodes[0].broker.streams.get(chat)
    assert stream is not None
    assert stream.users == 1
    await b.say(chat, "still with me?")
    await b.event("message.new", seq=1)


async def test_who_is_removed_while_the_socket_opens_is_told_behind_ready(
    fragile: World, own_redis: Service
) -> None:
    ann, bob = await fragile.users(2)
    chat = await fragile.group(ann, bob, node=1)
    own_redis.pause()
    try:
        b = await half_open(fragile, bob)
        status, _ = await fragile.rest(ann, "DELETE", f"/api/chats/{chat}/members/{bob}")
        assert status in (200, 204)
        await b.event("connection.ready")
    finally:
        own_redis.resume()
    left = await b.event("chat.left")
    assert left["reason"] == "removed"
    types = [frame["type"] for frame in b.frames]
    assert types.index("connection.ready") < types.index("chat.left")


async def test_a_row_of_the_feed_that_fails_holds_up_and_loses_none_behind_it(one: World) -> None:
    ann, _ = await one.users(2)
    a = await one.phone(ann)
    failing = [StoreUnavailable()]

    def fail_once(row: feed.Row) -> None:
        if failing:
            raise failing.pop()

    one.nodes[0].feed.listen(fail_once)
    async with one.nodes[0].db.transaction() as tx:
        for kind, session in (("chat.updated", None), ("session.ended", one.sessions[ann])):
            await tx.run(
                "INSERT INTO node_feed (kind, session_id, user_ids) VALUES ($1, $2, $3)", kind, session, [ann]
            )
        tx.after_commit(one.nodes[0].feed.look)
    assert await a.closed() == 4401
    assert not failing


async def test_a_socket_that_is_closed_while_it_is_slow_to_read_its_replay_is_not_online(one: World) -> None:
    small = await one.node(socket=Socket(ephemeral_mark_bytes=16_384))
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    b = await one.phone(bob)
    await asyncio.gather(*(b.say(chat, "𝄞" * 3900) for _ in range(480)))
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", small.listener.port))
    phone = await one.raw(node=1, sock=slow, max_queue=1, ping_interval=None)
    phone.transport.pause_reading()
    await phone.send(json.dumps({"type": "connection.init", "token": one.token(ann), "since": {chat: 0}}))
    await until(lambda: any(c.slow for c in small.edge.connections))
    status, _ = await one.rest(ann, "POST", "/auth/logout")
    assert status == 204
    await until(lambda: not small.edge.by_id)
    phone.transport.resume_reading()
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionClosed):
            while True:
                await phone.recv()
    await until(lambda: not small.edge.connections)
    assert small.presence.here() == []


async def test_a_socket_of_one_chat_hears_nothing_of_the_others(two: World) -> None:
    (ann,) = await two.users(1)
    here, there = await two.group(ann), await two.group(ann)
    whole, a = await two.phone(ann, node=1), await two.phone(ann, node=1, path=f"/chats/{here}")
    send_at = (two.clock.now() + timedelta(days=1)).isoformat()
    for chat in (there, here):
        assert (await two.rest(ann, "PUT", f"/chats/{chat}/draft", {"text": "hm"}))[0] == 200
        later = {"content": {"type": "text", "text": "later"}, "send_at": send_at}
        assert (await two.rest(ann, "POST", f"/chats/{chat}/scheduled", later))[0] == 201
    for chat in (there, here):
        await whole.event("draft.updated", chat_id=chat)
        await whole.wait(lambda f, chat=chat: f.get("scheduled", {}).get("chat_id") == chat)  # type: ignore[misc]
    await a.event("draft.updated", chat_id=here)
    await a.wait(lambda f: f["type"] == "scheduled.updated")
    await a.fence()
    assert there not in json.dumps(a.frames)


async def test_a_socket_of_one_chat_that_opens_while_its_user_leaves_another_is_not_told(
    fragile: World, own_redis: Service
) -> None:
    ann, bob = await fragile.users(2)
    there = await fragile.group(bob, ann)
    whole = await fragile.phone(ann)
    own_redis.pause()  # so that to subscribe takes its whole timeout
    try:
        here = await fragile.group(ann)
        a = Phone(await fragile.raw(f"/chats/{here}"), ann)
        fragile.phones.append(a)
        await a.send("connection.init", token=fragile.token(ann))
        edge = fragile.nodes[0].edge
        await until(lambda: any(c.scope == here and c.rooms for c in edge.connections))
        assert (await fragile.rest(bob, "DELETE", f"/chats/{there}/members/{ann}"))[0] == 204
        await whole.event("chat.left", chat_id=there)
    finally:
        own_redis.resume()
    await a.event("connection.ready")
    (connection,) = (c for c in edge.connections if c.scope == here)
    await until(lambda: connection.ready and not connection.tasks)
    await a.fence()
    assert not a.seen("chat.left")
