"""Moderation over REST."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, post, put
from chatd.core.errors import (
    ChatNotFound,
    Conflict,
    Forbidden,
    MessageNotFound,
    NotFound,
    RateLimited,
    UserNotFound,
)
from chatd.core.ids import ChatId, MessageId, UserId
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.features.accounts import service as accounts
from chatd.features.audit import service as audit
from chatd.features.audit.contract import AuditPage, ListAudit
from chatd.features.chats import service as chats
from chatd.features.moderation import authority, cases, filters, sanctions
from chatd.features.moderation.contract import (
    BannedPage,
    Because,
    Case,
    CaseDetail,
    CaseId,
    CasePage,
    ChatBanPage,
    Dismiss,
    Filter,
    FilterId,
    Filters,
    ListById,
    ListCases,
    MakeReport,
    PutFilter,
    Reported,
    Resolve,
    Sanction,
    Sanctioned,
)

# ------------------------------------------------------------------------------------------------ reports


async def report_message(
    ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: MakeReport
) -> Answer[Reported]:
    """Bring a message before the moderators; 200 with the same for a repeat."""
    reported, new = await cases.report_message(ctx, chat_id, message_id, body)
    return Answer(reported, 201 if new else 200)


async def report_user(ctx: Ctx, user_id: UserId, body: MakeReport) -> Answer[Reported]:
    """Bring an account before the moderators of the server; 200 with the same for a repeat."""
    reported, new = await cases.report_user(ctx, user_id, body)
    return Answer(reported, 201 if new else 200)


# -------------------------------------------------------------------------------------------------- cases


async def list_cases(ctx: Ctx, query: ListCases) -> CasePage:
    """The queue, oldest first: all of it for the server's moderators, a chat's for the chat's."""
    return await cases.page(ctx, query)


async def get_case(ctx: Ctx, case_id: CaseId) -> CaseDetail:
    """A case and its reports."""
    return await cases.detail(ctx, case_id)


async def claim_case(ctx: Ctx, case_id: CaseId) -> Case:
    """Take a case on; it is yours for half an hour."""
    return await cases.claim(ctx, case_id)


async def release_case(ctx: Ctx, case_id: CaseId) -> Case:
    """Put a case back into the queue."""
    return await cases.release(ctx, case_id)


async def resolve_case(ctx: Ctx, case_id: CaseId, body: Resolve) -> Case:
    """Close a case and do what is to be done about it, in one step."""
    return await cases.resolve(ctx, case_id, body)


async def dismiss_case(ctx: Ctx, case_id: CaseId, body: Dismiss) -> Case:
    """Close a case with nothing to it."""
    return await cases.dismiss(ctx, case_id, body)


# ---------------------------------------------------------------------------------------------- in a chat


async def put_mute(ctx: Ctx, chat_id: ChatId, user_id: UserId, body: Sanction) -> Sanctioned:
    """Let a member read but not write, for a time or for ever."""
    until = authority.until(ctx, body.duration_s)
    async with ctx.db.transaction() as tx:
        await sanctions.mute(tx, ctx, chat_id, user_id, until, body.reason)
    return Sanctioned(user_id=user_id, until=until)


async def delete_mute(ctx: Ctx, chat_id: ChatId, user_id: UserId) -> None:
    """Let a member write again."""
    async with ctx.db.transaction() as tx:
        await sanctions.unmute(tx, ctx, chat_id, user_id)


async def kick_member(ctx: Ctx, chat_id: ChatId, user_id: UserId, body: Because) -> None:
    """Put a member out, who may be let in again."""
    async with ctx.db.transaction() as tx:
        await sanctions.kick(tx, ctx, chat_id, user_id, body.reason)


async def put_chat_ban(ctx: Ctx, chat_id: ChatId, user_id: UserId, body: Sanction) -> Sanctioned:
    """Put a user out, and let nobody let them in again, for a time or for ever."""
    until = authority.until(ctx, body.duration_s)
    async with ctx.db.transaction() as tx:
        await sanctions.ban_from_chat(tx, ctx, chat_id, user_id, until, body.reason)
    return Sanctioned(user_id=user_id, until=until)


