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


def test_one_scrape_sees_all_workers_and_a_dead_one_keeps_its_counts_but_not_its_sockets(tmp_path):
    directory = tmp_path / "prometheus"
    metrics.clear(directory)
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory), "PYTHONPATH": str(ROOT)}

    def run(code):
        return subprocess.run(
            [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True, timeout=60
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
