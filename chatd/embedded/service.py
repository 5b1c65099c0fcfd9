"""One server process: start it, stop it, hurt it; and the processes behind it."""

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

START_S = 300.0
"""How long a server may take to answer; after a crash it recovers first."""
STOP_S = 20.0
"""How long a fast stop may take before a harder one."""
HARD_STOP_S = 10.0
LOG_BYTES = 16 * 1024 * 1024
"""A longer log is put aside at the next start."""


class EmbeddedError(Exception):
    """A private server cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class Account:
    """The user that a server runs as, when that is not this process's own."""

    uid: int
    gid: int


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
    litter: tuple[str, ...]
    """Files in the directory that a server which was killed leaves behind."""
    answers: Callable[[int], bool]
    """Whether the server with this process id takes connections now."""
    immediate: signal.Signals
    account: Account | None = None
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
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
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
        for name in self.litter:
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


def run(argv: list[str], directory: Path, account: Account | None, text: str = "") -> None:
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


def package(name: str) -> Path:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"the package {name} is not installed: build .venv with make, or set CHATD_POSTGRES_URL "
            "and CHATD_REDIS_URL to servers of yours"
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _environment() -> dict[str, str]:
    # PGPORT, PGDATA, PGOPTIONS and their like are for another PostgreSQL; the locale would colour errors.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


@contextmanager
def _private_log(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _command_lines() -> Iterator[tuple[int, bytes]]:
    # With a NUL before each word, the first too. Command lines are open to all; cwd and exe are not: root
    # in a container may lack CAP_SYS_PTRACE.
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
