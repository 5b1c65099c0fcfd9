"""Chats and messages as their members see them: the reading half of the service."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, structs

from chatd.core.context import Ctx, Queries
from chatd.core.declarations import Batch
from chatd.core.errors import ChatNotFound
from chatd.core.ids import ChatId, MessageId, UserId, from_bytes
from chatd.core.paging import cut, decode_cursor, encode_cursor
from chatd.core.settings import Chats
from chatd.features.chats import cards_store, guard_store, store
from chatd.features.chats.contract import (
    Chat,
    ChatDetail,
    ChatPage,
    ChatState,
    HeadsAsk,
    ListChats,
    ListRequests,
    Message,
    MessageRequest,
    Reaction,
    ReplyPreview,
    RequestPage,
    Seat,
    ThreadHead,
)
from chatd.features.chats.rows import Card, MessageRow, PageKey

#: What a chat's context is, by the chat's type; a group that has one was a GP.
CONTEXT_PREFIXES = {"event": "evt", "club": "clb", "gp": "gp", "group": "gp"}
UNREAD_CAP = Chats().unread_cap


async def _heads(ctx: Ctx, asks: list[HeadsAsk]) -> Sequence[list[ChatState] | Exception]:
    rows = await cards_store.heads(
        ctx.db,
        [ask.user_id for ask in asks],
        [ask.chat_id for ask in asks],
        ctx.settings.chats.unread_cap,
        ctx.settings.chats.unread_total,
    )
    found: list[list[ChatState]] = [[] for _ in asks]
    for row in rows:
        found[row.ord - 1].append(ChatState(*structs.astuple(row)[1:]))
    return found


#: Where a user's chats stand, newest activity first; one statement for all sockets that open at once.
#: An ask for one chat is answered with an empty list where the user is not in it.
HEADS: Batch[HeadsAsk, list[ChatState]] = Batch(
    "chats.heads", _heads, key=lambda ask: ask.user_id, max_batch=200
)


async def messages_by_ids(q: Queries, ids: Collection[MessageId]) -> dict[MessageId, Message]:
    """These messages as everybody sees them now; unknown ids are left out. One statement."""
    if not ids:
        return {}
    return {row.id: _message(row) for row in await cards_store.messages(q, list(ids))}


def _message(row: MessageRow) -> Message:
    given: dict[str, list[UserId]] = {}
    for emoji, user_id in zip(row.emojis or (), row.reactors or (), strict=True):
        given.setdefault(emoji, []).append(user_id)
    return Message(
        id=row.id,
        chat_id=row.chat_id,
        seq=row.seq,
        updated_seq=row.updated_seq,
        sender_id=row.sender_id,
        client_message_id=row.client_message_id,
        content=row.content,
        reply_to=row.reply_to,
        reactions=[Reaction(emoji, len(users), users) for emoji, users in given.items()],
        sent_at=row.sent_at,
        edited_at=row.edited_at,
        deleted_at=row.deleted_at,
        moderation_status=row.moderation_status,
        reply_preview=reply_preview(row.reply_to, row.quoted_sender, row.quoted_text),
        thread_id=row.thread_root or UNSET,
        thread=_thread(row),
        pinned_at=row.pinned_at or UNSET,
        pinned_by=row.pinned_by or UNSET,
    )


def reply_preview(
    reply_to: MessageId | None, sender_id: UserId | None, text: str | None
) -> ReplyPreview | UnsetType:
    """What a reply shows of the message that it quotes."""
    if reply_to is None or sender_id is None:
        return UNSET
    return ReplyPreview(reply_to, sender_id, text)


def _thread(row: MessageRow) -> ThreadHead | UnsetType:
    if row.reply_count is None or row.last_reply_seq is None or row.last_reply_at is None:
        return UNSET
    return ThreadHead(row.reply_count, row.last_reply_seq, row.last_reply_at)


async def views(
    q: Queries, chat_id: ChatId, user_ids: Collection[UserId], *, unread_cap: int = UNREAD_CAP
) -> dict[UserId, Chat]:
    """The chat as each of these users sees it; who is not in it is left out.

    Two statements (the chat, its last message), however many the users.
    """
    cards = await cards_store.cards_of_chat(q, chat_id, list(user_ids), unread_cap) if user_ids else []
    last = await _last_messages(q, cards[:1])
    return {card.user_id: _chat(card, last) for card in cards}


async def view(ctx: Ctx, chat_id: ChatId) -> Chat:
    """The chat as the actor sees it. Raises ChatNotFound."""
    cap = ctx.settings.chats.unread_cap
    cards = await cards_store.cards_of_user(ctx.db, ctx.actor.user_id, [chat_id], cap)
    if not cards:
        raise ChatNotFound
    return _chat(cards[0], await _last_messages(ctx.db, cards))


async def detail(ctx: Ctx, chat_id: ChatId) -> ChatDetail:
    """The chat and everybody in it, earliest first. Raises ChatNotFound."""
    chat = await view(ctx, chat_id)
    return ChatDetail(
        **structs.asdict(chat), members=await guard_store.members_as_seen(ctx.db, chat_id, ctx.actor.user_id)
    )


async def page(ctx: Ctx, query: ListChats) -> ChatPage:
    """The actor's chats, newest activity first. Raises ValidationFailed for a cursor that is none."""
    user_id = ctx.actor.user_id
    after = None
    if query.cursor is not None:
        after = PageKey(*decode_cursor(query.cursor, tuple[Annotated[datetime, Meta(tz=True)], ChatId]))
    keys = await cards_store.page_of_chats(
        ctx.db, user_id, after, query.limit + 1, query.archived, query.pinned
    )
    keys, end = cut(keys, query.limit)
    ids = [key.id for key in keys]
    found = {
        card.id: card
        for card in await cards_store.cards_of_user(ctx.db, user_id, ids, ctx.settings.chats.unread_cap)
    }
    last = await _last_messages(ctx.db, list(found.values()))
    return ChatPage(
        # One that was left between the two statements is not shown.
        items=[_chat(found[chat_id], last) for chat_id in ids if chat_id in found],
        next_cursor=encode_cursor(end.last_event_at, end.id) if end else None,
    )


