"""When somebody was last seen: right whatever ended it, and nothing of who is invisible."""

from tests.realtime.test_presence import GRACE, TIMEOUT, Cluster


async def test_who_was_on_a_node_that_died_was_seen_until_it_was_last_heard() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    b.connected("u1", "c1")
    b.disconnected("u1", "c1")  # seen to leave before: that is not when it was last
    await cluster.settle(GRACE + 4)
    a.connected("u1", "c2")
    await cluster.settle(60)
    b.last_seen.take_gone()
    died = cluster.now
    del cluster.nodes["a"]
    await cluster.settle(TIMEOUT + 3)
    assert b.status_of("u1") == "offline"
    assert b.since("u1") == died
    assert b.last_seen.take_gone() == {"u1": died}


async def test_a_leaving_from_before_is_not_taken_for_one_that_was_missed() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    a.connected("u1", "c1")
    a.disconnected("u1", "c1")
    await cluster.settle(GRACE + 4)
    assert b.since("u1") == 1000.0
    a.connected("u1", "c2")
    await cluster.settle(1)
    cluster.losing = True
    a.disconnected("u1", "c2")
    await cluster.settle(GRACE + 2)
    cluster.losing = False
    await cluster.settle(4)
    assert b.status_of("u1") == "offline"
    assert b.since("u1") is None  # PostgreSQL knows


async def test_one_who_becomes_invisible_was_seen_until_then_and_not_after() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    a.connected("u1", "c1")
    await cluster.settle(5)
    assert a.seen() == ["u1"]
    hidden = cluster.now
    a.set_status("u1", "c1", "invisible")
    await cluster.settle(5)
    assert a.last_seen.take_gone() == {"u1": hidden}
    for what in (lambda: None, lambda: a.disconnected("u1", "c1"), lambda: a.connected("u1", "c2")):
        what()
        await cluster.settle(2)
        assert (a.seen(), a.since("u1"), b.since("u1")) == ([], hidden, hidden)
    a.disconnected("u1", "c2")
    await cluster.settle(GRACE + 4)
    assert (a.here(), a.since("u1"), b.since("u1")) == ([], hidden, hidden)
    assert a.last_seen.take_gone() == b.last_seen.take_gone() == {}


async def test_a_device_that_dropped_beside_an_invisible_one_was_seen_until_it_dropped() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    a.connected("u1", "c1")
    a.connected("u1", "c2")
    a.set_status("u1", "c2", "invisible")
    await cluster.settle(5)
    dropped = cluster.now
    a.disconnected("u1", "c1")
    assert a.seen() == []
    assert a.last_seen.take_gone() == {"u1": dropped}  # a kill -9 in the grace must not lose it
    await cluster.settle(GRACE + 4)
    assert (a.status_of("u1"), a.since("u1"), b.since("u1")) == ("offline", dropped, dropped)


async def test_who_comes_is_told_once_and_again_where_it_could_not_be_stored() -> None:
    cluster = Cluster()
    seen = cluster.nodes["a"].last_seen
    cluster.nodes["a"].connected("u1", "c1")
    come = seen.take_come()
    assert (come, seen.take_come()) == ({"u1": 1000.0}, {})
    seen.give_back({"u2": 900.0}, come)
    assert (seen.take_come(), seen.take_gone()) == ({"u1": 1000.0}, {"u2": 900.0})
