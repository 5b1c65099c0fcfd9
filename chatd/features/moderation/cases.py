"""Reports and the queue of cases. A subject has at most one open case; reports gather in it.

Of two moderators who take, resolve or dismiss one case at once, one holds its row and does it, and the other
is told what was done (Conflict). Staff see every case; moderators of a chat those of their chat.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chatd.core.context import Ctx, Queries, Tx
from chatd.core.errors import ChatNotFound, Conflict, Forbidden, NotFound, ValidationFailed
from chatd.core.ids import ChatId, MessageId, UserId, from_bytes
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.accounts import service as accounts
from chatd.features.audit import service as audit
from chatd.features.chats import service as chats
from chatd.features.chats.contract import RANKS
from chatd.features.messages import service as messages
from chatd.features.moderation import authority, sanctions, store
from chatd.features.moderation.contract import (
    Case,
    CaseDetail,
    CaseId,
    CasePage,
    Dismiss,
    ListCases,
    MakeReport,
    Report,
    Reported,
    Resolve,
)

#: Who claims a case and leaves it lying loses it to the next after this.
CLAIM_LASTS = timedelta(minutes=30)
REPORTS_SHOWN = 100
_PREFIXES = {"message": "msg", "user": "usr", "post": "pst", "comment": "cmt"}


# ----------------------------------------------------------------------------------------------- reports


async def report_message(
    ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: MakeReport
) -> tuple[Reported, bool]:
    """Bring a message before the moderators; whether the report is new.

    Raises ChatNotFound, MessageNotFound, Forbidden (one's own, or a system message), Conflict (deleted).
    """
    await chats.require_seat(ctx.db, chat_id, ctx.actor.user_id)
    async with ctx.db.transaction() as tx:
        subject = await messages.find_subject(tx, chat_id, message_id)
        if subject.is_system or subject.sender_id == ctx.actor.user_id:
            raise Forbidden("Only what others said can be reported")
        if subject.deleted:
            raise Conflict("This message was deleted")
        return await report(
            tx,
            ctx,
            ("message", message_id),
            body,
            author_id=subject.sender_id,
            chat_id=chat_id,
            snapshot=bytes(subject.content),
        )


async def report_user(ctx: Ctx, user_id: UserId, body: MakeReport) -> tuple[Reported, bool]:
    """Bring an account before the moderators. Raises UserNotFound, Forbidden for oneself."""
    if user_id == ctx.actor.user_id:
        raise Forbidden("Only others can be reported")
    # Whole, whatever the reporter is shown of it: it is what the moderators are to judge.
    profile = await accounts.person(ctx.db, user_id)
    shown = {"display_name": profile.display_name, "bio": profile.bio, "avatar_url": profile.avatar_url}
    async with ctx.db.transaction() as tx:
        return await report(
            tx, ctx, ("user", user_id), body, author_id=user_id, snapshot=msgspec.json.encode(shown)
        )


async def report(
    tx: Tx,
    ctx: Ctx,
    subject: tuple[str, str],
    body: MakeReport,
    *,
    author_id: UserId | None,
    chat_id: ChatId | None = None,
    context_id: str | None = None,
    snapshot: bytes | None = None,
) -> tuple[Reported, bool]:
    """The actor's report of a subject (kind, id), and whether it is new: for other rooms too, which say
    first whether the actor may see it.
    """
    case_id = await store.open_case(
        tx,
        ctx.ids.new("cas"),
        *subject,
        chat_id,
        context_id,
        author_id,
        "report",
        body.reason,
        snapshot,
    )
    new = await store.add_report(
        tx, ctx.ids.new("rep"), case_id, ctx.actor.user_id, body.reason, body.description
    )
    made = await store.find_report(tx, case_id, ctx.actor.user_id)
    return Reported(report_id=made.id), new


# ------------------------------------------------------------------------------------------------ reading


async def page(ctx: Ctx, query: ListCases) -> CasePage:
    """The queue, oldest first. Raises Forbidden, ChatNotFound, ValidationFailed for a cursor that is none."""
    if not await authority.staff_rank(ctx, ctx.db):
        if query.chat_id is None:
            raise Forbidden("Moderators of a chat name their chat; this is for those of the server")
        await _require_chat_moderator(ctx, ctx.db, query.chat_id)
    at, after = None, None
    if query.cursor is not None:
        at, after = decode_cursor(query.cursor, tuple[Annotated[datetime, Meta(tz=True)], CaseId])
    rows = await store.page(ctx.db, query.status, query.chat_id, at, after, query.limit + 1)
    rows, last = cut(rows, query.limit)
    return CasePage(
        items=[_case(row) for row in rows],
        next_cursor=encode_cursor(last.created_at, last.id) if last else None,
    )


async def detail(ctx: Ctx, case_id: CaseId) -> CaseDetail:
    """A case and its reports; who made them is for staff only. Raises NotFound."""
    row = await store.find(ctx.db, case_id)
    staff = await _require_case(ctx, ctx.db, row)
    reports: Sequence[Report] = await store.reports(ctx.db, case_id, REPORTS_SHOWN)
    if not staff:
        reports = [msgspec.structs.replace(each, reporter_id=None) for each in reports]
    return CaseDetail(case=_case(row), reports=list(reports))


# ------------------------------------------------------------------------------------------------ deciding


async def claim(ctx: Ctx, case_id: CaseId) -> Case:
    """Take a case on; twice is once. Raises NotFound, Forbidden, Conflict where another has it."""
    async with ctx.db.transaction() as tx:
        await _take(tx, ctx, case_id)
        await store.set_claim(tx, case_id, ctx.actor.user_id, ctx.clock.now())
        await _record(tx, ctx, "case.claimed", case_id)
        return await _present(tx, case_id)


async def release(ctx: Ctx, case_id: CaseId) -> Case:
    """Put a case back into the queue. Raises NotFound, Forbidden, Conflict where another has it."""
    async with ctx.db.transaction() as tx:
        await _take(tx, ctx, case_id)
        await store.set_claim(tx, case_id, None, None)
        await _record(tx, ctx, "case.released", case_id)
        return await _present(tx, case_id)


async def resolve(ctx: Ctx, case_id: CaseId, body: Resolve) -> Case:
    """Close a case, and do in the same transaction what is to be done.

    Raises NotFound, Forbidden, Conflict (another has it, or has closed it), ValidationFailed for what
    cannot be done about such a subject, and what the deed itself raises.
    """
    async with ctx.db.transaction() as tx:
        row = await _take(tx, ctx, case_id)
        await _act(tx, ctx, row, body)
        await _close(tx, ctx, case_id, "resolved", body.action, body.note)
        return await _present(tx, case_id)


async def dismiss(ctx: Ctx, case_id: CaseId, body: Dismiss) -> Case:
    """Close a case with nothing to it. Raises NotFound, Forbidden, Conflict."""
    async with ctx.db.transaction() as tx:
        row = await _take(tx, ctx, case_id)
        if row.subject == "message" and row.source != "report" and row.chat_id is not None:
            message_id = from_bytes("msg", row.subject_id)
            await messages.moderate(
                tx, ctx, row.chat_id, message_id, "visible", reason=None, by=ctx.actor.user_id
            )
        await _close(tx, ctx, case_id, "dismissed", None, body.note)
        return await _present(tx, case_id)


async def _act(tx: Tx, ctx: Ctx, row: store.CaseRow, body: Resolve) -> None:
    if body.action == "none":
        return
    ends = authority.until(ctx, body.duration_s)
    if body.action == "ban_server" and row.author_id is not None:
        await sanctions.ban_from_server(tx, ctx, row.author_id, ends, row.reason)
        return
    if row.chat_id is None or row.author_id is None:
        raise ValidationFailed.at("$.action", "this case is about no chat")
    match body.action:
        case "hide" if row.subject == "message":
            await sanctions.hide(tx, ctx, row.chat_id, from_bytes("msg", row.subject_id), row.reason)
        case "mute":
            await sanctions.mute(tx, ctx, row.chat_id, row.author_id, ends, row.reason)
        case "kick":
            await sanctions.kick(tx, ctx, row.chat_id, row.author_id, row.reason)
        case "ban_chat":
            await sanctions.ban_from_chat(tx, ctx, row.chat_id, row.author_id, ends, row.reason)
        case _:
            raise ValidationFailed.at("$.action", "this cannot be done about this case")


async def _take(tx: Tx, ctx: Ctx, case_id: CaseId) -> store.CaseRow:
    """Hold an open case that the actor may decide on."""
    row = await store.lock(tx, case_id)
    await _require_case(ctx, tx, row)
    if row is None:
        raise NotFound
    if row.author_id == ctx.actor.user_id:
        raise Forbidden("This case is about yourself")
    if row.status in ("resolved", "dismissed"):
        raise Conflict(f"Another moderator has {row.status} this case")
    held = row.claimed_at is not None and ctx.clock.now() - row.claimed_at < CLAIM_LASTS
    if row.status == "claimed" and row.claimed_by != ctx.actor.user_id and held:
        raise Conflict("Another moderator has claimed this case")
    return row


async def _require_case(ctx: Ctx, q: Queries, row: store.CaseRow | None) -> bool:
    """Whether the actor is staff. Raises NotFound where the case is not the actor's to see."""
    if await authority.staff_rank(ctx, q):
        if row is None:
            raise NotFound("There is no such case")
        return True
    if row is None or row.chat_id is None:
        raise NotFound("There is no such case for you")
    try:
        await _require_chat_moderator(ctx, q, row.chat_id)
    except (Forbidden, ChatNotFound):
        raise NotFound("There is no such case for you") from None
    return False


async def _require_chat_moderator(ctx: Ctx, q: Queries, chat_id: ChatId) -> None:
    seat = await chats.require_seat(q, chat_id, ctx.actor.user_id)
    if seat.type == "direct" or RANKS[seat.role] < RANKS["moderator"]:
        raise Forbidden("Only an owner or a moderator of this chat may do this")


async def _close(
    tx: Tx, ctx: Ctx, case_id: CaseId, status: str, resolution: str | None, note: str | None
) -> None:
    await store.close(tx, case_id, status, ctx.actor.user_id, ctx.clock.now(), resolution, note)
    await _record(tx, ctx, f"case.{status}", case_id, resolution=resolution, note=note)


async def _record(tx: Tx, ctx: Ctx, action: str, case_id: CaseId, **detail: Any) -> None:
    await audit.record(tx, ctx.actor.user_id, action, target=("case", case_id), **detail)


async def _present(tx: Tx, case_id: CaseId) -> Case:
    return _case(await store.find(tx, case_id))


def _case(row: store.CaseRow | None) -> Case:
    if row is None:
        raise NotFound("There is no such case")
    fields = msgspec.structs.asdict(row)
    fields["subject_id"] = from_bytes(_PREFIXES[row.subject], row.subject_id)
    return Case(**fields)
