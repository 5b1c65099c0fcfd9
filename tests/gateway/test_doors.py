"""How strangers wait in line, and what is passed over after our close frame."""

import asyncio
import random

import pytest
from websockets.frames import Frame, Opcode

from chatd.gateway.admission import Turnstile
from chatd.gateway.closing import answer_in


async def test_an_address_that_comes_often_waits_for_itself() -> None:
    doors, served, done = Turnstile(portion_s=0.0, rest_turns=0), [], asyncio.Event()
    for i in range(50):
        doors.enter("often", lambda i=i: served.append(f"often {i}"))  # type: ignore[misc]
    doors.enter("once", lambda: served.append("once"))
    doors.enter("often", done.set)
    async with asyncio.timeout(20):
        await done.wait()
    assert served.index("once") == 1
    assert [who for who in served if who != "once"] == [f"often {i}" for i in range(50)]


async def test_others_have_their_turns_between_portions() -> None:
    doors, order, done = Turnstile(portion_s=0.0, rest_turns=3), [], asyncio.Event()
    loop = asyncio.get_running_loop()

    def turn() -> None:
        order.append("turn")
        if not done.is_set():
            loop.call_soon(turn)

    for i in range(5):
        doors.enter("a", lambda i=i: order.append(i))  # type: ignore[misc]
    doors.enter("a", done.set)
    loop.call_soon(turn)
    async with asyncio.timeout(20):
        await done.wait()
    for i in range(4):
        assert order.index(i + 1) - order.index(i) == 5, order  # four turns between them


async def test_who_fails_at_the_door_does_not_close_it_for_the_next() -> None:
    doors, done = Turnstile(portion_s=1.0, rest_turns=0), asyncio.Event()
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: failures.append(str(what["exception"])))

    def fail() -> None:
        raise ValueError("a defect")

    doors.enter("a", fail)
    doors.enter("b", done.set)
    async with asyncio.timeout(20):
        await done.wait()
    assert failures == ["a defect"]


@pytest.mark.parametrize("seed", range(8))
def test_the_close_frame_is_found_wherever_reads_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    close = Frame(Opcode.CLOSE, b"\x03\xe8bye").serialize(mask=True)
    talk = b"".join(
        Frame(chance.choice((Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)), data).serialize(
            mask=chance.random() < 0.9
        )
        for data in (bytes(chance.choice((0, 5, 125))) for _ in range(20))
    )
    big = Frame(Opcode.TEXT, b"\x88" * chance.choice((126, 70_000))).serialize(mask=True)
    stream = talk + big + talk + close + talk
    skip, rest, at, kept = 0, b"", 0, 0
    while at < len(stream):
        size = chance.choice((1, 2, 3, 7, 100, 5000))
        skip, rest, found = answer_in(rest + stream[at : at + size], skip)
        kept = max(kept, len(rest))
        at += size
        if found:
            break
    assert found == close
    assert kept <= 131