async def delete_chat_ban(ctx: Ctx, chat_id: ChatId, user_id: UserId) -> None:
    """Take a ban from the chat back."""
    async with ctx.db.transaction() as tx:
        await sanctions.unban_from_chat(tx, ctx, chat_id, user_id)


async def list_chat_bans(ctx: Ctx, chat_id: ChatId, query: ListById) -> ChatBanPage:
    """Who is banned from the chat now; for its moderators."""
    await sanctions.require_sees_bans(ctx, chat_id)
    rows = await chats.bans(ctx, chat_id, _after(query), query.limit + 1)
    rows, last = cut(rows, query.limit)
    return ChatBanPage(items=rows, next_cursor=encode_cursor(last.user_id) if last else None)


async def hide_message(ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: Because) -> None:
    """Show nobody what a message says."""
    async with ctx.db.transaction() as tx:
        await sanctions.hide(tx, ctx, chat_id, message_id, body.reason)


async def restore_message(ctx: Ctx, chat_id: ChatId, message_id: MessageId) -> None:
    """Show a hidden message again."""
    async with ctx.db.transaction() as tx:
        await sanctions.restore(tx, ctx, chat_id, message_id)


# ------------------------------------------------------------------------------------------ on the server


async def put_ban(ctx: Ctx, user_id: UserId, body: Sanction) -> Sanctioned:
    """Ban an account, for a time or for ever: its sessions end and its sockets close with 4403."""
    until = authority.until(ctx, body.duration_s)
    async with ctx.db.transaction() as tx:
        await sanctions.ban_from_server(tx, ctx, user_id, until, body.reason)
    return Sanctioned(user_id=user_id, until=until)


async def delete_ban(ctx: Ctx, user_id: UserId) -> None:
    """Take a ban back."""
    async with ctx.db.transaction() as tx:
        await sanctions.unban_from_server(tx, ctx, user_id)


async def list_bans(ctx: Ctx, query: ListById) -> BannedPage:
    """Who is banned from the server now; for its moderators."""
    await authority.require_staff(ctx, ctx.db)
    rows = await accounts.banned(ctx, _after(query), query.limit + 1)
    rows, last = cut(rows, query.limit)
    return BannedPage(items=rows, next_cursor=encode_cursor(last.id) if last else None)


async def put_server_mute(ctx: Ctx, user_id: UserId, body: Sanction) -> Sanctioned:
    """Let an account read but not write anywhere, for a time or for ever."""
    until = authority.until(ctx, body.duration_s)
    async with ctx.db.transaction() as tx:
        await sanctions.mute_on_server(tx, ctx, user_id, until, body.reason)
    return Sanctioned(user_id=user_id, until=until)


async def delete_server_mute(ctx: Ctx, user_id: UserId) -> None:
    """Let an account write again."""
    async with ctx.db.transaction() as tx:
        await sanctions.unmute_on_server(tx, ctx, user_id)


async def kick_user(ctx: Ctx, user_id: UserId, body: Because) -> None:
    """End every session of an account, which may log in again."""
    async with ctx.db.transaction() as tx:
        await sanctions.kick_from_server(tx, ctx, user_id, body.reason)


# --------------------------------------------------------------------------------------- filters and audit


async def list_filters(ctx: Ctx) -> Filters:
    """What texts go through before they are stored; for moderators of the server."""
    return await filters.listed(ctx)


async def create_filter(ctx: Ctx, body: PutFilter) -> Filter:
    """A new filter; every node asks it within seconds. For admins."""
    return await filters.create(ctx, body)


async def put_filter(ctx: Ctx, filter_id: FilterId, body: PutFilter) -> Filter:
    """Change a filter, or turn it on or off. For admins."""
    return await filters.replace(ctx, filter_id, body)


async def delete_filter(ctx: Ctx, filter_id: FilterId) -> None:
    """Take a filter away. For admins."""
    await filters.remove(ctx, filter_id)


