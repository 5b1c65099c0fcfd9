"""Waiting for PostgreSQL, backing off, hurrying, and the end of a terminal."""

import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatd.core.errors import StoreUnavailable
from chatd.core.settings import Postgres, Secrets, Server, Settings
from chatd.db import migrations
from chatd.embedded import Embedded
from chatd.supervisor import schema
from chatd.supervisor.fleet import Fleet, backoff, keep
from chatd.supervisor.fleet import log as fleet_log
from tests.databases import database_of, redis_of
from tests.ops.serving import ROOT, START_S, Serving, a_port, alive, environment, until
from tests.waiting import PATIENCE_S

Start = Callable[..., Serving]

# Makes its stdin the terminal of its session (tty_ioctl(4)), then becomes `chatd serve`.
ON_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "chatd", "serve", "--port", "0", "--workers", "1"])
"""


def test_back_off_doubles_from_a_tenth_of_a_second_to_ten() -> None:
    waits = [backoff(failures) for failures in range(1, 10)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10])
    assert backoff(10_000) == 10


async def test_the_start_waits_for_a_postgresql_that_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Event()
    monkeypatch.setattr(schema.log, "filter", lambda record: told.set() or True)
    with Embedded(tmp_path, redis=False, postgres_settings={"fsync": "off"}) as servers:
        url = servers.postgres.url
        servers.postgres.stop()
        waiting = asyncio.create_task(schema.bring_up_to_date(url))
        await asyncio.wait_for(told.wait(), PATIENCE_S)
        await asyncio.to_thread(servers.postgres.start)
        await asyncio.wait_for(waiting, PATIENCE_S)
        assert await migrations.current(url) == migrations.latest()


async def test_the_start_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "PATIENCE_S", 0.2)
    with pytest.raises(StoreUnavailable):
        await schema.bring_up_to_date(f"postgresql://chatd@/chatd?host={tmp_path}")


def test_a_second_signal_does_not_wait_for_a_worker_that_hangs(start: Start) -> None:
    serving = start(CHATD_SERVER_DRAIN_S="3600")
    serving.saw("ready on")
    workers = serving.workers()
    os.kill(min(workers), signal.SIGSTOP)
    serving.signal(signal.SIGTERM)
    serving.saw("stopping")
    serving.signal(signal.SIGTERM)
    serving.saw("hurrying")
    assert serving.wait() == 0
    assert not [pid for pid in workers if alive(pid)]


def test_a_worker_that_hangs_is_killed_once_its_time_is_over(start: Start) -> None:
    serving = start(CHATD_SERVER_DRAIN_S="0")
    serving.saw("ready on")
    workers = serving.workers()
    os.kill(min(workers), signal.SIGSTOP)
    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    assert not [pid for pid in workers if alive(pid)]


def test_it_stops_when_its_terminal_is_closed(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL],
        cwd=tmp_path,
        env=environment({}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        seen = b""
        while b"ready on" not in seen:
            seen += os.read(master, 4096)
        os.close(master)
        assert process.wait(PATIENCE_S) == 0
        until(lambda: list((tmp_path / ".chatd" / "metrics").iterdir()) == [])
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_a_worker_that_was_told_to_go_and_hangs_ends_by_itself() -> None:
    hangs = (
        "import threading; from chatd.boot import leave_within; leave_within(0.1); threading.Event().wait()"
    )
    ended = subprocess.run([sys.executable, "-c", hangs], cwd=ROOT, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 1


def test_a_worker_that_cannot_be_born_now_comes_later_and_the_others_serve_on(
    services: Embedded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(_unborn(services, tmp_path, monkeypatch))  # on the loop of the supervisor


async def _unborn(services: Embedded, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, up = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(
        fleet_log, "filter", lambda said: ("cannot be started" in said.getMessage() and told.set()) or True
    )
    async with asyncio.timeout(START_S), database_of(services) as url:
        settings = Settings(
            server=Server(workers=2),
            postgres=Postgres(url=url),
            redis=redis_of(services),
            secrets=Secrets(jwt_key="a-key-of-tests-longer-than-thirty-two-bytes"),
        )
        fleet = Fleet(settings, port=a_port(), metrics=directory)
        running = asyncio.create_task(fleet.run(up.set))
        try:
            await _first_of(running, up)
            victim, other = (slot.worker for slot in fleet._slots)
            with monkeypatch.context() as gone:
                gone.setattr(sys, "executable", str(directory / "no-python-here"))
                await fleet.roll()
                assert [slot.worker for slot in fleet._slots] == [victim, other]
                told.clear()
                victim.process.kill()
                await _first_of(running, told)
            while fleet._slots[0].worker is victim or not fleet._slots[0].worker.start.done():
                assert not running.done()
                await asyncio.sleep(0.02)
            assert await fleet._slots[0].worker.start == ""
            assert not other.life.done()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def _first_of(task: "asyncio.Task[None]", event: asyncio.Event) -> None:
    """Wait for the event; the task must not end before."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not task.done()


async def test_a_private_server_whose_binary_is_away_is_started_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Event()
    monkeypatch.setattr(
        fleet_log, "filter", lambda record: ("the next try" in record.getMessage() and told.set()) or True
    )
    with Embedded(tmp_path, postgres=False) as servers:
        binary, servers.redis.argv[0] = servers.redis.argv[0], str(tmp_path / "no-redis-here")
        servers.redis.kill()
        keeper = asyncio.create_task(keep(servers.redis))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await _first_of(keeper, told)
                servers.redis.argv[0] = binary
                while not servers.redis.running():
                    assert not keeper.done()
                    await asyncio.sleep(0.02)
        finally:
            keeper.cancel()
            await asyncio.wait([keeper], timeout=PATIENCE_S)
