"""One chat, many sockets on one worker, a publisher with a window of durable sends; and the hub alone.

Per core: deliveries divided by the CPU seconds of the process that makes them, so other work on the machine
does not count. The floor is a bare uvloop protocol that makes one write a delivery, of the same bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from loadtest.benches.floors import bare_server, floor_message
from loadtest.benches.hub import CHAT, hub_server
from loadtest.benches.load import Load, load
from loadtest.benches.machine import cpu_s
from loadtest.benches.measure import Broken, Window, medians, rounded, window
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig

WINDOWS = (1, 4, 32)
SAMPLERS = 2


@dataclass
class Target:
    """A server with a crowd in one chat and one publisher."""

    name: str
    load: Load
    cpu: Callable[[], float]
    sockets: int
    checked: bool = True

    @property
    def listeners(self) -> list[str]:
        return (
            [f"{self.name} listeners", f"{self.name} samplers"]
            if self.checked
            else [f"{self.name} listeners"]
        )

    async def connect(self, port: int, tokens: list[str], chat_id: str) -> None:
        """Everybody in: the last token publishes, the first ones are samplers."""
        samplers = SAMPLERS if self.checked else 0
        crowd = [{"token": token} for token in tokens[:-1]]
        publisher = {"token": tokens[-1], "chat_id": chat_id, "name": self.name}
        for group, kind, users in (
            ("samplers", "sampler", crowd[:samplers]),
            ("listeners", "listener", crowd[samplers:]),
            ("publisher", "sender", [publisher]),
        ):
            done = await self.load("connect", group=f"{self.name} {group}", kind=kind, port=port, users=users)
            if done["problems"]:
                raise Broken(f"{self.name}: sockets do not open: {done['problems']}")

    async def measure(self, in_flight: int, seconds: float, *, patience_s: float = 30.0) -> Window:
        """Publish for a while; then every socket must have every message, and samplers in full."""
        publisher = f"{self.name} publisher"
        await self.load("reset", groups=[publisher, *self.listeners])
        await self.load("start", group=publisher, window=in_flight)
        await asyncio.sleep(min(0.3, seconds / 2))
        measured = await window(self.load, self.cpu, self.listeners, seconds)
        await self.load("stop", group=publisher)
        await self._check(publisher, patience_s)
        return measured

    async def _check(self, publisher: str, patience_s: float) -> None:
        sent = await self.load("counts", groups=[publisher])
        if sent["refused"] or sent["acked"] != sent["sent"]:
            raise Broken(f"{self.name}: {sent['refused']} sends of {sent['sent']} were refused")
        for group in self.listeners:
            wait = {"expect": sent["acked"], "patience_s": patience_s}
            others = (await self.load("each", group=group, **wait))["others"]
            if others:
                raise Broken(f"{self.name}: {others} of the {group} have not {sent['acked']} frames")
        seen = await self.load("counts", groups=self.listeners)
        if seen["wrong"] or seen["lost"] or seen["ambiguous"]:
            raise Broken(f"{self.name}: {seen}")


async def run(options: Options) -> dict[str, Any]:
    """The fan-out table."""
    sockets = options.pick(500, 12)
    seconds, rounds = options.pick(2.0, 0.3), options.pick(5, 1)
    async with targets(options, sockets) as (chatd, hub, floor):
        results = [await _round(chatd, hub, floor, seconds) for _ in range(rounds)]
    return rounded({"sockets": sockets, "rounds": rounds, **_summary(results)})


@asynccontextmanager
async def targets(options: Options, sockets: int) -> AsyncIterator[tuple[Target, Target, Target]]:
    """chatd, its hub alone, and the floor, each with a crowd of its own; they share the server's core."""
    async with AsyncExitStack() as stack:
        generator = await stack.enter_async_context(load(options.cores.load))
        server = await stack.enter_async_context(rig(options))
        chatd = await crowded(server, generator, sockets)
        port, pid = await stack.enter_async_context(hub_server(options.cores.server))
        hub = Target("hub", generator, lambda: cpu_s(pid), sockets)
        users = [user["id"] for user in server.users]
        await hub.connect(port, users, CHAT)
        size = await _frame_size(chatd)
        message = floor_message(CHAT)
        bare_port, bare = await stack.enter_async_context(
            bare_server(options.cores.server, len(message), size)
        )
        floor = Target("floor", generator, lambda: cpu_s(bare), sockets, checked=False)
        await floor.connect(bare_port, users, CHAT)
        yield chatd, hub, floor


async def crowded(server: Rig, generator: Load, sockets: int, name: str = "chatd") -> Target:
    """chatd with one chat whose every member has a socket, and one more who publishes."""
    await server.seed(users=sockets + 1, chats=1, members=sockets + 1)
    target = Target(name, generator, lambda: cpu_s(*server.workers), sockets)
    chat = server.chats[0]
    await target.connect(server.port, [server.token(user) for user in chat["member_ids"]], chat["id"])
    return target


async def _frame_size(chatd: Target) -> int:
    await chatd.measure(1, 0.2)
    return int((await chatd.load("counts", groups=chatd.listeners))["size"])


async def _round(chatd: Target, hub: Target, floor: Target, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"client_bound": []}
    for name, target, windows in (("floor", floor, (1,)), ("chatd", chatd, WINDOWS), ("hub", hub, WINDOWS)):
        for in_flight in windows:
            measured = await target.measure(in_flight, seconds)
            found[f"{name}{in_flight}"] = measured.got / max(measured.server_cpu_s, 0.01)
            found[f"{name}{in_flight} wall"] = measured.got / measured.seconds
            if measured.client_bound:
                found["client_bound"].append(f"{name} w{in_flight}")
    return found


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    bound = sorted({name for r in results for name in r.pop("client_bound")})
    for r in results:
        for name in ("chatd", "hub"):
            for w in WINDOWS:
                r[f"{name}{w} ratio"] = r[f"{name}{w}"] / r["floor1"]
    middle = medians(results)

    def of(name: str, what: str = "") -> dict[str, float]:
        return {f"w{w}": middle[f"{name}{w}{what}"] for w in WINDOWS}

    return {
        "deliveries_per_core_s": of("chatd"),
        "deliveries_s": of("chatd", " wall"),
        "floor_per_core_s": middle["floor1"],
        "ratio": of("chatd", " ratio"),
        "hub": {
            "deliveries_per_core_s": of("hub"),
            "deliveries_s": of("hub", " wall"),
            "ratio": of("hub", " ratio"),
        },
        "client_bound": bound,
    }
