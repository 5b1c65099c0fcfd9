"""What /metrics tells (Prometheus), and the counting that is cheap enough for every frame.

With several workers ``PROMETHEUS_MULTIPROC_DIR`` (set by the supervisor before a worker starts) makes
every write go to a file that one scrape reads for all of them. Such a write costs microseconds, so what
happens per frame is counted on ``Stats``, in plain ints, and ``publish`` carries the difference over
once a second. Histograms are observed per batch, or through ``Sampled``.

Those files are mapped into memory, and who touches a mapped page for which the disk has no room is killed
(SIGBUS). So their room is taken when a worker starts; where there is none it counts for itself alone.
"""

import asyncio
import os
import shutil
import struct
import time
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, get_args

import prometheus_client.values
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()
#: By the name of the library's file, how much is ever written to it: every label that there is fits (a test).
_ROOM: Final = {
    "counter": 1 << 19,
    "histogram": 1 << 21,
    "gauge_livesum": 1 << 16,
    "gauge_livemin": 1 << 16,
    "gauge_livemax": 1 << 16,
}


def _take_room() -> None:
    """Make this process's files at their full size, before the library maps them."""
    directory = _directory()
    if not directory:
        return
    paths = {name: Path(directory, f"{name}_{os.getpid()}.db") for name in _ROOM}
    try:
        for name, path in paths.items():
            if not path.exists():  # the dead worker whose number this one has goes on counting
                path.write_bytes(bytes(_ROOM[name]))
    except OSError:
        for path in paths.values():
            path.unlink(missing_ok=True)
        # Chat does not depend on whether it is counted: /metrics then tells of the worker that is asked.
        del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        prometheus_client.values.ValueClass = prometheus_client.values.MutexValue


def _directory() -> str:
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")


_take_room()
# A _created series beside every counter would double the page.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one untyped

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _counter(name: str, what: str, *labels: str) -> Counter:
    return Counter(f"chatd_{name}", what, labels, registry=REGISTRY)


def _histogram(name: str, what: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"chatd_{name}", what, labels, buckets=buckets, registry=REGISTRY)


ACK_LATENCY: Final = _histogram(
    "ack_seconds", "From a message.send read to its ack written (sampled).", _FAST
)
DELIVERY_LATENCY: Final = _histogram(
    "delivery_seconds", "From the commit of an event to its write to this node's sockets (per batch).", _FAST
)
BATCH_SIZE: Final = _histogram(
    "batch_entries", "Entries in a round of group commit.", (1, 2, 5, 10, 20, 50, 100, 200, 500), "batch"
)
JOB_SECONDS: Final = _histogram("job_seconds", "Time of a run of a periodic job.", _SLOW, "job", "outcome")
REST_SECONDS: Final = _histogram(
    "rest_request_seconds", "Time of a REST request, by its route's template.", _SLOW, "method", "route"
)
REST_REQUESTS: Final = _counter("rest_requests", "REST requests answered.", "method", "route", "status")

#: The counters of ``Stats``: a name here is an int attribute there and ``chatd_<name>_total`` in /metrics.
_COUNTED: Final = {
    "sockets_opened": "Sockets that got their connection.ready.",
    "frames_in": "Text frames read from sockets.",
    "frames_out": "Frames written to sockets.",
    "bytes_in": "Bytes read from sockets.",
    "bytes_out": "Bytes written to sockets.",
    "sends": "message.send commands taken, on both edges.",
    "acks": "Sends that were acked, repeats included.",
    "duplicates": "Acks that said duplicate.",
    "deliveries": "Durable events written to a socket, counted per socket.",
    "ephemeral_drops": "Typing and presence frames withheld from slow consumers (told the newest later).",
    "slow_closes": "Sockets closed with 4508.",
    "strangers": "Connections that ended before they asked for anything: scanners, half-open ones.",
    "holds": "Times a socket was not read for a while because a send of it was refused (overload).",
    "gaps": "Jumps in a chat's seq seen by a node: something was lost on the way.",
    "heals": "Events read from PostgreSQL because Redis did not bring them.",
    "redis_reconnects": "Times the bus connection was made anew.",
}
_COUNTERS: Final = {name: _counter(name, what) for name, what in _COUNTED.items()}
_CLOSES: Final = _counter("closes", "Sockets closed by the server, by close code.", "code")
_ERRORS: Final = _counter("errors", "Errors answered, by edge (rest, socket) and code.", "edge", "code")

Reading = Literal[
    "sockets",
    "queue_bytes",
    "slow_sockets",
    "batch_waiting",
    "redis_up",
    "degraded",
    "draining",
    "db_pool_size",
    "db_pool_idle",
    "inflight_commands",
]
_Mode = Literal["livesum", "livemin", "livemax"]
# Over workers: counts add up; a flag tells the worst of them.
_READINGS: Final[dict[str, tuple[str, _Mode]]] = {
    "sockets": ("Sockets open now.", "livesum"),
    "queue_bytes": ("Bytes in the write buffers of slow sockets.", "livesum"),
    "slow_sockets": ("Sockets whose buffers are past the first mark.", "livesum"),
    "batch_waiting": ("Entries that wait for a round of group commit.", "livesum"),
    "redis_up": ("1 while every worker's bus is alive, its canary included.", "livemin"),
    "degraded": ("1 while some worker works without Redis.", "livemax"),
    "draining": ("1 while some worker is going away.", "livemax"),
    "db_pool_size": ("Connections to PostgreSQL.", "livesum"),
    "db_pool_idle": ("Of these, idle ones.", "livesum"),
    "inflight_commands": ("Commands being worked on.", "livesum"),
}


