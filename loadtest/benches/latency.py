"""How long a message takes, at half of what ``durable`` can do: to its ack, to a socket of its chat on the
same worker, and to one on another worker, through Redis. Open loop; times count from when a message was due.
"""

from typing import Any

from loadtest.benches.durable import Senders, seat, senders
from loadtest.benches.measure import Broken, rounded
from loadtest.benches.options import Options


async def run(options: Options) -> dict[str, Any]:
    """Percentiles for one worker, then across two."""
    seconds = options.pick(60.0, 1.0)
    async with senders(options) as crowd:
        await crowd.measure(options.pick(2.0, 0.2))
        capacity = (await crowd.measure(options.pick(5.0, 0.5)))["acked_s"]
        rate = options.pick(capacity / 2, 50.0)
        await crowd.load("drop", group="senders")
        await seat(crowd.rig, crowd.load, "stamped")
        alone = await _paced(crowd, rate, seconds)
    async with senders(options, workers=2, kind="stamped") as crowd:
        await _spread(crowd)
        across = await _paced(crowd, rate, seconds / 2)
    return rounded(
        {
            "rate_s": rate,
            "capacity_s": capacity,
            "seconds": seconds,
            "ack_ms": _three(alone["acks"]),
            "deliver_ms": _three(alone["same"]),
            "cross_ms": _three(across["cross"]),
            "cross_ack_ms": _three(across["acks"]),
            "drift": _drift(alone["acks"]),
            "sent_s": alone["sent"]
            / alone["s"],  # what was really sent: as much as the rate, or it says nothing
            "refused": alone["refused"] + across["refused"],  # told "unavailable" by a full queue
            "generator_late_ms": _three(alone["late_ms"]),
            "client_bound": [
                name
                for name, found in (("latency", alone), ("cross", across))
                if found["late_ms"].get("p99", 0) > 10
            ],
        }
    )


async def _spread(crowd: Senders) -> None:
    """The kernel chooses a worker for each socket, and may choose one for all, or the second may not listen
    yet: then they come anew.
    """
    for _ in range(100):
        nodes = (await crowd.load("nodes", group="senders"))["nodes"]
        # The two of a chat stand side by side.
        if any(one != other for one, other in zip(nodes[::2], nodes[1::2], strict=True)):
            return
        await crowd.load("drop", group="senders")
        await seat(crowd.rig, crowd.load, "stamped")
    raise Broken("no chat has its sockets on two workers")


async def _paced(crowd: Senders, rate: float, seconds: float) -> dict[str, Any]:
    done: dict[str, Any] = await crowd.load("pace", group="senders", rate=rate, seconds=seconds)
    if done["unanswered"]:
        raise Broken(f"{done['unanswered']} sends had no answer")
    if done["held"]:
        raise Broken(f"{done['held']} sends were held back: it was no open loop")
    return done


def _drift(acks: dict[str, Any]) -> dict[str, Any]:
    """The last third of the time beside the first."""
    first, last = acks.get("first_third", {}), acks.get("last_third", {})
    found = {f"ack_{p}_{when}": of.get(p) for p in ("p50", "p99") for when, of in _thirds(first, last)}
    return {**found, "ack_p50_ratio": last["p50"] / first["p50"] if first and last else None}


def _thirds(first: dict[str, Any], last: dict[str, Any]) -> tuple[tuple[str, dict[str, Any]], ...]:
    return ("first_third", first), ("last_third", last)


def _three(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("p50", "p99", "p999") if name in found}