async def requests(ctx: Ctx, query: ListRequests) -> RequestPage:
    """The chats of strangers that wait for the actor's answer, newest first, with what they have said.

    Raises ValidationFailed for a cursor that is none.
    """
    after_at, after_id = None, None
    if query.cursor is not None:
        key = decode_cursor(query.cursor, tuple[Annotated[datetime, Meta(tz=True)], ChatId])
        after_at, after_id = key
    rows = await guard_store.page_of_requests(ctx.db, ctx.actor.user_id, after_at, after_id, query.limit + 1)
    rows, last = cut(rows, query.limit)
    said = await messages_by_ids(ctx.db, [message_id for row in rows for message_id in row.message_ids])
    return RequestPage(
        items=[
            MessageRequest(
                chat_id=row.chat_id,
                from_id=row.from_id,
                created_at=row.created_at,
                messages=[said[message_id] for message_id in row.message_ids],
            )
            for row in rows
        ],
        next_cursor=encode_cursor(last.created_at, last.chat_id) if last else None,
    )


async def require_seat(q: Queries, chat_id: ChatId, user_id: UserId) -> Seat:
    """The user's place in the chat. Raises ChatNotFound."""
    seat = await store.find_seat(q, chat_id, user_id)
    if seat is None:
        raise ChatNotFound
    return seat


async def members_among(q: Queries, chat_id: ChatId, user_ids: Collection[UserId]) -> set[UserId]:
    """Those of ``user_ids`` who are in the chat. One statement."""
    return set(await store.members_among(q, chat_id, list(user_ids))) if user_ids else set()


async def members_shared(q: Queries, user_id: UserId, others: Collection[UserId]) -> set[UserId]:
    """Those of ``others`` who are in a chat with the user. One statement."""
    return set(await store.members_shared(q, user_id, list(others))) if others else set()


async def _last_messages(q: Queries, cards: Sequence[Card]) -> dict[MessageId, Message]:
    return await messages_by_ids(q, [card.last_message_id for card in cards if card.last_message_id])


def _chat(card: Card, last: dict[MessageId, Message]) -> Chat:
    context = CONTEXT_PREFIXES.get(card.type)
    return Chat(
        id=card.id,
        type=card.type,
        title=card.title,
        context_id=from_bytes(context, card.context_id) if context and card.context_id else None,
        created_at=card.created_at,
        member_count=card.member_count,
        my_role=card.role,
        head_seq=card.head_seq,
        last_read_seq=card.last_read_seq,
        unread_count=card.unread_count,
        last_message=last.get(card.last_message_id) if card.last_message_id else None,
        peer_id=card.peer_id or UNSET,
        read_only=card.read_only,
        settings=card.settings or UNSET,
    )
