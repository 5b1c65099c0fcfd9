"""Too much, too slow, too broken: three times the sends that can be stored; one reader that never reads among
500; a thousand broken connections beside a thousand good ones.
"""

import asyncio
from typing import Any

from loadtest.benches.durable import Senders, seat, senders, stored_by
from loadtest.benches.fanout import Target, crowded
from loadtest.benches.load import Load, load
from loadtest.benches.machine import rss_bytes
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options
from loadtest.benches.rig import Rig, rig


async def run(options: Options) -> dict[str, Any]:
    """All three."""
    async with senders(options) as crowd:
        triple = await _triple(options, crowd)
    async with load(options.cores.load) as generator, rig(options) as server:
        target = await crowded(server, generator, options.pick(500, 12))
        slow = await _slow_reader(options, server, target)
    async with (
        load(options.cores.load) as generator,
        load(options.cores.load) as siege,
        rig(options) as server,
    ):
        target = await crowded(server, generator, options.pick(1000, 12))
        hostile = await _hostile(options, server, target, siege)
    bound = ["triple"] if triple.pop("late") else []
    return rounded({"triple": triple, "slow_reader": slow, "hostile": hostile, "client_bound": bound})


# -------------------------------------------------------------------------------------------- too much


async def _triple(options: Options, crowd: Senders) -> dict[str, Any]:
    """Open loop at three times the peak: what is still acked, and what it costs in memory."""
    seconds = options.pick(10.0, 1.0)
    peak = 0.0
    for window in (1, 4):
        await crowd.measure(seconds / 5, window=window)
        peak = max(peak, (await crowd.measure(seconds / 3, window=window))["acked_s"])
    await crowd.load("drop", group="senders")
    await seat(crowd.rig, crowd.load, "stamped")
    before, rate = await crowd.rig.metrics(), options.pick(3 * peak, 300.0)
    base = rss_bytes(crowd.rig.workers[0])
    pacing = asyncio.create_task(
        crowd.load("pace", group="senders", rate=rate, seconds=seconds, patience_s=60.0)
    )
    most = base
    while not pacing.done():
        most = max(most, rss_bytes(crowd.rig.workers[0]))
        await asyncio.wait([pacing], timeout=0.1)
    done = pacing.result()
    await asyncio.sleep(1.2)
    after = await crowd.rig.metrics()
    if done["unanswered"]:
        raise Broken(f"{done['unanswered']} sends had no answer at all")
    await _require_all_stored(crowd)
    return {
        "peak_acked_s": peak,
        "offered_s": rate,
        "reached_the_socket_s": done["sent"] / done["s"],
        "held_back_by_tcp": done["held"],
        "goodput_s": done["acked_meanwhile"] / done["s"],
        "goodput_ratio": done["acked_meanwhile"] / done["s"] / peak,
        "refused": done["refused"],
        "refused_by_metrics": after.get('chatd_errors_total{code="unavailable",edge="socket"}', 0)
        - before.get('chatd_errors_total{code="unavailable",edge="socket"}', 0),
        "ack_p99_ms": done["acks"].get("p99"),
        "rss_growth_mb": (most - base) / 1024 / 1024,
        "late": done["late_ms"].get("p99", 0) > 100,
    }


async def _require_all_stored(crowd: Senders) -> None:
    acked = (await crowd.load("counts", groups=["senders"]))["acked"]
    stored = await stored_by(crowd, "^[0-9]+-")  # when it was due, and not a sender's name
    if stored != acked:
        raise Broken(f"{acked} sends were acked and {stored} are stored")


# -------------------------------------------------------------------------------------------- too slow


async def _slow_reader(options: Options, server: Rig, target: Target) -> dict[str, Any]:
    """The same fan-out without and with a member that never reads."""
    seconds = options.pick(4.0, 0.5)
    without = await target.measure(32, seconds)
    base = rss_bytes(server.workers[0])
    token = server.token(server.chats[0]["member_ids"][0])
    await target.load("stuck", port=server.port, token=token)
    before = await server.metrics()
    worst = {"queue": 0.0, "rss": float(base)}
    watching = asyncio.create_task(_follow(server, worst))
    beside = await target.measure(32, seconds)  # raises where one of the others has not every message
    await asyncio.sleep(1.2)
    watching.cancel()
    await asyncio.wait([watching])
    after = await server.metrics()
    return {
        "sockets": target.sockets,
        "per_core_s_without": without.got / max(0.01, without.server_cpu_s),
        "per_core_s_beside": beside.got / max(0.01, beside.server_cpu_s),
        "others_lost": (await target.load("counts", groups=target.listeners))["lost"],
        "closed_with_4508": after["chatd_slow_closes_total"] - before["chatd_slow_closes_total"],
        "queue_mb_worst": worst["queue"] / 1024 / 1024,
        "rss_growth_mb": (worst["rss"] - base) / 1024 / 1024,
    }


async def _follow(server: Rig, worst: dict[str, float]) -> None:
    """Note the longest queue and the most memory until cancelled."""
    while True:
        worst["queue"] = max(worst["queue"], (await server.metrics())["chatd_queue_bytes"])
        worst["rss"] = max(worst["rss"], rss_bytes(server.workers[0]))
        await asyncio.sleep(0.5)


# ------------------------------------------------------------------------------------------ too broken


async def _hostile(options: Options, server: Rig, target: Target, siege: Load) -> dict[str, Any]:
    """Good ones listen to a steady publisher while bad ones come, and are thrown out."""
    bad, seconds = options.pick(1000, 15), options.pick(6.0, 0.5)
    quiet = await target.measure(1, seconds)
    came = asyncio.create_task(siege("attack", port=server.port, count=bad))
    besieged = await target.measure(1, seconds)  # raises where a good one lost anything
    opened = (await came)["opened"]
    # init_timeout_s, then CLOSE_WAIT_S for the answer to the close frame, and some.
    gone = await siege("until_gone", patience_s=20.0)
    lost = (await target.load("counts", groups=target.listeners))["lost"]
    return {
        "good": target.sockets,
        "bad": opened,
        "good_lost": lost,
        "bad_left": gone["left"],
        "gone_after_s": gone["gone_after_s"],
        "messages_s_quiet": quiet.got / quiet.seconds / target.sockets,
        "messages_s_besieged": besieged.got / besieged.seconds / target.sockets,
    }
