"""chatd without its storage: the real gateway, commands, encoding and hub, over a log in memory.

What a message pays here: reading and parsing its frame, decoding and checking the command, its id and
fingerprint, the ack, the encoding of message.new, the streams, the joined writes. What it does not pay is
PostgreSQL and Redis, which are not there. Run by ``hub_server``: ``python -m loadtest.benches.hub``.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import uvloop

from chatd import catalog
from chatd.core.clock import SystemClock
from chatd.core.context import NOBODY, Actor, Ctx
from chatd.core.ids import UuidIds
from chatd.core.metrics import Stats
from chatd.core.pending import Pending
from chatd.core.settings import Limits, Settings
from chatd.features.messages.sending import Sending, Stored
from chatd.gateway.edge import Edge
from chatd.gateway.ports import Joined, Want
from chatd.gateway.server import Listener
from chatd.realtime.broker import NodeBroker
from chatd.realtime.presence import NodePresence
from chatd.realtime.streams import Found, Head, Missing
from chatd.wire.frames import ChatHead
from loadtest.benches.machine import pin

CHAT = "cht_01h455vb4pex5vsknk084sn02q"
_NO_LIMITS = Limits(sends_per_10s=0, commands_per_10s=0)


class MemoryLog:
    """The log of one chat, and group commit over it: a round is whatever came in one loop iteration."""

    def __init__(self) -> None:
        self.ctx: Any = None
        self._seq = 0
        self._round: list[tuple[Any, Sending, Pending[Any]]] = []

    def submit(self, batch: Any, entry: Any) -> Pending[Any]:
        """Groups.submit."""
        if not self._round:
            asyncio.get_running_loop().call_soon(self._commit)
        pending: Pending[Any] = Pending()
        self._round.append((batch, entry, pending))
        return pending

    def _commit(self) -> None:
        round_, self._round = self._round, []
        now, outcomes = datetime.now(UTC), []
        for _, sending, pending in round_:
            self._seq += 1
            outcomes.append(Stored(sending, sending.message_id, self._seq, now, False))
            pending.resolve(outcomes[-1])
        settled = round_[0][0].settled
        settled(self.ctx, outcomes)

    async def heads(self, chat_ids: Sequence[str]) -> list[Head]:
        return [Head(chat_id, self._seq, 0) for chat_id in chat_ids]

    async def missing(self, wanted: Sequence[Missing]) -> list[Found]:
        return []


class MemoryBackend:
    """Everybody is in the one chat. A token is a user's id."""

    def authenticate(self, token: str) -> Actor:
        return Actor(token, expires_at=4e9)

    def opened(self, actor: Actor, chat_id: str | None) -> Pending[list[ChatHead]]:
        pending: Pending[list[ChatHead]] = Pending()
        pending.resolve(
            [ChatHead(chat_id=CHAT, type="group", title="", head_seq=0, last_read_seq=0, unread_count=0)]
        )
        return pending

    def replay(self, user_id: str, wants: Sequence[Want]) -> Pending[list[bytes]]:
        pending: Pending[list[bytes]] = Pending()
        pending.resolve([])
        return pending

    async def joined(self, chat_id: str, user_ids: Collection[str]) -> dict[str, Joined]:
        return {}

    async def updated(self, chat_id: str, user_ids: Collection[str]) -> dict[str, bytes]:
        return {}

    def left(self, chat_id: str, reason: str) -> bytes:
        return b""

    def typing(self, chat_id: str, user_id: str, on: bool) -> bytes:
        return b""

    def presence(self, user_id: str, status: str, since: float | None, shown: bool = True) -> bytes:
        return b""


async def _serve() -> None:
    settings, clock, ids, log = Settings(limits=_NO_LIMITS), SystemClock(), UuidIds(), MemoryLog()
    node_id = ids.new("nod")
    parts: dict[str, Any] = {
        "db": None,
        "groups": log,
        "presence": None,
        "limiter": None,
        "clock": clock,
        "ids": ids,
        "settings": settings,
    }
    edge = Edge(
        settings=settings,
        node_id=node_id,
        clock=clock,
        ids=ids,
        stats=Stats(),
        backend=MemoryBackend(),
        commands=catalog.COMMANDS,
        make_ctx=lambda actor, origin, address: Ctx(actor, broker=broker, **parts),
    )
    presence = NodePresence(
        settings.presence,
        node_id=node_id,
        tell=lambda message: None,
        tell_watchers=lambda *_: None,
        link_is_well=lambda: True,
    )
    broker = NodeBroker(
        Settings(redis=type(settings.redis)(url="unix:///nowhere")),
        node_id=node_id,
        reader=log,
        sink=edge.hub,
        on_feed=lambda: None,
        on_node=lambda said: None,
        presence_version=lambda: 0,
        on_up=lambda: None,
    )
    log.ctx = Ctx(NOBODY, broker=broker, **parts)
    edge.attach(broker, presence, None)  # type: ignore[arg-type]  # nothing here changes memberships
    listener = Listener(edge, lambda claim: asyncio.Protocol())
    await listener.open("127.0.0.1", 0)
    print(listener.port, flush=True)
    await asyncio.Future()


@asynccontextmanager
async def hub_server(core: int | None) -> AsyncIterator[tuple[int, int]]:
    """(port, process id) of a chatd without storage."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.benches.hub"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            port = int(await process.stdout.readline())
        pin(process.pid, core)
        yield port, process.pid
    finally:
        process.kill()
        await process.wait()


if __name__ == "__main__":
    uvloop.run(_serve())
