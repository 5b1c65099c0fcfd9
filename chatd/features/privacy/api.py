"""Privacy over REST."""

from chatd.core.context import Ctx
from chatd.core.declarations import Command, delete, get, patch, post, put
from chatd.core.errors import Blocked, Conflict, Forbidden, NotFound, UserNotFound
from chatd.core.ids import ChatId, UserId
from chatd.features.chats import service as chats
from chatd.features.chats.contract import Chat, ListRequests, RequestPage
from chatd.features.privacy import service
from chatd.features.privacy.contract import BlockPage, ListBlocks, PatchPrivacy
from chatd.features.relations import service as relations
from chatd.features.relations.contract import Privacy


async def get_privacy(ctx: Ctx) -> Privacy:
    """Who sees when I was last there and what I have read, and who may write to me."""
    return await relations.privacy(ctx.db, ctx.actor.user_id)


async def patch_privacy(ctx: Ctx, body: PatchPrivacy) -> Privacy:
    """Change some of it."""
    return await service.change(ctx, body)


async def list_blocks(ctx: Ctx, query: ListBlocks) -> BlockPage:
    """Whom I have blocked."""
    return await service.blocks(ctx, query)


async def put_block(ctx: Ctx, user_id: UserId) -> None:
    """Block a user: no direct messages, presence, typing or receipts, either way. They are not told."""
    await service.block(ctx, user_id)


async def delete_block(ctx: Ctx, user_id: UserId) -> None:
    """Unblock a user."""
    await service.unblock(ctx, user_id)


async def list_requests(ctx: Ctx, query: ListRequests) -> RequestPage:
    """Direct chats of strangers that wait for my answer, newest first, with what they said."""
    return await chats.requests(ctx, query)


async def accept_request(ctx: Ctx, chat_id: ChatId) -> Chat:
    """Let a stranger's chat in."""
    await chats.accept(ctx, chat_id)
    return await chats.view(ctx, chat_id)


async def decline_request(ctx: Ctx, chat_id: ChatId) -> None:
    """Put a stranger's chat away; the stranger is not told."""
    await chats.decline(ctx, chat_id)


ROUTES = (
    get("/privacy", get_privacy),
    patch("/privacy", patch_privacy, limit="write"),
    get("/blocks", list_blocks),
    put("/blocks/{user_id}", put_block, status=204, raises=(Forbidden, UserNotFound), limit="none"),
    delete("/blocks/{user_id}", delete_block, status=204, limit="none"),
    get("/message-requests", list_requests),
    post(
        "/message-requests/{chat_id}/accept",
        accept_request,
        status=200,
        raises=(NotFound, Blocked),
        limit="none",
    ),
    post(
        "/message-requests/{chat_id}/decline",
        decline_request,
        status=204,
        raises=(NotFound, Conflict),
        limit="none",
    ),
)
COMMANDS: tuple[Command, ...] = ()