async def list_audit(ctx: Ctx, query: ListAudit) -> AuditPage:
    """Who did what to whom with a moderator's power, newest first. For admins."""
    await authority.require_admin(ctx, ctx.db)
    return await audit.page(ctx.db, query)


def _after(query: ListById) -> UserId | None:
    return decode_cursor(query.cursor, tuple[UserId])[0] if query.cursor is not None else None


_REPORT = (Forbidden, Conflict, RateLimited)
_CASE = (NotFound, Forbidden, Conflict)
_MEMBER = (ChatNotFound, Forbidden, UserNotFound)
_MESSAGE = (ChatNotFound, MessageNotFound, Forbidden, Conflict)
_USER = (Forbidden, UserNotFound)

# Moderators at work are not held up by writes_per_minute, which is for feeds and forms.
ROUTES = (
    post(
        "/chats/{chat_id}/messages/{message_id}/report",
        report_message,
        status=(201, 200),
        raises=(ChatNotFound, MessageNotFound, *_REPORT),
        limit="write",
    ),
    post(
        "/users/{user_id}/report",
        report_user,
        status=(201, 200),
        raises=(UserNotFound, *_REPORT),
        limit="write",
    ),
    get("/moderation/cases", list_cases, raises=(Forbidden, ChatNotFound)),
    get("/moderation/cases/{case_id}", get_case, raises=(NotFound,)),
    post("/moderation/cases/{case_id}/claim", claim_case, status=200, raises=_CASE, limit="none"),
    post("/moderation/cases/{case_id}/release", release_case, status=200, raises=_CASE, limit="none"),
    post(
        "/moderation/cases/{case_id}/resolve",
        resolve_case,
        status=200,
        raises=(*_CASE, ChatNotFound, MessageNotFound, UserNotFound),
        limit="none",
    ),
    post("/moderation/cases/{case_id}/dismiss", dismiss_case, status=200, raises=_CASE, limit="none"),
    put("/chats/{chat_id}/members/{user_id}/mute", put_mute, raises=_MEMBER, limit="none"),
    delete("/chats/{chat_id}/members/{user_id}/mute", delete_mute, status=204, raises=_MEMBER, limit="none"),
    post("/chats/{chat_id}/members/{user_id}/kick", kick_member, status=204, raises=_MEMBER, limit="none"),
    get("/chats/{chat_id}/bans", list_chat_bans, raises=(ChatNotFound, Forbidden)),
    put("/chats/{chat_id}/bans/{user_id}", put_chat_ban, raises=_MEMBER, limit="none"),
    delete("/chats/{chat_id}/bans/{user_id}", delete_chat_ban, status=204, raises=_MEMBER, limit="none"),
    put(
        "/chats/{chat_id}/messages/{message_id}/hidden",
        hide_message,
        status=204,
        raises=_MESSAGE,
        limit="none",
    ),
    delete(
        "/chats/{chat_id}/messages/{message_id}/hidden",
        restore_message,
        status=204,
        raises=_MESSAGE,
        limit="none",
    ),
    get("/moderation/bans", list_bans, raises=(Forbidden,)),
    put("/moderation/bans/{user_id}", put_ban, raises=_USER, limit="none"),
    delete("/moderation/bans/{user_id}", delete_ban, status=204, raises=_USER, limit="none"),
    put("/moderation/mutes/{user_id}", put_server_mute, raises=_USER, limit="none"),
    delete("/moderation/mutes/{user_id}", delete_server_mute, status=204, raises=_USER, limit="none"),
    post("/moderation/users/{user_id}/kick", kick_user, status=204, raises=_USER, limit="none"),
    get("/moderation/filters", list_filters, raises=(Forbidden,)),
    post("/moderation/filters", create_filter, raises=(Forbidden, Conflict), limit="none"),
    put("/moderation/filters/{filter_id}", put_filter, raises=_CASE, limit="none"),
    delete("/moderation/filters/{filter_id}", delete_filter, status=204, raises=_CASE, limit="none"),
    get("/moderation/audit", list_audit, raises=(Forbidden,)),
)
COMMANDS: tuple[Command, ...] = ()
