"""The link to Redis in the moment of its loss, and where Redis does not let it in."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import redis.asyncio

from chatd.embedded import Embedded
from chatd.realtime.redis import Endpoint, Link
from tests.waiting import PATIENCE_S


def link_to(url: str, up: asyncio.Event) -> Link:
    return Link(
        url,
        timeout_s=PATIENCE_S,
        buffer_bytes=1 << 20,
        on_message=lambda channel, payload: None,
        on_up=up.set,
        on_down=up.clear,
    )


async def test_what_is_said_while_the_connection_breaks_is_dropped_and_counted(services: Embedded) -> None:
    failures: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    up = asyncio.Event()
    link = link_to(services.redis.url, up)
    link.start()
    async with asyncio.timeout(PATIENCE_S):
        await up.wait()
        link.reset()
        link.publish(b"a channel", b"a word")
        assert await link.subscribe([b"another"]) is False
        await up.wait()
        assert link.dropped == 1
        assert await link.subscribe([b"a third"]) is True
    await link.close()
    assert failures == []


@pytest.fixture
async def admin(services: Embedded) -> AsyncIterator[Any]:
    """Redis as its admin sees it; the accounts ``guest`` and the log of refusals are gone afterwards."""
    client = redis.asyncio.from_url(services.redis.url)
    yield client
    await client.execute_command("ACL", "DELUSER", "guest")
    await client.acl_log_reset()
    await client.aclose()


@pytest.fixture
def guest(services: Embedded) -> str:
    """The url of an account that is not there yet."""
    path = services.redis.url.removeprefix("unix://")
    return f"unix://guest:{quote('a secret/word', safe='')}@{path}"


async def allow(admin: Any, *rules: str) -> None:
    await admin.execute_command("ACL", "SETUSER", "guest", "on", ">a secret/word", "~*", "&*", *rules)


async def refusals(admin: Any) -> int:
    return sum(int(entry["count"]) for entry in await admin.acl_log() if entry["username"] == "guest")


async def test_who_is_not_let_in_says_so_once_and_comes_in_when_it_may(
    admin: Any, guest: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chatd.realtime.redis")
    up = asyncio.Event()
    link = link_to(guest, up)
    link.start()
    async with asyncio.timeout(PATIENCE_S):
        while await refusals(admin) < 3:
            await asyncio.sleep(0.01)
        assert not link.up
        await allow(admin, "+@all")
        await up.wait()
        assert await link.subscribe([b"a channel"]) is True
    await link.close()
    (line,) = [record.getMessage() for record in caplog.records]
    assert "WRONGPASS" in line
    assert "secret" not in line


async def test_what_redis_refuses_again_and_again_is_said_once_and_nobody_waits_for_it(
    admin: Any, guest: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "chatd.realtime.redis")
    await allow(admin, "+@all", "-publish", "-pubsub")
    up = asyncio.Event()
    link = link_to(guest, up)
    link.start()
    async with asyncio.timeout(PATIENCE_S):
        await up.wait()
        for _ in range(3):
            link.publish(b"a channel", b"a word")
        assert await link.hearers(b"a channel") is None
    await link.close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(set(lines)) == 2, lines  # of PUBLISH, and of PUBSUB
    assert all("NOPERM" in line or "no permissions" in line for line in lines)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        (":secret@redis.internal:6379", "redis://"),
        ("http://user:secret@redis.internal", "redis://"),
        ("redis://:secret@redis.internal:many", "port"),
        ("redis://:half/secret@redis.internal", "%2F"),
        ("redis://:secret@redis.internal?ssl_cert_reqs=none", "ssl_cert_reqs"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str, names: str) -> None:
    with pytest.raises(ValueError, match=names) as refusal:
        Endpoint(url)
    assert "secret" not in str(refusal.value)


def test_an_address_says_all_that_is_needed() -> None:
    there = Endpoint("redis://ann:a%2Fb@redis.internal:7000/2")
    assert (there.host, there.port, there.user, there.password) == ("redis.internal", 7000, "ann", "a/b")
    assert Endpoint("unix:///run/two%20words/redis.sock").unix == "/run/two words/redis.sock"
    assert Endpoint("redis://redis.internal").tls is None
    assert Endpoint("rediss://redis.internal").tls is not None
    with pytest.raises(OSError, match="No such file"):
        Endpoint("rediss://redis.internal?ssl_ca_certs=/nowhere/ca.pem")
