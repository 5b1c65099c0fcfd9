"""`chatd serve` as operators meet it: it starts, says so, survives what happens to it, and stops."""

import asyncio
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg
import orjson
import pytest

from chatd.supervisor.datadir import find_running
from tests.ops.serving import Serving, a_port, alive, chatd, until
from tests.waiting import PATIENCE_S

Start = Callable[..., Serving]

pytestmark = pytest.mark.timeout(300)

ADA = {"email": "ada@example.com", "password": "a long password", "display_name": "Ada"}


def private_servers(directory: Path) -> list[int]:
    """Process ids of the private PostgreSQL and Redis of this directory."""
    files = directory / ".chatd" / "postgres" / "postmaster.pid", directory / ".chatd" / "redis" / "redis.pid"
    return [int(file.read_text().split()[0]) for file in files if file.exists()]


def test_it_says_where_it_listens_on_what_it_runs_and_how_to_stop_it(start: Start, tmp_path: Path) -> None:
    serving = start()
    port = serving.url.rpartition(":")[2]
    serving.saw("Stop: Ctrl-C")
    for word in (
        f"ws://127.0.0.1:{port}/ws",
        f"http://127.0.0.1:{port}/docs",
        f"its own, in {tmp_path}/.chatd/postgres",
        f"its own, in {tmp_path}/.chatd/redis",
        f"Process      {serving.process.pid} and 2 workers, development",
        f"curl http://127.0.0.1:{port}/users",
        "README.md",
    ):
        assert word in serving.text
    assert serving.ask("GET", "/healthz")[0] == 200
    assert serving.ask("GET", "/readyz")[0] == 200
    assert len(serving.workers()) == 2


