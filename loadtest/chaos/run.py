"""One run: people talk, faults strike, everything comes to rest, and the records are judged."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loadtest.chaos import truth as truths
from loadtest.chaos.checks import ephemeral, history, logs, outage, states
from loadtest.chaos.faults import FAULTS, Stage
from loadtest.chaos.people import Crowd, Device, Person
from loadtest.chaos.records import Records, Strike, Truth, Violation
from loadtest.chaos.world import World, world
from loadtest.rest import Api, ChatdError

GUESTS = 2
#: How often a fault does not come alone.
TWICE = 0.3
COUNTERS = ("gaps", "heals", "redis_reconnects", "slow_closes", "ephemeral_drops")
#: How long after its end a fault may still be felt; where a worker takes long to start, because the machine
#: has other things to do, three such starts.
HEAL_S, STARTS = 30.0, 3
#: What this machine may lose us on its own, beyond what we notice ourselves.
SLACK_S = 2.0
#: One message is acked within this, by one worker or another: a fault's 10 s, a retry after 8 s, and again.
ACKED_S = 30.0
#: An acked message reaches every open socket within this, whatever Redis does (protocol.md, 4.6).
DELIVERED_S = 2.0


@dataclass(frozen=True)
class Options:
    seed: int
    minutes: float = 10.0
    faults: Sequence[str] = tuple(FAULTS)
    #: Each fault once and not for long.
    brief: bool = False
    people: int = 8
    per_s: float = 4.0
    """What one person does in a second, on average."""

    @property
    def grace_s(self) -> float:
        """presence.offline_grace_s of the nodes; a short run has less patience."""
        return 3.0 if self.brief else 10.0

    @property
    def node_timeout_s(self) -> float:
        """presence.node_timeout_s, likewise."""
        return 5.0 if self.brief else 15.0


@dataclass
class Verdict:
    """What a run was, and what it broke."""

    options: Options
    records: Records
    violations: list[Violation]
    took_s: float
    closes: Counter[int]
    """How often a socket ended with which code, as the clients saw it."""
    counted: dict[str, int]
    """Counters of /metrics, over all nodes."""


async def run(options: Options) -> Verdict:
    """Raises NotServing, EmbeddedError, ChatdError where it cannot even begin."""
    began = time.monotonic()
    records = Records()
    rng = random.Random(options.seed)
    settings = {
        "CHATD_PRESENCE_OFFLINE_GRACE_S": str(options.grace_s),
        "CHATD_PRESENCE_NODE_TIMEOUT_S": str(options.node_timeout_s),
        # Tokens run out within a run, also while there is nobody to renew them.
        "CHATD_AUTH_ACCESS_TTL_S": "150",
        # The path of the rates is part of what is checked, the rates are not.
        "CHATD_LIMITS_SENDS_PER_10S": "1000000",
        "CHATD_LIMITS_SENDS_BURST": "1000000",
        # Small, so that replays end in resets and slow readers are found in a run's time.
        "CHATD_MESSAGES_REPLAY_LIMIT": "200",
        "CHATD_SOCKET_HEARTBEAT_MS": "5000",
        "CHATD_SOCKET_EPHEMERAL_MARK_BYTES": "32768",
        "CHATD_SOCKET_CLOSE_MARK_BYTES": "131072",
    }
    async with world(settings) as made, Api(*made.urls, timeout_s=20.0) as api, _pulse(records):
        records.heal_s = max(HEAL_S, STARTS * made.start_s)
        crowd = Crowd(records, made.urls, made.proxied_urls, rng)
        await _populate(crowd, api, options)
        await _strike(made, crowd, options)
        violations = await _rest(crowd, options)
        records.ended_at = time.monotonic()
        counted = {name: await made.counted(f"chatd_{name}_total") for name in COUNTERS}
        found = await truths.fetch([*crowd.people, *crowd.guests], made.services.postgres.url)
        await asyncio.gather(*(person.close() for person in (*crowd.people, *crowd.guests)))
        records.defects += [Violation("defect", 0.0, complaint) for complaint in made.complaints()]
    violations += judge(records, found, options)
    closes = sum((device.closes for device in crowd.devices), Counter())
    return Verdict(options, records, violations, time.monotonic() - began, closes, counted)


async def _populate(crowd: Crowd, api: Api, options: Options) -> None:
    """People, a chat of all, some of a few, and their devices: of the first half near ones alone."""
    rng = crowd.rng
    accounts = []
    for index in range(options.people + GUESTS):
        email = f"person{index}@example.com"
        await api.register(email, "a password for everybody", f"Person {index}")
        accounts.append(await api.login(email, "a password for everybody"))
    members = [list(range(options.people))]
    members += [sorted(rng.sample(range(options.people), options.people // 2)) for _ in range(3)]
    chats: list[list[str]] = [[] for _ in accounts]
    for number, group in enumerate(members):
        ids = [accounts[index].user_id for index in group]
        chat_id = await api.create_group(accounts[group[0]], ids[1:], f"Group {number}")
        for index in group:
            chats[index].append(chat_id)
    everybody = [account.user_id for account in accounts[: options.people]]
    for index, account in enumerate(accounts[options.people :]):
        guest = Person(crowd, account, f"g{index}", [], 0.0)
        crowd.guests.append(guest)
        await guest.equip(2, 0, [])
    for index, account in enumerate(accounts[: options.people]):
        person = Person(crowd, account, f"p{index}", chats[index], options.per_s)
        crowd.people.append(person)
        far = index >= options.people // 2
        await person.equip(2 if index % 2 else 1, 1 if far else 0, everybody)
        if index % 3 == 2:
            await person.equip(1, 0, everybody, scope=chats[index][0])


async def _strike(made: World, crowd: Crowd, options: Options) -> None:
    """Faults while people talk, one at a time, each after the last one has healed."""
    stage = Stage(made, crowd, crowd.rng, hurry=options.brief)
    lives = [asyncio.create_task(person.live(), name=person.name) for person in crowd.people]
    host = crowd.people[0]
    lives += [asyncio.create_task(host.host(guest, host.chats[0])) for guest in crowd.guests]
    try:
        await asyncio.sleep(1.0)
        end = time.monotonic() + options.minutes * 60
        if not options.faults:
            await asyncio.sleep(options.minutes * 60)
        while options.faults:
            order = list(options.faults)
            crowd.rng.shuffle(order)
            for name in order:
                strikes = [_one(stage, name)]
                if not options.brief and crowd.rng.random() < TWICE:
                    # Misfortunes come together; but two of one kind would only spoil each other.
                    others = [other for other in order if _kind(other) != _kind(name)]
                    strikes += [_one(stage, other) for other in crowd.rng.sample(others, min(1, len(others)))]
                await asyncio.gather(*strikes)
                await asyncio.sleep(0.5 if options.brief else crowd.rng.uniform(1.0, 3.0))
                if not options.brief and time.monotonic() > end:
                    return
            if options.brief:
                return
    finally:
        for life in lives:
            life.cancel()
        await asyncio.wait(lives, timeout=5)


def _kind(name: str) -> str:
    """What it strikes: worker, redis, postgres, or the network."""
    what = name.rpartition("-")[2]
    return {"subscriptions": "redis", "cut": "", "stall": "", "throttle": "", "deafen": ""}.get(what, what)


async def _one(stage: Stage, name: str) -> None:
    strike = Strike(name, time.monotonic())
    stage.crowd.records.strikes.append(strike)
    await FAULTS[name].strike(stage)
    strike.undone = time.monotonic()
    while time.monotonic() < strike.undone + stage.crowd.records.heal_s:
        without = [device.name for device in stage.crowd.devices if not device.synced]
        strike.ailing = f"no socket: {', '.join(without)}" if without else await stage.world.ailing()
        if not strike.ailing:
            strike.healed = time.monotonic()
            return
        await asyncio.sleep(0.1)


async def _rest(crowd: Crowd, options: Options) -> list[Violation]:
    """Let everything come to rest; what does not."""
    found = []
    for person in crowd.people:
        if late := await person.settle(60.0):
            found.append(Violation("outage", time.monotonic(), f"{person.name}: {late} things never ended"))
    for device in crowd.devices:
        try:
            await device.opened(30.0)
        except ChatdError as error:
            return [*found, Violation("outage", time.monotonic(), f"{device.name} has no socket: {error}")]
    for guest in crowd.guests:
        await crowd.people[0].let_in(guest, crowd.people[0].chats[0])
    for chat_id in {chat_id for person in crowd.people for chat_id in person.chats}:
        person = next(p for p in crowd.people if chat_id in p.chats)
        last = await person.say(chat_id, "the last word")
        for other in crowd.people:
            if chat_id in other.chats:
                found += await _heard(other.devices_in(chat_id), chat_id, last.seq or 0)
    return found + await _presence_at_rest(crowd, options)


async def _heard(devices: Sequence[Device], chat_id: str, seq: int) -> list[Violation]:
    deadline = time.monotonic() + 10.0
    while any(device.logs[chat_id].last < seq for device in devices):
        if time.monotonic() > deadline:
            return [Violation("lost", time.monotonic(), f"{chat_id}: the last word did not come")]
        await asyncio.sleep(0.02)
    return []


async def _presence_at_rest(crowd: Crowd, options: Options) -> list[Violation]:
    """One goes, one hides, one is away, one types and says no more: what the others see must become that."""
    goes, hides, away, *others = crowd.people
    for device in goes.devices:
        await device.close()
    crowd.records.hidden[hides.account.user_id] = time.monotonic()
    for device in hides.devices:
        await device.command("presence.set", status="invisible")
    for device in away.devices:
        await device.command("presence.set", status="away")
    others[0].devices[0].tell("typing.start", chat_id=others[0].chats[0])
    wanted = {goes.account.user_id: "offline", hides.account.user_id: "offline", away.account.user_id: "away"}
    wanted |= {person.account.user_id: "online" for person in others}
    watchers = [device for person in others for device in person.devices]
    # What a node said that was killed holds until that is noticed.
    deadline = time.monotonic() + max(options.grace_s, options.node_timeout_s) + SLACK_S
    while wrong := list(ephemeral.at_rest({device.name: device.shown for device in watchers}, wanted)):
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.1)
    typing_ends = time.monotonic() + 5.0 + SLACK_S - options.grace_s
    await asyncio.sleep(max(0.0, typing_ends - time.monotonic()))
    asked = await others[0].call("GET", "/presence", user_ids=",".join(wanted))
    wrong += [
        f"GET /presence says {user['status']} of {user['user_id']}"
        for user in asked["users"]
        if user["status"] != wanted[user["user_id"]]
    ]
    return [Violation("presence", time.monotonic(), text) for text in wrong]


def judge(records: Records, truth: Truth, options: Options) -> list[Violation]:
    """Every check over the records of a run."""
    heads = {chat_id: len(log) for chat_id, log in truth.log.items()}
    members = {chat_id: set(reads) for chat_id, reads in truth.reads.items()}
    away = [_window(s, 3.0) for s in records.strikes if "postgres" in s.name]
    allowed = {name: fault.pause_s for name, fault in FAULTS.items()}
    return [
        *records.defects,
        *logs.order(records),
        *logs.ends(records, heads, members),
        *logs.live(records, DELIVERED_S + SLACK_S, away),
        *history.kept(records, truth),
        *history.acks(records),
        *history.deeds(records, truth),
        *states.equal(records, truth),
        *ephemeral.typing(records, SLACK_S),
        *ephemeral.presence(records, options.grace_s),
        *outage.bounded(records, allowed, records.heal_s, SLACK_S),
        *outage.patient(records, ACKED_S + SLACK_S, away),
    ]


def _window(strike: Strike, after_s: float) -> tuple[float, float]:
    return strike.began, (strike.healed or strike.undone) + after_s


@asynccontextmanager
async def _pulse(records: Records) -> AsyncIterator[None]:
    """Note when this process did not get to run, so that the server is not blamed for it."""

    async def beat() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.05)
            late = time.monotonic() - before - 0.05
            if late > 0.1:
                records.stalls.append((time.monotonic(), late))

    task = asyncio.create_task(beat(), name="pulse")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=1)


__all__ = ["ChatdError", "Options", "Verdict", "judge", "run"]
