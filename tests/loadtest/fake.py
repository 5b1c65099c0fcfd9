"""A chatd of a few lines that can be told to break its promises: the checkers must notice.

It knows accounts, group chats, sockets, sends with their repeats, and resume; nothing is stored.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import WSMsgType, web

Frame = dict[str, Any]
#: Which frames the n-th socket gets in place of the one for it.
Plant = Callable[[int, Frame], list[Frame]]


def honest(socket: int, frame: Frame) -> list[Frame]:
    return [frame]


class FakeChatd:
    def __init__(self) -> None:
        self.url = ""
        self.plant: Plant = honest
        self.refusals: list[Frame] = []
        """Errors for the sends to come, one each, before any is taken."""
        self.deaf = False
        """The next send is stored and goes to the others, but its socket is cut instead of an ack."""
        self.deaf_to_all = False
        """Nothing is answered, only ``heard``."""
        self.heard: asyncio.Queue[Frame] = asyncio.Queue()
        self.inits: list[Frame] = []
        self.sends: list[Frame] = []
        self.renewed: asyncio.Queue[str] = asyncio.Queue()
        self.users: dict[str, str] = {}
        self.token_ttl_s = 900
        self.refuse_registration = False
        self.fail_refresh = False
        self.refreshed: list[str] = []
        self.reset_past = 500
        self.close_next_with: int | None = None
        self.log: list[Frame] = []
        self.said = asyncio.Event()
        self.members: list[str] = []
        self.sockets: dict[int, web.WebSocketResponse] = {}
        self.transports: dict[int, Any] = {}
        self._refreshes = 0
        self._opened = 0

    # --- REST ---

    async def register(self, request: web.Request) -> web.Response:
        if self.refuse_registration:
            problem = {"code": "rate_limited", "title": "Too many"}
            return web.json_response(problem, status=429, headers={"Retry-After": "7"})
        body = await request.json()
        user_id = f"usr_{len(self.users):026d}"
        self.users[body["email"]] = user_id
        return web.json_response({"id": user_id, "display_name": body["display_name"]}, status=201)

    async def login(self, request: web.Request) -> web.Response:
        return web.json_response(self.tokens(self.users[(await request.json())["email"]]))

    async def refresh(self, request: web.Request) -> web.Response:
        token = (await request.json())["refresh_token"]
        self.refreshed.append(token)
        if self.fail_refresh:
            return web.json_response({"code": "unavailable", "title": "Not now"}, status=503)
        return web.json_response(self.tokens(token.split("/")[1]))

    def tokens(self, user_id: str) -> Frame:
        self._refreshes += 1
        return {
            "access_token": jwt(user_id, self.token_ttl_s, self._refreshes),
            "refresh_token": f"refresh/{user_id}/{self._refreshes}",
            "expires_in": self.token_ttl_s,
            "user": {"id": user_id},
        }

    async def create_chat(self, request: web.Request) -> web.Response:
        self.members = [*(await request.json())["member_ids"], subject(request.headers["Authorization"])]
        return web.json_response({"id": "cht_1", "head_seq": 0}, status=201)

    async def history(self, request: web.Request) -> web.Response:
        before, limit = int(request.query.get("before_seq", 2**53)), int(request.query["limit"])
        found = [event["message"] for event in reversed(self.log) if event["seq"] < before][:limit]
        return web.json_response({"messages": found, "paging": {}})

    async def nothing(self, _: web.Request) -> web.Response:
        return web.json_response({"items": [], "next_cursor": None})

    # --- sockets ---

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        init = await ws.receive_json(timeout=60)
        self.inits.append(init)
        if self.close_next_with is not None:
            code, self.close_next_with = self.close_next_with, None
            await ws.close(code=code)
            return ws
        number, user_id = self._opened, subject(init["token"])
        self._opened += 1
        chat = {"chat_id": "cht_1", "type": "group", "title": None, "head_seq": len(self.log)}
        ready = {"type": "connection.ready", "user_id": user_id, "max_frame_bytes": 16384, "chats": [chat]}
        await ws.send_json(ready)
        if "since" in init:
            await self.replay(ws, init["since"]["cht_1"])
        self.sockets[number] = ws
        assert request.transport is not None
        self.transports[number] = request.transport
        async for message in ws:
            if message.type == WSMsgType.TEXT:
                await self.command(number, user_id, ws, json.loads(message.data))
        self.sockets.pop(number, None)
        return ws

    async def replay(self, ws: web.WebSocketResponse, after: int) -> None:
        if len(self.log) - after > self.reset_past:
            newest = [event["message"] for event in self.log[-50:]]
            after = len(self.log)
            await ws.send_json(
                {"type": "chat.reset", "chat_id": "cht_1", "head_seq": after, "messages": newest}
            )
        # What is said meanwhile is replayed too: with the last of it, without a wait, it goes live.
        complete = False
        while not complete or after < len(self.log):
            if after < len(self.log):
                after += 1
                await ws.send_json(self.log[after - 1])
            else:
                complete = True
                await ws.send_json({"type": "sync.complete"})

    async def command(self, number: int, user_id: str, ws: web.WebSocketResponse, frame: Frame) -> None:
        if self.deaf_to_all:
            self.heard.put_nowait(frame)
            return
        if frame["type"] == "ping":
            await ws.send_json({"type": "pong", "re": frame["id"]})
        elif frame["type"] == "auth.refresh":
            self.renewed.put_nowait(frame["token"])
        elif frame["type"] == "forbidden":
            await ws.send_json({"type": "error", "re": frame["id"], "code": "forbidden", "message": "no"})
        elif frame["type"] != "message.send":
            await ws.send_json({"type": "ack", "re": frame["id"]})
        elif self.refusals:
            self.sends.append(frame)
            refusal = {"re": frame["id"], "client_message_id": frame["client_message_id"], "message": ""}
            await ws.send_json({"type": "error", **refusal, **self.refusals.pop(0)})
        else:
            self.sends.append(frame)
            await self.say(number, user_id, ws, frame)

    async def say(self, number: int, user_id: str, ws: web.WebSocketResponse, frame: Frame) -> None:
        key = frame["client_message_id"]
        repeated = [event for event in self.log if event["message"]["client_message_id"] == key]
        event = repeated[0] if repeated else self.store(user_id, frame)
        if self.deaf:
            self.deaf = False
            del self.sockets[number]
            self.transports[number].abort()
        else:
            ack = {"type": "ack", "re": frame["id"], "client_message_id": key, "chat_id": "cht_1"}
            place = {"message_id": event["message"]["id"], "seq": event["seq"], "duplicate": bool(repeated)}
            await ws.send_json({**ack, **place})
        if not repeated:
            for other, socket in list(self.sockets.items()):
                # Who is just leaving finds it in the log.
                with suppress(ConnectionResetError):
                    for planted in self.plant(other, event):
                        await socket.send_json(planted)

    def store(self, user_id: str, frame: Frame) -> Frame:
        seq = len(self.log) + 1
        message = {
            "id": f"msg_{seq}",
            "chat_id": "cht_1",
            "seq": seq,
            "sender_id": user_id,
            "client_message_id": frame["client_message_id"],
            "content": frame["content"],
        }
        self.log.append({"type": "message.new", "chat_id": "cht_1", "seq": seq, "message": message})
        self.said.set()
        return self.log[-1]

    async def close_all(self, code: int, *before: Frame) -> None:
        for ws in list(self.sockets.values()):
            for frame in before:
                await ws.send_json(frame)
            await ws.close(code=code)


def jwt(user_id: str, ttl_s: float, number: int = 0) -> str:
    claims = json.dumps({"sub": user_id, "exp": time.time() + ttl_s, "jti": str(number)}).encode()
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.e30"


def subject(token: str) -> str:
    claims = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])


@asynccontextmanager
async def running() -> AsyncIterator[FakeChatd]:
    fake = FakeChatd()
    app = web.Application()
    app.router.add_post("/api/users", fake.register)
    app.router.add_post("/api/auth/login", fake.login)
    app.router.add_post("/api/auth/refresh", fake.refresh)
    app.router.add_post("/api/chats", fake.create_chat)
    app.router.add_get("/api/chats/cht_1/messages", fake.history)
    app.router.add_get("/api/chats", fake.nothing)
    app.router.add_get("/healthz", fake.nothing)
    app.router.add_get("/ws", fake.socket)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await asyncio.gather(*(ws.close() for ws in list(fake.sockets.values())))
        await runner.cleanup()
