"""Nodes that push to services on this machine. Their own jobs are stopped: tests run them when it is time."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from chatd.core.context import Actor, Ctx
from chatd.core.settings import Push, Secrets, Settings
from chatd.features.devices import jobs
from tests.databases import patient, redis_of
from tests.features.devices.services import Browser, Services, listening, pem
from tests.system.conftest import UNLIMITED
from tests.system.world import World, world


@pytest.fixture
async def push() -> AsyncIterator[Services]:
    async with listening() as made:
        yield made


@pytest.fixture
def settings(services, database: str, push: Services) -> Settings:
    return Settings(
        postgres=patient(database, 6),
        redis=redis_of(services),
        limits=UNLIMITED,
        push=Push(
            grace_s=0.0,
            timeout_s=10.0,
            fcm_url=push.url,
            apns_url=push.apple_url,
            apns_topic="app.tribe",
            apns_team_id="TEAM1",
            apns_key_id="KEY1",
            web_origins=(push.url,),
            web_subject="mailto:ops@chat.example",
        ),
        secrets=Secrets(
            jwt_key="a-key-of-tests-longer-than-thirty-two-bytes",
            fcm_account=push.account(),
            apns_key=pem(push.apple_key),
            vapid_key=pem(push.vapid_key),
        ),
    )


class Town:
    """A world with people who have phones in their pockets."""

    def __init__(self, world: World, push: Services) -> None:
        self.world, self.push = world, push

    def ctx(self, user_id: str = "", node: int = 0) -> Ctx:
        """What a handler of this user gets."""
        session = self.world.sessions[user_id] if user_id else ""
        return replace(self.world.nodes[node].ctx, actor=Actor(user_id, session))

    def set(self, **changed: Any) -> None:
        """Change settings of push, on every node."""
        for node in self.world.nodes:
            push = structs.replace(node.ctx.settings.push, **changed)
            settings = structs.replace(node.ctx.settings, push=push)
            node.ctx = replace(node.ctx, settings=settings)

    async def device(self, user_id: str, token: str = "", provider: str = "fcm") -> tuple[str, str]:
        """(the device's id, its token): one that this user has registered over REST."""
        token = token or os.urandom(32).hex()
        body = {"provider": provider, "token": token, "name": "a phone"}
        status, made = await self.world.rest(user_id, "POST", "/api/devices", body)
        assert status == 201, made
        return made["id"], token

    async def browser(self, user_id: str) -> Browser:
        """A browser that this user has subscribed with."""
        browser = Browser(f"{self.push.url}/push/{os.urandom(8).hex()}")
        body = {"provider": "webpush", "subscription": browser.subscription}
        status, made = await self.world.rest(user_id, "POST", "/api/devices", body)
        assert status == 201, made
        return browser

    async def pair(self) -> tuple[str, str, str, str]:
        """(ann, bob, their group, the token of bob's phone)."""
        ann, bob = await self.world.users(2)
        chat = await self.world.group(ann, bob)
        return ann, bob, chat, (await self.device(bob))[1]

    def bodies(self, token: str) -> list[str]:
        """What a phone has shown."""
        return [got.body["notification"]["body"] for got in self.push.to(token)]

    async def say(self, user_id: str, chat_id: str, text: str, **content: Any) -> dict[str, Any]:
        """A message over REST."""
        body = {
            "client_message_id": os.urandom(8).hex(),
            "content": {"type": "text", "text": text, **content},
        }
        status, queued = await self.world.rest(user_id, "POST", f"/api/chats/{chat_id}/messages", body)
        assert status == 202, queued
        return queued

    async def direct(self, user_id: str, other: str) -> str:
        body = {"type": "direct", "member_ids": [other]}
        status, chat = await self.world.rest(user_id, "POST", "/api/chats", body)
        assert status in (200, 201), chat
        return str(chat["id"])

    async def round(self, node: int = 0) -> None:
        """Look for what was said, and send what is due."""
        await jobs.watch(self.ctx(node=node))
        await jobs.send(self.ctx(node=node))

    def later(self, **delta: float) -> None:
        self.world.clock.offset += timedelta(**delta)

    async def waiting(self) -> int:
        return await self.world.nodes[0].db.one(int, "SELECT count(*) FROM push_outbox")

    async def run(self, sql: str, *args: Any) -> int:
        return await self.world.nodes[0].db.run(sql, *args)


@asynccontextmanager
async def town_of(settings: Settings, push: Services, nodes: int) -> AsyncIterator[Town]:
    async with world(settings, nodes) as made:
        for node in made.nodes:
            await node.runner.stop()
        yield Town(made, push)


@pytest.fixture
async def town(settings: Settings, push: Services) -> AsyncIterator[Town]:
    async with town_of(settings, push, 1) as made:
        yield made


@pytest.fixture
async def towns(settings: Settings, push: Services) -> AsyncIterator[Town]:
    """One town, two nodes."""
    async with town_of(settings, push, 2) as made:
        yield made
