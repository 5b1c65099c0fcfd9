"""More than a node can do: it says so, in order, and what it took is kept."""

import asyncio
import json
import math
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame, Opcode

from chatd.core.declarations import Batch
from chatd.core.settings import Admission, Messages, Settings
from chatd.db.group_commit import GroupCommit
from chatd.gateway.admission import Admission as AdmissionGate
from tests.system.world import Frame as Event
from tests.system.world import World, world
from tests.waiting import PATIENCE_S


@pytest.fixture
async def narrow(settings: Settings) -> AsyncIterator[World]:
    """A node where one message at a time is stored and one may wait (in each of its two queues)."""
    messages = Messages(max_batch=1, max_queue=1)
    async with world(msgspec.structs.replace(settings, messages=messages), 1) as made:
        yield made


@asynccontextmanager
async def held(world: World, chat: str) -> AsyncIterator[None]:
    """Nothing is stored in this chat meanwhile: who would, waits."""
    async with world.nodes[0].db.transaction() as tx:
        await tx.run("SELECT 1 FROM chat_chats WHERE id = $1 FOR UPDATE", chat)
        yield


def _send(chat: str, cmid: str) -> str:
    content = {"type": "text", "text": cmid}
    return json.dumps(
        {"type": "message.send", "chat_id": chat, "client_message_id": cmid, "content": content}
    )


async def test_sends_past_the_queue_are_unavailable_and_their_retries_are_acked(narrow: World) -> None:
    (ann,) = await narrow.users(1)
    chat = await narrow.group(ann)
    phone = await narrow.phone(ann)
    missing = [f"m{i}" for i in range(6)]
    refusals: list[Event] = []
    async with held(narrow, chat):
        for cmid in missing:
            await phone.socket.send(_send(chat, cmid))
        refusals.append(await phone.event("error"))
    while missing:
        seen = len(phone.frames)
        for cmid in missing:
            await phone.socket.send(_send(chat, cmid))
        answers = [await phone.wait(_answer_to(cmid, phone.frames[:seen])) for cmid in missing]
        refusals += [answer for answer in answers if answer["type"] == "error"]
        missing = [cmid for cmid in missing if cmid not in _acked(phone.frames)]
    assert refusals
    assert {refusal["code"] for refusal in refusals} == {"unavailable"}
    assert all(500 <= refusal["retry_after_ms"] <= 1500 for refusal in refusals)
    await phone.event("message.new", seq=6)
    assert phone.seqs(chat) == list(range(1, 7))


def _answer_to(cmid: str, before: list[Event]) -> Callable[[Event], bool]:
    """An ack or error of this send that is none of those."""

    def fits(frame: Event) -> bool:
        return (
            frame["type"] in ("ack", "error")
            and frame.get("client_message_id") == cmid
            and not any(frame is old for old in before)
        )

    return fits


def _acked(frames: list[Event]) -> set[str]:
    return {f["client_message_id"] for f in frames if f["type"] == "ack"}


async def test_a_socket_that_sends_on_though_it_was_refused_is_not_read_for_a_moment(one: World) -> None:
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    phone = await one.phone(ann)
    node = one.nodes[0]
    node.edge.admission.pressure = lambda _: 1.0
    await phone.socket.send(_send(chat, "m0"))
    await phone.event("error", code="unavailable", client_message_id="m0")
    assert (await phone.call("ping"))["type"] == "pong"  # who keeps still is read as ever
    assert node.stats.holds == 0
    await phone.socket.send(_send(chat, "m1"))
    await phone.socket.send(json.dumps({"type": "ping", "id": "behind"}))
    await phone.event("error", code="unavailable", client_message_id="m1")
    assert node.stats.holds == 1
    (connection,) = node.edge.connections
    assert connection.held
    assert connection.paused_reading
    await phone.event("pong", re="behind")  # read once the moment is over
    node.edge.admission.pressure = lambda _: 0.0
    assert (await phone.say(chat, "m2", "m2"))["seq"] == 1


async def test_a_socket_that_was_refused_has_one_send_at_work_at_a_time(one: World) -> None:
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    phone = await one.phone(ann)
    node = one.nodes[0]
    node.edge.admission.HOLD_S = 0.0  # type: ignore[misc]  # what is looked at here is the other rule
    paused: list[bool] = []
    (connection,) = node.edge.connections
    submit = node.groups.submit

    def counted(batch: Any, entry: Any) -> Any:
        if batch.name == "append":
            assert connection.inflight == 0
            asyncio.get_running_loop().call_soon(lambda: paused.append(connection.paused_reading))
        return submit(batch, entry)

    node.groups.submit = counted  # type: ignore[method-assign]
    node.edge.admission.pressure = lambda _: 1.0
    await phone.socket.send(_send(chat, "m0"))
    await phone.event("error", code="unavailable", client_message_id="m0")
    connection.still_until += 3600.0
    node.edge.admission.pressure = lambda _: 0.0
    for i in range(1, 6):
        await phone.socket.send(_send(chat, f"m{i}"))
    for i in range(1, 6):
        await phone.event("ack", client_message_id=f"m{i}")
    assert paused == [True] * 5