def test_the_first_words_that_it_proposes_are_a_message(start: Start) -> None:
    serving = start()
    serving.saw("Stop: Ctrl-C")
    words = re.search(r"^  J=.*?(?=^Stop)", serving.text, re.DOTALL | re.MULTILINE)
    assert words is not None
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", words[0]],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert '"display_name":"Ada"' in done.stdout
    assert '"message_id":"msg_' in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_at_once_and_leaves_nothing(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    serving = start(CHATD_SERVER_DRAIN_S="3600")  # which is for those who are there, and nobody is
    serving.saw("ready on")
    processes = [*serving.workers(), *private_servers(tmp_path)]
    assert len(processes) == 4
    serving.signal(number)
    assert serving.wait() == 0
    assert not [pid for pid in processes if alive(pid)]
    assert find_running(tmp_path / ".chatd") is None
    assert list((tmp_path / ".chatd" / "metrics").iterdir()) == []
    assert "Traceback" not in serving.text


def test_stopped_while_it_starts_it_leaves_nothing(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.saw("preparing PostgreSQL")
    serving.signal(signal.SIGINT)
    assert serving.wait() == 130
    assert "Traceback" not in serving.text
    again = start()
    again.saw("ready on")


def test_what_was_written_is_there_after_a_restart(start: Start) -> None:
    serving = start()
    assert serving.ask("POST", "/users", ADA)[0] == 201
    serving.signal(signal.SIGTERM)
    assert serving.wait() == 0
    again = start()
    assert again.ask("POST", "/auth/login", {key: ADA[key] for key in ("email", "password")})[0] == 200


def test_a_worker_that_dies_is_replaced_and_said_so(start: Start) -> None:
    serving = start()
    serving.saw("ready on")
    before = serving.workers()
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    serving.saw(f"(process {victim}) was killed by SIGKILL; the next starts in 0.1 s")
    until(lambda: len(serving.workers()) == 2)
    assert victim not in serving.workers()
    until(lambda: serving.ask("GET", "/healthz")[0] == 200)


def test_killed_it_takes_its_workers_along_and_the_next_run_finds_everything(
    start: Start, tmp_path: Path
) -> None:
    port = str(a_port())
    serving = start("--port", port, "--workers", "2")
    assert serving.ask("POST", "/users", ADA)[0] == 201
    processes = [*serving.workers(), *private_servers(tmp_path)]
    serving.signal(signal.SIGKILL)
    serving.wait()
    again = start("--port", port, "--workers", "2")
    again.saw("ready on")
    until(lambda: not [pid for pid in processes if alive(pid)])
    assert again.ask("POST", "/users", ADA)[0] == 409
    # What the killed one left lying is gone: one directory of metrics is there, that of this run.
    assert len(list((tmp_path / ".chatd" / "metrics").iterdir())) == 1


@pytest.mark.parametrize("which", [0, 1], ids=["PostgreSQL", "Redis"])
def test_a_private_server_that_dies_is_started_again(start: Start, tmp_path: Path, which: int) -> None:
    serving = start()
    serving.saw("ready on")
    name = ("PostgreSQL", "Redis")[which]
    os.kill(private_servers(tmp_path)[which], signal.SIGKILL)
    serving.saw(f"{name} has died")
    serving.saw(f"{name} is back")
    until(lambda: serving.ask("GET", "/readyz")[0] == 200)
    assert serving.ask("POST", "/users", ADA)[0] == 201


def test_a_hang_up_replaces_the_workers_one_by_one_and_nobody_is_turned_away(start: Start) -> None:
    serving = start()
    serving.saw("ready on")
    before = serving.workers()
    serving.signal(signal.SIGHUP)
    while "all workers are new" not in serving.text:
        assert serving.ask("GET", "/healthz")[0] == 200
    until(lambda: not serving.workers() & before)
    assert len(serving.workers()) == 2


def test_a_hang_up_with_wrong_settings_changes_nothing(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.saw("ready on")
    before = serving.workers()
    (tmp_path / "config.toml").write_text("[limits]\nsends = 1\n")
    serving.signal(signal.SIGHUP)
    serving.saw("the new settings cannot be used, the old ones stay: config.toml: limits")
    assert serving.workers() == before


def test_a_second_one_in_the_same_directory_is_refused(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.saw("ready on")
    second = chatd(tmp_path, "serve", "--port", "0")
    assert second.returncode == 1
    assert f"in use by another chatd (process {serving.process.pid})" in second.stderr
    assert serving.ask("GET", "/healthz")[0] == 200


def test_a_second_one_on_the_same_port_is_refused(start: Start, tmp_path: Path) -> None:
    serving = start()
    port = serving.url.rpartition(":")[2]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    second = chatd(elsewhere, "serve", "--port", port)
    assert second.returncode == 1
    assert second.stderr.startswith(f"chatd: port {port} on 127.0.0.1 is in use")
    assert second.stderr.count("\n") == 1
    assert not (elsewhere / ".chatd").exists()
    # Where it is the same directory, too, the one that runs is named.
    again = chatd(tmp_path, "serve", "--port", port)
    assert again.returncode == 1
    assert f"process {serving.process.pid} serves" in again.stderr


def test_a_port_of_another_program_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = chatd(tmp_path, "serve", "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"chatd: port {port} on 127.0.0.1 is in use")


def test_workers_that_cannot_start_are_given_up_with_the_reason(start: Start) -> None:
    serving = start(CHATD_MEDIA_S3_BUCKET="media", CHATD_MEDIA_S3_ENDPOINT="minio")
    assert serving.wait() == 1
    assert "media.s3_endpoint or media.s3_region cannot be used: Invalid endpoint: minio" in serving.text
    assert "chatd: worker" in serving.text
    assert "Traceback" not in serving.text
    assert "does not start" in serving.text


def test_the_tools_join_the_database_of_the_one_that_runs(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.saw("ready on")
    seeded = chatd(tmp_path, "seed", "--users", "2", "--chats", "1", "--members", "2", "--out", "made.json")
    assert seeded.returncode == 0, seeded.stderr
    checked = chatd(tmp_path, "schema", "check")
    assert checked.returncode == 0, checked.stderr


def test_its_secrets_are_on_no_command_line(start: Start) -> None:
    serving = start(CHATD_SECRETS_JWT_KEY="k" * 48)
    serving.saw("ready on")
    for pid in (serving.process.pid, *serving.workers()):
        assert b"kkkk" not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_a_database_that_takes_no_writes_is_no_place_for_traffic(start: Start, tmp_path: Path) -> None:
    serving = start("--port", "0", "--workers", "1")
    serving.saw("ready on")
    assert serving.ask("GET", "/readyz")[0] == 200
    run = find_running(tmp_path / ".chatd")
    assert run is not None

    def writes(allowed: bool) -> None:
        async def change() -> None:
            connection = await asyncpg.connect(run.postgres_url)
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(
                f"ALTER SYSTEM SET default_transaction_read_only = {'off' if allowed else 'on'}"
            )
            await connection.execute("SELECT pg_reload_conf()")
            await connection.close()

        asyncio.run(change())

    writes(False)
    until(lambda: serving.ask("GET", "/readyz")[0] == 503)
    assert b"takes no writes" in serving.ask("GET", "/readyz")[1]
    status, problem = serving.ask("POST", "/users", ADA)
    assert (status, orjson.loads(problem)["code"]) == (503, "unavailable")
    writes(True)
    until(lambda: serving.ask("GET", "/readyz")[0] == 200)
    assert serving.ask("POST", "/users", ADA)[0] == 201
