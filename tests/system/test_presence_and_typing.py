"""The bounds of protocol.md, section 5. What nodes wait for each other passes when the test says so."""

import time
from datetime import datetime, timedelta

import msgspec
import pytest

from chatd.boot import Node
from chatd.core.settings import Presence, Settings
from chatd.features.accounts import service as accounts
from chatd.features.presence import jobs
from chatd.features.relations import service as relations
from chatd.realtime import envelope
from tests.system.world import Phone, World
from tests.waiting import PATIENCE_S, until

GRACE_S, TIMEOUT_S = 600.0, 1200.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """However slow a machine is: nobody is gone by it, and no second start of typing goes out."""
    presence = Presence(
        offline_grace_s=GRACE_S, node_timeout_s=TIMEOUT_S, typing_ttl_s=0.5, typing_every_s=3600.0
    )
    return msgspec.structs.replace(settings, presence=presence)


async def sees(phone: Phone, user: str, status: str) -> None:
    """Watch the user until they are seen so."""
    await phone.call("presence.watch", user_ids=[user])
    await phone.wait(
        lambda f: (
            (f["type"] == "presence.state" and [u["status"] for u in f["users"]] == [status])
            or (f["type"] == "presence.update" and (f["user_id"], f["status"]) == (user, status))
        )
    )


async def hangs_up(world: World, phone: Phone) -> None:
    """Close the phone, and see that its node knows."""
    open_before = sum(len(node.edge.by_id) for node in world.nodes)
    await phone.close()
    await until(lambda: sum(len(node.edge.by_id) for node in world.nodes) < open_before)


async def test_a_flap_is_seen_by_nobody_and_an_end_is(two: World) -> None:
    ann, bob = await two.users(2)
    await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    await two.phone(ann, node=1)
    await sees(a, bob, "online")
    since = len(a.frames)
    for node in (0, 1, 0):
        await hangs_up(two, b)
        b = await two.phone(bob, node=node)
    two.clock.skipped += GRACE_S + 1
    await until(lambda: bob not in two.nodes[1].presence.here())  # what the flaps left there has ended
    await b.call("presence.set", status="away")
    await a.event("presence.update", user_id=bob, status="away")
    assert [f["status"] for f in a.frames[since:] if f["type"] == "presence.update"] == ["away"]
    await hangs_up(two, b)
    two.clock.skipped += GRACE_S + 1
    gone = await a.event("presence.update", user_id=bob, status="offline")
    assert gone["last_active_at"].endswith("Z")


async def test_one_device_of_two_keeps_a_user_online(two: World) -> None:
    ann, bob = await two.users(2)
    await two.group(ann, bob)
    a = await two.phone(ann)
    b1, b2 = await two.phone(bob), await two.phone(bob, node=1)
    await sees(a, bob, "online")
    await hangs_up(two, b1)
    two.clock.skipped += GRACE_S + 1
    await until(lambda: bob not in two.nodes[0].presence.here())
    await b2.call("presence.set", status="away")
    await a.event("presence.update", user_id=bob, status="away")
    assert not [f for f in a.seen("presence.update") if f["status"] == "offline"]
    await hangs_up(two, b2)
    two.clock.skipped += GRACE_S + 1
    await a.event("presence.update", user_id=bob, status="offline")


async def test_a_node_that_dies_takes_its_users_offline(two: World) -> None:
    ann, bob = await two.users(2)
    await two.group(ann, bob)
    a, _ = await two.phone(ann), await two.phone(bob, node=1)
    await sees(a, bob, "online")
    for task in two.nodes[1].broker.tasks:  # it falls silent, as after a kill -9
        task.cancel()

    def gone() -> bool:
        two.clock.skipped += TIMEOUT_S / 10  # in steps: while its own link is down, a node counts from anew
        return bool([f for f in a.seen("presence.update") if f["status"] == "offline"])

    await until(gone)


async def test_a_node_that_comes_late_learns_who_is_there(one: World) -> None:
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    await one.phone(bob)
    await one.node()
    await sees(await one.phone(ann, node=1), bob, "online")


async def test_strangers_are_left_out_and_last_active_survives(one: World) -> None:
    ann, bob, eve = await one.users(3)
    await one.group(ann, bob)
    await (await one.phone(bob)).close()
    await one.nodes[0].close()
    one.nodes.clear()
    await one.node()
    a = await one.phone(ann)
    state = await a.call("presence.watch", user_ids=[bob, eve])
    assert [u["user_id"] for u in state["users"]] == [bob]
    assert state["users"][0]["status"] == "offline"
    assert state["users"][0]["last_active_at"] is not None
    status, answer = await one.rest(ann, "GET", f"/api/presence?user_ids={bob},{eve}")
    assert status == 200
    assert answer["users"] == state["users"]
    too_many = await a.call("presence.watch", user_ids=[bob] * 501)
    assert too_many["code"] == "validation_failed"


