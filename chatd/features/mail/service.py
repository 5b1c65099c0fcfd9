"""The rules of mail: a letter is written in the transaction that is its reason, and sent after it."""

import logging
from datetime import timedelta

from chatd.core.context import Ctx, Queries
from chatd.core.errors import ValidationFailed
from chatd.features.mail import store
from chatd.features.mail.contract import Letter

log = logging.getLogger("chatd.mail")

__all__ = ["configured", "forget", "write"]


def configured(ctx: Ctx) -> bool:
    """Whether there is an SMTP server to send by."""
    return bool(ctx.settings.mail.host)


async def write(ctx: Ctx, db: Queries, letter: Letter, *, good_for_s: float = 86_400.0) -> None:
    """Put a letter into the outbox, beside what else ``db`` (a transaction, perhaps) does.

    Not sent any more once ``good_for_s`` is over. Without ``mail.host`` nothing is kept: in development
    the letter is logged instead, in production that it was not sent.
    Raises ValidationFailed for an address or a subject that would break out of its header.
    """
    if any(c in text for text in (letter.recipient, letter.subject) for c in "\r\n\0"):
        raise ValidationFailed("A header of the mail holds a line break")
    if not configured(ctx):
        if ctx.settings.environment == "development":
            log.info("mail.host is empty, so this is not sent to %s:\n%s", letter.recipient, letter.body)
        else:
            log.warning("mail.host is empty: %r is not sent", letter.subject)
        return
    now = ctx.clock.now()
    await store.insert(db, ctx.ids.new("eml"), letter, now, now + timedelta(seconds=good_for_s))


async def forget(db: Queries, recipient: str) -> int:
    """Drop what still waits for an address that is nobody's any more."""
    return await store.remove_to(db, recipient)
