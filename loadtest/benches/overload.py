"""Too much, too slow, too broken: three times the sends that can be stored; one reader that never reads among
500; a thousand broken connections beside a thousand good ones.
"""

import asyncio
import os
from contextlib import suppress
from statistics import median
from typing import Any

from loadtest.benches.durable import Senders, seat, senders, stored_by
from loadtest.benches.fanout import crowded
from loadtest.benches.load import Load, load
from loadtest.benches.machine import rss_bytes
from loadtest.benches.measure import Broken, quantile, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig


async def run(options: Options) -> dict[str, Any]:
    """All three."""
    async with senders(options, kind="stamped") as crowd:
        floods = await _floods(options, crowd)
    slow = await _slow_reader(options)
    hostile = await _hostile(options)
    bound = [name for name in ("obedient", "stubborn") if floods[name].pop("late")]
    return rounded({**floods, "slow_reader": slow, "hostile": hostile, "client_bound": bound})


# -------------------------------------------------------------------------------------------- too much


async def _floods(options: Options, crowd: Senders) -> dict[str, Any]:
    """Open loop at three times the peak, from clients that keep still when they are told to and from such
    that send on; the peak is measured before, between and after, so that a busy machine shows.
    """
    seconds = options.pick(8.0, 1.0)
    await crowd.measure(options.pick(2.0, 0.2), window=4)
    peaks, found = [await _peak(options, crowd)], {}
    for name, obedient in (("obedient", True), ("stubborn", False)):
        rate = options.pick(3 * peaks[-1], 300.0)
        flood = await _flood(crowd, rate, seconds, obedient=obedient)
        peaks.append(await _peak(options, crowd))
        flood["goodput_ratio"] = flood["goodput_s"] / (sum(peaks[-2:]) / 2)
        found[name] = flood
    await _require_all_stored(crowd)
    return {"peaks_acked_s": peaks, **found}


async def _peak(options: Options, crowd: Senders) -> float:
    """The most that is stored in a closed loop, with one and with four sends of each socket in flight."""
    seconds = options.pick(2.5, 0.3)
    return max([(await crowd.measure(seconds, window=window))["acked_s"] for window in (1, 4)])


async def _flood(crowd: Senders, rate: float, seconds: float, *, obedient: bool) -> dict[str, Any]:
    """What is still acked, how soon, and what it costs in memory."""
    before, worker = await crowd.rig.metrics(), crowd.rig.workers[0]
    base = most = rss_bytes(worker)
    pacing = asyncio.create_task(
        crowd.load("pace", group="senders", obedient=obedient, rate=rate, seconds=seconds, patience_s=90.0)
    )
    while not pacing.done():
        most = max(most, rss_bytes(worker))
        await asyncio.wait([pacing], timeout=0.1)
    done = pacing.result()
    await asyncio.sleep(1.2)
    after = await crowd.rig.metrics()
    if done["unanswered"]:
        raise Broken(f"{done['unanswered']} sends had no answer at all")
    return {
        "offered_s": rate,
        "withheld": done["withheld"],  # the client was told to keep still, and does
        "held_back_by_tcp": done["held"],
        "goodput_s": done["acked_meanwhile"] / done["s"],
        "refused": done["refused"],
        "refused_by_metrics": after.get(_REFUSED, 0) - before.get(_REFUSED, 0),
        # From the moment in which the server has read a send; from when it was due it is the client's own
        # queue as well, which has no end where the client sends on.
        "ack_p99_ms_from_read": 1000 * quantile("chatd_ack_seconds", before, after, 0.99),
        "ack_ms_from_due": {name: done["acks"].get(name) for name in ("p50", "p99")},
        "rss_growth_mb": (most - base) / 1024 / 1024,
        "late": done["late_ms"].get("p99", 0) > 100,
    }


_REFUSED = 'chatd_errors_total{code="unavailable",edge="socket"}'


async def _require_all_stored(crowd: Senders) -> None:
    acked = (await crowd.load("counts", groups=["senders"]))["acked"]
    stored = await stored_by(crowd, "^[0-9]+-")  # when it was due, and not a sender's name
    if stored != acked:
        raise Broken(f"{acked} sends were acked and {stored} are stored")


# -------------------------------------------------------------------------------------------- too slow


