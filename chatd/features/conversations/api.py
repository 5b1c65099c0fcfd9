"""Conversations on both edges."""

from chatd.core.context import Ctx
from chatd.core.declarations import Answer, Command, delete, get, patch, post, put
from chatd.core.errors import ChatNotFound, Conflict, MessageNotFound, NotFound
from chatd.core.ids import ChatId, MessageId
from chatd.features.conversations import drafts, scheduled, service, threads
from chatd.features.conversations.contract import (
    Draft,
    Drafts,
    ListMentions,
    ListScheduled,
    ListThreads,
    MarkThreadRead,
    MentionList,
    MessageLink,
    PatchScheduled,
    PutDraft,
    Scheduled,
    ScheduledId,
    ScheduledList,
    ScheduleMessage,
    SetDraft,
    ShowThread,
    Thread,
    ThreadList,
    ThreadMark,
)


async def list_threads(ctx: Ctx, chat_id: ChatId, query: ListThreads) -> ThreadList:
    """The chat's threads, newest reply first, with what I have not read of them."""
    return await threads.page(ctx, chat_id, query)


async def get_thread(ctx: Ctx, chat_id: ChatId, message_id: MessageId, query: ShowThread) -> Thread:
    """A thread, by the message that began it, and its replies, newest first."""
    return await threads.show(ctx, chat_id, message_id, query)


async def read_thread(ctx: Ctx, chat_id: ChatId, message_id: MessageId, body: MarkThreadRead) -> ThreadMark:
    """Move my mark in a thread; it never moves back."""
    return await threads.read(ctx, chat_id, message_id, body.last_read_message_id)


async def list_mentions(ctx: Ctx, query: ListMentions) -> MentionList:
    """Messages that mention me, newest first."""
    return await service.mentions(ctx, query)


async def get_link(ctx: Ctx, message_id: MessageId) -> MessageLink:
    """Where a message is, for one who may read it."""
    return await service.link(ctx, message_id)


async def list_drafts(ctx: Ctx) -> Drafts:
    """What I have begun to write, newest first."""
    return await drafts.mine(ctx)


async def put_draft(ctx: Ctx, chat_id: ChatId, body: PutDraft) -> Draft:
    """Keep what I have begun to write in a chat."""
    return await drafts.save(ctx, chat_id, body.text, body.reply_to)


async def delete_draft(ctx: Ctx, chat_id: ChatId) -> None:
    """Take my draft in a chat away."""
    await drafts.drop(ctx, chat_id)


async def set_draft(ctx: Ctx, command: SetDraft) -> None:
    """Keep what is being written, or take it away where it is empty."""
    if command.text:
        await drafts.save(ctx, command.chat_id, command.text, command.reply_to)
    else:
        await drafts.drop(ctx, command.chat_id)


async def schedule(ctx: Ctx, chat_id: ChatId, body: ScheduleMessage) -> Answer[Scheduled]:
    """Send a message at its time."""
    made, new = await scheduled.schedule(ctx, chat_id, body)
    return Answer(made, 201 if new else 200)


async def list_scheduled(ctx: Ctx, query: ListScheduled) -> ScheduledList:
    """My scheduled messages, by their time."""
    return await scheduled.page(ctx, query)


async def patch_scheduled(ctx: Ctx, scheduled_id: ScheduledId, body: PatchScheduled) -> Scheduled:
    """Change a message that waits for its time."""
    return await scheduled.change(ctx, scheduled_id, body)


async def delete_scheduled(ctx: Ctx, scheduled_id: ScheduledId) -> None:
    """Take a message back that waits for its time, or forget one that could not be sent."""
    await scheduled.cancel(ctx, scheduled_id)


_THREAD = (ChatNotFound, MessageNotFound)

ROUTES = (
    get("/chats/{chat_id}/threads", list_threads, raises=(ChatNotFound,)),
    get("/chats/{chat_id}/threads/{message_id}", get_thread, raises=_THREAD),
    post("/chats/{chat_id}/threads/{message_id}/read", read_thread, status=200, raises=_THREAD, limit="none"),
    get("/mentions", list_mentions),
    get("/messages/{message_id}/link", get_link, raises=(MessageNotFound,)),
    get("/drafts", list_drafts),
    put("/chats/{chat_id}/draft", put_draft, raises=(ChatNotFound,), limit="none"),
    delete("/chats/{chat_id}/draft", delete_draft, status=204, raises=(ChatNotFound,), limit="none"),
    post(
        "/chats/{chat_id}/scheduled",
        schedule,
        status=(201, 200),
        raises=(ChatNotFound, Conflict),
        limit="none",
    ),
    get("/scheduled", list_scheduled),
    patch("/scheduled/{scheduled_id}", patch_scheduled, raises=(NotFound, Conflict), limit="none"),
    delete(
        "/scheduled/{scheduled_id}", delete_scheduled, status=204, raises=(NotFound, Conflict), limit="none"
    ),
)

COMMANDS = (Command(SetDraft, set_draft, raises=(ChatNotFound,)),)
