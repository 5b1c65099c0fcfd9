"""Shapes of devices, of what is pushed to them, and of the wishes about it."""

from datetime import datetime, time
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import ChatId, MessageId, UserId, id_meta
from chatd.wire.frames import NO_NUL

DeviceId = Annotated[str, id_meta("dev")]
ProviderName = Literal["fcm", "apns", "webpush"]
MAX_DEVICES = 20

_Base64Url = Annotated[str, Meta(min_length=16, max_length=128, pattern="^[A-Za-z0-9_-]+={0,2}$")]


class SubscriptionKeys(msgspec.Struct, frozen=True):
    """Of a browser's PushSubscription."""

    p256dh: _Base64Url
    auth: _Base64Url


class Subscription(msgspec.Struct, frozen=True):
    """A browser's PushSubscription, as its toJSON() gives it (W3C Push API)."""

    endpoint: Annotated[str, Meta(min_length=8, max_length=2048, pattern=r"^https?://[\x21-\x7e]+$")]
    keys: SubscriptionKeys


class RegisterDevice(msgspec.Struct, frozen=True, kw_only=True):
    """Where to push for this session: a ``token`` of FCM or APNs, or the ``subscription`` of a browser.

    Say it again at every start of the app: tokens change. A token that was another account's is yours then.
    """

    provider: ProviderName
    token: Annotated[str, Meta(min_length=16, max_length=4096, pattern=r"^[A-Za-z0-9_.:\-]+$")] | None = None
    subscription: Subscription | None = None
    name: Annotated[str, Meta(max_length=100, pattern=NO_NUL)] | None = None


class Device(msgspec.Struct, frozen=True):
    """One of my devices."""

    id: DeviceId
    provider: ProviderName
    name: str | None
    created_at: datetime
    registered_at: datetime


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """Where I am pushed to, newest first."""

    devices: list[Device]


class WebPushKey(msgspec.Struct, frozen=True, kw_only=True):
    """``applicationServerKey`` for a browser's ``pushManager.subscribe`` (RFC 8292)."""

    public_key: str


class NotificationSettings(msgspec.Struct, frozen=True):
    """What I want to be told, how, and when not. Quiet hours are in my profile's time zone."""

    push: bool = True
    #: Whether a push shows what was said, or only that something was.
    preview: bool = True
    email: Literal["off", "daily", "weekly"] = "off"
    quiet_from: time | None = None
    quiet_until: time | None = None
    #: Types of notifications that I do not want.
    off_types: list[str] = []


_Type = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
_Naive = Annotated[time, Meta(tz=False)]


class PatchNotificationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays. Quiet hours are given, or taken away (null), both at once."""

    push: bool | UnsetType = UNSET
    preview: bool | UnsetType = UNSET
    email: Literal["off", "daily", "weekly"] | UnsetType = UNSET
    quiet_from: _Naive | None | UnsetType = UNSET
    quiet_until: _Naive | None | UnsetType = UNSET
    off_types: Annotated[list[_Type], Meta(max_length=50)] | UnsetType = UNSET


# --------------------------------------------------------------------------------- not on the wire of clients


class Notice(msgspec.Struct, frozen=True):
    """Something to push that is no chat message. ``key`` joins later ones of the same subject to it."""

    key: str
    title: str
    body: str
    data: dict[str, str] = {}


class Claimed(msgspec.Struct, frozen=True):
    """A push that this run has taken."""

    device_id: DeviceId
    collapse_key: str


class Due(msgspec.Struct, frozen=True):
    """A push that is due, its device, and all that may speak against it, as of now."""

    device_id: DeviceId
    collapse_key: str
    version: int
    attempts: int
    waited: bool
    mention: bool
    created_at: datetime
    provider: ProviderName
    token: str
    p256dh: bytes | None
    auth: bytes | None
    registered_at: datetime
    user_id: UserId
    time_zone: str | None
    banned: bool
    #: The session that the device belongs to is over: nobody is pushed to there any more.
    over: bool
    push: bool
    preview: bool
    quiet_from: time | None
    quiet_until: time | None
    notification: dict[str, Any] | None
    chat_id: ChatId | None
    chat_type: str | None
    chat_title: str | None
    #: The newest message that may be shown: not received yet, not deleted or hidden, of nobody blocked.
    message_id: MessageId | None
    seq: int | None
    sender_name: str | None
    text: str | None
    #: The user's apps say what they have received: they have done so in this chat.
    acknowledges: bool


class Push(msgspec.Struct, frozen=True):
    """One push to one device, as the providers take it."""

    token: str
    p256dh: bytes | None
    auth: bytes | None
    collapse_key: str
    title: str
    body: str
    data: dict[str, str]
    badge: int
    ttl_s: int
    urgent: bool


class Outcome(msgspec.Struct, frozen=True):
    """What a push service said. ``gone``: the device is no more; ``later``: try again, not before
    ``retry_after_s`` where it says so; ``refused``: this push will never be taken.
    """

    result: Literal["sent", "gone", "later", "refused"]
    reason: str = ""
    retry_after_s: float | None = None
