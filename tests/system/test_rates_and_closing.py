"""Rates over nodes, and why sockets end: expiry, logout, drain, silence, floods."""

import asyncio
import json
import time
from contextlib import suppress
from datetime import timedelta

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.frames import Opcode

from chatd.core.settings import Limits
from tests.system.conftest import UNLIMITED
from tests.system.world import World, world
from tests.waiting import PATIENCE_S


async def test_sends_are_counted_over_all_nodes_and_both_edges(settings) -> None:  # type: ignore[no-untyped-def]
    limits = msgspec.structs.replace(UNLIMITED, sends_per_10s=1, sends_burst=10)
    async with world(msgspec.structs.replace(settings, limits=limits), 2) as made:
        ann, bob = await made.users(2)
        chat = await made.group(ann, bob)
        phones = [await made.phone(ann), await made.phone(ann, node=1)]
        answers = await asyncio.gather(*(phones[i % 2].say(chat, f"{i}") for i in range(14)))
        refused = [f for f in answers if f["type"] == "error"]
        assert {f["code"] for f in refused} == {"rate_limited"}
        assert all(f["retry_after_ms"] > 0 for f in refused)
        assert 10 <= len(answers) - len(refused) < 14  # one more for every ten seconds that it took
        body = {"client_message_id": "k", "content": {"type": "text", "text": "x"}}
        status, problem = await made.rest(ann, "POST", f"/chats/{chat}/messages", body)
        assert (status, problem["code"]) == (429, "rate_limited")
        assert (await (await made.phone(bob)).say(chat, "I am not she"))["type"] == "ack"


async def test_commands_of_one_socket_are_limited_and_a_flood_is_closed(settings) -> None:  # type: ignore[no-untyped-def]
    limits = msgspec.structs.replace(UNLIMITED, commands_per_10s=2, flood_close_s=1.0)
    async with world(msgspec.structs.replace(settings, limits=limits), 1) as made:
        (ann,) = await made.users(1)
        phone = await made.phone(ann)
        for i in range(3):
            await phone.send("ping", id=f"{i}")
        answers = [await phone.wait(lambda f, i=i: f.get("re") == f"{i}") for i in range(3)]
        assert [f["type"] for f in answers] == ["pong", "pong", "error"]
        assert answers[-1]["code"] == "rate_limited"

        async def flood() -> None:
            with suppress(ConnectionClosed):
                while True:
                    await phone.send("ping")
                    await asyncio.sleep(0)

        flooding = asyncio.create_task(flood())
        assert await phone.closed() == 4429
        await flooding


async def test_reads_are_limited_over_rest(settings) -> None:  # type: ignore[no-untyped-def]
    limits = msgspec.structs.replace(UNLIMITED, rest_per_minute=2)
    async with world(msgspec.structs.replace(settings, limits=limits), 2) as made:
        (ann,) = await made.users(1)
        statuses = [(await made.rest(ann, "GET", "/api/chats", node=i % 2))[0] for i in range(3)]
        assert statuses == [200, 200, 429]


async def test_a_socket_ends_when_its_token_does_unless_it_brings_a_new_one(one: World) -> None:
    ann, bob = await one.users(2)
    a = await one.phone(ann, token=one.token(ann, ttl=600))
    b = await one.phone(bob, token=one.token(bob, ttl=600))
    renewed = await b.call("auth.refresh", token=one.token(bob, ttl=3600))
    assert renewed["type"] == "ack"
    foreign = await b.call("auth.refresh", token=one.token(ann))
    assert foreign["code"] == "unauthenticated"
    await a.fence()
    one.clock.offset = timedelta(seconds=601)
    assert await a.closed() == 4401
    await b.fence()


