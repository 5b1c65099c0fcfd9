import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtest.audit import Tally
from loadtest.device import Device
from loadtest.link import Closed, Frame
from loadtest.rest import NoAnswer, Refused, Unreachable
from tests.loadtest.fake import FakeChatd, Plant, honest, jwt

ROOT = Path(__file__).parents[2]
ANN = "usr_00000000000000000000000000"


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[str, bool]] = []

    def __call__(self, frame: Frame, live: bool) -> None:
        if frame["type"] == "message.new":
            self.heard.append((frame["message"]["content"]["text"], live))


def socket_url(fake: FakeChatd) -> str:
    return fake.url.replace("http", "ws") + "/ws"


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def device(fake: FakeChatd, ear: Ear) -> AsyncIterator[Device]:
    device = Device(socket_url(fake), on_frame=ear)
    await asyncio.to_thread(device.open, jwt(ANN, 900))
    yield device
    await asyncio.to_thread(device.close)


async def say(device: Device, text: str) -> Frame:
    content = {"type": "text", "text": text}
    fields = {"chat_id": "cht_1", "client_message_id": text, "content": content}
    return await asyncio.to_thread(device.request, "message.send", timeout_s=5.0, **fields)


async def test_a_device_sends_and_hears(device: Device, ear: Ear):
    assert [(await say(device, text))["seq"] for text in "ab"] == [1, 2]
    await asyncio.to_thread(device.request, "ping")
    assert ear.heard == [("a", True), ("b", True)]
    assert device.book.tally({"cht_1": 2}) == Tally()


async def test_what_was_missed_is_replayed_and_not_live(fake: FakeChatd, device: Device, ear: Ear):
    await say(device, "a")
    await asyncio.to_thread(device.drop)
    assert not device.up
    fake.store("usr_x", {"client_message_id": "b", "content": {"type": "text", "text": "b"}})
    await asyncio.to_thread(device.open, jwt(ANN, 900))
    await say(device, "c")
    await asyncio.to_thread(device.request, "ping")
    assert fake.inits[1]["since"] == {"cht_1": 1}
    assert ear.heard == [("a", True), ("b", False), ("c", True)]
    assert device.book.tally({"cht_1": 3}) == Tally()


async def test_a_device_is_told_what_goes_wrong(fake: FakeChatd, device: Device):
    with pytest.raises(Refused, match="forbidden"):
        await asyncio.to_thread(device.request, "forbidden")
    fake.deaf_to_all = True
    waiting = asyncio.create_task(say(device, "anybody?"))
    await fake.heard.get()
    await fake.close_all(4429)
    with pytest.raises(Closed, match="4429"):
        await waiting
    with pytest.raises(Closed):
        await say(device, "still nobody?")
    assert isinstance(device.ended, Closed)


async def test_waiting_ends(fake: FakeChatd, device: Device):
    fake.deaf_to_all = True
    with pytest.raises(NoAnswer):
        await asyncio.to_thread(device.request, "ping", timeout_s=0.05)


async def test_nobody_there_is_unreachable():
    with pytest.raises(Unreachable):
        await asyncio.to_thread(Device("ws://127.0.0.1:9/ws").open, jwt(ANN, 900))


async def test_a_token_that_is_not_taken_closes_with_4401(fake: FakeChatd):
    fake.close_next_with = 4401
    with pytest.raises(Closed, match="4401"):
        await asyncio.to_thread(Device(socket_url(fake)).open, jwt(ANN, 900))


# On every socket and again and again, since people come and go as they like.
def lost(socket: int, frame: Frame) -> list[Frame]:
    return [frame] if frame["seq"] % 2 else []


def doubled(socket: int, frame: Frame) -> list[Frame]:
    return [frame, frame]


@pytest.mark.parametrize(
    ("plant", "code", "said"),
    [
        (honest, 0, "0 message lost, 0 message duplicated, 0 message out of order"),
        (lost, 1, r"[1-9]\d* message lost, 0 message duplicated, 0 message out of order"),
        (doubled, 1, r"0 message lost, [1-9]\d* message duplicated, 0 message out of order"),
    ],
)
async def test_a_load_fails_where_a_message_does(
    fake: FakeChatd, tmp_path: Path, plant: Plant, code: int, said: str
):
    fake.plant = plant
    ids = [f"usr_{n:026d}" for n in range(3)]
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [{"id": id_, "access_token": jwt(id_, 900)} for id_ in ids]}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless", "--only-summary"),
        *("--host", fake.url, "-u", "3", "-r", "3", "--pause", "0.2"),
        cwd=ROOT,
        env={**os.environ, "CHATD_USERS": str(users)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(90):
        while len(fake.log) < 4:
            await fake.said.wait()
            fake.said.clear()
        process.terminate()
        output, _ = await process.communicate()
    assert re.search(f"3 sockets were checked: {said}", output.decode()), output.decode()
    assert process.returncode == code
    assert b"message.new delivery" in output
    assert b"message.send ack" in output
