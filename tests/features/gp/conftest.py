"""The room over a database of its own: people, positions, and callers' contexts. Time is the test's."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from chatd.core.clock import SystemClock
from chatd.core.context import OPERATOR, Actor, Ctx
from chatd.core.errors import RateLimited
from chatd.core.ids import UuidIds
from chatd.core.settings import Gp, Settings
from chatd.db.group_commit import GroupCommit
from chatd.db.pool import Db
from chatd.features.chats.contract import TextContent
from chatd.features.gp import service
from chatd.features.gp.contract import CreateGp, GpPlace, GpView
from chatd.realtime.limits import LocalRates
from tests.databases import opened

DELHI = (28.6139, 77.2090)


@dataclass
class Broker:
    """Remembers what it was told."""

    pushed: list[tuple[list[str], msgspec.Struct]] = field(default_factory=list)

    def log(self, *args: Any) -> None:
        pass

    def left(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        pass

    def feed_changed(self) -> None:
        pass

    def to_users(self, user_ids: Collection[str], event: msgspec.Struct) -> None:
        self.pushed.append((sorted(user_ids), event))

    def told(self, kind: type) -> list[Any]:
        """The events of this kind, in order."""
        return [event for _, event in self.pushed if type(event) is kind]


class Limiter:
    """The rates of one node, without Redis."""

    def __init__(self) -> None:
        self.rates = LocalRates(SystemClock())

    async def require(self, bucket: str, key: str, *, limit: int, period_s: float, burst: int = 0) -> None:
        if limit:
            admitted = self.rates.admit(f"{bucket} {key}", 1, limit=limit, period_s=period_s, burst=burst)
            if not admitted.count:
                raise RateLimited(retry_after_ms=admitted.retry_after_ms)


@dataclass
class World:
    """People, and what each of them may call with."""

    db: Db
    broker: Broker
    clock: SystemClock
    base: Ctx

    def as_(self, user_id: str) -> Ctx:
        return replace(self.base, actor=Actor(user_id))

    @property
    def operator(self) -> Ctx:
        return replace(self.base, actor=OPERATOR)

    def pass_(self, **time: float) -> None:
        """Let time go by."""
        self.clock.offset += timedelta(**time)

    def set(self, **gp: Any) -> None:
        self.base = replace(self.base, settings=Settings(gp=Gp(**gp)))

    async def people(
        self, count: int, *, zone: str | None = None, active: datetime | None = None
    ) -> list[str]:
        """New accounts."""
        made = [self.base.ids.new("usr") for _ in range(count)]
        await self.db.run(
            "INSERT INTO users (id, email, display_name, time_zone, last_active_at) "
            "SELECT u, u::text || '@example.org', 'Somebody', $2, $3 FROM unnest($1::uuid[]) u",
            made,
            zone,
            active,
        )
        return made

    async def create(
        self,
        user_id: str,
        at: tuple[float, float] = DELHI,
        category: str = "Vibe GP",
        sub_type: str = "Chill",
        **fields: Any,
    ) -> GpView:
        """A GP of this user."""
        wanted = {"talk_topics": ["Life stuff"]} | fields
        body = CreateGp(
            category=category,  # type: ignore[arg-type]
            sub_type=sub_type,
            location=GpPlace(latitude=at[0], longitude=at[1]),
            **wanted,
        )
        return (await service.create(self.as_(user_id), body)).gp

    async def join(self, gp: GpView, *user_ids: str) -> None:
        for user_id in user_ids:
            await service.join(self.as_(user_id), gp.id)

    async def full_of(self, count: int, **fields: Any) -> tuple[GpView, list[str]]:
        """A GP with so many members, and who they are."""
        users = await self.people(count)
        gp = await self.create(users[0], **fields)
        await self.join(gp, *users[1:])
        return gp, users

    async def say(self, gp: GpView, *senders: str, each: int = 1) -> None:
        """Messages, stored as the messages room stores them."""
        for sender in senders:
            ids = [self.base.ids.new("msg") for _ in range(each)]
            text = msgspec.json.encode(TextContent(type="text", text="hello")).decode()
            await self.db.run(
                "SELECT append_messages($1, $2, $3, $4, $5, $6, $7)",
                [gp.chat_id] * each,
                [sender] * each,
                ids,
                [1] * each,
                ids,
                [text] * each,
                [None] * each,
            )

    async def ripe(self, count: int = 4) -> tuple[GpView, list[str]]:
        """A GP that may ask for permanence."""
        gp, users = await self.full_of(count)
        await self.say(gp, *users[:3], each=7)
        self.pass_(hours=2.5, seconds=1)
        return gp, users

    async def expire(self) -> Any:
        """What an operator's timer calls."""
        return await service.expire(self.operator)


@pytest.fixture
async def db(database: str) -> AsyncIterator[Db]:
    """Fifty at once have a connection each."""
    async with opened(database, 50) as db:
        yield db


@pytest.fixture
def world(db: Db) -> World:
    broker, groups, clock = Broker(), GroupCommit(), SystemClock()
    ctx = Ctx(
        actor=Actor(""),
        db=db,
        groups=groups,
        broker=broker,  # type: ignore[arg-type]
        presence=None,  # type: ignore[arg-type]
        limiter=Limiter(),  # type: ignore[arg-type]
        clock=clock,
        ids=UuidIds(),
        settings=Settings(),
    )
    groups.ctx = ctx
    return World(db, broker, clock, ctx)
