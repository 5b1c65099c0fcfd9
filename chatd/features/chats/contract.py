"""Shapes of chats and of the messages that their lists show (protocol.md, sections 3 and 6)."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import ChatId, MediaId, MessageId, UserId
from chatd.wire.frames import NO_NUL, Event

ChatType = Literal["direct", "group", "event", "club", "gp"]
Role = Literal["owner", "moderator", "member"]
Title = Annotated[str, Meta(min_length=1, max_length=120, pattern=NO_NUL)]
ClientMessageId = Annotated[str, Meta(min_length=1, max_length=64, pattern=NO_NUL)]

#: A member in a path: ``me`` or a user's id. The look-ahead is there because ``$`` lets a newline through.
MemberRef = Annotated[str, Meta(pattern=r"^(me|usr_[0-7][0-9a-hjkmnp-tv-z]{25})(?!\n)$", examples=["me"])]

#: Who may act on whom: only upwards of one's own rank.
RANKS: dict[str, int] = {"member": 0, "moderator": 1, "owner": 2}


class Attachment(msgspec.Struct, frozen=True):
    """A medium that goes with a message."""

    media_id: MediaId


class TextContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wrote: 1 to 4000 characters, or none where there is an attachment.

    ``mentions`` are members of the chat; ``mentions_all`` calls everybody, which moderators may.
    """

    # A field and not msgspec's tag, which may be left out where there is one struct to choose from: a client
    # that forgets it would find out only when a second kind of content comes.
    type: Literal["text"]
    text: Annotated[str, Meta(max_length=4000, pattern=NO_NUL)]
    attachments: Annotated[list[Attachment], Meta(max_length=10)] = []
    mentions: Annotated[list[UserId], Meta(max_length=50)] | UnsetType = UNSET
    mentions_all: bool | UnsetType = UNSET


class ForwardedContent(msgspec.Struct, frozen=True, tag="text", tag_field="type", kw_only=True):
    """What was said elsewhere; where and by whom is not told."""

    text: str
    attachments: list[Attachment]
    forwarded: Literal[True]


class SystemContent(msgspec.Struct, frozen=True, tag="system", tag_field="type", kw_only=True):
    """What happened to the chat itself, as part of its log."""

    event: Literal["members_joined", "member_left", "member_removed", "role_changed", "title_changed"]
    user_ids: list[UserId] = []
    title: str | None | UnsetType = UNSET
    role: str | UnsetType = UNSET


class Reaction(msgspec.Struct, frozen=True):
    """One emoji and who gave it, earliest first."""

    emoji: str
    count: int
    user_ids: list[UserId]


class ReplyPreview(msgspec.Struct, frozen=True):
    """What the message in ``reply_to`` says when this is read; ``text`` (its first 140 characters) is null
    where it was deleted or hidden, or has no words.

    It follows the message that it quotes: a ``message.update`` or ``message.delete`` of that one is news of
    its previews too.
    """

    message_id: MessageId
    sender_id: UserId
    text: str | None


class ThreadHead(msgspec.Struct, frozen=True):
    """The replies to a message and to its replies, when this is read; each ``message.new`` with its
    ``thread_id`` adds one, each ``message.delete`` of a reply takes one.
    """

    reply_count: int
    last_reply_seq: int
    last_reply_at: datetime


class Message(msgspec.Struct, frozen=True):
    """A message as everybody sees it. ``content`` is stored JSON, passed through untouched.

    Left out where there is nothing to say: ``reply_preview`` and ``thread_id`` (the message that began the
    chain) but for replies, ``thread`` but for what was replied to, ``pinned_at`` and ``pinned_by`` but for
    what is pinned.
    """

    id: MessageId
    chat_id: ChatId
    seq: int
    updated_seq: int
    sender_id: UserId
    client_message_id: str | None
    content: msgspec.Raw
    reply_to: MessageId | None
    reactions: list[Reaction]
    sent_at: datetime
    edited_at: datetime | None
    deleted_at: datetime | None
    moderation_status: str
    reply_preview: ReplyPreview | UnsetType = UNSET
    thread_id: MessageId | UnsetType = UNSET
    thread: ThreadHead | UnsetType = UNSET
    pinned_at: datetime | UnsetType = UNSET
    pinned_by: UserId | UnsetType = UNSET


class Member(msgspec.Struct, frozen=True):
    """One member as the others see them."""

    user_id: UserId
    role: Role
    joined_at: datetime
    last_read_seq: int


NotificationLevel = Literal["all", "mentions", "none"]


class ChatSettings(msgspec.Struct, frozen=True):
    """A member's own wishes for a chat. ``muted`` is for ever, or until ``muted_until``."""

    muted: bool
    muted_until: datetime | None
    pinned: bool
    archived: bool
    notifications: NotificationLevel


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as one of its members sees it; without ``settings`` where these are as they were at first."""

    id: ChatId
    type: ChatType
    title: str | None
    context_id: str | None
    created_at: datetime
    member_count: int
    my_role: Role
    head_seq: int
    last_read_seq: int
    unread_count: int
    last_message: Message | None
    peer_id: UserId | UnsetType = UNSET
    read_only: bool = False
    settings: ChatSettings | UnsetType = UNSET


class ChatDetail(Chat, frozen=True, kw_only=True):
    """A chat with its members."""

    members: list[Member]


class MessageNew(Event, tag="message.new", frozen=True, kw_only=True):
    """A message took the chat's next seq."""

    chat_id: ChatId
    seq: int
    message: Message


