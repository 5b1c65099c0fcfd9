"""The bounds of protocol.md, section 5."""

import asyncio

import msgspec

from chatd.boot import Node
from chatd.core.settings import Presence
from tests.system.world import world

QUICK = Presence(offline_grace_s=0.6, node_timeout_s=1.5, typing_ttl_s=0.5, typing_every_s=0.4)


async def test_a_flap_is_seen_by_nobody_and_an_end_is(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 2) as made:
        ann, bob = await made.users(2)
        await made.group(ann, bob)
        a, b = await made.phone(ann), await made.phone(bob, node=1)
        await made.phone(ann, node=1)
        await a.call("presence.watch", user_ids=[bob])
        for node in (0, 1, 0):
            await b.close()
            b = await made.phone(bob, node=node)
        await asyncio.sleep(1.0)  # longer than the grace: what would be announced has been
        await a.fence()
        assert a.seen("presence.update") == []
        await b.close()
        gone = await a.event("presence.update", user_id=bob, status="offline")
        assert gone["last_active_at"].endswith("Z")


async def test_one_device_of_two_keeps_a_user_online(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 2) as made:
        ann, bob = await made.users(2)
        await made.group(ann, bob)
        a = await made.phone(ann)
        b1, b2 = await made.phone(bob), await made.phone(bob, node=1)
        async with asyncio.timeout(5):
            while (await a.call("presence.watch", user_ids=[bob]))["users"][0]["status"] != "online":
                pass
        await b1.close()
        await b2.call("presence.set", status="away")
        await a.event("presence.update", user_id=bob, status="away")
        assert not [f for f in a.seen("presence.update") if f["status"] == "offline"]
        await b2.close()
        await a.event("presence.update", user_id=bob, status="offline")


async def test_a_node_that_dies_takes_its_users_offline(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 2) as made:
        ann, bob = await made.users(2)
        await made.group(ann, bob)
        a, _ = await made.phone(ann), await made.phone(bob, node=1)
        async with asyncio.timeout(5):
            while (await a.call("presence.watch", user_ids=[bob]))["users"][0]["status"] != "online":
                pass
        for task in made.nodes[1].broker.tasks:  # it falls silent, as after a kill -9
            task.cancel()
        await a.event("presence.update", user_id=bob, status="offline")


async def test_a_node_that_comes_late_learns_who_is_there(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 1) as made:
        ann, bob = await made.users(2)
        await made.group(ann, bob)
        await made.phone(bob)
        await made.node()
        a = await made.phone(ann, node=1)
        async with asyncio.timeout(5):
            while (await a.call("presence.watch", user_ids=[bob]))["users"][0]["status"] != "online":
                pass


async def test_strangers_are_left_out_and_last_active_survives(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 1) as made:
        ann, bob, eve = await made.users(3)
        await made.group(ann, bob)
        b = await made.phone(bob)
        await b.close()
        await made.nodes[0].close()
        made.nodes.clear()
        await made.node()
        a = await made.phone(ann)
        state = await a.call("presence.watch", user_ids=[bob, eve])
        assert [u["user_id"] for u in state["users"]] == [bob]
        assert state["users"][0]["status"] == "offline"
        assert state["users"][0]["last_active_at"] is not None
        status, answer = await made.rest(ann, "GET", f"/api/presence?user_ids={bob},{eve}")
        assert status == 200
        assert answer["users"] == state["users"]
        too_many = await a.call("presence.watch", user_ids=[bob] * 501)
        assert too_many["code"] == "validation_failed"


async def test_typing_ends_by_itself_and_is_throttled(settings) -> None:  # type: ignore[no-untyped-def]
    async with world(msgspec.structs.replace(settings, presence=QUICK), 2) as made:
        ann, bob = await made.users(2)
        chat = await made.group(ann, bob)
        a, b, b2 = await made.phone(ann), await made.phone(bob, node=1), await made.phone(bob)
        for _ in range(5):
            await b.call("typing.start", chat_id=chat)
        start = await a.event("typing.start", user_id=bob)
        assert start["expires_in_ms"] == 500
        await a.event("typing.stop", user_id=bob)
        assert len(a.seen("typing.start")) == 1
        assert len(a.seen("typing.stop")) == 1
        await b2.fence()
        assert not b.seen("typing.start", "typing.stop")
        assert not b2.seen("typing.start", "typing.stop")
        status, answer = await made.rest(
            bob, "POST", f"/chats/{chat}/typing", {"is_typing": True, "user_id": bob}
        )
        assert (status, answer) == (200, {"expires_in_ms": 500})
        status, _ = await made.rest(bob, "POST", f"/chats/{chat}/typing", {"is_typing": True, "user_id": ann})
        assert status == 403


async def test_a_node_that_has_just_come_knows_who_is_there(one):  # type: ignore[no-untyped-def]
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    await one.phone(bob)
    fresh = Node(one.settings, clock=one.clock)
    await fresh.open("127.0.0.1", 0, settle_s=5.0)
    one.nodes.append(fresh)
    a = await one.phone(ann, node=1)
    state = await a.call("presence.watch", user_ids=[bob])
    assert [user["status"] for user in state["users"]] == ["online"]
