"""The servers of a run: PostgreSQL, Redis, two nodes of chatd, a proxy before each; and how to hurt them."""

import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from chatd.embedded import Embedded
from loadtest.chaos.proxy import Proxy
from loadtest.server import NO_LIMITS, NotServing, await_ready, stop

NODES = 2
#: Every second node has less of everything, and meets its bounds all the time.
TIGHT = {
    "CHATD_POSTGRES_POOL_SIZE": "3",
    "CHATD_SOCKET_MAX_INFLIGHT_COMMANDS": "4",
    "CHATD_FANOUT_LINGER_S": "0.5",
    "CHATD_FANOUT_GAP_PATIENCE_MS": "20",
    "CHATD_MESSAGES_MAX_BATCH": "5",
    "CHATD_ADMISSION_OPENING_AT_ONCE": "2",
}
#: Where an entry of a log begins: with its time.
_ENTRY = re.compile(r"^(?=\d\d:\d\d:\d\d\.\d)", re.MULTILINE)


@dataclass
class Node:
    """One ``chatd serve`` with one worker, on a port of its own."""

    url: str
    process: asyncio.subprocess.Process
    log: Path
    proxy: Proxy

    @property
    def proxied_url(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}"

    def worker(self) -> int | None:
        """The process id of the worker, where there is one now."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for pid in map(int, path.read_text().split()):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if b"\0_worker\0" in line:
                return pid
        return None

    def signal_worker(self, number: signal.Signals) -> None:
        """Send its worker a signal; nothing where none is there."""
        if (pid := self.worker()) is not None:
            os.kill(pid, number)


@dataclass
class World:
    """Everything that can be broken."""

    services: Embedded
    http: aiohttp.ClientSession
    nodes: list[Node] = field(default_factory=list)
    #: What the slowest node took from nothing to ready, by which it can be told how fast this machine is.
    start_s: float = 0.0

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def proxied_urls(self) -> list[str]:
        return [node.proxied_url for node in self.nodes]

    async def ailing(self) -> str:
        """A node that is not ready, or works without something; "" where there is none."""
        for url in self.urls:
            try:
                async with self.http.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=6)) as answer:
                    said = await answer.json()
                    if answer.status != 200 or said["degraded"]:
                        return f"{url} answers {answer.status} {said}"
            except (aiohttp.ClientError, TimeoutError, ValueError) as error:
                return f"{url}: {type(error).__name__} {error}"
        return ""

    async def counted(self, name: str) -> int:
        """A counter of /metrics, over all nodes."""
        total = 0.0
        for url in self.urls:
            async with self.http.get(f"{url}/metrics", timeout=aiohttp.ClientTimeout(total=6)) as answer:
                lines = (await answer.text()).splitlines()
            total += sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{name} "))
        return round(total)

    def complaints(self) -> list[str]:
        """Lines of the nodes' logs that no fault excuses."""
        found = []
        for node in self.nodes:
            for entry in _ENTRY.split(node.log.read_text("utf-8", "replace")):
                # asyncpg's pool tells of each connection that it could not make; those are the fault itself.
                if "\nTraceback" in entry and " asyncpg.pool:" not in entry:
                    lines = entry.strip().splitlines()
                    found.append("\n".join((lines[0], *lines[1:][-10:])))
        return found


@asynccontextmanager
async def world(settings: Mapping[str, str]) -> AsyncIterator[World]:
    """Two nodes with their services, for as long as the block lasts. Raises NotServing, EmbeddedError."""
    async with AsyncExitStack() as stack:
        directory = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True))
        )
        services = Embedded(directory / "services")
        await asyncio.to_thread(services.start)
        stack.push_async_callback(asyncio.to_thread, services.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        made = World(services, http)
        for index in range(NODES):
            home = directory / f"node{index}"
            await asyncio.to_thread(home.mkdir)
            own = {**settings, **TIGHT} if index % 2 else settings
            began = time.monotonic()
            made.nodes.append(await _node(stack, home, services, own))
            made.start_s = max(made.start_s, time.monotonic() - began)
        yield made


async def _node(
    stack: AsyncExitStack, directory: Path, services: Embedded, settings: Mapping[str, str]
) -> Node:
    environment = {
        **os.environ,
        **NO_LIMITS,
        "CHATD_SERVER_DATA_DIR": str(directory / "data"),
        "CHATD_SERVER_DRAIN_S": "4",
        "CHATD_POSTGRES_URL": services.postgres.url,
        "CHATD_REDIS_URL": services.redis.url,
        "CHATD_SECRETS_JWT_KEY": "one key for all nodes of a run and for no other",
        "CHATD_LOG_LEVEL": "info",
        "CHATD_LOG_FORMAT": "console",
        **settings,
    }
    log = directory / "stderr.log"
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chatd", "serve", "--port", "0", "--workers", "1"),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    stack.push_async_callback(stop, process)
    url = await await_ready(process, log)
    proxy = await stack.enter_async_context(Proxy(int(url.rsplit(":", 1)[1])))
    return Node(url, process, log, proxy)


__all__ = ["Node", "NotServing", "World", "world"]
