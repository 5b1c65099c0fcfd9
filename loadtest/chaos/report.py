"""The table: faults against what they cost."""

from collections import Counter
from collections.abc import Sequence

from loadtest.chaos.checks import outage
from loadtest.chaos.records import Records, Strike, Violation
from loadtest.chaos.run import Verdict

_COLUMNS = ("fault", "struck", "no ack", "no delivery", "lost", "doubled", "disordered", "other", "healed")
_MAIN = ("lost", "doubled", "disordered")


def text(verdict: Verdict) -> str:
    """What to print."""
    records = verdict.records
    lines = [_line(_COLUMNS), _line(["-" * 10] * len(_COLUMNS))]
    lines += [_line(row) for row in _rows(records, verdict.violations)]
    lines += ["", _summary(verdict)]
    for violation in sorted(verdict.violations, key=lambda v: v.at)[:40]:
        lines.append(f"  {violation.kind:10} at {violation.at:10.2f}  {violation.what}")
    if len(verdict.violations) > 40:
        lines.append(f"  … and {len(verdict.violations) - 40} more")
    if verdict.violations:
        lines.append(f"BROKEN. Again: python -m loadtest.chaos {again(verdict)}")
    return "\n".join(lines)


def again(verdict: Verdict) -> str:
    """The arguments of the same run."""
    options = verdict.options
    what = "--brief" if options.brief else f"--minutes {options.minutes:g}"
    return f"--seed {options.seed} {what} --faults {','.join(options.faults)}"


def _summary(verdict: Verdict) -> str:
    records = verdict.records
    acked = sum(send.acked_at is not None for send in records.sends.values())
    deliveries = len(outage.delivery_times(records))
    kinds = Counter(violation.kind for violation in verdict.violations)
    frames = Counter(frame["type"] for socket in records.sockets for _, frame in socket.frames)
    again = sum(frame.get("duplicate", False) for s in records.sockets for _, frame in s.of_type("ack"))
    codes = ", ".join(f"{code} {n}x" for code, n in sorted(verdict.closes.items()))
    broken = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()) or "nothing broken"
    return (
        f"seed {verdict.options.seed}, {verdict.took_s:.0f} s: "
        f"{acked} of {len(records.sends)} messages acked, "
        f"{len(records.deeds)} edits, deletes, reactions and reads, {len(records.sockets)} sockets, "
        f"{deliveries} deliveries, {again} repeated acks, {frames['chat.reset']} resets, "
        f"closed with {codes or 'nothing'}; "
        f"{', '.join(f'{name} {n}' for name, n in verdict.counted.items())}: {broken}"
    )


def _rows(records: Records, violations: Sequence[Violation]) -> list[list[str]]:
    acks, deliveries = outage.ack_times(records), outage.delivery_times(records)
    rows = []
    for name in dict.fromkeys(strike.name for strike in records.strikes):
        strikes = [strike for strike in records.strikes if strike.name == name]
        own = Counter(v.kind for v in violations if _cause(records.strikes, v) == name)
        healed = [s.healed - s.undone for s in strikes if s.healed is not None]
        rows.append(
            [
                name,
                str(len(strikes)),
                f"{max(outage.pause(acks, s) for s in strikes):.2f} s",
                f"{max(outage.pause(deliveries, s) for s in strikes):.2f} s",
                *(str(own[kind]) for kind in _MAIN),
                str(sum(own.values()) - sum(own[kind] for kind in _MAIN)),
                f"{max(healed):.1f} s" if len(healed) == len(strikes) else "never",
            ]
        )
    return rows


def _cause(strikes: Sequence[Strike], violation: Violation) -> str | None:
    """The last fault before it showed."""
    before = [strike.name for strike in strikes if strike.began <= violation.at]
    return before[-1] if before else None


def _line(cells: Sequence[str]) -> str:
    return f"{cells[0]:20}" + "".join(f"{cell:>12}" for cell in cells[1:])
