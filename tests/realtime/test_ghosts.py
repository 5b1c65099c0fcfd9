"""A device that dropped, while nobody can tell whether it is back on another node."""

import asyncio
import math

from chatd.core.settings import Presence
from chatd.realtime import envelope
from chatd.realtime.presence import NodePresence
from tests.waiting import until

GRACE_S, TIMEOUT_S = 10.0, 15.0


class Hall:
    """One node with a clock, and what it says and shows."""

    def __init__(self) -> None:
        self.now, self.carried = 1000.0, math.inf
        self.said: list[envelope.NodeEnvelope] = []
        self.shown: list[str] = []
        self.presence = NodePresence(
            Presence(offline_grace_s=GRACE_S, node_timeout_s=TIMEOUT_S),
            node_id="a",
            tell=self.said.append,
            tell_watchers=lambda ids, user, status, since, shown: self.shown.append(status),
            link_is_well=lambda: True,
            carried_until=lambda: self.carried,
            monotonic=lambda: self.now,
            wall=lambda: self.now,
        )

    async def drop(self) -> None:
        """A user who was here and watched loses the socket."""
        self.presence.watch("watcher", {"u": "online"})
        self.presence.connected("u", "c")
        await asyncio.sleep(0)
        self.presence.disconnected("u", "c")

    async def wait(self, seconds: float) -> list[str]:
        """What is shown after so long."""
        self.now += seconds
        self.presence.tick()
        await asyncio.sleep(0)
        return self.shown


async def test_a_device_that_dropped_is_gone_after_the_grace() -> None:
    hall = Hall()
    await hall.drop()
    assert await hall.wait(GRACE_S - 0.1) == []
    assert await hall.wait(0.2) == ["offline"]


async def test_it_is_not_gone_while_another_node_may_have_it_and_could_not_say_so() -> None:
    hall = Hall()
    await hall.drop()
    hall.carried = hall.now
    assert await hall.wait(GRACE_S + 0.1) == []
    hall.presence.heard(envelope.PresenceFull("b", 1, 0, 1, {"u": ("online", hall.now)}))
    hall.carried = hall.now
    assert await hall.wait(1.0) == []
    assert hall.presence.status_of("u") == "online"


async def test_nor_for_ever() -> None:
    hall = Hall()
    await hall.drop()
    hall.carried = hall.now
    assert await hall.wait(GRACE_S + TIMEOUT_S - 0.1) == []
    assert await hall.wait(0.2) == ["offline"]


async def test_many_who_ask_everybody_at_once_get_one_answer() -> None:
    hall = Hall()
    await hall.drop()
    hall.said.clear()
    for node in ("b", "c", "d"):
        hall.presence.heard(envelope.PresenceAsk(node, "*"))
    await until(lambda: hall.said)
    assert hall.said == [envelope.PresenceFull("a", 1, 0, 1, {"u": ("online", 1000.0)})]