def test_refusing_begins_at_half_and_is_certain_at_the_bound() -> None:
    admission = AdmissionGate(Admission())

    def share(pressure: float) -> float:
        admission.pressure = lambda _: pressure
        return sum(admission.refuses("cht_x") for _ in range(2000)) / 2000

    assert share(0.0) == share(0.5) == 0.0
    assert 0.0 < share(0.7) < share(0.9) < 1.0
    assert share(1.0) == share(3.0) == 1.0


async def test_entries_that_wait_too_long_are_pressure_however_few() -> None:
    done = asyncio.Event()

    async def stuck(ctx: Any, entries: list[str]) -> list[str]:
        await done.wait()
        return entries

    groups = GroupCommit(max_wait_s=1e-6)
    batch: Batch[str, str] = Batch("stuck", stuck, key=lambda entry: entry)
    assert groups.pressure("stuck", "a") == 0.0
    first = groups.submit(batch, "a")
    await asyncio.sleep(0)  # it is at work now, and nothing waits
    assert groups.pressure("stuck", "a") == 0.0
    second = groups.submit(batch, "a")
    assert groups.pressure("stuck", "a") >= 1.0
    done.set()
    assert [await first, await second] == ["a", "a"]
    assert groups.pressure("stuck", "a") == 0.0


async def test_a_late_loop_refuses_sends_and_nothing_else(one: World) -> None:
    node = await one.node(admission=Admission(max_lag_ms=60_000))
    (ann,) = await one.users(1)
    chat = await one.group(ann)
    phone = await one.phone(ann, node=1)
    admission = node.edge.admission
    admission.lag_s = math.inf  # which does not fade, as a lag does that is over
    await phone.socket.send(_send(chat, "m0"))
    assert (await phone.event("error"))["code"] == "unavailable"
    admission.lag_s = 0.0
    assert (await phone.call("ping"))["type"] == "pong"
    assert (await phone.say(chat, "m0", "m0"))["seq"] == 1


async def test_all_of_a_storm_are_opened_though_one_at_a_time(settings: Settings) -> None:
    admission = Admission(opening_at_once=1)
    async with world(msgspec.structs.replace(settings, admission=admission), 1) as made:
        users = await made.users(20)
        chat = await made.group(users[0], *users[1:])
        phones = await asyncio.gather(*(made.phone(user) for user in users))
        await phones[0].say(chat, "hello")
        await asyncio.gather(*(phone.event("message.new", seq=1) for phone in phones))


# ------------------------------------------------------------------------------------------- cutting frames


def _frame(opcode: Opcode, data: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


@pytest.mark.parametrize("seed", range(6))
async def test_frames_cut_anywhere_are_the_same_commands(one: World, seed: int) -> None:
    (ann,) = await one.users(1)
    chance = random.Random(seed)
    refs = [f"r{i}" + "x" * chance.choice((0, 1, 40)) for i in range(60)]
    stream = b"".join(_as_frames(chance, {"type": "ping", "id": ref, "pad": "p" * 120}) for ref in refs)
    reader, writer = await _upgraded(one, ann)
    at = 0
    while at < len(stream):
        size = chance.choice((1, 2, 3, 7, 50, 400, 5000))
        writer.write(stream[at : at + size])
        await writer.drain()
        at += size
    got: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(got) < len(refs):
            event = await _text(reader)
            if event["type"] == "pong":
                got.append(event["re"])
    assert got == refs
    writer.close()


def _as_frames(chance: random.Random, command: dict[str, Any]) -> bytes:
    """One frame, or fragments with a control frame between them (RFC 6455, 5.4)."""
    data = json.dumps(command).encode()
    if chance.random() < 0.7:
        return _frame(Opcode.TEXT, data)
    cut = chance.randrange(len(data))
    return (
        _frame(Opcode.TEXT, data[:cut], fin=False)
        + _frame(Opcode.PONG, b"beat")
        + _frame(Opcode.CONT, data[cut:])
    )


async def _upgraded(one: World, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", one.nodes[0].listener.port)
    init = {"type": "connection.init", "token": one.token(user)}
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_frame(Opcode.TEXT, json.dumps(init).encode()))
    return reader, writer


async def _text(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next text frame; the server's are not masked and not in fragments."""
    while True:
        first, length = await reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        data = await reader.readexactly(length)
        if first == 0x81:
            event: dict[str, Any] = json.loads(data)
            return event
