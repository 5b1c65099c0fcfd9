"""Sending the outbox by SMTP (RFC 5321; submission, RFC 6409).

A letter may arrive twice, where this process dies between the server's yes and our commit; its
Message-ID is then the same, and mail readers show it once.
"""

import asyncio
import logging
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

import aiosmtplib

from chatd.core.context import Ctx
from chatd.core.declarations import Job
from chatd.core.mailboxes import mailbox
from chatd.features.mail import service, store
from chatd.features.mail.contract import Waiting

log = logging.getLogger("chatd.mail")

BATCH, MAX_BATCHES = 20, 10
#: Longer than BATCH letters at mail.timeout_s each can take, as they share one connection.
LEASE = timedelta(seconds=300)
BACKOFF_S, MAX_BACKOFF_S = 15.0, 3600.0


async def deliver(ctx: Ctx) -> None:
    """Send what is due, in batches over one connection each; the rest waits for the next run."""
    if not service.configured(ctx):
        return
    for _ in range(MAX_BATCHES):
        now = ctx.clock.now()
        letters = await store.claim(ctx.db, now, now + LEASE, BATCH)
        if letters:
            await _send(ctx, letters)
        if len(letters) < BATCH:
            return


async def _send(ctx: Ctx, letters: list[Waiting]) -> None:
    mail = ctx.settings.mail
    client = aiosmtplib.SMTP(
        hostname=mail.host,
        port=mail.port,
        use_tls=mail.security == "tls",
        start_tls=mail.security == "starttls",
        username=mail.username or None,
        password=ctx.settings.secrets.smtp_password or None,
        timeout=mail.timeout_s,
    )
    try:
        async with asyncio.timeout(LEASE.total_seconds() * 0.8), client:
            for letter in sorted(letters, key=lambda each: (each.created_at, each.id)):
                await _send_one(ctx, client, letter)
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        # The letters are leased, not lost; those that were sent are gone from the outbox already.
        log.warning("the SMTP server %s:%s: %s", mail.host, mail.port, error)
        for letter in letters:
            await _later(ctx, letter)


async def _send_one(ctx: Ctx, client: aiosmtplib.SMTP, letter: Waiting) -> None:
    if letter.expires_at <= ctx.clock.now():
        log.warning("%s could not be sent in time and is given up", letter.id)
        await store.remove(ctx.db, letter.id)
        return
    try:
        to = _address(letter.recipient)
        await client.send_message(_message(ctx, letter, to), recipients=[to.addr_spec])
    except aiosmtplib.SMTPRecipientsRefused as error:
        if all(500 <= refused.code < 600 for refused in error.recipients):
            log.warning("%s: the recipient is refused for good", letter.id)
            await store.remove(ctx.db, letter.id)
        else:
            await _later(ctx, letter)
    except (aiosmtplib.SMTPNotSupported, MessageError, ValueError, IndexError) as error:
        # It cannot be written to such an address, or not by this server: that must not hold up the others.
        # The sender is not what is wrong: the settings have been looked at.
        log.warning("%s cannot be sent: %s", letter.id, error)
        await store.remove(ctx.db, letter.id)
    except aiosmtplib.SMTPSenderRefused as error:
        # That is for the operator to mend, and no fault of the letter's.
        log.error("the SMTP server refuses mail.sender: %s %s", error.code, error.message)
        await _later(ctx, letter)
    except aiosmtplib.SMTPResponseException as error:
        log.warning("%s: the server answered %s", letter.id, error.code)
        if 500 <= error.code < 600:
            await store.remove(ctx.db, letter.id)
        else:
            await _later(ctx, letter)
    else:
        await store.remove(ctx.db, letter.id)


async def _later(ctx: Ctx, letter: Waiting) -> None:
    wait = min(BACKOFF_S * 2 ** (letter.attempts - 1), MAX_BACKOFF_S)
    # A no-op for a letter that was sent before the connection broke.
    await store.postpone(ctx.db, letter.id, ctx.clock.now() + timedelta(seconds=wait))


def _address(text: str) -> Address:
    """This address and no other, whatever commas and brackets there are in it: quoted where it must be.

    Raises ValueError where its domain cannot be one.
    """
    user, _, host = text.rpartition("@")
    return Address(username=user, domain=host.encode("idna").decode())


def _message(ctx: Ctx, letter: Waiting, to: Address) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    sender = mailbox(ctx.settings.mail.sender)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(letter.created_at)
    message["Message-ID"] = f"<{letter.id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's vacation notice comes back
    message.set_content(letter.body)
    return message


JOBS = (Job("mail.deliver", 2.0, deliver),)
