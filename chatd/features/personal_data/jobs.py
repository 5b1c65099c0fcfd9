"""Making exports and taking away what was of those who have gone; each step is a transaction of its own."""

from dataclasses import replace
from datetime import timedelta

import msgspec

from chatd.core.context import Actor, Ctx
from chatd.core.declarations import Job
from chatd.core.ids import UserId
from chatd.features.accounts import service as accounts
from chatd.features.chats import service as chats
from chatd.features.gp import service as gps
from chatd.features.messages import service as messages
from chatd.features.notifications import service as notifications
from chatd.features.notifications.contract import Payload
from chatd.features.personal_data import store
from chatd.features.personal_data.contract import Work
from chatd.features.personal_data.exporting import SECTIONS

LEASE = timedelta(seconds=120)
KEEP = timedelta(days=7)
#: Steps of one export or departure in one run; what is left goes on in the next.
STEPS = 200
#: What stays when somebody goes: their side of direct chats, which others need, and the tombstone's own rows.
STAYS = ["account_deletions", "chat_participants", "user_profiles"]


async def export(ctx: Ctx) -> None:
    """Go on with exports that were asked for."""
    now = ctx.clock.now()
    for work in await store.claim(ctx.db, now, now + LEASE, 5):
        going: Work | None = work
        for _ in range(STEPS):
            if going is not None:
                going = await _step(ctx, going)


async def _step(ctx: Ctx, work: Work) -> Work | None:
    """One piece; None where the export is whole, or another goes on with it."""
    pieces, position = await SECTIONS[work.section](ctx, work.user_id, work.position)
    section = work.section if position is not None else work.section + 1
    now = ctx.clock.now()
    done = now if section == len(SECTIONS) else None
    async with ctx.db.transaction() as tx:
        if not await store.move(tx, work, section, position, done, now + KEEP):
            return None
        for name, rows in pieces:
            if rows:
                await store.add_part(tx, work.id, name, msgspec.json.encode(rows))
        if done is not None:
            payload = Payload(
                title="Your data is ready",
                message="The copy of all that is held of you can be fetched for seven days.",
                data={"export_id": work.id},
            )
            await notifications.notify(tx, ctx, [work.user_id], "data_export", payload, dedupe_key=work.id)
    return None if done is not None else Work(work.id, work.user_id, section, position)


async def forget(ctx: Ctx) -> None:
    """Go on with taking away what was of those who have deleted their account."""
    now = ctx.clock.now()
    for user_id in await accounts.claim_departures(ctx.db, now, now + LEASE, 5):
        if await _forget(ctx, user_id):
            async with ctx.db.transaction() as tx:
                await store.forget_user(tx, user_id, STAYS)
                await accounts.finish_departure(tx, user_id, ctx.clock.now())


async def _forget(ctx: Ctx, user_id: UserId) -> bool:
    """Whether nothing is left but rows that go with the user by themselves.

    What was said goes first, while its sender is still in the chat; begun anew, it finds what is left.
    """
    themselves = replace(ctx, actor=Actor(user_id))
    await gps.leave_all(themselves)
    end = ctx.clock.monotonic() + LEASE.total_seconds() / 2
    chat_id, found = None, False
    while ctx.clock.monotonic() < end:
        if found and chat_id is not None:
            found = await messages.erase_said(ctx, user_id, chat_id)
        elif (page := await messages.next_spoken(ctx.db, user_id, chat_id)) is not None:
            chat_id, found = page
        elif not await messages.erase_given(ctx, user_id) and not await chats.depart(ctx, user_id):
            return True
    return False


async def purge(ctx: Ctx) -> None:
    """Forget exports that were there long enough."""
    while await store.purge(ctx.db, ctx.clock.now(), 10) == 10:
        pass


JOBS = (
    Job("personal_data.export", 5.0, export),
    Job("personal_data.forget", 5.0, forget),
    Job("personal_data.purge", 3600.0, purge),
)
