"""What grows with it? ``fanout`` and ``durable`` at more and more sockets and at fewer again; readings over
more and more stored messages (``readings``), with every plan looked at.

The fan-out has a floor of its own at each number of sockets, since a loop over ten thousand sockets leaves
the processor's caches, whatever it does with them: what is judged is chatd's figure over the floor's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from loadtest.benches import readings
from loadtest.benches.durable import Senders
from loadtest.benches.fanout import SAMPLERS, Target
from loadtest.benches.floors import bare_server, floor_message
from loadtest.benches.load import Load, load
from loadtest.benches.machine import cpu_s
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig

_ROOM = {"CHATD_CHATS_MAX_MEMBERS": "20000"}
#: What is printed and not judged: the ratio to the floor is.
_RAW = ("fanout_w4_per_core_s", "fanout_floor_per_core_s")
IDLE_S = 60.0


async def run(options: Options) -> dict[str, Any]:
    """The series, and how far each is from flat."""
    sockets = options.pick([1000, 5000, 10_000], [6, 9])
    messages = options.pick([10_000, 100_000, 1_000_000], [500, 1000])
    series: dict[str, list[float]] = {}
    async with (
        load(options.cores.load) as generator,
        load(options.cores.load) as floors,
        rig(options, settings=_ROOM) as server,
    ):
        series |= await _fanouts(options, server, generator, floors, sockets)
    async with load(options.cores.load) as generator, rig(options, settings=_ROOM) as server:
        series |= await _sends(options, server, generator, sockets)
    read, scans = await readings.measure(options, messages)
    series |= read
    return rounded(
        {"sockets": sockets, "messages": messages, **series, **verdict(series), "seq_scans": scans}
    )


def verdict(series: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """``spread`` of a series is its largest figure over its smallest; of the ratio to the floor it is the
    smallest size's over the worst of all, since to come nearer to the floor is no fault.
    """
    spread = {name: max(values) / min(values) for name, values in series.items()}
    ratio = series["fanout_ratio"]
    spread["fanout_ratio"] = ratio[0] / min(ratio)
    worst = max(spread[name] for name in spread if name not in _RAW)
    return {"spread": spread, "worst_spread": worst, "client_bound": []}


def _up_and_down(sockets: Sequence[int]) -> list[int]:
    """The steps to be at, in turn: what drifts with time is not taken for growth."""
    steps = list(range(len(sockets)))
    return [*steps, *reversed(steps)]


# ------------------------------------------------------------------------------------------------- sockets


@dataclass
class Tiers:
    """Sockets of one kind that come and go by steps, each step a group of its own."""

    load: Load
    port: int
    name: str
    kind: str
    users: list[list[dict[str, Any]]]
    pause_s: float = 1.0
    groups: list[str] = field(default_factory=list)

    async def be_at(self, step: int) -> None:
        """As many as the steps up to this one have together."""
        while len(self.groups) > step + 1:
            await self.load("drop", group=self.groups.pop())
        while len(self.groups) <= step:
            group = f"{self.name} {len(self.groups)}"
            users = self.users[len(self.groups)]
            done = await self.load("connect", group=group, kind=self.kind, port=self.port, users=users)
            if done["problems"]:
                raise Broken(f"sockets do not open: {done['problems']}")
            self.groups.append(group)
        await asyncio.sleep(self.pause_s)  # until the server has noticed who went


@dataclass
class Growing(Target):
    """A target whose listeners come and go by steps."""

    tiers: Tiers | None = None

    @property
    def listeners(self) -> list[str]:
        assert self.tiers is not None
        return [*([f"{self.name} samplers"] if self.checked else []), *self.tiers.groups]


def _stepwise(users: list[dict[str, Any]], sockets: Sequence[int]) -> list[list[dict[str, Any]]]:
    return [users[begin:end] for begin, end in zip([0, *sockets], sockets, strict=False)]


async def _growing(
    options: Options,
    target: Growing,
    port: int,
    users: list[dict[str, Any]],
    publisher: dict[str, Any],
    sockets: Sequence[int],
) -> None:
    samplers = users[:SAMPLERS] if target.checked else []
    for group, kind, who in (("samplers", "sampler", samplers), ("publisher", "sender", [publisher])):
        done = await target.load("connect", group=f"{target.name} {group}", kind=kind, port=port, users=who)
        if done["problems"]:
            raise Broken(f"sockets do not open: {done['problems']}")
    rest = _stepwise(users, sockets)
    rest[0] = rest[0][len(samplers) :]
    pause_s = options.pick(1.0, 0.1)
    target.tiers = Tiers(target.load, port, f"{target.name} listeners", "listener", rest, pause_s)


async def _fanouts(
    options: Options, server: Rig, generator: Load, floors: Load, sockets: Sequence[int]
) -> dict[str, list[float]]:
    """One chat with more and more sockets and with fewer again, and the floor with as many, in turns."""
    most = max(sockets)
    await server.seed(users=most + 1, chats=1, members=most + 1)
    chat = server.chats[0]
    tokens = [server.token(user) for user in chat["member_ids"]]
    users = [{"token": token} for token in tokens[:-1]]
    publisher = {"token": tokens[-1], "chat_id": chat["id"], "name": "p"}
    chatd = Growing("chatd", generator, lambda: cpu_s(*server.workers), most)
    await _growing(options, chatd, server.port, users, publisher, sockets)
    assert chatd.tiers is not None
    await chatd.tiers.be_at(0)
    await chatd.measure(4, 0.2)
    size = int((await generator("counts", groups=chatd.listeners))["size"])
    message = floor_message(chat["id"])
    async with bare_server(options.cores.server, len(message), size) as (port, pid):
        floor = Growing("floor", floors, lambda: cpu_s(pid), most, checked=False)
        await _growing(options, floor, port, users, publisher, sockets)
        return await _in_turns(options, chatd, floor, sockets)


async def _in_turns(
    options: Options, chatd: Growing, floor: Growing, sockets: Sequence[int]
) -> dict[str, list[float]]:
    seconds = options.pick(2.0, 0.3)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for step in _up_and_down(sockets):
        for target in (chatd, floor):
            assert target.tiers is not None
            await target.tiers.be_at(step)
            await target.measure(4 if target is chatd else 1, seconds / 2)
        for _ in range(options.pick(2, 1)):
            ours = await chatd.measure(4, seconds)
            bare = await floor.measure(1, seconds)
            found[step].append(
                (ours.got / max(0.01, ours.server_cpu_s), bare.got / max(0.01, bare.server_cpu_s))
            )
    steps = [found[step] for step in range(len(sockets))]
    return {
        "fanout_w4_per_core_s": [median(ours for ours, _ in pairs) for pairs in steps],
        "fanout_floor_per_core_s": [median(bare for _, bare in pairs) for pairs in steps],
        "fanout_ratio": [median(ours / bare for ours, bare in pairs) for pairs in steps],
    }


# --------------------------------------------------------------------------------------------------- sends


async def _sends(
    options: Options, server: Rig, generator: Load, sockets: Sequence[int]
) -> dict[str, list[float]]:
    """200 senders among more and more sockets that listen, and among fewer again."""
    most, senders = max(sockets), options.pick(200, 4)
    await server.seed(users=most, chats=most // 2, members=2)
    seats = [(chat["id"], user) for chat in server.chats for user in chat["member_ids"]]
    talking = [
        {"token": server.token(user), "chat_id": chat, "name": f"s{i:04d}"}
        for i, (chat, user) in enumerate(seats[:senders])
    ]
    done = await generator("connect", group="senders", kind="sender", port=server.port, users=talking)
    if done["problems"]:
        raise Broken(f"sockets do not open: {done['problems']}")
    steps = _stepwise([{"token": server.token(user)} for _, user in seats], sockets)
    steps[0] = steps[0][senders:]
    tiers = Tiers(generator, server.port, "quiet", "idle", steps, options.pick(1.0, 0.1))
    crowd = Senders(server, generator, seats[:senders])
    found: dict[int, list[dict[str, float]]] = defaultdict(list)
    for step in _up_and_down(sockets):
        await tiers.be_at(step)
        for _ in range(options.pick(2, 1)):
            if not (options.tiny and found):
                await until_indexed(server)
            found[step].append(await crowd.measure(options.pick(2.5, 1.2)))
    return {
        f"durable_{name}": [median(one[name] for one in found[step]) for step in range(len(sockets))]
        for name in ("acked_s", "worker_us")
    }


async def until_indexed(server: Rig) -> None:
    """Wait until search has taken in what was sent: it would run beneath what is measured next."""
    database = await server.database()
    try:
        before, end = -1, asyncio.get_running_loop().time() + IDLE_S
        while asyncio.get_running_loop().time() < end:
            now = await database.fetchval(
                "SELECT n_tup_ins + n_tup_upd FROM pg_stat_user_tables WHERE relname = 'message_search'"
            )
            if now == before:
                return
            before = now
            await asyncio.sleep(1.5)  # the indexer looks once a second, and servers report as often
        raise Broken("search is not done with what was sent")
    finally:
        await database.close()
