"""The load process: holds the raw clients and does what it is told, one JSON line an order, one an answer.

Run by ``Load``: ``python -m loadtest.benches.load CORE``. It answers ``{"error": …}`` where an order failed.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop

from loadtest.benches.hostile import Siege, Stuck, small_socket
from loadtest.benches.lean import Idle, Link, Listener, Sampler, Sender
from loadtest.benches.pace import Pacer, Stamped
from loadtest.benches.resume import Resumer

KINDS: dict[str, Callable[..., Link]] = {
    "idle": Idle,
    "listener": Listener,
    "sampler": Sampler,
    "sender": Sender,
    "stamped": Stamped,
    "resumer": Resumer,
}


class Load:
    """The other end: starts the process and gives it orders."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def __call__(self, order: str, *, within_s: float = 300.0, **details: Any) -> dict[str, Any]:
        """The answer to an order. Raises RuntimeError where it failed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"order": order, **details}).encode() + b"\n")
        async with asyncio.timeout(within_s):
            line = await self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line or b'{"error": "the load process has ended"}')
        if "error" in answer:
            raise RuntimeError(f"{order}: {answer['error']}")
        return answer


@asynccontextmanager
async def load(core: int | None = None) -> AsyncIterator[Load]:
    """A load process on this core, for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.benches.load", "" if core is None else str(core)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Load(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class Crowd:
    """Groups of clients by name, in the load process. Its public methods are the orders."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Any]] = {}
        self.lost: dict[str, int] = {}
        self._siege = Siege()

    async def connect(
        self, *, group: str, kind: str, port: int, users: list[dict[str, Any]], at_once: int = 100
    ) -> dict[str, Any]:
        """A socket for each of ``users`` (what its kind is made with), ``at_once`` of them on their way."""
        links = self.groups.setdefault(group, [])
        self.lost.setdefault(group, 0)
        gate, problems, began = asyncio.Semaphore(at_once), list[str](), time.perf_counter()

        async def one(user: dict[str, Any]) -> None:
            async with gate:
                try:
                    made = await self._open(group, KINDS[kind], port, user)
                    problem = await asyncio.wait_for(made.opened, 60)
                except (OSError, TimeoutError) as error:
                    problems.append(repr(error))
                    return
            if problem is None:
                links.append(made)
            else:
                problems.append(problem)

        await asyncio.gather(*map(one, users))
        seconds = time.perf_counter() - began
        nodes = sorted({link.node for link in links})
        return {"opened": len(users) - len(problems), "problems": problems[:5], "s": seconds, "nodes": nodes}

    async def _open(self, group: str, kind: Callable[..., Link], port: int, user: dict[str, Any]) -> Link:
        def closed(_: Link) -> None:
            self.lost[group] += 1

        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: kind(closed=closed, **user), "127.0.0.1", port)
        return link

    async def nodes(self, *, group: str) -> dict[str, Any]:
        """The node of each socket, in order."""
        return {"nodes": [link.node for link in self.groups[group]]}

    async def drop(self, *, group: str) -> dict[str, Any]:
        """Cut every socket of a group at once."""
        links = self.groups.pop(group, [])
        for link in links:
            link.on_closed = None
            link.transport.abort()
        return {"dropped": len(links)}

    async def start(self, *, group: str, window: int) -> dict[str, Any]:
        """Let the senders of a group send, so many in flight each."""
        for sender in self.groups[group]:
            sender.start(window)
        return {}

    async def stop(self, *, group: str, patience_s: float = 30.0) -> dict[str, Any]:
        """Stop the senders and wait until everything is acked or refused."""
        senders: Sequence[Sender] = self.groups[group]
        for sender in senders:
            sender.stop()
        flying = await _until_zero(lambda: sum(s.flying for s in senders), patience_s)
        return {"unanswered": flying}

    async def counts(self, *, groups: list[str]) -> dict[str, Any]:
        """What the clients of these groups have counted so far, summed, and when (CLOCK_MONOTONIC)."""
        total = {"at": time.perf_counter()}
        for name in ("got", "sent", "acked", "refused", "wrong", "ambiguous"):
            total[name] = sum(getattr(link, name, 0) for g in groups for link in self.groups[g])
        total["lost"] = sum(self.lost[g] for g in groups)
        total["size"] = max((getattr(link, "size", 0) for g in groups for link in self.groups[g]), default=0)
        return total

    async def reset(self, *, groups: list[str]) -> dict[str, Any]:
        """Count from zero again."""
        for link in (link for group in groups for link in self.groups[group]):
            for name in ("got", "sent", "acked", "refused"):
                if hasattr(link, name):
                    setattr(link, name, 0)
        return {}

    async def each(self, *, group: str, expect: int, patience_s: float = 30.0) -> dict[str, Any]:
        """Wait until every client of a group has counted ``expect`` frames; how many have another count."""
        links = self.groups[group]
        await _until_zero(lambda: sum(link.got < expect for link in links), patience_s)
        return {"others": sum(link.got != expect for link in links)}

    async def in_all(self, *, group: str, expect: int, patience_s: float = 30.0) -> dict[str, Any]:
        """Wait until the clients of a group have counted ``expect`` frames together; how far they are off."""
        links = self.groups[group]
        await _until_zero(lambda: max(0, expect - sum(link.got for link in links)), patience_s)
        return {"others": abs(expect - sum(link.got for link in links))}

    async def pace(self, *, group: str, obedient: bool = False, **details: Any) -> dict[str, Any]:
        """Open loop: see ``pace.Pacer``."""
        return await Pacer(self.groups[group], obedient=obedient).run(**details)

    async def storm(self, *, group: str, port: int, at_once: int) -> dict[str, Any]:
        """Cut every resumer of a group at once, and bring them all back with ``since``."""
        states = [link.state() for link in self.groups[group]]
        await self.drop(group=group)
        users = [{"token": state["token"], "since": state["since"]} for state in states]
        opened = await self.connect(group=group, kind="resumer", port=port, users=users, at_once=at_once)
        links: Sequence[Resumer] = self.groups[group]
        return {
            **opened,
            "replayed": sum(link.replayed for link in links),
            "wrong_before": sum(state["wrong"] for state in states),
        }

    async def stuck(self, *, port: int, token: str) -> dict[str, Any]:
        """One more socket, which never reads once it is open."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Stuck(token), sock=small_socket(port))
        problem = await asyncio.wait_for(link.opened, 30)
        if problem is not None:
            raise RuntimeError(problem)
        self.groups.setdefault("stuck", []).append(link)
        return {}

    async def attack(self, *, port: int, count: int) -> dict[str, Any]:
        """Hostile connections."""
        return {"opened": await self._siege.attack(port, count)}

    async def until_gone(self, *, patience_s: float) -> dict[str, Any]:
        """Wait until the server has thrown them out."""
        return await self._siege.until_gone(patience_s)

    async def behind(self, *, group: str, heads: dict[str, int], patience_s: float = 10.0) -> dict[str, Any]:
        """Wait until every resumer is where its chats are; how many are not, or saw something wrong."""
        links: Sequence[Resumer] = self.groups[group]

        def late() -> int:
            return sum(any(heads[chat] != seq for chat, seq in link.seqs.items()) for link in links)

        await _until_zero(late, patience_s)
        return {"behind": late(), "wrong": sum(link.wrong for link in links)}


async def _until_zero(left: Callable[[], int], patience_s: float) -> int:
    end = time.perf_counter() + patience_s
    while (count := left()) and time.perf_counter() < end:  # noqa: ASYNC110  what is waited for is a sum
        await asyncio.sleep(0.01)
    return count


async def _obey() -> None:
    crowd = Crowd()
    reader = asyncio.StreamReader(limit=1 << 27)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        order = json.loads(line)
        name = order.pop("order")
        try:
            work: Callable[..., Awaitable[dict[str, Any]]] = getattr(crowd, name)
            answer = await work(**order)
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[1]:
        os.sched_setaffinity(0, {int(sys.argv[1])})
    uvloop.run(_obey())
