"""A chatd to be measured: its processes, its database, its metrics, its users."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg

from loadtest.benches.machine import cpu_s, descendants, pin
from loadtest.benches.options import Options
from loadtest.server import NO_LIMITS, Server, own_chatd

#: Tokens outlive the longest bench; nothing of a message's way is turned off.
SETTINGS = {**NO_LIMITS, "CHATD_LIMITS_BAD_FRAMES_PER_MINUTE": "0", "CHATD_LOG_LEVEL": "warning"}


@dataclass
class Rig:
    """A running chatd."""

    server: Server
    workers: list[int]
    postgres: list[int]
    users: list[dict[str, str]] = field(default_factory=list)
    chats: list[dict[str, Any]] = field(default_factory=list)

    @property
    def port(self) -> int:
        return urlsplit(self.server.url).port or 80

    def token(self, user_id: str) -> str:
        return self._tokens[user_id]

    async def seed(self, *, users: int, chats: int, members: int) -> None:
        """``chatd seed``; the users and chats of the last call are the rig's."""
        out = Path(self.server.environment["CHATD_SERVER_DATA_DIR"], "seed.json")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chatd", "seed", "--users", str(users), "--chats", str(chats)),
            *("--members", str(members), "--out", str(out)),
            env=self.server.environment,
            stdout=asyncio.subprocess.DEVNULL,
        )
        if await process.wait():
            raise RuntimeError("chatd seed failed")
        made = json.loads(out.read_bytes())  # noqa: ASYNC240  nothing else runs on this loop
        self.users, self.chats = made["users"], made["chats"]
        self._tokens = {user["id"]: user["access_token"] for user in self.users}

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, of the workers and of PostgreSQL."""
        everything = descendants(self.server.pid)
        self.postgres = [pid for pid, command in everything.items() if command.startswith("postgres")]
        return {"workers": cpu_s(*self.workers), "postgres": cpu_s(*self.postgres)}

    async def metrics(self) -> dict[str, float]:
        """/metrics: sums over labels, and with labels as ``name{label="value"}``. As of the last second."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.server.url}/metrics") as answer:
            text = await answer.text()
        found: dict[str, float] = {}
        for line in text.splitlines():
            if line.startswith("#") or not line:
                continue
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
            bare = name.partition("{")[0]
            if bare != name and 'le="' not in name:
                found[bare] = found.get(bare, 0.0) + float(value)
        return found

    @property
    def postgres_url(self) -> str:
        directory = Path(self.server.environment["CHATD_SERVER_DATA_DIR"])
        url: str = json.loads((directory / "run.json").read_bytes())["postgres_url"]
        return url

    async def database(self) -> asyncpg.Connection:
        """A connection to its database; the caller closes it."""
        return await asyncpg.connect(self.postgres_url, timeout=10)


@asynccontextmanager
async def rig(
    options: Options,
    *,
    workers: int = 1,
    users: int = 0,
    chats: int = 0,
    members: int = 0,
    settings: Mapping[str, str] | None = None,
    pinned: bool = True,
) -> AsyncIterator[Rig]:
    """A chatd with seeded users and chats; its workers on the server's core."""
    if options.shared is not None and workers == 1:
        made = Rig(options.shared.server, options.shared.workers, [])
        if users:
            await made.seed(users=users, chats=chats, members=members)
        yield made
        return
    async with own_chatd(workers, {**SETTINGS, **(settings or {})}) as server:
        pids = [pid for pid, command in descendants(server.pid).items() if " _worker " in command]
        if len(pids) != workers:
            raise RuntimeError(f"{workers} workers were asked for, and {len(pids)} run")
        if pinned:
            for pid in pids:
                pin(pid, options.cores.server)
        made = Rig(server, pids, [])
        if users:
            await made.seed(users=users, chats=chats, members=members)
        yield made
