"""`python -m chatd …` as a child process, and what can be seen of it from outside."""

import http.client
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
#: Several processes start, one after the other, and each is slow on a busy machine.
START_S = 3 * PATIENCE_S
PORTS = itertools.count(20_000 + os.getpid() % 10_000)


def until(what: Callable[[], object], patience_s: float = START_S) -> None:
    """Wait until ``what()`` is true."""
    deadline = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def a_port() -> int:
    """A free one that stays so: the kernel gives to others, unasked, ports from 32768 on (ip(7))."""
    for port in PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("there is always another")


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATD_")}
    return {**kept, "PYTHONPATH": str(ROOT), **environ}


def chatd(directory: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "chatd", *arguments],
        cwd=directory,
        env=environment(environ),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


class Serving:
    """A `chatd serve`; what it writes is read all the time, and ``saw`` waits for a word of it."""

    def __init__(self, directory: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.text = ""
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chatd", "serve", *arguments],
            cwd=directory,
            env=environment({"CHATD_LOG_FORMAT": "console", **environ}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.text += line.decode()
                self._more.notify_all()
        with self._more:
            self.text += "\n(the end)"
            self._more.notify_all()

    def saw(self, word: str, *, times: int = 1) -> None:
        with self._more:
            done = self._more.wait_for(
                lambda: self.text.count(word) >= times or "(the end)" in self.text, START_S
            )
        assert done, f"{word!r} never came:\n{self.text}"
        assert self.text.count(word) >= times, f"it ended without {word!r}:\n{self.text}"

    @property
    def url(self) -> str:
        self.saw("ready on ")
        return self.text.partition("ready on ")[2].split()[0]

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        """(status, body) of one request on a connection of its own."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=START_S)
        try:
            content = None if body is None else orjson.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def workers(self) -> set[int]:
        """Process ids of the living workers."""
        found = set()
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with suppress(OSError):
                    line = Path(entry.path, "cmdline").read_bytes().split(b"\0")
                    parent = Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1]
                    if b"_worker" in line and int(parent) == self.process.pid:
                        found.add(int(entry.name))
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = START_S) -> int:
        code = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return code

    def end(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(START_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(START_S)
        if self.process.stdout is not None:
            self.process.stdout.close()
