"""Frames of the socket that belong to no feature, and the bases of those that do (protocol.md, section 3).

Commands come from clients, events go to them; both are tagged by ``type``. Features define theirs in
their ``contract.py``.
"""

from datetime import datetime
from enum import IntEnum
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.errors import FieldError
from chatd.core.ids import ChatId, UserId

#: A command's own name for itself; comes back as ``re``.
CommandRef = Annotated[str, Meta(max_length=64)]
#: ``re`` of an answer: the command's ``id``, left out where it had none.
Ref = str | UnsetType
#: Text that PostgreSQL can hold: no NUL.
NO_NUL = r"^[^\x00]*$"


class CloseCode(IntEnum):
    """Why the server ended a socket, and by that whether to come back."""

    GOING_AWAY = 1001
    BROKEN = 4400
    UNAUTHENTICATED = 4401
    BANNED = 4403
    TIMEOUT = 4408
    TOO_LARGE = 4413
    FLOOD = 4429
    DRAINING = 4503
    SLOW_CONSUMER = 4508


class Command(msgspec.Struct, tag_field="type", kw_only=True):
    """A frame from a client. ``id`` is echoed as ``re``."""

    id: CommandRef | None = None


class ChatCommand(Command, kw_only=True):
    """A command about one chat. On ``/chats/{chat_id}`` the chat may be left out; dispatch fills it in."""

    chat_id: ChatId = ""


class Event(msgspec.Struct, tag_field="type", kw_only=True, frozen=True):
    """A frame to clients."""


class ConnectionInit(Command, tag="connection.init", kw_only=True):
    """The first frame of every socket, within ``socket.init_timeout_s``."""

    token: Annotated[str, Meta(max_length=8192)] | None = None
    client: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None = None
    device_id: Annotated[str, Meta(max_length=128, pattern=NO_NUL)] | None = None
    since: dict[ChatId, Annotated[int, Meta(ge=0, le=2**62)]] | None = None


class AuthRefresh(Command, tag="auth.refresh", kw_only=True):
    """A new access token for this socket, before the old one runs out."""

    token: Annotated[str, Meta(max_length=8192)]


class Ping(Command, tag="ping", kw_only=True):
    """Are you there?"""


class ChatHead(msgspec.Struct, frozen=True, kw_only=True):
    """One chat as ``connection.ready`` lists it."""

    chat_id: ChatId
    type: str
    title: str | None
    head_seq: int
    last_read_seq: int
    unread_count: int


class ConnectionReady(Event, tag="connection.ready", kw_only=True, frozen=True):
    """The socket is open; live events of each chat go on from ``head_seq + 1``."""

    connection_id: str
    user_id: UserId
    server_time: datetime
    heartbeat_ms: int
    max_frame_bytes: int
    chats: list[ChatHead]
    re: Ref = UNSET


class SyncComplete(Event, tag="sync.complete", kw_only=True, frozen=True):
    """The replay is over; for the ``sync`` command, of which chat and how far."""

    re: Ref = UNSET
    chat_id: ChatId | UnsetType = UNSET
    head_seq: int | UnsetType = UNSET


class Pong(Event, tag="pong", kw_only=True, frozen=True):
    """Answer to ``ping``."""

    server_time: datetime
    re: Ref = UNSET


class Ack(Event, tag="ack", kw_only=True, frozen=True):
    """A command other than ``message.send`` was done."""

    re: Ref = UNSET


class Drain(Event, tag="system.drain", kw_only=True, frozen=True):
    """This node goes away: come back after a while that differs from socket to socket."""

    reconnect_after_ms: int


class ErrorFrame(Event, tag="error", kw_only=True, frozen=True):
    """One command failed; the socket stays open."""

    code: str
    message: str
    re: Ref = UNSET
    client_message_id: str | UnsetType = UNSET
    retry_after_ms: int | UnsetType = UNSET
    errors: list[FieldError] | UnsetType = UNSET
    extra: dict[str, Any] | UnsetType = UNSET
