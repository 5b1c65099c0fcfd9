"""The classifier, asked over a local wire after a message was sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web

from chatd.core.settings import Moderation, Settings
from chatd.features.moderation import classifier
from tests.system.calls import said
from tests.system.moderation.scene import written
from tests.system.world import world
from tests.waiting import PATIENCE_S


@pytest.fixture
async def service() -> AsyncIterator[Any]:
    """A service that speaks comments:analyze on a local wire."""
    scores = {"meh": 0.85, "vile": 0.99}
    asked: list[Any] = []
    answers = {"status": 200}

    async def analyze(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.query.get("key"), body))
        if answers["status"] != 200:
            return web.Response(status=answers["status"])
        value = scores.get(body["comment"]["text"], 0.1)
        attributes = {
            name: {"summaryScore": {"value": value if name == "THREAT" else 0.0}}
            for name in body["requestedAttributes"]
        }
        return web.json_response({"attributeScores": attributes})

    app = web.Application()
    app.router.add_post("/v1alpha1/comments:analyze", analyze)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]

    class Service:
        url = f"http://127.0.0.1:{port}/v1alpha1/comments:analyze"

    Service.asked, Service.answers = asked, answers  # type: ignore[attr-defined]
    yield Service
    await runner.cleanup()


async def test_the_classifier_flags_and_hides_after_the_message_was_sent(
    settings: Settings, service: Any
) -> None:
    secrets = msgspec.structs.replace(settings.secrets, classifier_key="the-key")
    classifying = Moderation(classifier_url=service.url, classifier_timeout_s=PATIENCE_S)
    settings = msgspec.structs.replace(settings, moderation=classifying, secrets=secrets)
    async with world(settings, 1) as one:
        ann, bob = await one.users(2)
        chat = await one.group(ann, bob)
        phone = await one.phone(bob)
        fine, meh, vile = [await said(one, ann, chat, text) for text in ("fine", "meh", "vile")]
        assert (await phone.event("message.new", seq=3))["message"]["moderation_status"] == "visible"
        flagged = await phone.event("system.moderation", message_id=meh)
        assert (flagged["action"], flagged["reason"]) == ("flagged", "threat")
        hidden = await phone.event("system.moderation", message_id=vile)
        assert hidden["action"] == "hidden"
        states = {m["id"]: (m["moderation_status"], m["content"]) for m in await written(one, bob, chat)}
        assert states[fine][0] == "visible"
        assert states[meh][0] == "flagged"
        assert states[vile] == ("hidden", {"type": "tombstone"})
        assert {key for key, _ in service.asked} == {"the-key"}
        count = "SELECT count(*) FROM moderation_cases WHERE source = 'classifier'"
        assert await one.nodes[0].db.one(int, count) == 2


async def test_a_classifier_that_is_away_is_asked_again_and_then_given_up(
    settings: Settings, service: Any
) -> None:
    service.answers["status"] = 503
    classifying = Moderation(classifier_url=service.url, classifier_timeout_s=1, classifier_attempts=2)
    async with world(msgspec.structs.replace(settings, moderation=classifying), 1) as one:
        ann, bob = await one.users(2)
        chat = await one.group(ann, bob)
        await said(one, ann, chat, "vile")
        db = one.nodes[0].db
        for attempts in (1, 2):
            async with asyncio.timeout(PATIENCE_S):
                while await db.one(int, "SELECT coalesce(max(attempts), 9) FROM moderation_scans") < attempts:
                    await classifier.work(one.nodes[0].ctx)
            await db.run("UPDATE moderation_scans SET due_at = now()")
        async with asyncio.timeout(PATIENCE_S):
            while await db.one(int, "SELECT count(*) FROM moderation_scans"):
                await classifier.work(one.nodes[0].ctx)
        assert (await written(one, bob, chat))[0]["moderation_status"] == "visible", "sent all the same"
