"""The README's first conversation, as it stands, and clients that we did not write."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.system.conftest import settings  # noqa: F401  a fixture
from tests.system.world import World, world
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
NODE_CLIENT = Path(__file__).with_name("client.mjs")


@pytest.fixture
async def one(settings) -> AsyncIterator[World]:  # type: ignore[no-untyped-def]  # noqa: F811
    """A world of one node."""
    async with world(settings, 1) as made:
        yield made


def block(name: str) -> str:
    """The shell block of the README under this name."""
    found = re.search(rf"<!-- test: {name} -->\n```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert found, name
    return found[1]


async def shell(script: str, **environ: str) -> str:
    """What a script prints; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=ROOT, env={**os.environ, **environ},
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_the_first_conversation_works_as_it_is_written(one: World) -> None:
    script = block("first conversation").replace("http://127.0.0.1:8080", one.url())
    printed = await shell(script + '\necho; echo "BOB=$BOB CHAT=$CHAT"')
    assert '"Hello, Bob!"' in printed
    bob, chat = re.findall(r"BOB=(\S+) CHAT=(\S+)", printed)[0]
    # The websockets library's own command line, as the README says.
    command = block("first socket").replace("ws://127.0.0.1:8080", one.url(scheme="ws")).strip()
    send = {
        "type": "message.send",
        "chat_id": chat,
        "client_message_id": "2",
        "content": {"type": "text", "text": "Hello, Ada!"},
    }
    command = command.replace(".venv/bin/websockets", f"{sys.executable} -m websockets")
    typed = f"""(echo '{{"type":"connection.init"}}'; echo '{json.dumps(send)}'; sleep 2) | {command}"""
    heard = await shell(typed, BOB=bob, PYTHONWARNINGS="default")
    assert "connection.ready" in heard
    assert '"type":"ack"' in heard
    assert '"type":"message.new"' in heard


async def test_aiohttps_client_talks(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    async with one.http.ws_connect(one.url() + "/ws", protocols=["chatd.v1"]) as socket:
        assert socket.protocol == "chatd.v1"
        await socket.send_json({"type": "connection.init", "token": one.token(ann)})
        assert (await socket.receive_json(timeout=PATIENCE_S))["type"] == "connection.ready"
        content = {"type": "text", "text": "x"}
        await socket.send_json(
            {"type": "message.send", "chat_id": chat, "client_message_id": "1", "content": content}
        )
        assert (await socket.receive_json(timeout=PATIENCE_S))["type"] == "ack"
        new = await socket.receive(timeout=PATIENCE_S)
        assert new.type is aiohttp.WSMsgType.TEXT


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")
async def test_nodes_client_talks(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    port = str(one.nodes[0].listener.port)
    command = ["node", str(NODE_CLIENT), port, one.token(ann), chat]
    run = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split() == ["connection.ready", "ack", "message.new"]
