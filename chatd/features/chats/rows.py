"""What the statements of chats give, where it is not what the wire shows. No logic."""

from datetime import datetime

import msgspec

from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.chats.contract import ChatSettings, ChatType, Role


class HeadRow(msgspec.Struct, frozen=True):
    """A ChatState and the place, from 1, of the ask that it answers."""

    ord: int
    chat_id: ChatId
    type: str
    title: str | None
    head_seq: int
    receipt_seq: int
    last_read_seq: int
    unread_count: int
    head_at: datetime
    role: str
    joined_seq: int


class Card(msgspec.Struct, frozen=True):
    """A chat as one member sees it; the last message is named, and ids of contexts have no prefix yet."""

    user_id: UserId
    id: ChatId
    type: ChatType
    title: str | None
    context_id: bytes | None
    created_at: datetime
    member_count: int
    read_only: bool
    role: Role
    head_seq: int
    last_read_seq: int
    unread_count: int
    peer_id: UserId | None
    last_message_id: MessageId | None
    settings: ChatSettings | None


class MessageRow(msgspec.Struct, frozen=True):
    """A message with its reactions as two parallel arrays, earliest first."""

    id: MessageId
    chat_id: ChatId
    seq: int
    updated_seq: int
    sender_id: UserId
    client_message_id: str | None
    content: msgspec.Raw
    reply_to: MessageId | None
    sent_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    moderation_status: str
    emojis: list[str] | None
    reactors: list[UserId] | None
    quoted_sender: UserId | None
    quoted_text: str | None
    thread_root: MessageId | None
    reply_count: int | None
    last_reply_seq: int | None
    last_reply_at: datetime | None
    pinned_at: datetime | None
    pinned_by: UserId | None


class PageKey(msgspec.Struct, frozen=True):
    """What the list of chats is sorted by, newest first."""

    last_event_at: datetime
    id: ChatId


class Stamp(msgspec.Struct, frozen=True):
    """The place in the log that something took, and when."""

    seq: int
    at: datetime


class Locked(msgspec.Struct, frozen=True):
    """A chat whose row this transaction holds."""

    type: ChatType
    title: str | None
    read_only: bool
    head_seq: int
    member_count: int


class RequestRow(msgspec.Struct, frozen=True):
    """A stranger's chat that waits for an answer, and what was said in it."""

    chat_id: ChatId
    from_id: UserId
    created_at: datetime
    message_ids: list[MessageId]