class ChatJoined(Event, tag="chat.joined", frozen=True, kw_only=True):
    """You are in this chat now; its live events go on from ``chat.head_seq + 1``."""

    chat: Chat


class ChatLeft(Event, tag="chat.left", frozen=True, kw_only=True):
    """You are out of this chat. ``reason``: left · removed · banned · closed."""

    chat_id: ChatId
    reason: str


class ChatUpdated(Event, tag="chat.updated", frozen=True, kw_only=True):
    """The chat's title, roles or state changed."""

    chat: Chat


class RequestNew(Event, tag="request.new", frozen=True, kw_only=True):
    """A stranger has opened a direct chat with you, and may say a few words in it: accept or decline it."""

    chat_id: ChatId
    from_id: UserId


class ChatSettingsChanged(Event, tag="chat.settings", frozen=True, kw_only=True):
    """You changed your settings of a chat, perhaps on another device."""

    chat_id: ChatId
    settings: ChatSettings


class PutChatSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays as it is. ``muted`` without ``muted_until`` is until it is taken back."""

    muted: bool | UnsetType = UNSET
    muted_until: Annotated[datetime, Meta(tz=True)] | None | UnsetType = UNSET
    pinned: bool | UnsetType = UNSET
    archived: bool | UnsetType = UNSET
    notifications: NotificationLevel | UnsetType = UNSET


class CreateChat(msgspec.Struct, frozen=True, kw_only=True):
    """``direct`` takes exactly one other member, ``group`` none or more; you are always in it."""

    type: Literal["direct", "group"]
    member_ids: Annotated[list[UserId], Meta(max_length=10_000)]
    title: Title | None = None


class PatchChat(msgspec.Struct, frozen=True, kw_only=True):
    """A new title; null takes it away."""

    title: Title | None


class AddMembers(msgspec.Struct, frozen=True, kw_only=True):
    """Who shall come in; those already in are left as they are."""

    user_ids: Annotated[list[UserId], Meta(min_length=1, max_length=5000)]


class SetRole(msgspec.Struct, frozen=True, kw_only=True):
    """``owner`` hands the ownership over; the old owner becomes a moderator."""

    role: Role


class ChatPage(msgspec.Struct, frozen=True, kw_only=True):
    """My chats, newest activity first."""

    items: list[Chat]
    next_cursor: str | None


class ListChats(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the list: the archived ones or the others; with ``pinned``, the pinned ones or the others."""

    archived: bool = False
    pinned: bool | None = None

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class Seat(msgspec.Struct, frozen=True):
    """A member's place in a chat as the rules need it (not on the wire)."""

    chat_id: ChatId
    user_id: UserId
    type: str
    role: str
    read_only: bool
    muted_until: datetime | None
    head_seq: int
    member_count: int
    created_at: datetime


class HeadsAsk(msgspec.Struct, frozen=True):
    """Which chats a socket is about: one, or with None all of the user's (not on the wire)."""

    user_id: UserId
    chat_id: ChatId | None = None


class ChatState(msgspec.Struct, frozen=True):
    """Where a chat and one of its members stand when a socket opens (not on the wire)."""

    chat_id: ChatId
    type: str
    title: str | None
    head_seq: int
    receipt_seq: int
    last_read_seq: int
    unread_count: int
    #: When the chat's log last grew.
    head_at: datetime
    role: str
    joined_seq: int


class ChatBan(msgspec.Struct, frozen=True):
    """Who may not come into a chat; ``banned_until`` is null for ever."""

    user_id: UserId
    banned_by: UserId
    reason: str | None
    banned_at: datetime
    banned_until: datetime | None


class RequestState(msgspec.Struct, frozen=True):
    """A stranger's request and its answer (not on the wire)."""

    chat_id: ChatId
    from_id: UserId
    status: str


class MessageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A stranger's chat that waits for an answer, and what was said in it, earliest first."""

    chat_id: ChatId
    from_id: UserId
    created_at: datetime
    messages: list[Message]


class RequestPage(msgspec.Struct, frozen=True, kw_only=True):
    """Requests, newest first."""

    items: list[MessageRequest]
    next_cursor: str | None


class ListRequests(msgspec.Struct, frozen=True, kw_only=True):
    """Query of the requests."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: Annotated[str, Meta(max_length=512)] | None = None


class LogHead(msgspec.Struct, frozen=True):
    """Where a chat's log stands, as admins see it. ``receipt_seq`` is the version of the watermarks."""

    id: ChatId
    type: ChatType
    title: str | None
    member_count: int
    head_seq: int
    receipt_seq: int
    message_count: int
    read_only: bool
    created_at: datetime
    last_event_at: datetime