async def _slow_reader(options: Options) -> dict[str, Any]:
    """The same fan-out without and with a member that never reads, in turns; as often as it is thrown out, it
    comes again.
    """
    seconds = options.pick(2.5, 0.5)
    without, beside = [], []
    async with (
        load(options.cores.load) as generator,
        load(options.cores.load) as stuck,
        rig(options) as server,
    ):
        target = await crowded(server, generator, options.pick(500, 12))
        await target.measure(32, seconds)
        worst = {"queue": 0.0, "rss": float(base := rss_bytes(server.workers[0]))}
        before = await server.metrics()
        following = asyncio.create_task(_follow(server, worst))  # it costs the same without and with
        for _ in range(options.pick(3, 1)):
            without.append(await target.measure(32, seconds))
            coming = asyncio.create_task(_come_again(server, stuck))
            beside.append(await target.measure(32, seconds))  # raises where one of the others lost anything
            await _ended(coming)
        await _ended(following)
        await asyncio.sleep(1.2)
        after = await server.metrics()
        lost = (await generator("counts", groups=target.listeners))["lost"]
    calm, crowded_s = (median(w.got / max(0.01, w.server_cpu_s) for w in of) for of in (without, beside))
    return {
        "sockets": target.sockets,
        "per_core_s_without": calm,
        "per_core_s_beside": crowded_s,
        "cost_ratio": crowded_s / calm,
        "others_lost": lost,
        "closed_with_4508": after["chatd_slow_closes_total"] - before["chatd_slow_closes_total"],
        "queue_mb_worst": worst["queue"] / 1024 / 1024,
        "rss_growth_mb": (worst["rss"] - base) / 1024 / 1024,
    }


async def _ended(task: asyncio.Task[None]) -> None:
    """Cancel it; raises what it died of before."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _come_again(server: Rig, stuck: Load) -> None:
    """A member that never reads, until cancelled."""
    token = server.token(server.chats[0]["member_ids"][0])
    while True:
        with suppress(RuntimeError):  # it is thrown out while it opens
            await stuck("stuck", port=server.port, token=token)
        await asyncio.sleep(0.5)


async def _follow(server: Rig, worst: dict[str, float]) -> None:
    """Note the longest queue and the most memory until cancelled."""
    while True:
        worst["queue"] = max(worst["queue"], (await server.metrics())["chatd_queue_bytes"])
        worst["rss"] = max(worst["rss"], rss_bytes(server.workers[0]))
        await asyncio.sleep(0.2)


# ------------------------------------------------------------------------------------------ too broken


async def _hostile(options: Options) -> dict[str, Any]:
    """A thousand good ones talk, open loop, while as many bad ones come at once and are thrown out.

    What is judged is how long the good ones wait for their messages. The bad ones are another process with
    the least priority on the load's core: they take of chatd what they can get, but nothing of the clock.
    """
    good, members = options.pick((1000, 20), (12, 4))
    async with (
        load(options.cores.load) as generator,
        load(options.cores.load) as siege,
        rig(options, users=good, chats=good // members, members=members, settings=_GUARDED) as server,
    ):
        os.setpriority(os.PRIO_PROCESS, siege.pid, 19)
        crowd = await seat(server, generator, "stamped")
        await _talk(options, crowd)
        quiet = [await _talk(options, crowd)]
        besieged, bad = await _besieged(options, crowd, siege)
        gone = await siege("until_gone", patience_s=20.0)
        quiet.append(await _talk(options, crowd))
        lost = (await generator("counts", groups=["senders"]))["lost"]
    calm = {name: (quiet[0][name] + quiet[1][name]) / 2 for name in ("p50", "p99")}
    return {
        "good": len(crowd.seats),
        "bad": bad,
        "good_lost": lost,
        "bad_left": gone["left"],
        "slowest_to_go_s": max(gone["gone_after_s"].values()),
        "gone_after_s": gone["gone_after_s"],
        "deliver_ms_quiet": calm,
        "deliver_ms_besieged": {name: besieged[name] for name in ("p50", "p99", "max")},
        "added_p99_ms": besieged["p99"] - calm["p99"],
    }


#: This limit is for such clients; the rates of the good ones stay off.
_GUARDED = {"CHATD_LIMITS_BAD_FRAMES_PER_MINUTE": "30"}


async def _talk(options: Options, crowd: Senders) -> dict[str, float]:
    """How long deliveries take at a steady rate. Raises Broken where one is missing."""
    rate, seconds = options.pick(100.0, 20.0), options.pick(4.0, 0.5)
    before = await crowd.load("counts", groups=["senders"])
    done = await crowd.load("pace", group="senders", rate=rate, seconds=seconds)
    if done["refused"] or done["unanswered"]:
        raise Broken(f"{done['refused']} sends were refused, {done['unanswered']} had no answer")
    each = len(crowd.seats) // len({chat for chat, _ in crowd.seats})
    expect = before["got"] + done["sent"] * each
    if (await crowd.load("in_all", group="senders", expect=expect))["others"]:
        raise Broken(f"not {expect} deliveries")
    return dict(done["same"])


async def _besieged(options: Options, crowd: Senders, siege: Load) -> tuple[dict[str, float], int]:
    """The same, and the bad ones come in the midst of it; and how many of them."""
    count = options.pick(1000, 15)

    async def attack() -> int:
        await asyncio.sleep(options.pick(0.5, 0.05))
        return int((await siege("attack", port=crowd.rig.port, count=count))["opened"])

    coming = asyncio.create_task(attack())
    found = await _talk(options, crowd)
    return found, await coming
