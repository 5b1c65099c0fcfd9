"""Tables for a terminal and the page in docs/."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
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
    "growth": """The same at more and more sockets and at fewer again, and readings over three sizes of
storage, in turns. `spread` is the largest figure of a series over its smallest. The fan-out is judged
by its ratio to the bare protocol with as many sockets, in the same run (`fanout_ratio`; its spread is
the smallest size's over the worst of all): a loop over thousands of sockets leaves the processor's
caches, whatever it does with them. The raw figures stand beside it.""",
    "overload": """Three times the sends that can be stored, open loop: from clients that keep still as
long as `unavailable` tells them to (`obedient`), and from such that send on at once (`stubborn`).
`goodput_ratio` is what was acked meanwhile over the peak before and after. Then one reader that never
reads among 500, and a thousand malformed, half-open, endlessly slow and oversized connections that come
at once beside a thousand good ones, whose deliveries are timed (open loop) without and with them.""",
    "gp": "Lists of GPs over more and more of them.",
    "search": "Search over more and more messages.",
}


#: What limits each, from profiles by CPU time (cProfile over thread_time; py-spy shows waiting as well).
LIMITS = """## What limits them

Profiles are by CPU time of the worker (cProfile over `thread_time`, and py-spy).

- **fanout.** With one message in flight a delivery is one `write`, and the floor pays the same one; the rest
  is the message's own way through gateway and commit, shared by all its deliveries. With more in flight the
  frames of a round are joined, one `write` carries them all, and the copy into the kernel is what is left.
  There the load process is at its end before the server.
- **durable.** The worker's CPU, then PostgreSQL's. A send costs the worker some 60 µs: a third for reading,
  checking and dispatching the command, a fifth for the statement's arguments and rows, a sixth for the ack
  and message.new, a tenth for Redis. Two designs were compared: the library's frame parser took 10 µs a
  send, so whole frames are cut here and only unusual ones go to it; and ack and message left in two writes,
  now they leave in one. Together: 65 to 52 µs. A text with a token that no filter has seen and none may
  remember (letters and digits mixed) costs some 15 µs more.
- **latency.** The round of group commit that a message waits for, and the disk's fsync. Four things
  that made the tail were found by counting: search read the last seconds again and again and waited for the
  disk twice a portion (now each message once, without waiting); a batch was joined with itself, so that
  500 messages took 61 µs each and 50 took 31 (now 24 and 28); a connection that planned on an almost
  empty log read the whole log for each send, and push its tables each second (now nothing is left to
  the planner); a new piece of the write-ahead log, 16 MB, took 25 ms in which every commit waited (now
  4 MB). Two by a timeline of the slow acks beside PostgreSQL's log and the disk's counters: autovacuum of
  the two tables that grow with every message (60 to 150 ms for two seconds; now at its own slow pace), and
  the kernel, which writes out what is 30 s old all at once, 200 MB of it, while commits wait 100 to 190 ms
  (half as often since PostgreSQL passes on what it evicts). Such a burst is what is left of p999.
- **idle.** uvloop's transport and the protocol objects; then the user's entries in presence and rooms.
- **storm.** The worker's CPU. The library's handshake was a third of a connect and PyJWT a tenth, so ordinary
  upgrades and our own tokens are checked without them: half of the CPU time of a connect was saved. Connects
  are accepted four a turn of the loop and opened 64 at a time, so that messages go between.
- **growth.** A write to a socket that is not in the processor's caches. The bare protocol loses more by
  it than chatd does, which writes the frames of a round at once.
- **overload.** A refused send costs a third to a half of a stored one, so refusing alone would let
  goodput fall to a tenth. Refusing begins at half of the queue, at random; a refused socket has one send
  at a time at work, and one that sends on is not read for 100 ms, so that TCP holds back the rest. What
  is accepted waits for what queues before it: at most `messages.max_queue` sends in each of two queues,
  or `admission.max_wait_ms`. From when a message was due, a stubborn client waits for its own queue as
  well, which has no end. Of a thousand connections that come at once most of the work is their handshakes
  and their nonsense; it is done in portions of a millisecond with turns of the loop between them.
"""


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


def write(
    path: Path,
    results: Mapping[str, Mapping[str, Any]],
    broken: Mapping[str, str],
    command: str,
    load_average: float = 0.0,
) -> None:
    """Make the page, and keep its figures beside it for the next time. ``load_average`` is that of the
    machine before it began.
    """
    figures = path.with_suffix(".json")
    kept: dict[str, Any] = json.loads(figures.read_bytes()) if figures.exists() else {}
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    for name, result in results.items():
        kept[name] = {
            **result,
            "measured": f"{now}, commit {_commit()}, by `{command}`, on {describe()}; "
            f"load average before it began: {load_average:.1f}",
        }
    for name in broken:
        kept.pop(name, None)
    ordered = {name: kept[name] for name in (*ABOUT, *kept) if name in kept}
    figures.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")
    path.write_text(page(ordered, broken), "utf-8")


def page(results: Mapping[str, Mapping[str, Any]], broken: Mapping[str, str]) -> str:
    """docs/benchmarks.md."""
    out = [
        "# Benchmarks",
        "",
        "Made by `make bench ARGS='--write docs/benchmarks.md'`, which keeps the figures of what it does not",
        "run; each says when, where and by what it was measured.",
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
        out += ["", f"## {name}", "", ABOUT.get(name, ""), ""]
        out += [f"Measured {result['measured']}.", ""] if "measured" in result else []
        out += ["| figure | |", "|---|---|"]
        out += [f"| `{path}` | {value} |" for path, value in lines(result) if path != "measured"]
    return "\n".join(out) + f"\n\n{LIMITS}"


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
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "chatd", "loadtest"], check=False)
    return (found.stdout.strip() or "unknown") + (" with changes" if changed.returncode else "")
