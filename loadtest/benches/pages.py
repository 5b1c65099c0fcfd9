"""Tables for a terminal and the page in docs/."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from loadtest.benches.machine import describe
from loadtest.benches.targets import Verdict, verdicts

#: What each bench measures, for the page.
ABOUT: Mapping[str, str] = {
    "fanout": """One chat, 500 sockets on one worker, a publisher with 1, 4 and 32 durable sends of 120 bytes
in flight; `hub` is the same without PostgreSQL and Redis. Deliveries for each CPU second of the worker. The
floor is a bare uvloop protocol that writes the same bytes once a delivery.""",
    "durable": """200 senders in 100 chats, each waits for its ack before it sends the next; fsync is on.
Server, database and load share two cores. `floor_append_s` calls the append function directly, in batches of
the size that chatd's had; `floor_single_tx_s` is a transaction a message. `…_us`: CPU time a message.""",
    "latency": """Open loop at half of what `durable` does, from when a message was due to its ack and to its
delivery: on one worker, and (`cross`) from one worker to another through Redis.""",
    "idle": """10,000 authenticated sockets, each in 3 chats: growth of the worker's memory, and its CPU over
a minute with heartbeats.""",
    "storm": """Those sockets are cut at once and all come back with `since`, while 50 messages a second flow.
`live` is what sockets that stayed saw meanwhile.""",
    "growth": """The same at more and more sockets, and readings over more and more stored messages. `spread`
is the largest figure of a series over its smallest.""",
    "overload": """Three times the sends that can be stored; one reader that never reads among 500; a thousand
broken connections beside a thousand good ones.""",
    "gp": "Lists of GPs over more and more of them.",
    "search": "Search over more and more messages.",
}


def lines(result: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every figure by its path."""
    for name, value in result.items():
        if isinstance(value, Mapping):
            yield from lines(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", " · ".join(_figure(item) for item in value) or "none"
        else:
            yield f"{prefix}{name}", _figure(value)


def table(name: str, result: Mapping[str, Any], judged: Sequence[Verdict]) -> str:
    """For a terminal."""
    bounds = {v.target.path: f"{v.target.bound}  {'ok' if v.met else 'MISSED'}" for v in judged}
    rows = [(path, value, bounds.get(path, "")) for path, value in lines(result)]
    width = max(len(path) for path, _, _ in rows)
    text = "\n".join(f"  {path:<{width}}  {value:>14}  {bound}".rstrip() for path, value, bound in rows)
    return f"{name}\n{text}\n"


def page(results: Mapping[str, Mapping[str, Any]], broken: Mapping[str, str], command: str) -> str:
    """docs/benchmarks.md."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    out = [
        "# Benchmarks",
        "",
        f"Made by `{command}` on {now}, commit {_commit()}, on {describe()}.",
        "",
        "Server and load have a core each; PostgreSQL and Redis (private ones, fsync on) share them. Where",
        "`client_bound` names a run, the load process was at the end of its core before the server was: read",
        "that figure as a lower bound.",
        "",
        "| | figure | target | measured | |",
        "|---|---|---|---|---|",
    ]
    for name, result in results.items():
        for v in verdicts(name, result):
            out.append(
                f"| {name} | `{v.target.path}` | {v.target.bound} | {_figure(v.value)} | "
                f"{'met' if v.met else '**missed**'} |"
            )
    out += [f"| {name} | | | broken: {why} | **missed** |" for name, why in broken.items()]
    for name, result in results.items():
        out += ["", f"## {name}", "", ABOUT.get(name, ""), "", "| figure | |", "|---|---|"]
        out += [f"| `{path}` | {value} |" for path, value in lines(result)]
    return "\n".join(out) + "\n"


def _figure(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float):
        return f"{value:,}"
    return str(value)


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return found.stdout.strip() or "unknown"