async def test_a_socket_takes_the_token_of_another_session_only_while_that_lives(one: World) -> None:
    account = {"email": "ann@example.com", "password": "a long password"}
    assert (await one.rest(None, "POST", "/users", account | {"display_name": "Ann"}))[0] == 201

    async def login() -> str:
        status, signed_in = await one.rest(None, "POST", "/auth/login", account)
        assert status == 200
        return str(signed_in["access_token"])

    async def logout(token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with one.http.post(one.url() + "/auth/logout", headers=headers) as answer:
            assert answer.status == 204

    first, second, third = await login(), await login(), await login()
    a = await one.phone("ann", token=first)
    await logout(second)
    assert (await a.call("auth.refresh", token=second))["code"] == "unauthenticated"
    await a.fence()
    assert (await a.call("auth.refresh", token=third))["type"] == "ack"
    await logout(first)
    b = await one.phone("ann", token=third)  # opened behind the end of the first, which the feed has told
    await b.fence()
    await a.fence()
    await logout(third)
    assert await a.closed() == 4401


async def test_logout_closes_this_sessions_sockets_on_every_node(two: World) -> None:
    ann, bob = await two.users(2)
    a, b = await two.phone(ann, node=1), await two.phone(bob, node=1)
    status, _ = await two.rest(ann, "POST", "/auth/logout")
    assert status == 204
    assert await a.closed() == 4401
    await b.fence()
    socket = await two.raw()
    await socket.send(json.dumps({"type": "connection.init", "token": two.token(ann)}))
    with suppress(ConnectionClosed):  # this node may hear of the logout just now, and close without a word
        assert json.loads(await socket.recv())["code"] == "unauthenticated"
    await socket.wait_closed()
    assert socket.close_code == 4401
    assert (await two.rest(ann, "GET", "/api/chats"))[0] == 401


async def test_a_draining_node_says_so_closes_with_4503_and_loses_nothing(two: World) -> None:
    users = await two.users(12)
    chat = await two.group(*users)
    phones = [await two.phone(u) for u in users]
    sends = asyncio.gather(*(p.say(chat, f"{i}") for p in phones for i in range(5)))
    await phones[0].event("ack")
    drain = asyncio.create_task(two.nodes[0].drain())
    acked = [a for a in await asyncio.wait_for(sends, PATIENCE_S) if a["type"] == "ack"]
    codes = [await p.closed() for p in phones]
    await drain
    assert set(codes) == {4503}
    pauses = {p.seen("system.drain")[0]["reconnect_after_ms"] for p in phones}
    assert len(pauses) > 1
    late = await two.phone(users[0], node=1, since={chat: 0})
    await late.event("sync.complete")
    seen = {f["message"]["id"] for f in late.seen("message.new")}
    assert {a["message_id"] for a in acked} <= seen


async def test_a_client_that_misses_two_heartbeats_is_closed_with_4408(one: World) -> None:
    quick = msgspec.structs.replace(one.settings.socket, heartbeat_ms=1000)
    await one.node(socket=quick)
    (ann,) = await one.users(1)
    alive, dead = await one.phone(ann, node=1), await one.phone(ann, node=1)
    # A client that reads but does not answer pings.
    dead.socket.protocol.send_frame = lambda frame: (  # type: ignore[method-assign]
        None
        if frame.opcode is Opcode.PONG
        else type(dead.socket.protocol).send_frame(dead.socket.protocol, frame)
    )
    assert await dead.closed() == 4408
    await alive.fence()


async def test_a_node_that_was_held_up_closes_nobody_for_it(one: World) -> None:
    """As when the machine slept: heartbeats that were missed by the node are not missed by its clients."""
    await one.node(socket=msgspec.structs.replace(one.settings.socket, heartbeat_ms=1000))
    (ann,) = await one.users(1)
    phone = await one.phone(ann, node=1)
    phone.socket.transport.pause_reading()
    time.sleep(5)  # noqa: ASYNC251  it is this that holds up everything
    for _ in range(200):  # turns of the loop in which no client can answer
        await asyncio.sleep(0)
    phone.socket.transport.resume_reading()
    await phone.fence()


async def test_defaults_are_the_contracts() -> None:
    assert Limits() == Limits(
        sends_per_10s=30,
        sends_burst=60,
        commands_per_10s=60,
        rest_per_minute=100,
        writes_per_minute=10,
        logins_per_minute=10,
        registrations_per_minute=10,
        bad_frames_per_minute=30,
    )


async def test_what_a_draining_node_has_stored_it_has_acked(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    a = await one.phone(ann)

    async def talk() -> None:
        n = 0
        with suppress(ConnectionClosed):
            while True:
                n += 1
                text = {"type": "text", "text": f"{n}"}
                await a.send("message.send", chat_id=chat, client_message_id=f"{n}", content=text)

    talking = asyncio.create_task(talk())
    await a.event("message.new", seq=50)
    await one.nodes[0].drain()
    assert await a.closed() == 4503
    await talking
    stored = await one.nodes[0].db.one(int, "SELECT count(*) FROM chat_messages")
    assert len(a.seen("ack")) == stored
