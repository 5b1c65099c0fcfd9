"""Telling people of new logins, digests by letter, and forgetting what is old."""

from datetime import timedelta

from chatd.core.context import Ctx, Tx
from chatd.core.declarations import Job
from chatd.features.accounts import service as accounts
from chatd.features.accounts.contract import NewLogin
from chatd.features.mail import service as mail
from chatd.features.mail.contract import Letter
from chatd.features.notifications import service, store
from chatd.features.notifications.contract import DigestDue, Payload

KEEP = timedelta(days=90)
BATCH, MAX_BATCHES = 200, 50
DIGEST_LINES = 20


def one_line(text: str) -> str:
    """What somebody else has written, where it cannot look like more than that."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


async def tell_logins(ctx: Ctx) -> None:
    """A notification and a letter for each log-in of a device that its user had not used before."""
    for _ in range(MAX_BATCHES):
        async with ctx.db.transaction() as tx:
            logins = await accounts.take_new_logins(tx, BATCH)
            for login in logins:
                await _tell_login(tx, ctx, login)
        if len(logins) < BATCH:
            return


async def _tell_login(tx: Tx, ctx: Ctx, login: NewLogin) -> None:
    # The device's name is what whoever logged in says it is: a line of the letter, and not a letter.
    named = [one_line(part) for part in (login.device_name, login.device_platform) if part]
    device = " on ".join(part for part in named if part) or "a new device"
    where = f" from {login.address}" if login.address else ""
    what = f"{device}{where}, {login.at:%Y-%m-%d %H:%M} UTC"
    payload = Payload(title="New login", message=what, data={"session_id": login.session_id})
    await service.notify(tx, ctx, [login.user_id], "new_login", payload, dedupe_key=login.session_id)
    if login.email_verified:  # nobody else's mailbox is told of somebody's devices
        body = (
            f"Your account was logged in to: {what}.\n\n"
            "If it was not you, end that session in your list of sessions and change your password.\n"
        )
        await mail.write(ctx, tx, Letter(login.email, "New login to your account", body))


async def send_digests(ctx: Ctx) -> None:
    """A letter about what is unread, for who wants one a day or a week."""
    for _ in range(MAX_BATCHES):
        async with ctx.db.transaction() as tx:
            due = await store.take_digests(tx, ctx.clock.now(), BATCH)
            for each in due:
                await _send_digest(tx, ctx, each)
        if len(due) < BATCH:
            return


async def _send_digest(tx: Tx, ctx: Ctx, due: DigestDue) -> None:
    unread = await store.unread_since(tx, due.user_id, due.since, DIGEST_LINES + 1)
    if not unread:
        return
    lines = [f"* {one_line(each.title)}: {one_line(each.message)}" for each in unread[:DIGEST_LINES]]
    if len(unread) > DIGEST_LINES:
        lines.append("* … and more")
    body = (
        "\n".join(lines) + '\n\nTo get no such letters, set "email" to "off" in your notification settings.\n'
    )
    await mail.write(ctx, tx, Letter(due.email, "What you have not read yet", body))


async def purge(ctx: Ctx) -> None:
    """Forget notifications of three months ago."""
    before = ctx.clock.now() - KEEP
    for _ in range(MAX_BATCHES):
        if await store.purge(ctx.db, before, BATCH) < BATCH:
            return


JOBS = (
    Job("notifications.logins", 5.0, tell_logins),
    Job("notifications.digests", 600.0, send_digests),
    Job("notifications.purge", 3600.0, purge),
)
