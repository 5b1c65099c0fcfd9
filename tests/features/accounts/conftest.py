"""Contexts over a database of the test's own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chatd.core.clock import SystemClock
from chatd.core.context import NOBODY, Actor, Ctx
from chatd.core.errors import RateLimited
from chatd.core.ids import UuidIds, from_bytes
from chatd.core.settings import Auth, Secrets, Settings
from chatd.db.pool import Db
from chatd.features.accounts import jwks, service, tokens
from chatd.features.accounts.contract import Login, OidcLogin, Register, SignedIn
from tests.features.accounts.issuer import Issuer, Key

PASSWORD = "correct horse"


class CountingLimiter:
    """At the protocol of core.context: counts, refuses past the limit, and never forgets."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    async def require(self, bucket: str, key: str, *, limit: int, period_s: float, burst: int = 0) -> None:
        if limit <= 0:
            return
        self.counts[bucket, key] = self.counts.get((bucket, key), 0) + 1
        if self.counts[bucket, key] > limit:
            raise RateLimited(retry_after_ms=int(period_s * 1000))


class Clock(SystemClock):
    """Moves as a whole."""

    def monotonic(self) -> float:
        return super().monotonic() + self.offset.total_seconds()


class FeedRow(msgspec.Struct, frozen=True):
    kind: str
    session_id: str
    user_ids: list[str]
    reason: str | None


@dataclass
class World:
    """People, and what each of them may call with."""

    db: Db
    base: Ctx
    clock: Clock
    limiter: CountingLimiter
    broker: Any

    def set(self, **sections: dict[str, Any]) -> None:
        """Change some settings: ``set(limits={"logins_per_minute": 3})``."""
        settings = self.base.settings
        for section, values in sections.items():
            changed = msgspec.structs.replace(getattr(settings, section), **values)
            settings = msgspec.structs.replace(settings, **{section: changed})
        self.base = replace(self.base, settings=settings)

    def later(self, **delta: float) -> None:
        self.clock.offset += timedelta(**delta)

    def as_(self, who: SignedIn | str, *, roles: tuple[str, ...] = ()) -> Ctx:
        """The context of somebody signed in (their token is checked), or just of a user."""
        if isinstance(who, str):
            return replace(self.base, actor=Actor(who, roles=frozenset(roles)))
        return replace(self.base, actor=self.actor(who))

    def actor(self, who: SignedIn) -> Actor:
        return tokens.verify(self.base.settings, who.access_token, self.clock.now())

    async def person(self, email: str = "alex@example.com", name: str = "Alex") -> str:
        made = await service.register(
            self.base, Register(email=email, password=PASSWORD, display_name=name, city="Austin")
        )
        return made.id

    async def give_roles(self, user_id: str, *roles: str) -> None:
        """As an operator does, whatever the user's tokens say."""
        await self.db.run("UPDATE users SET roles = $2 WHERE id = $1", user_id, list(roles))

    async def sign_in(self, email: str = "alex@example.com", password: str = PASSWORD) -> SignedIn:
        return await service.login(self.base, Login(email=email, password=password))

    async def feed(self) -> list[FeedRow]:
        """The node feed, oldest first."""
        async with self.db.connection() as connection:
            rows = await connection.fetch(
                "SELECT kind, session_id, user_ids, reason FROM node_feed ORDER BY id"
            )
        return [
            FeedRow(kind, from_bytes("ses", session), [from_bytes("usr", user) for user in users], reason)
            for kind, session, users, reason in rows
        ]

    async def count(self, table: str) -> int:
        return await self.db.one(int, f"SELECT count(*) FROM {table}")

    async def ban(self, user_id: str, until: datetime | None = None) -> None:
        await self.db.run(
            "UPDATE users SET banned_at = $2, banned_until = $3 WHERE id = $1",
            user_id,
            datetime.now(UTC) - timedelta(hours=1),
            until,
        )


@pytest.fixture
def settings() -> Settings:
    return Settings(auth=Auth(hash_threads=2), secrets=Secrets(jwt_key="k" * 40))


@pytest.fixture
def world(db: Db, settings: Settings) -> World:
    limiter, clock = CountingLimiter(), Clock()
    broker = SimpleNamespace(feeds=0)
    broker.feed_changed = lambda: setattr(broker, "feeds", broker.feeds + 1)
    ctx = Ctx(
        actor=NOBODY,
        db=db,
        groups=None,  # type: ignore[arg-type]  # accounts use no batches, and no presence
        broker=broker,
        presence=None,  # type: ignore[arg-type]
        limiter=limiter,  # type: ignore[arg-type]
        clock=clock,
        ids=UuidIds(),
        settings=settings,
        address="192.0.2.7",
    )
    world = World(db, ctx, clock, limiter, broker)
    world.set(limits={"registrations_per_minute": 0, "logins_per_minute": 0}, auth={"lockout_after": 0})
    return world


@pytest.fixture(scope="session")
def rsa_key() -> Key:
    return Key("rsa-1", rsa.generate_private_key(65537, 2048), "RS256")


@pytest.fixture(scope="session")
def other_rsa_key() -> Key:
    return Key("rsa-2", rsa.generate_private_key(65537, 2048), "RS256")


@pytest.fixture(scope="session")
def ec_key() -> Key:
    return Key("ec-1", ec.generate_private_key(ec.SECP256R1()), "ES256")


@pytest.fixture
async def issuer(world, rsa_key: Key) -> AsyncIterator[Issuer]:
    issuer = Issuer(rsa_key, [rsa_key.public])
    app = web.Application()
    app.router.add_get("/certs", issuer.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    issuer.url = f"http://{host}:{port}/certs"
    world.set(
        auth={
            "google_jwks_url": issuer.url,
            "google_client_ids": ("app", "app-ios"),
            "apple_issuer": "https://appleid.apple.com",
            "apple_jwks_url": issuer.url,
            "apple_client_ids": ("com.example.app",),
        }
    )
    jwks.key_set.cache_clear()  # a port may come again
    yield issuer
    await runner.cleanup()


@pytest.fixture
def come_in(world):
    async def come_in(token: str, nonce: str | None = None, provider: str = "google"):
        return await service.login_oidc(world.base, provider, OidcLogin(id_token=token, nonce=nonce))

    return come_in
