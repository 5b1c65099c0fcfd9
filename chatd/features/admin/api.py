"""The REST calls of admins; ``chatd admin`` does the same from the command line."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, post, put
from chatd.core.errors import ChatNotFound, Conflict, Forbidden, NotFound, UserNotFound
from chatd.core.ids import ChatId, SessionId, UserId
from chatd.features.accounts.contract import AccountState, Ended, Sessions
from chatd.features.admin import service
from chatd.features.admin.contract import BanUser, Draining, Heads, HeadsQuery, SetRoles
from chatd.features.chats.contract import LogHead


async def get_account(ctx: Ctx, user_id: UserId) -> AccountState:
    """An account: email, roles, ban, how many sessions are open."""
    return await service.account(ctx, user_id)


async def put_roles(ctx: Ctx, user_id: UserId, body: SetRoles) -> AccountState:
    """Set a user's global roles; who loses one is logged out."""
    return await service.set_roles(ctx, user_id, list(body.roles))


async def put_ban(ctx: Ctx, user_id: UserId, body: BanUser) -> AccountState:
    """Ban a user from the server, until a time or for ever; live sockets close with 4403."""
    return await service.ban(ctx, user_id, body)


async def delete_ban(ctx: Ctx, user_id: UserId) -> None:
    """Let a banned user in again."""
    await service.unban(ctx, user_id)


async def get_sessions(ctx: Ctx, user_id: UserId) -> Sessions:
    """Where a user is logged in."""
    return await service.sessions(ctx, user_id)


async def delete_sessions(ctx: Ctx, user_id: UserId) -> Ended:
    """Log a user out everywhere."""
    return await service.end_sessions(ctx, user_id)


async def delete_session(ctx: Ctx, user_id: UserId, session_id: SessionId) -> None:
    """End one session of a user."""
    await service.end_session(ctx, user_id, session_id)


async def get_chat_head(ctx: Ctx, chat_id: ChatId) -> LogHead:
    """Where a chat's log stands, without a word of it."""
    return await service.chat_head(ctx, chat_id)


async def get_chat_heads(ctx: Ctx, query: HeadsQuery) -> Heads:
    """Where the logs of a user's chats stand."""
    return await service.chat_heads(ctx, query.user_id, query.limit)


async def drain(ctx: Ctx) -> Answer[Draining]:
    """Replace all workers one by one; each sends its sockets elsewhere once a new one is ready."""
    await service.drain(ctx)
    return Answer(Draining(), 202)


_USER = (Forbidden, UserNotFound)

ROUTES = (
    get("/admin/users/{user_id}", get_account, raises=_USER),
    put("/admin/users/{user_id}/roles", put_roles, raises=(*_USER, Conflict), limit="write"),
    put("/admin/users/{user_id}/ban", put_ban, raises=_USER, limit="write"),
    delete("/admin/users/{user_id}/ban", delete_ban, status=204, raises=_USER, limit="write"),
    get("/admin/users/{user_id}/sessions", get_sessions, raises=_USER),
    delete("/admin/users/{user_id}/sessions", delete_sessions, raises=_USER, limit="write"),
    delete(
        "/admin/users/{user_id}/sessions/{session_id}",
        delete_session,
        status=204,
        raises=(*_USER, NotFound),
        limit="write",
    ),
    get("/admin/chats/{chat_id}", get_chat_head, raises=(Forbidden, ChatNotFound)),
    get("/admin/chats", get_chat_heads, raises=(Forbidden,)),
    post("/admin/drain", drain, status=202, raises=(Forbidden,), limit="write"),
)
COMMANDS: tuple[Command, ...] = ()
