"""A chatd of one's own for a measurement: private servers, a directory that goes away, no limits."""

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_READY = re.compile(rb"is ready on (\S+)")

#: For programs that play a crowd from one address.
NO_LIMITS = {
    f"CHATD_LIMITS_{key}": "0"
    for key in (
        "SENDS_PER_10S",
        "SENDS_BURST",
        "COMMANDS_PER_10S",
        "REST_PER_MINUTE",
        "WRITES_PER_MINUTE",
        "LOGINS_PER_MINUTE",
        "REGISTRATIONS_PER_MINUTE",
    )
}


class NotServing(Exception):
    """chatd did not come up; the message has what it said."""


@dataclass(frozen=True)
class Server:
    """A running ``chatd serve``."""

    url: str
    pid: int
    environment: Mapping[str, str]
    """With these variables ``chatd seed`` and ``chatd token`` work on this server."""


@asynccontextmanager
async def own_chatd(workers: int, settings: Mapping[str, str] = NO_LIMITS) -> AsyncIterator[Server]:
    """Run ``chatd serve`` for as long as the block lasts. Raises NotServing."""
    with tempfile.TemporaryDirectory(prefix="chatd-", ignore_cleanup_errors=True) as directory:
        environment = {
            **os.environ,
            "CHATD_SERVER_DATA_DIR": f"{directory}/data",
            "CHATD_POSTGRES_URL": "",
            "CHATD_REDIS_URL": "",
            "CHATD_LOG_LEVEL": "warning",
            **settings,
        }
        log = Path(directory, "stderr.log")
        with _opened(log) as stderr:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "chatd", "serve", "--port", "0", "--workers", str(workers)),
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        try:
            url = await await_ready(process, log)
            try:
                yield Server(url, process.pid, environment)
            finally:
                await stop(process)
                if said := _said(log):
                    print(f"--- what chatd said ---\n{said}\n---", file=sys.stderr)
        finally:
            await stop(process)  # where it never became ready; else it is gone by now


async def await_ready(process: asyncio.subprocess.Process, log: Path, patience_s: float = 120.0) -> str:
    assert process.stdout is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            async for line in process.stdout:
                if match := _READY.search(line):
                    return match[1].decode()
            await process.wait()
    ended = "ended" if process.returncode is not None else f"was not ready within {patience_s:.0f} s"
    raise NotServing(f"chatd {ended}; it said:\n{_said(log)}")


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(30.0):
                # What is left on stdout is read, so that nothing waits for a full pipe.
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()


def _opened(log: Path) -> BinaryIO:
    return log.open("wb")


def _said(log: Path) -> str:
    """The end of what is in the log."""
    return log.read_text("utf-8", "replace").strip()[-8000:]
