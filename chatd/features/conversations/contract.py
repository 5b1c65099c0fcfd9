"""Shapes of threads, mentions, drafts, scheduled messages and links."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chatd.core.ids import ChatId, MessageId, UserId, id_meta
from chatd.features.chats.contract import ClientMessageId, Message, TextContent
from chatd.wire.frames import NO_NUL, ChatCommand, Event

ScheduledId = Annotated[str, id_meta("sch")]
Seq = Annotated[int, Meta(ge=0, le=2**62)]
Cursor = Annotated[str, Meta(max_length=512)]

# ---------------------------------------------------------------------------------------------- threads


class ThreadSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message and the chain of replies to it, as one member has read it."""

    root: Message
    reply_count: int
    last_reply_seq: int
    last_reply_at: datetime
    last_read_seq: int
    unread_count: int


class ListThreads(msgspec.Struct, frozen=True, kw_only=True):
    """Query of a chat's threads."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    before_seq: Seq | None = None


class ThreadList(msgspec.Struct, frozen=True, kw_only=True):
    """A chat's threads, newest reply first; ``next_before_seq`` is null at the end."""

    items: list[ThreadSummary]
    next_before_seq: int | None


class ShowThread(msgspec.Struct, frozen=True, kw_only=True):
    """Query of one thread; both bounds together hold."""

    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    before_seq: Seq | None = None
    after_seq: Seq | None = None


class Thread(ThreadSummary, frozen=True, kw_only=True):
    """A thread and a page of its replies, newest first."""

    messages: list[Message]
    next_before_seq: int | None


class MarkThreadRead(msgspec.Struct, frozen=True, kw_only=True):
    """I have read the thread up to this reply."""

    last_read_message_id: MessageId


class ThreadRead(Event, tag="thread.read", frozen=True, kw_only=True):
    """You have read a thread up to here, perhaps on another device. The mark never moves back."""

    chat_id: ChatId
    thread_id: MessageId
    last_read_seq: int


class ThreadMark(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller's mark in a thread is now."""

    thread_id: MessageId
    last_read_seq: int


# --------------------------------------------------------------------------------------------- mentions


class ListMentions(msgspec.Struct, frozen=True, kw_only=True):
    """Query of one's mentions; ``unread``: only where one has not read that far in the chat."""

    unread: bool = False
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Cursor | None = None


class MentionList(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that mention the caller, or everybody in a chat of the caller's; newest first."""

    items: list[Message]
    next_cursor: str | None


# ----------------------------------------------------------------------------------------------- drafts


class Draft(msgspec.Struct, frozen=True):
    """What one has begun to write in a chat."""

    chat_id: ChatId
    text: str
    reply_to: MessageId | None
    updated_at: datetime


class PutDraft(msgspec.Struct, frozen=True, kw_only=True):
    """The draft as it is now."""

    text: Annotated[str, Meta(min_length=1, max_length=4000, pattern=NO_NUL)]
    reply_to: MessageId | None = None


class SetDraft(ChatCommand, tag="draft.set", kw_only=True):
    """Keep what is being written for one's other devices; an empty text takes the draft away."""

    text: Annotated[str, Meta(max_length=4000, pattern=NO_NUL)]
    reply_to: MessageId | None = None


class Drafts(msgspec.Struct, frozen=True, kw_only=True):
    """All drafts of the caller, newest first."""

    drafts: list[Draft]


class DraftUpdated(Event, tag="draft.updated", frozen=True, kw_only=True):
    """A draft of yours changed on one of your devices; null where it is gone. The later ``at`` wins."""

    chat_id: ChatId
    draft: Draft | None
    at: datetime


# -------------------------------------------------------------------------------------------- scheduled


class ScheduleMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be said, and when (at most a year ahead). Safe to repeat with the same
    ``client_message_id``, until 30 days after it was sent or taken back.
    """

    content: TextContent
    send_at: Annotated[datetime, Meta(tz=True)]
    reply_to: MessageId | None = None
    client_message_id: ClientMessageId | None = None


class PatchScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """What is null stays as it is."""

    content: TextContent | None = None
    send_at: Annotated[datetime, Meta(tz=True)] | None = None


class Scheduled(msgspec.Struct, frozen=True):
    """A message that is sent at its time, or was (``message_id``), or could not be (``failure``: the code
    of the error). It is sent under its own ``id``; ``client_message_id`` is what it was asked for under.
    """

    id: ScheduledId
    chat_id: ChatId
    content: msgspec.Raw
    reply_to: MessageId | None
    send_at: datetime
    status: Literal["pending", "sent", "failed"]
    message_id: MessageId | None
    failure: str | None
    created_at: datetime
    client_message_id: str | None


class ListScheduled(msgspec.Struct, frozen=True, kw_only=True):
    """Query of one's scheduled messages."""

    chat_id: ChatId | None = None
    status: Literal["pending", "sent", "failed"] = "pending"
    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Cursor | None = None


class ScheduledList(msgspec.Struct, frozen=True, kw_only=True):
    """One's scheduled messages, by their time."""

    items: list[Scheduled]
    next_cursor: str | None


class ScheduledUpdated(Event, tag="scheduled.updated", frozen=True, kw_only=True):
    """A scheduled message of yours was made, changed, sent, failed, or (``cancelled``) taken back."""

    scheduled: Scheduled
    cancelled: bool = False


class Asked(msgspec.Struct, frozen=True):
    """What was asked for before under an id of the author's (not on the wire)."""

    id: ScheduledId
    status: Literal["pending", "sent", "failed", "cancelled"]
    fingerprint: bytes | None


class DueRow(msgspec.Struct, frozen=True):
    """A scheduled message whose time has come (not on the wire)."""

    id: ScheduledId
    chat_id: ChatId
    user_id: UserId
    content: msgspec.Raw
    reply_to: MessageId | None
    attempts: int
    refusal: str | None


# ------------------------------------------------------------------------------------------------ links


class MessageLink(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message is, for one who may read it. ``url`` is for people to pass on."""

    message_id: MessageId
    chat_id: ChatId
    seq: int
    url: str
    message: Message
