"""Counting on plain ints, publishing by difference, one scrape for all workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatd.core import metrics

ROOT = Path(__file__).parents[2]


def value(text: str, name: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " "))


def test_only_what_came_since_the_last_time_is_added():
    stats = metrics.Stats()
    before = value(metrics.expose().decode(), "chatd_frames_in_total")
    stats.frames_in += 5
    stats.publish()
    stats.publish()
    stats.frames_in += 2
    stats.publish()
    assert value(metrics.expose().decode(), "chatd_frames_in_total") - before == 7


def test_tallies_have_their_labels_and_gauges_are_read_when_published():
    stats = metrics.Stats()
    stats.closes[4508] += 2
    stats.errors["socket", "muted"] += 1
    stats.watch("sockets", lambda: 42)
    stats.publish()
    text = metrics.expose().decode()
    assert value(text, 'chatd_closes_total{code="4508"}') >= 2
    assert value(text, 'chatd_errors_total{code="muted",edge="socket"}') >= 1
    assert value(text, "chatd_sockets") == 42


def test_a_gauge_that_is_not_there_is_refused():
    with pytest.raises(KeyError):
        metrics.Stats().watch("nonsense", lambda: 1)  # type: ignore[arg-type]


def test_a_sampled_histogram_takes_every_nth():
    seen = []

    class Histogram:
        def observe(self, seconds):
            seen.append(seconds)

    sampled = metrics.Sampled(Histogram(), every=4)  # type: ignore[arg-type]
    for n in range(8):
        sampled.observe(n)
    assert seen == [3, 7]


WORKER = """
from chatd.core import metrics
stats = metrics.Stats()
stats.frames_in = 10
stats.watch("sockets", lambda: 3)
stats.publish()
import os; print(os.getpid())
"""


#: Says everything that a worker may ever have to count, and then how its files have grown.
EVERYTHING = """
import os, pathlib
from chatd import catalog
from chatd.core import metrics
from chatd.core.errors import AppError

there = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
before = {path.name: path.stat().st_size for path in there.iterdir()}
statuses = (200, 204, 400, 401, 404, 422, 429, 503)
for method, route in [*((r.method, r.path) for r in catalog.ROUTES), *(("GET", "/" + "r" * 40),) * 20]:
    metrics.REST_SECONDS.labels(method, route)
    for status in statuses:
        metrics.REST_REQUESTS.labels(method, route, str(status))
for job in catalog.JOBS:
    for outcome in ("done", "failed"):
        metrics.JOB_SECONDS.labels(job.name, outcome)
for batch in ("append", "marks", "receipts", "typing", "sessions"):
    metrics.BATCH_SIZE.labels(batch)
stats = metrics.Stats()
stats.errors.update({(edge, error * "x"): 1 for edge in ("rest", "socket") for error in range(20, 120)})
stats.closes.update({code: 1 for code in range(4400, 4450)})
stats.publish()
assert len(before) == 5, before
assert {path.name: path.stat().st_size for path in there.iterdir()} == before
assert all(path.stat().st_blocks * 512 >= path.stat().st_size for path in there.iterdir()), "a hole"
"""


def environment(directory: Path) -> dict[str, str]:
    return {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(ROOT)}


def test_all_that_a_worker_may_count_has_its_place_on_the_disk_from_the_start(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", EVERYTHING],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


#: A limit on the size of files stands for a disk that has no room.
FULL = """
import pathlib, os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (70_000, 70_000))
there = pathlib.Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
from chatd.core import metrics
assert list(there.iterdir()) == []
"""


def test_a_worker_for_whose_numbers_there_is_no_room_counts_for_itself(tmp_path):
    code = FULL + WORKER + "print(metrics.expose().decode())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert value(done.stdout, "chatd_frames_in_total") == 10
    assert value(done.stdout, "chatd_sockets") == 3


def test_one_scrape_sees_all_workers_and_a_dead_one_keeps_its_counts_but_not_its_sockets(tmp_path):
    directory = tmp_path / "prometheus"
    metrics.clear(directory)

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", code],
            env=environment(directory),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    dead = int(run(WORKER))
    run(WORKER)
    scrape = "from chatd.core import metrics; print(metrics.expose().decode())"
    both = run(scrape)
    assert value(both, "chatd_frames_in_total") == 20
    assert value(both, "chatd_sockets") == 6
    metrics.forget(dead, directory)
    one = run(scrape)
    assert value(one, "chatd_frames_in_total") == 20
    assert value(one, "chatd_sockets") == 3
