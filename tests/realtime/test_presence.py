"""Presence as a property: whatever is lost between nodes, they come to rest at the truth."""

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.core.settings import Presence
from chatd.realtime import envelope
from chatd.realtime.presence import NodePresence

USERS = ("u1", "u2", "u3")
GRACE, TIMEOUT = 10.0, 15.0


class Cluster:
    """Two nodes, a bus that may lose, and one clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.losing = False
        self.bus: list[tuple[str, Any]] = []
        self.shown: list[tuple[str, str]] = []
        self.nodes = {name: self._node(name) for name in ("a", "b")}
        self.beats = 0

    def _node(self, name: str) -> NodePresence:
        return NodePresence(
            Presence(offline_grace_s=GRACE, node_timeout_s=TIMEOUT),
            node_id=name,
            tell=lambda said: None if self.losing else self.bus.append((name, said)),
            tell_watchers=lambda ids, user, status, since, shown: self.shown.append((user, status)),
            link_is_well=lambda: True,
            monotonic=lambda: self.now,
            wall=lambda: self.now,
        )

    async def settle(self, seconds: float = 0.0) -> None:
        """Let everything that is said be heard, and time pass in beats."""
        for _ in range(max(1, int(seconds))):
            await asyncio.sleep(0)
            if seconds:
                self.now += 1
                self.beats += 1
                for name, node in self.nodes.items():
                    if not self.losing:
                        self.bus.append((name, envelope.Beat(name, self.beats, node.version)))
            for _ in range(6):
                said, self.bus = self.bus, []
                for origin, message in said:
                    for name, node in self.nodes.items():
                        if name != origin:
                            node.heard(message)
            for node in self.nodes.values():
                node.tick()


actions = st.lists(
    st.tuples(
        st.sampled_from(["connect", "drop", "online", "away", "invisible", "lose", "mend", "wait"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(USERS),
    ),
    max_size=40,
)


def _truth(devices: dict[str, dict[str, str]], user: str) -> str:
    ranks = {"online": 3, "away": 2, "invisible": 1}
    states = list(devices.get(user, {}).values())
    best = max(states, key=ranks.__getitem__, default="invisible")
    return "offline" if best == "invisible" else best


async def _run(steps: list[tuple[str, str, str]]) -> None:
    cluster = Cluster()
    devices: dict[str, dict[str, str]] = {}
    where: dict[str, str] = {}
    count = 0
    for what, node, user in steps:
        mine = devices.setdefault(user, {})
        if what == "connect":
            count += 1
            connection = f"c{count}"
            cluster.nodes[node].connected(user, connection)
            cluster.nodes[node].set_status(user, connection, "online")
            mine[connection], where[connection] = "online", node
        elif what == "drop" and mine:
            connection = next(iter(mine))
            cluster.nodes[where[connection]].disconnected(user, connection)
            del mine[connection]
        elif what in ("online", "away", "invisible") and mine:
            connection = next(iter(mine))
            cluster.nodes[where[connection]].set_status(user, connection, what)
            mine[connection] = what
        elif what == "lose":
            cluster.losing = True
        elif what == "mend":
            cluster.losing = False
        elif what == "wait":
            await cluster.settle(1)
        await cluster.settle()
    cluster.losing = False
    await cluster.settle(GRACE + 4)
    for node in cluster.nodes.values():
        for user in USERS:
            assert node.status_of(user) == _truth(devices, user)


@settings(max_examples=80, deadline=None)
@given(actions)
def test_nodes_come_to_rest_at_the_truth(steps: list[tuple[str, str, str]]) -> None:
    asyncio.run(_run(steps))


async def test_a_flap_is_told_to_nobody() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    a.connected("u1", "c1")
    await cluster.settle(1)
    b.watch("w", {"u1": "online"})
    a.disconnected("u1", "c1")
    await cluster.settle(GRACE - 2)
    b.connected("u1", "c2")
    await cluster.settle(GRACE + 4)
    assert cluster.shown == []
    b.disconnected("u1", "c2")
    await cluster.settle(GRACE + 4)
    assert cluster.shown == [("u1", "offline")]


async def test_a_silent_node_takes_its_users_with_it() -> None:
    cluster = Cluster()
    cluster.nodes["a"].connected("u1", "c1")
    await cluster.settle(1)
    b = cluster.nodes["b"]
    b.watch("w", {"u1": "online"})
    del cluster.nodes["a"]
    await cluster.settle(TIMEOUT - 1)
    assert b.status_of("u1") == "online"
    await cluster.settle(3)
    assert b.status_of("u1") == "offline"
    assert cluster.shown == [("u1", "offline")]


async def test_an_invisible_device_stays_invisible_over_a_flap() -> None:
    cluster = Cluster()
    a = cluster.nodes["a"]
    a.connected("u1", "c1")
    a.set_status("u1", "c1", "invisible")
    await cluster.settle(1)
    cluster.nodes["b"].watch("w", {"u1": "offline"})
    a.disconnected("u1", "c1")
    a.connected("u1", "c2")
    await cluster.settle(2)
    assert cluster.shown == []


async def test_an_invisible_device_stays_invisible_when_it_comes_back_on_another_node() -> None:
    cluster = Cluster()
    a, b = cluster.nodes["a"], cluster.nodes["b"]
    a.connected("u1", "c1")
    a.set_status("u1", "c1", "invisible")
    await cluster.settle(1)
    b.watch("w", {"u1": "offline"})
    a.disconnected("u1", "c1")
    await cluster.settle(1)
    b.connected("u1", "c2")
    await cluster.settle(1)
    b.disconnected("u1", "c2")
    await cluster.settle(1)
    a.connected("u1", "c3")
    await cluster.settle(GRACE + 4)
    assert cluster.shown == []
    b.connected("u1", "c4")  # this one comes from nowhere
    await cluster.settle(1)
    assert cluster.shown == [("u1", "online")]
