"""Group commit, when PostgreSQL does not answer."""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from chatd.core.declarations import Batch
from chatd.core.errors import Conflict, StoreUnavailable
from chatd.db import group_commit
from chatd.db.group_commit import GroupCommit


class Rounds:
    """A batch whose rounds wait until they are let go, and then end as they were told to."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.error: Exception | None = None

    async def run(self, ctx: Any, entries: list[int]) -> Sequence[int | Exception]:
        self.seen.append(entries)
        self.begun.set()
        async with asyncio.timeout(20):
            await self.go.wait()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return entries


async def one_at_work_and_two_behind(rounds: Rounds) -> list[Any]:
    groups = GroupCommit()
    batch: Batch[int, int] = Batch("test", rounds.run)
    answers = [groups.submit(batch, 1)]
    async with asyncio.timeout(20):
        await rounds.begun.wait()
    answers += [groups.submit(batch, 2), groups.submit(batch, 3)]
    rounds.go.set()
    return await asyncio.gather(*answers, return_exceptions=True)


async def test_what_queues_behind_a_database_that_does_not_answer_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(group_commit, "SILENT_S", 0.0)
    rounds = Rounds()
    rounds.error = StoreUnavailable()
    answers = await one_at_work_and_two_behind(rounds)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 3
    assert rounds.seen == [[1]], "the ones behind must not wait for rounds of their own"


@pytest.mark.parametrize("error", [None, Conflict("no"), StoreUnavailable("one connection broke")])
async def test_what_queues_behind_another_error_is_the_next_round(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SILENT_S", math.inf)
    rounds = Rounds()
    rounds.error = error
    answers = await one_at_work_and_two_behind(rounds)
    assert answers[1:] == [2, 3]
    assert rounds.seen == [[1], [2, 3]]
