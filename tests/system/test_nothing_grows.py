"""What a node keeps is bounded by who is there, not by who has been."""

import asyncio
import logging
from typing import Any

import pytest

from chatd.core.errors import StoreUnavailable
from chatd.core.settings import Presence
from chatd.features.accounts import service as accounts
from chatd.features.chats.contract import RequestNew
from chatd.features.presence import jobs
from chatd.gateway.opening import Opening
from chatd.realtime.presence import NodePresence
from tests.system.world import Phone, World


async def test_the_ends_of_tokens_of_those_who_have_gone_are_forgotten(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heart = one.nodes[0].edge.heart
    monkeypatch.setattr(heart, "LEFT", 5)
    (ann,) = await one.users(1)
    stays = await one.phone(ann, token=one.token(ann, ttl=3))
    for _ in range(12):
        phone = await one.phone(ann)
        await phone.call("auth.refresh", token=one.token(ann))
        await phone.close()
    assert len(heart._expiries) <= 5 + 2 * 2 + 1
    assert await stays.closed() == 4401  # and whose token runs out is not


async def away(*_: object, **__: object) -> None:
    raise StoreUnavailable()


async def test_who_leaves_while_postgres_is_away_is_stored_later(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    presence, (ann,) = one.nodes[0].presence, await one.users(1)
    monkeypatch.setattr(accounts, "touch_last_active", away)
    presence.connected(ann, "con_1")
    presence.disconnected(ann, "con_1")
    del presence._devices[ann]  # its grace is over
    with pytest.raises(StoreUnavailable):
        await jobs.store_changes(one.nodes[0].ctx)
    monkeypatch.undo()
    await jobs.store_changes(one.nodes[0].ctx)
    assert (await accounts.last_active(one.nodes[0].db, [ann]))[ann] is not None
    assert presence.last_seen.take_gone() == presence.last_seen.take_come() == {}


async def test_whom_a_socket_may_not_see_is_not_kept_once_it_has_gone() -> None:
    presence = NodePresence(
        Presence(),
        node_id="a",
        tell=lambda said: None,
        tell_watchers=lambda *said: None,
        link_is_well=lambda: True,
    )
    presence.watch("c", {"u": "offline"}, discreet=["u", "hidden"])
    presence.unwatch("c")
    assert not presence._discreet


async def test_who_waits_at_the_door_is_not_read(one: World) -> None:
    doors = one.nodes[0].edge.doors
    doors._rested = 10**9  # as in a storm: it is let in many turns later
    _, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(10):
        while not doors._lines:
            await asyncio.sleep(0)
    ((waits,),) = doors._lines.values()
    writer.write(b"x" * 2**23)
    for _ in range(500):  # turns of the loop in which it could be read
        await asyncio.sleep(0)
    waiting: Any = waits
    assert len(waiting.__self__._data) < 2**20
    doors._rested = 0
    writer.transport.abort()


async def test_a_room_that_cannot_be_written_to_holds_up_no_other(
    one: World, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = await one.users(2)
    broken, sound = await one.group(ann, bob), await one.group(bob, ann)
    a, b = await one.phone(ann), await one.phone(bob, path=f"/chats/{sound}")
    hub = one.nodes[0].edge.hub
    (connection,) = one.nodes[0].edge.hub.by_user[ann]

    def fails(data: bytes) -> None:
        raise RuntimeError("planted")

    hub.rooms[broken].live[connection] = fails
    with caplog.at_level(logging.CRITICAL, "chatd.gateway.hub"):
        hub.log(broken, 1, [b"x"])
        await b.say(sound, "still here?")
    assert await a.closed() == 1001
    await b.event("message.new", chat_id=sound)
    assert not hub.rooms.get(broken)


async def test_a_push_does_not_overtake_connection_ready(one: World) -> None:
    node = one.nodes[0]
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    gate, entered = asyncio.Event(), asyncio.Event()
    original = node.edge.opening._enter

    async def held(*args):  # type: ignore[no-untyped-def]
        entered.set()
        await gate.wait()
        return await original(*args)

    node.edge.opening._enter = held  # type: ignore[method-assign]
    phone = Phone(await one.raw(), ann)
    one.phones.append(phone)
    await phone.send("connection.init", token=one.token(ann))
    async with asyncio.timeout(10):
        await entered.wait()
    node.broker.to_users([ann], RequestNew(chat_id=chat, from_id=ann))
    gate.set()
    await phone.event("connection.ready")
    await phone.fence()
    assert phone.frames[0]["type"] == "connection.ready"


async def test_a_replay_of_many_chats_comes_in_portions_and_whole(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = one.nodes[0]
    ann, bob = await one.users(2)
    chats = [await one.group(ann, bob) for _ in range(6)]
    b = await one.phone(bob)
    for chat in chats:
        for i in range(4):
            await b.say(chat, f"{i}")
    monkeypatch.setattr(Opening, "MISSED_AT_ONCE", 8)
    asked: list[int] = []
    replay = node.backend.replay

    def counted(user_id, wants):  # type: ignore[no-untyped-def]
        asked.append(sum(want.head - want.after for want in wants))
        return replay(user_id, wants)

    node.backend.replay = counted  # type: ignore[method-assign]
    a = await one.phone(ann, since=dict.fromkeys(chats, 0))
    await a.event("sync.complete")
    assert asked == [8, 8, 8]
    assert all(a.seqs(chat) == [1, 2, 3, 4] for chat in chats)
    for chat in chats:
        await b.say(chat, "live")
        await a.event("message.new", chat_id=chat, seq=5)
