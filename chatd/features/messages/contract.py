"""Commands, events and REST shapes of messages (protocol.md, sections 3 and 6)."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import ChatId, MessageId, UserId
from chatd.features.chats.contract import ClientMessageId, Message, TextContent
from chatd.wire.frames import ChatCommand, Event

#: One emoji, which may be several code points; no blanks or controls.
Emoji = Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[^\x00-\x20\x7f]*$")]

# --------------------------------------------------------------------------------------------- commands


class SendMessage(ChatCommand, tag="message.send", kw_only=True):
    """Say something in a chat. Safe to repeat for ever with the same ``client_message_id``."""

    client_message_id: ClientMessageId
    content: TextContent
    reply_to: MessageId | None = None


class EditMessage(ChatCommand, tag="message.edit", kw_only=True):
    """Say one's own message anew, within ``messages.edit_window_s``."""

    message_id: MessageId
    content: TextContent


class DeleteMessage(ChatCommand, tag="message.delete", kw_only=True):
    """Leave a tombstone in place of a message: one's own, or any as a moderator of the chat."""

    message_id: MessageId


class AddReaction(ChatCommand, tag="reaction.add", kw_only=True):
    """React; adding the same emoji twice changes nothing."""

    message_id: MessageId
    emoji: Emoji


class RemoveReaction(ChatCommand, tag="reaction.remove", kw_only=True):
    """Take one's reaction back."""

    message_id: MessageId
    emoji: Emoji


class ReadUpTo(ChatCommand, tag="delivery.read", kw_only=True):
    """I have read everything up to this message."""

    last_read_message_id: MessageId


class ReceivedUpTo(ChatCommand, tag="delivery.received", kw_only=True):
    """This device has everything up to this message."""

    message_id: MessageId


class Sync(ChatCommand, tag="sync", kw_only=True):
    """The durable events of a chat after ``after_seq``, then ``sync.complete``."""

    after_seq: Annotated[int, Meta(ge=0, le=2**62)]
    limit: Annotated[int, Meta(ge=1, le=500)] = 500


# ----------------------------------------------------------------------------------------------- events


class SendAck(Event, tag="ack", frozen=True, kw_only=True):
    """Stored durably. A repeat gets the first ack again, with ``duplicate``."""

    re: str | UnsetType = UNSET
    client_message_id: str
    ack_token: str
    message_id: MessageId
    chat_id: ChatId
    seq: int
    sent_at: datetime
    duplicate: bool


class MessageUpdate(Event, tag="message.update", frozen=True, kw_only=True):
    """A message was edited, or a reaction came or went; its present state."""

    chat_id: ChatId
    seq: int
    message: Message


class MessageDelete(Event, tag="message.delete", frozen=True, kw_only=True):
    """A message is now a tombstone."""

    chat_id: ChatId
    seq: int
    message_id: MessageId
    deleted_by: UserId


class Moderation(Event, tag="system.moderation", frozen=True, kw_only=True):
    """A moderator or a filter acted on a message."""

    chat_id: ChatId
    seq: int
    message_id: MessageId
    action: str
    reason: str | None


class DeliveryRead(Event, tag="delivery.read", frozen=True, kw_only=True):
    """A member has read up to here. Watermarks never move back."""

    chat_id: ChatId
    user_id: UserId
    last_read_message_id: MessageId
    last_read_seq: int
    read_at: datetime


class DeliveryReceived(Event, tag="delivery.received", frozen=True, kw_only=True):
    """A device of a member has everything up to here; to those whose messages it covers."""

    chat_id: ChatId
    user_id: UserId
    message_id: MessageId
    seq: int
    received_at: datetime


class ChatReset(Event, tag="chat.reset", frozen=True, kw_only=True):
    """Too much was missed to replay: the head and the newest messages, newest first; REST has the rest."""

    chat_id: ChatId
    head_seq: int
    messages: list[Message]


# ------------------------------------------------------------------------------------------------- REST


class PostMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``message.send`` over REST. ``sender_id`` may be sent and must be the token's user."""

    client_message_id: ClientMessageId
    content: TextContent
    reply_to: MessageId | None = None
    sender_id: UserId | None = None


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """Stored durably; on its way to the members."""

    message_id: MessageId
    ack_token: str
    status: Literal["queued"]
    seq: int
    sent_at: datetime


class PatchMessage(msgspec.Struct, frozen=True, kw_only=True):
    """``message.edit`` over REST."""

    content: TextContent


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """The message is a tombstone; ``moderator_id`` is who removed it (its sender, perhaps)."""

    status: Literal["removed"]
    moderator_id: UserId


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """``sent``, ``delivered`` (a device of another member has it) or ``read``, and by whom (the first
    100 of them; ``read_count`` counts all).
    """

    status: Literal["sent", "delivered", "read"]
    read_by: list[UserId]
    read_count: int


class MessageWithDelivery(Message, frozen=True, kw_only=True):
    """A message of the history."""

    delivery: Delivery


class Paging(msgspec.Struct, frozen=True, kw_only=True):
    """Where the next (older) page begins; null at the end."""

    next_before: datetime | None
    next_before_seq: int | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Messages, newest first."""

    messages: list[MessageWithDelivery]
    paging: Paging


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """All bounds together hold; ``before`` is a time, the others are exact."""

    before: Annotated[datetime, Meta(tz=True)] | None = None
    before_seq: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    after_seq: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Pins(msgspec.Struct, frozen=True, kw_only=True):
    """The pinned messages, the last pinned first."""

    messages: list[Message]


class Version(msgspec.Struct, frozen=True):
    """What a message said from ``said_at`` until it was edited."""

    version: int
    content: msgspec.Raw
    said_at: datetime
    replaced_at: datetime


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """What a message said before, earliest first; what it says now is in the history."""

    versions: list[Version]


class ForwardMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Where the message shall be said again, and the id that makes a retry safe there."""

    chat_id: ChatId
    client_message_id: ClientMessageId


class Subject(msgspec.Struct, frozen=True):
    """A message as moderation sees it, its text included (not on the wire)."""

    id: MessageId
    chat_id: ChatId
    sender_id: UserId
    is_system: bool
    deleted: bool
    status: str
    content: msgspec.Raw


class MarkRead(msgspec.Struct, frozen=True, kw_only=True):
    """``delivery.read`` over REST."""

    last_read_message_id: MessageId


class ReadMark(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller's watermark is now."""

    last_read_message_id: MessageId
    last_read_seq: int


class ChatActivity(msgspec.Struct, frozen=True):
    """What people said in a chat: how much, when last, which of its members, and how much was
    flagged (not on the wire).
    """

    chat_id: ChatId
    message_count: int
    last_message_at: datetime | None
    writers: list[UserId]
    flagged: int


class Said(msgspec.Struct, frozen=True):
    """One's own message, as it is given to its sender (not on the wire of chats)."""

    id: MessageId
    chat_id: ChatId
    seq: int
    client_message_id: str
    content: msgspec.Raw
    reply_to: MessageId | None
    sent_at: datetime
    edited_at: datetime | None


class Reworded(msgspec.Struct, frozen=True):
    """What one's own message said before an edit (not on the wire of chats)."""

    message_id: MessageId
    version: int
    content: msgspec.Raw
    said_at: datetime
    replaced_at: datetime


class Given(msgspec.Struct, frozen=True):
    """One's own reaction, as it is given to its giver (not on the wire of chats)."""

    chat_id: ChatId
    message_id: MessageId
    emoji: str
    created_at: datetime
