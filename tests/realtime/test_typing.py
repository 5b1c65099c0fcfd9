"""At most one start per user and chat in two seconds, and every typing that was shown ends."""

import asyncio

from chatd.realtime.typing import TypingBoard
from tests.waiting import until

Said = list[tuple[str, bool]]


def board(ttl_s: float = 0.6, every_s: float = 0.3) -> tuple[TypingBoard, Said]:
    said: Said = []
    made = TypingBoard(lambda chat, user, on, hidden: said.append((user, on)), ttl_s=ttl_s, every_s=every_s)
    return made, said


async def test_a_stop_does_not_make_room_for_another_start() -> None:
    typing, said = board(every_s=60)
    for _ in range(5):
        typing.heard("c", "u", True)
        typing.heard("c", "u", False)
    assert said == [("u", True), ("u", False)]


async def test_a_start_that_came_too_soon_goes_out_when_its_time_has_come() -> None:
    typing, said = board(ttl_s=3600, every_s=0.1)
    expiring = asyncio.create_task(typing.expire_forever())
    typing.heard("c", "u", True)
    typing.heard("c", "u", False)
    typing.heard("c", "u", True)
    assert said == [("u", True), ("u", False)]
    await until(lambda: len(said) == 3)
    typing.heard("c", "u", False)
    assert said == [("u", True), ("u", False)] * 2
    assert not typing.is_typing("c", "u")
    expiring.cancel()


async def test_what_is_remembered_is_let_go() -> None:
    typing, _ = board(ttl_s=0.05, every_s=0.05)
    expiring = asyncio.create_task(typing.expire_forever())
    for i in range(100):
        typing.heard("c", f"u{i}", True)
    await until(lambda: not (typing._typing or typing._said or typing._shown))
    expiring.cancel()
