"""Letters leave the outbox when an SMTP server has taken them, and not before."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs

from chatd.core.clock import SystemClock
from chatd.core.context import NOBODY, Ctx
from chatd.core.errors import ValidationFailed
from chatd.core.ids import UuidIds
from chatd.core.settings import Mail, Secrets, Settings
from chatd.db.pool import Db
from chatd.features.mail import jobs, service
from chatd.features.mail.contract import Letter
from tests.certificates import for_localhost
from tests.databases import patient
from tests.features.mailbox import Mailbox, mailbox

LETTER = Letter("ann@example.com", "Grüße", "Hällo\n\n.dot\nFrom here\n")


@pytest.fixture
async def ctx(database: str) -> AsyncIterator[Ctx]:
    db = Db(patient(database, 8))
    await db.open()
    none = None
    yield Ctx(NOBODY, db, none, none, none, none, SystemClock(), UuidIds(), Settings())  # type: ignore[arg-type]
    await db.close()


def by(ctx: Ctx, box: Mailbox, *, password: str = "", **mail: Any) -> Ctx:
    settings = structs.replace(
        ctx.settings,
        mail=Mail(
            host="127.0.0.1", port=box.port, security="none", sender="Chat <chat@chat.example>", **mail
        ),
        secrets=Secrets(smtp_password=password),
    )
    return replace(ctx, settings=settings)


async def waiting(ctx: Ctx) -> int:
    return await ctx.db.one(int, "SELECT count(*) FROM mail_outbox")


async def test_a_letter_crosses_the_wire_as_it_was_written(ctx):
    async with mailbox() as box:
        ctx = by(ctx, box)
        await service.write(ctx, ctx.db, LETTER)
        await jobs.deliver(ctx)
    [letter] = box.letters
    assert (letter["From"], letter["To"], letter["Subject"]) == ("Chat <chat@chat.example>", *LETTER_HEAD)
    assert letter.get_content().replace("\r\n", "\n") == LETTER.body
    assert letter["Message-ID"].endswith("@chat.example>")
    assert await waiting(ctx) == 0


LETTER_HEAD = (LETTER.recipient, LETTER.subject)


async def test_the_server_may_ask_for_a_log_in(ctx):
    async with mailbox(user="u", password="p") as box:
        right, wrong = (
            by(ctx, box, username="u", password="p"),
            by(ctx, box, username="u", password="x", timeout_s=1.0),
        )
        await service.write(right, ctx.db, LETTER)
        await jobs.deliver(wrong)
        assert (box.letters, await waiting(ctx)) == ([], 1)
        ctx.clock.offset = timedelta(minutes=1)  # type: ignore[attr-defined]
        await jobs.deliver(right)
    assert len(box.letters) == 1


async def test_of_many_nodes_one_sends_it(ctx):
    async with mailbox() as box:
        ctx = by(ctx, box)
        for _ in range(30):
            await service.write(ctx, ctx.db, LETTER)
        await asyncio.gather(*(jobs.deliver(ctx) for _ in range(5)))
    ids = [letter["Message-ID"] for letter in box.letters]
    assert len(ids) == len(set(ids)) == 30


async def test_what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_not(ctx):
    async with mailbox() as box:
        ctx = by(ctx, box)
        box.answers = ["451 later", "552 never"]
        await service.write(ctx, ctx.db, LETTER)
        await jobs.deliver(ctx)
        await jobs.deliver(ctx)
        assert (await waiting(ctx), len(box.answers)) == (1, 1)
        ctx.clock.offset = timedelta(minutes=1)  # type: ignore[attr-defined]
        await jobs.deliver(ctx)
        assert (await waiting(ctx), box.letters) == (0, [])
        box.rcpt_answers = ["550 nobody here"]
        await service.write(ctx, ctx.db, LETTER)
        await jobs.deliver(ctx)
        assert (await waiting(ctx), box.letters) == (0, [])


async def test_a_server_that_is_away_loses_nothing(ctx):
    async with mailbox() as box:
        pass
    away = by(ctx, box)
    await service.write(away, ctx.db, LETTER)
    await jobs.deliver(away)
    assert await waiting(ctx) == 1
    ctx.clock.offset = timedelta(minutes=1)  # type: ignore[attr-defined]
    async with mailbox() as box:
        await jobs.deliver(by(ctx, box))
    assert len(box.letters) == 1


async def test_what_comes_too_late_is_given_up(ctx):
    async with mailbox() as box:
        ctx = by(ctx, box)
        await service.write(ctx, ctx.db, LETTER, good_for_s=60)
        ctx.clock.offset = timedelta(minutes=2)  # type: ignore[attr-defined]
        await jobs.deliver(ctx)
    assert (box.letters, await waiting(ctx)) == ([], 0)


@pytest.mark.parametrize("field", ["recipient", "subject"])
async def test_nobody_slips_a_header_in(ctx, field):
    with pytest.raises(ValidationFailed):
        await service.write(ctx, ctx.db, structs.replace(LETTER, **{field: "a@b.c\r\nBcc: all@b.c"}))


async def test_without_a_server_nothing_is_kept(ctx):
    await service.write(ctx, ctx.db, LETTER)
    assert await waiting(ctx) == 0


async def test_an_address_that_cannot_be_written_to_does_not_hold_up_the_others(ctx):
    """People register with what they like; whoever reads letters to one address must not get another's."""
    strange = ("a,b@example.com", "<x@example.com", '"@example.com', "x(y@example.com", "ü@example.com")
    async with mailbox() as box:
        ctx = by(ctx, box)
        for address in ("first@example.com", *strange, "b@bücher.example", "last@example.com"):
            await service.write(ctx, ctx.db, Letter(address, "Hello", address))
        await jobs.deliver(ctx)
        assert box.rcpts[0] == "first@example.com"
        assert box.rcpts[-1] == "last@example.com"
        assert not {"a", "b@example.com", "x", "x@example.com"} & set(box.rcpts)
        assert {'"a,b"@example.com', '"<x"@example.com', "b@xn--bcher-kva.example"} <= set(box.rcpts)
    assert await waiting(ctx) == 0


