"""One worker process, both ends: the supervisor's handle, and what runs in the child.

Two pipes join them. Down the child's stdin goes one line of JSON (settings with secrets, which have no
place in a command line), then nothing: its end means that the supervisor is gone. Up the other comes one
line, ``ready`` or ``failed <why>``.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, Self

import msgspec
import uvloop

from chatd.core.errors import AppError
from chatd.core.settings import Settings, SettingsError
from chatd.db.migrations import SchemaError

log = logging.getLogger("chatd.supervisor")

READY_S = 60.0
"""How long a worker may take to come up."""
GRACE_S = 5.0
"""How long a worker may take to leave beyond ``server.drain_s``."""


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told."""

    settings: Settings
    worker: int
    port: int
    ready_fd: int


class Serve(Protocol):
    """Serves until SIGTERM or SIGINT drains it; calls ``ready`` once it takes connections."""

    def __call__(
        self, settings: Settings, *, worker: int, port: int, ready: Callable[[], None]
    ) -> Awaitable[None]: ...


@dataclass
class Worker:
    """A worker process. ``life`` ends with it and says how it ended."""

    index: int
    process: asyncio.subprocess.Process
    drain_s: float
    hurry: asyncio.Event
    reports: asyncio.StreamReader
    began: float = field(default_factory=time.monotonic)
    #: Done with "" when it is ready, with the reason when it ends before.
    start: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    life: asyncio.Task[str] = field(init=False)
    _told_to_stop: bool = False

    @classmethod
    async def spawn(
        cls, index: int, port: int, settings: Settings, environ: Mapping[str, str], hurry: asyncio.Event
    ) -> Self:
        """Start it; it becomes ready in its own time."""
        reader, writer = os.pipe()
        reports = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reports), os.fdopen(reader, "rb")
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "chatd",
                "_worker",
                str(index),  # for people who read `ps`
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(writer,),
                env=environ,
                # A Ctrl-C is for the supervisor, which lets its workers finish.
                start_new_session=True,
            )
        finally:
            os.close(writer)
        worker = cls(index, process, settings.server.drain_s, hurry, reports)
        worker.life = asyncio.create_task(
            worker._live(Start(settings=settings, worker=index, port=port, ready_fd=writer)),
            name=f"worker {index}",
        )
        return worker

    @property
    def pid(self) -> int:
        return self.process.pid

    async def _live(self, start: Start) -> str:
        ended = ""
        try:
            async with asyncio.timeout(READY_S):
                # The pipe stays open: its end tells the worker that the supervisor is gone.
                with suppress(ConnectionError):
                    if self.process.stdin is not None:
                        self.process.stdin.write(msgspec.json.encode(start) + b"\n")
                        await self.process.stdin.drain()
                line = (await self.reports.readline()).decode(errors="replace").strip()
            if line == "ready":
                self.start.set_result("")
            elif line:
                ended = line
        except TimeoutError:
            ended = f"was not ready within {READY_S:.0f} s"
            self.process.kill()
        code = await self.process.wait()
        ended = ended or _ending(code)
        if not self.start.done():
            self.start.set_result(ended)
        return ended

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL where it does not leave in time or somebody hurries; waits for the end."""
        if self.life.done():
            return
        if not self._told_to_stop:
            self._told_to_stop = True
            with suppress(ProcessLookupError):
                self.process.terminate()
        hurried = asyncio.create_task(self.hurry.wait())
        await asyncio.wait(
            (self.life, hurried), timeout=self.drain_s + GRACE_S, return_when=asyncio.FIRST_COMPLETED
        )
        hurried.cancel()
        if not self.life.done():
            with suppress(ProcessLookupError):
                self.process.kill()
            await self.life


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"


def work(serve: Serve) -> int:
    """The child: serve until told to stop, or until the supervisor is gone. The exit code."""
    start = msgspec.json.decode(_first_line(), type=Start)
    os.set_inheritable(start.ready_fd, False)
    threading.Thread(
        target=_follow, args=(start.settings.server.drain_s,), name="supervisor's pulse", daemon=True
    ).start()

    reports = os.fdopen(start.ready_fd, "w", encoding="utf-8")

    def ready() -> None:
        reports.write("ready\n")
        reports.close()

    async def main() -> None:
        await serve(start.settings, worker=start.worker, port=start.port, ready=ready)

    try:
        uvloop.run(main())
    except (AppError, SchemaError, SettingsError, OSError) as error:
        # What an operator can do something about is said in one line; a defect keeps its traceback.
        why = f"failed: {' '.join(str(error).split())}"
        if reports.closed:
            log.error("worker %d %s", start.worker, why)
        else:
            reports.write(f"{why}\n")
            reports.close()
        return 1
    except Exception:
        log.exception("worker %d cannot go on", start.worker)  # on a line of the log, as all else
        return 1
    return 0


def _first_line() -> bytes:
    # Not through sys.stdin: its buffer has a lock, and a thread that waits in it at the end is fatal.
    line = b""
    while not line.endswith(b"\n"):
        if not (part := os.read(0, 65536)):
            raise SystemExit("chatd: a worker is started by `chatd serve`")
        line += part
    return line


def _follow(drain_s: float) -> None:
    """Wait for the supervisor's end; then drain, and leave even where draining hangs."""
    # A thread, so that it works also while the event loop does not.
    with suppress(OSError):
        while os.read(0, 65536):
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(drain_s + GRACE_S)
    os._exit(1)