async def test_typing_ends_by_itself_and_is_throttled(two: World) -> None:
    ann, bob = await two.users(2)
    chat = await two.group(ann, bob)
    a, b, b2 = await two.phone(ann), await two.phone(bob, node=1), await two.phone(bob)
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
    status, answer = await two.rest(bob, "POST", f"/chats/{chat}/typing", {"is_typing": True, "user_id": bob})
    assert (status, answer) == (200, {"expires_in_ms": 500})
    status, _ = await two.rest(bob, "POST", f"/chats/{chat}/typing", {"is_typing": True, "user_id": ann})
    assert status == 403


async def test_a_node_that_has_just_come_knows_who_is_there(one: World) -> None:
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    await one.phone(bob)
    fresh = Node(one.settings, clock=one.clock)
    await fresh.open("127.0.0.1", 0, settle_s=PATIENCE_S)
    one.nodes.append(fresh)
    a = await one.phone(ann, node=1)
    state = await a.call("presence.watch", user_ids=[bob])
    assert [user["status"] for user in state["users"]] == ["online"]


async def test_a_change_while_a_watch_is_answered_is_not_undone_by_the_answer(
    one: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    a, b = await one.phone(ann), await one.phone(bob)
    sights, presence = relations.sights, one.nodes[0].presence

    async def slowly(*args, **kwargs):  # type: ignore[no-untyped-def]
        found = await sights(*args, **kwargs)
        if presence._watching:  # the list stands: from here on ann is told
            monkeypatch.undo()
            await b.call("presence.set", status="away")
            await until(lambda: a.seen("presence.update"))
        return found

    monkeypatch.setattr(relations, "sights", slowly)
    state = await a.call("presence.watch", user_ids=[bob])
    assert [f["status"] for f in a.seen("presence.update")] == ["away"]
    assert [user["status"] for user in state["users"]] == ["away"]


async def test_what_a_kill_of_the_only_node_forgets_of_last_active_is_a_minute_at_most(one: World) -> None:
    ann, bob, cee = await one.users(3)
    await one.group(ann, bob, cee)
    ctx, long_ago = one.nodes[0].ctx, one.clock.now() - timedelta(days=9)
    await one.nodes[0].runner.stop()  # the jobs run when the test says so
    await ctx.db.run("UPDATE users SET last_active_at = $1", long_ago)
    came = one.clock.now()
    await one.phone(bob)
    c = await one.phone(cee)
    await c.call("presence.set", status="invisible")
    hidden = one.clock.now()
    await jobs.store_changes(ctx)
    # From here on it may die.
    stored = await accounts.last_active(ctx.db, [bob, cee])
    assert came <= stored[bob] <= one.clock.now()
    assert came <= stored[cee] <= hidden
    one.clock.offset = timedelta(minutes=5)
    await jobs.store_the_present(ctx)
    later = await accounts.last_active(ctx.db, [bob, cee])
    assert later[bob] >= stored[bob] + timedelta(minutes=4)
    assert later[cee] == stored[cee]  # nobody is to know that they are there
    _, profile = await one.rest(ann, "GET", f"/api/users/{cee}")
    assert datetime.fromisoformat(profile["last_active_at"]) == stored[cee]


async def test_a_node_whose_clock_is_ahead_sees_nobody_in_the_future(one: World) -> None:
    ann, bob = await one.users(2)
    await one.group(ann, bob)
    one.nodes[0].presence.heard(envelope.PresenceFull("other", 1, 0, 1, {bob: ("away", time.time() + 3600)}))
    a = await one.phone(ann)
    state = await a.call("presence.watch", user_ids=[bob])
    one.nodes[0].presence.heard(envelope.PresenceDiff("other", 2, {bob: (None, time.time() + 3600)}))
    gone = await a.event("presence.update", user_id=bob, status="offline")
    for told in (state["users"][0], gone):
        assert datetime.fromisoformat(told["last_active_at"]) <= one.clock.now()


async def test_nothing_that_one_does_while_invisible_moves_last_active_at(two: World) -> None:
    ann, bob = await two.users(2)
    await two.group(ann, bob)
    a, b = await two.phone(ann), await two.phone(bob, node=1)
    await sees(a, bob, "online")
    await b.call("presence.set", status="invisible")
    hidden = await a.event("presence.update", user_id=bob, status="offline")
    ctx = two.nodes[1].ctx
    await jobs.store_changes(ctx)
    two.clock.offset += timedelta(minutes=5)
    await jobs.store_the_present(ctx)
    await hangs_up(two, b)
    two.clock.skipped += GRACE_S + 1
    await until(lambda: not two.nodes[0].presence.has_socket(bob))
    await jobs.store_changes(ctx)
    for node in (0, 1):
        _, found = await two.rest(ann, "GET", f"/api/presence?user_ids={bob}", node=node)
        assert found["users"][0]["last_active_at"] == hidden["last_active_at"]
    _, profile = await two.rest(ann, "GET", f"/api/users/{bob}")
    assert profile["last_active_at"] == hidden["last_active_at"]
