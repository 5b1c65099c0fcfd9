"""Nodes in this process over real services, and phones that talk to them over real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chatd.boot import Node
from chatd.core.clock import SystemClock
from chatd.core.ids import UuidIds
from chatd.core.settings import Settings
from chatd.features.accounts import service as accounts
from chatd.features.accounts import tokens
from tests.waiting import PATIENCE_S

Frame = dict[str, Any]


class Phone:
    """One socket of one user; keeps every frame it saw."""

    def __init__(self, socket: ClientConnection, user_id: str) -> None:
        self.socket, self.user_id = socket, user_id
        self.frames: list[Frame] = []
        self.ready: Frame = {}
        self._news = asyncio.Event()
        self._cursor = 0
        self._ref = 0
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self.frames.append(json.loads(text))
                self._news.set()
        except ConnectionClosed:
            pass
        self._news.set()

    async def send(self, type_: str, **fields: Any) -> None:
        """A command without an id."""
        await self.socket.send(json.dumps({"type": type_, **fields}, ensure_ascii=False))

    async def call(self, type_: str, **fields: Any) -> Frame:
        """A command and its answer (the frame with its ``re``)."""
        self._ref += 1
        ref = f"r{self._ref}"
        await self.send(type_, id=ref, **fields)
        return await self.wait(lambda f: f.get("re") == ref)

    async def say(self, chat_id: str, text: str, cmid: str | None = None) -> Frame:
        """message.send and its ack."""
        self._ref += 1
        cmid = cmid or f"c-{self.user_id[-6:]}-{id(self)}-{self._ref}"
        content = {"type": "text", "text": text}
        return await self.call("message.send", chat_id=chat_id, client_message_id=cmid, content=content)

    async def wait(self, wanted: Callable[[Frame], bool], *, seconds: float = PATIENCE_S) -> Frame:
        """The first frame, past or to come, that fits."""
        at = 0
        async with asyncio.timeout(seconds):
            while True:
                while at < len(self.frames):
                    if wanted(self.frames[at]):
                        return self.frames[at]
                    at += 1
                self._news.clear()
                if self._reader.done():
                    raise AssertionError(
                        f"closed with {self.socket.close_code} while waiting; saw {self.frames}"
                    )
                await self._news.wait()

    async def event(self, type_: str, **fields: Any) -> Frame:
        """The first frame of this type with these fields."""
        return await self.wait(
            lambda f: f["type"] == type_ and all(f.get(name) == value for name, value in fields.items())
        )

    def seen(self, *types: str, chat_id: str | None = None) -> list[Frame]:
        """Frames of these types so far."""
        return [f for f in self.frames if f["type"] in types and chat_id in (None, f.get("chat_id"))]

    def seqs(self, chat_id: str) -> list[int]:
        """The seqs of a chat's durable events, as they came."""
        kinds = ("message.new", "message.update", "message.delete", "system.moderation")
        return [f["seq"] for f in self.frames if f["type"] in kinds and f["chat_id"] == chat_id]

    async def closed(self) -> int:
        """Wait for the end; its close code."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reader
            await self.socket.wait_closed()
        return self.socket.close_code or 0

    async def fence(self) -> None:
        """Everything that the server wrote before now has arrived."""
        await self.call("ping")

    async def close(self) -> None:
        """Hang up."""
        await self.socket.close()
        await asyncio.wait([self._reader], timeout=PATIENCE_S)


class WorldClock(SystemClock):
    """``offset`` moves the time of day; ``skipped`` moves the time by which nodes wait for each other."""

    skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.skipped


class World:
    """Nodes, users, and what they do."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.nodes: list[Node] = []
        self.clock = WorldClock()
        self.phones: list[Phone] = []
        self.http: aiohttp.ClientSession

    async def node(self, **sections: Any) -> Node:
        """One more node on a port of its own."""
        settings = msgspec.structs.replace(self.settings, **sections)
        node = Node(settings, clock=self.clock)
        await node.open("127.0.0.1", 0)
        self.nodes.append(node)
        return node

    def url(self, node: int = 0, scheme: str = "http") -> str:
        """Where a node listens."""
        return f"{scheme}://127.0.0.1:{self.nodes[node].listener.port}"

    async def users(self, count: int) -> list[str]:
        """New accounts; tokens for them come from ``token``."""
        made = await accounts.create_many(
            self.nodes[0].db, count, ids=UuidIds(), now=self.clock.now(), session_ttl_s=86_400
        )
        self.sessions = getattr(self, "sessions", {}) | {m.user_id: m.session_id for m in made}
        return [m.user_id for m in made]

    def token(self, user_id: str, ttl: float = 3600, roles: tuple[str, ...] = ("user",)) -> str:
        """An access token."""
        return tokens.issue(self.settings, user_id, self.sessions[user_id], roles, self.clock.now(), ttl)

    async def rest(
        self, user_id: str | None, method: str, path: str, body: Any = None, *, node: int = 0
    ) -> tuple[int, Any]:
        """A REST call: (status, body)."""
        headers = {"Authorization": f"Bearer {self.token(user_id)}"} if user_id else {}
        async with self.http.request(method, self.url(node) + path, json=body, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else None

    async def group(self, owner: str, *members: str, node: int = 0) -> str:
        """A group chat's id."""
        status, chat = await self.rest(
            owner, "POST", "/api/chats", {"type": "group", "member_ids": list(members)}, node=node
        )
        assert status == 201, chat
        return str(chat["id"])

    async def raw(self, path: str = "/ws", node: int = 0, **options: Any) -> ClientConnection:
        """A bare WebSocket, before its connection.init."""
        options = {"open_timeout": PATIENCE_S, **options}
        return await connect(self.url(node, "ws") + path, proxy=None, **options)

    async def phone(
        self,
        user_id: str,
        *,
        node: int = 0,
        path: str = "/ws",
        since: dict[str, int] | None = None,
        token: str | None = None,
        **options: Any,
    ) -> Phone:
        """An open socket of this user."""
        socket = await self.raw(path, node, **options)
        phone = Phone(socket, user_id)
        self.phones.append(phone)
        init: Frame = {"token": token or self.token(user_id)}
        if since is not None:
            init["since"] = since
        await phone.send("connection.init", **init)
        phone.ready = await phone.event("connection.ready")
        return phone


@asynccontextmanager
async def world(settings: Settings, nodes: int) -> AsyncIterator[World]:
    """So many nodes, and an end to everything."""
    made = World(settings)
    async with aiohttp.ClientSession() as http:
        made.http = http
        try:
            for _ in range(nodes):
                await made.node()
            yield made
        finally:
            await asyncio.gather(*(phone.close() for phone in made.phones), return_exceptions=True)
            await asyncio.gather(*(node.close() for node in made.nodes), return_exceptions=True)