async def test_a_sender_that_the_server_refuses_costs_no_letter(ctx):
    async with mailbox() as box:
        ctx = by(ctx, box)
        box.sender_answers = ["550 not from here", "553 nor so"] * 3
        for address in ("ann@example.com", "bob@example.com"):
            await service.write(ctx, ctx.db, Letter(address, "Hello", "x"))
        for _ in range(3):
            await jobs.deliver(ctx)
            assert await waiting(ctx) == 2
            ctx.clock.offset += timedelta(minutes=1)  # type: ignore[attr-defined]
        await jobs.deliver(ctx)
    assert (len(box.letters), await waiting(ctx)) == (2, 0)


async def test_a_sender_of_any_language_is_written_so_that_every_server_takes_it(ctx):
    async with mailbox() as box:
        ctx = with_mail(ctx, box, sender="Grüße <chat@bücher.example>")
        await service.write(ctx, ctx.db, LETTER)
        await jobs.deliver(ctx)
    [letter] = box.letters
    assert box.senders == ["chat@xn--bcher-kva.example"]
    assert letter["From"] == "Grüße <chat@xn--bcher-kva.example>"
    assert letter["Message-ID"].endswith("@xn--bcher-kva.example>")
    assert await waiting(ctx) == 0


# --------------------------------------------------------------------------------------------------- TLS


@pytest.fixture
def tls(tmp_path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's, with a certificate for localhost that this process trusts."""
    certificate, key = for_localhost(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_letters_go_over_tls_and_over_nothing_else(ctx, tls, security):
    async with mailbox(tls=tls, implicit=security == "tls") as safe, mailbox() as bare:
        right, wrong, none = (
            with_mail(ctx, box, host=host, security=security)
            for box, host in ((safe, "localhost"), (safe, "127.0.0.1"), (bare, "localhost"))
        )
        await service.write(right, ctx.db, LETTER)
        # A certificate of another name, a server that has none: the letter waits, in the clear it never goes.
        for ctx_ in (wrong, none):
            await jobs.deliver(ctx_)
            assert (safe.letters, bare.letters, await waiting(ctx)) == ([], [], 1)
            ctx.clock.offset += timedelta(hours=1)  # type: ignore[attr-defined]
        await jobs.deliver(right)
        assert (len(safe.letters), await waiting(ctx)) == (1, 0)


def with_mail(ctx: Ctx, box: Mailbox, **mail: str) -> Ctx:
    settings = by(ctx, box).settings
    return replace(ctx, settings=structs.replace(settings, mail=structs.replace(settings.mail, **mail)))
