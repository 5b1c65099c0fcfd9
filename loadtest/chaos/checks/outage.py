"""How long nothing went on, and whether that was within what each fault may cost."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from loadtest.chaos.records import Records, Strike, Violation


def ack_times(records: Records) -> list[float]:
    """When messages were acked, ascending."""
    return sorted(send.acked_at for send in records.sends.values() if send.acked_at is not None)


def delivery_times(records: Records) -> list[float]:
    """When messages reached sockets, ascending."""
    return sorted(at for socket in records.sockets for at, _ in socket.of_type("message.new"))


def pause(times: Sequence[float], strike: Strike) -> float:
    """The longest time without one of ``times`` that touches the fault."""
    end = strike.healed or strike.undone
    first = max(0, bisect_left(times, strike.began) - 1)
    longest, before = 0.0, strike.began if not times else times[first]
    for at in times[first + 1 :]:
        longest = max(longest, at - before)
        before = at
        if at > end:
            return longest
    return max(longest, end - before)


def patient(records: Records, within_s: float, excused: Sequence[tuple[float, float]]) -> Iterator[Violation]:
    """No single message waited longer for its ack, but by how long PostgreSQL was away (``excused``)."""
    for send in records.sends.values():
        until = send.acked_at or records.ended_at
        if until is None or send.refused is not None:
            continue
        away = sum(max(0.0, min(until, end) - max(send.at, begin)) for begin, end in excused)
        waited = until - send.at - away - records.stalled_s(send.at, until)
        if waited > within_s:
            yield Violation("outage", send.at, f"{send.client_message_id} waited {waited:.1f} s for its ack")


def bounded(
    records: Records, allowed: Mapping[str, float], heal_s: float, slack_s: float
) -> Iterator[Violation]:
    """Nobody waited longer for an ack or a delivery than the fault may cost, and all healed in time."""
    acks, deliveries = ack_times(records), delivery_times(records)
    for strike in records.strikes:
        end = strike.healed or strike.undone
        stalled = records.stalled_s(strike.began, end)
        # Where two strike together, the worse of them.
        together = [
            s.name for s in records.strikes if s.began <= end and (s.healed or s.undone) >= strike.began
        ]
        most = max(allowed[name] for name in together)
        for what, times in (("ack", acks), ("delivery", deliveries)):
            took = pause(times, strike) - stalled
            if took > most + slack_s:
                yield Violation("outage", strike.began, f"{strike.name}: {took:.1f} s without {what}")
        if strike.healed is None or strike.healed - strike.undone - stalled > heal_s:
            yield Violation(
                "outage", strike.undone, f"{strike.name}: not well after {heal_s:.0f} s: {strike.ailing}"
            )