def _gauge(name: str, what: str, mode: _Mode) -> Gauge:
    return Gauge(f"chatd_{name}", what, registry=REGISTRY, multiprocess_mode=mode)


_GAUGES: Final = {name: _gauge(name, what, mode) for name, (what, mode) in _READINGS.items()}
_LOOP_LAG: Final = _gauge(
    "loop_lag_seconds", "How late the event loop woke the last tick; the worst worker.", "livemax"
)
_WORKERS: Final = _gauge("workers", "Worker processes that publish.", "livesum")
_RESIDENT: Final = _gauge("resident_memory_bytes", "Resident memory of all workers.", "livesum")


class Stats:
    """One worker's counters, to be added to from its event loop only.

    ``stats.frames_in += 1`` is all that a hot path pays. ``closes[code]`` and ``errors[edge, code]`` are
    tallies, for what is rare.
    """

    __slots__ = (*_COUNTED, "_gauged", "_published", "_tallied", "closes", "errors")

    sockets_opened: int
    frames_in: int
    frames_out: int
    bytes_in: int
    bytes_out: int
    sends: int
    acks: int
    duplicates: int
    deliveries: int
    ephemeral_drops: int
    slow_closes: int
    strangers: int
    holds: int
    gaps: int
    heals: int
    redis_reconnects: int

    def __init__(self) -> None:
        for name in _COUNTED:
            setattr(self, name, 0)
        self.closes: Tally[int] = Tally()
        self.errors: Tally[tuple[str, str]] = Tally()
        self._published = dict.fromkeys(_COUNTED, 0)
        self._tallied: Tally[tuple[str, ...]] = Tally()
        self._gauged: dict[str, Callable[[], float]] = {}

    def watch(self, name: Reading, read: Callable[[], float]) -> None:
        """Let ``read()`` say the gauge's value at every ``publish``."""
        if name not in _GAUGES:
            raise KeyError(name)
        self._gauged[name] = read

    def publish(self) -> None:
        """Add to the metrics what was counted since the last time, and read the gauges."""
        for name, before in self._published.items():
            now: int = getattr(self, name)
            if now != before:
                _COUNTERS[name].inc(now - before)
                self._published[name] = now
        for code, now in self.closes.items():
            self._carry(_CLOSES, (str(code),), now)
        for key, now in self.errors.items():
            self._carry(_ERRORS, key, now)
        for name, read in self._gauged.items():
            _GAUGES[name].set(read())
        _WORKERS.set(1)
        _RESIDENT.set(_resident_bytes())

    def _carry(self, counter: Counter, labels: tuple[str, ...], now: int) -> None:
        before = self._tallied[labels]
        if now != before:
            counter.labels(*labels).inc(now - before)
            self._tallied[labels] = now


class Sampled:
    """A histogram that takes one observation in ``every``: its shape is right, its count is not."""

    __slots__ = ("_every", "_histogram", "_skipped")

    def __init__(self, histogram: Histogram, every: int = 16) -> None:
        self._histogram, self._every, self._skipped = histogram, every, 0

    def observe(self, seconds: float) -> None:
        self._skipped += 1
        if self._skipped >= self._every:
            self._skipped = 0
            self._histogram.observe(seconds)


async def tick(stats: Stats, every_s: float = 1.0) -> None:
    """Publish every second until cancelled, then once more; measures the loop's lag on the way."""
    try:
        while True:
            due = time.monotonic() + every_s
            await asyncio.sleep(every_s)
            _LOOP_LAG.set(max(0.0, time.monotonic() - due))
            stats.publish()
    finally:
        stats.publish()


def expose() -> bytes:
    """The answer to /metrics: of all workers where there are several. Reads files; not for the event loop."""
    if not _directory():
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves this one untyped
    return generate_latest(registry)


def clear(directory: Path) -> None:
    """An empty directory for the workers to come: counters of an earlier server must not live on."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def forget(pid: int, directory: Path) -> None:
    """Take a dead worker's gauges away; its counters stay, so that totals never fall, in what they need."""
    mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # as above
    for path in directory.glob(f"*_{pid}.db"):
        with suppress(OSError), path.open("r+b") as file:
            used = struct.unpack("i", file.read(4))[0]  # how such a file begins (prometheus_client.mmap_dict)
            file.truncate(max(used, 8))


def _resident_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except OSError:
        return 0  # not Linux: the metric stays at zero
    return pages * os.sysconf("SC_PAGE_SIZE")


if not _directory():  # of several workers a process collector would tell only the one that is asked
    ProcessCollector(registry=REGISTRY)
if set(get_args(Reading)) != set(_READINGS):
    raise TypeError("Reading and _READINGS must name the same gauges")
