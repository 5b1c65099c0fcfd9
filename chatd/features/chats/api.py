"""The REST calls of chats (protocol.md, section 6)."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, patch, post, put
from chatd.core.errors import Blocked, ChatNotFound, Conflict, Forbidden, Muted, UserNotFound
from chatd.core.ids import ChatId
from chatd.features.chats import service
from chatd.features.chats.contract import (
    AddMembers,
    Chat,
    ChatDetail,
    ChatPage,
    ChatSettings,
    CreateChat,
    ListChats,
    Member,
    MemberRef,
    PatchChat,
    PutChatSettings,
    SetRole,
)


async def create_chat(ctx: Ctx, body: CreateChat) -> Answer[Chat]:
    """Make a group, or open the direct chat with another user.

    The same pair always gets the same direct chat: 201 the first time, 200 after that. A direct chat has no
    title.
    """
    chat, new = await service.open_chat(ctx, body)
    return Answer(chat, 201 if new else 200)


async def list_chats(ctx: Ctx, query: ListChats) -> ChatPage:
    """My chats, newest activity first."""
    return await service.page(ctx, query)


async def get_chat(ctx: Ctx, chat_id: ChatId) -> ChatDetail:
    """A chat and its members."""
    return await service.detail(ctx, chat_id)


async def patch_chat(ctx: Ctx, chat_id: ChatId, body: PatchChat) -> Chat:
    """Give the chat another title, or none."""
    return await service.rename(ctx, chat_id, body.title)


async def add_members(ctx: Ctx, chat_id: ChatId, body: AddMembers) -> ChatDetail:
    """Let users into a group; answers the chat with all its members."""
    return await service.invite(ctx, chat_id, body.user_ids)


async def remove_member(ctx: Ctx, chat_id: ChatId, user_id: MemberRef) -> None:
    """Leave a group (``me``), or put a member of a lower rank out."""
    if user_id in ("me", ctx.actor.user_id):
        await service.leave(ctx, chat_id)
    else:
        await service.expel(ctx, chat_id, user_id)


async def get_settings(ctx: Ctx, chat_id: ChatId) -> ChatSettings:
    """My own settings of a chat."""
    return await service.show_settings(ctx, chat_id)


async def put_settings(ctx: Ctx, chat_id: ChatId, body: PutChatSettings) -> ChatSettings:
    """Mute, pin or archive a chat for myself, or say what I want to be told of; the rest stays."""
    return await service.change_settings(ctx, chat_id, body)


async def set_role(ctx: Ctx, chat_id: ChatId, user_id: MemberRef, body: SetRole) -> Member:
    """Give a member a rank; ``owner`` hands the group over. Answers the member."""
    target = ctx.actor.user_id if user_id == "me" else user_id
    return await service.set_role(ctx, chat_id, target, body.role)


_GROUP = (ChatNotFound, Forbidden, UserNotFound, Conflict)

# What people do in chats is not counted in writes_per_minute (protocol.md, section 7).
ROUTES = (
    post(
        "/chats",
        create_chat,
        status=(201, 200),
        raises=(UserNotFound, Conflict, Blocked, Muted),
        limit="none",
    ),
    get("/chats", list_chats),
    get("/chats/{chat_id}", get_chat, raises=(ChatNotFound,)),
    patch("/chats/{chat_id}", patch_chat, raises=(ChatNotFound, Forbidden, Muted), limit="none"),
    get("/chats/{chat_id}/settings", get_settings, raises=(ChatNotFound,)),
    put("/chats/{chat_id}/settings", put_settings, raises=(ChatNotFound,), limit="none"),
    post("/chats/{chat_id}/members", add_members, status=200, raises=(*_GROUP, Blocked), limit="none"),
    put("/chats/{chat_id}/members/{user_id}", set_role, raises=_GROUP, limit="none"),
    delete("/chats/{chat_id}/members/{user_id}", remove_member, status=204, raises=_GROUP, limit="none"),
)
COMMANDS: tuple[Command, ...] = ()
