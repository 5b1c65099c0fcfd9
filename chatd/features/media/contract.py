"""Shapes of media: uploads, what is known of a medium, and what can be wrong with one."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.errors import AppError
from chatd.core.ids import MediaId, UserId
from chatd.wire.frames import NO_NUL

Kind = Literal["image", "video"]
#: ``photo`` and ``reel`` are the words of the events' and clubs' document.
MediaType = Literal["image", "photo", "video", "reel", "avatar"]
Variant = Literal["original", "thumbnail"]
ContentType = Literal["image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "video/webm"]
FileName = Annotated[str, Meta(min_length=1, max_length=255, pattern=NO_NUL)]

# ----------------------------------------------------------------------------------------------- errors


class MediaNotFound(AppError):
    """No such medium, or one that you may not see: the two are not told apart."""

    code, status, title = "media_not_found", 404, "There is no such medium for you"


class MediaRejected(AppError):
    """What was uploaded is not kept. ``reason``: type_mismatch · truncated · malformed · too_many_pixels ·
    infected · unscannable.
    """

    code, status, title = "media_rejected", 422, "This file is not accepted"

    def __init__(self, detail: str | None = None, *, reason: str = "malformed", **more: Any) -> None:
        super().__init__(detail, extra={"reason": reason}, **more)
        self.reason = reason


class LinkInvalid(AppError):
    """The link's signature is wrong, or its time is over."""

    code, status, title = "link_invalid", 403, "This link is not valid, or not any more"


# ------------------------------------------------------------------------------------------------- REST


class NewMedium(msgspec.Struct, frozen=True, kw_only=True):
    """What shall be uploaded. With ``size`` (bytes), one that is too big is refused at once."""

    type: MediaType
    content_type: ContentType
    file_name: FileName
    size: Annotated[int, Meta(ge=1, le=2**40)] | None = None


class WearAvatar(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of one's own that was uploaded, as an avatar or not; no message has it."""

    media_id: MediaId


class Avatar(msgspec.Struct, frozen=True, kw_only=True):
    """What one's profile shows now: a path that anybody may fetch, as those of attachments are."""

    media_id: MediaId
    avatar_url: str


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """Send the file's bytes to ``upload_url`` by ``method``, with these ``headers``, until ``expires_at``.

    Where the link is chatd's own, the answer to that is the medium, ready or refused. Where it is an object
    store's, ``POST /media/{media_id}/complete`` afterwards.
    """

    media_id: MediaId
    upload_url: str
    expires_at: datetime
    method: Literal["PUT"]
    headers: dict[str, str]
    max_bytes: int


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a medium; sizes are there once it is ready, in bytes and pixels."""

    media_id: MediaId
    status: Literal["pending", "ready", "rejected"]
    type: Kind
    content_type: str
    file_name: str
    size: int | None
    width: int | None
    height: int | None
    thumbnail: bool
    created_at: datetime
    reason: str | None
    #: Where it is for a short time, and until when; once it is ready.
    url: str | UnsetType = UNSET
    thumbnail_url: str | UnsetType = UNSET
    expires_at: datetime | UnsetType = UNSET


class Fetch(msgspec.Struct, frozen=True, kw_only=True):
    """Which size of it. What has no thumbnail gives the original."""

    variant: Variant = "original"


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a link good: until when (Unix time), and the proof that it comes from us."""

    expires: Annotated[int, Meta(ge=0, le=2**53)]
    signature: Annotated[str, Meta(min_length=1, max_length=128)]


class SignedPut(Signed, frozen=True, kw_only=True):
    """A link for the bytes of a medium; of this many, where their number was announced."""

    size: Annotated[int, Meta(ge=1, le=2**53)] | None = None


class SignedFetch(Signed, frozen=True, kw_only=True):
    """A link to one size of a medium, and whose it is: it shows what they may see when it is followed."""

    variant: Variant = "original"
    viewer: UserId | None = None
    moderator: bool = False


# ---------------------------------------------------------------------------------------- not on the wire


class Row(msgspec.Struct, frozen=True):
    """A medium as it is stored."""

    id: MediaId
    owner_id: UserId | None
    purpose: str
    kind: str
    declared_type: str
    file_name: str
    status: str
    reason: str | None
    storage_key: str
    content_type: str | None
    size: int | None
    width: int | None
    height: int | None
    thumbnail: bool
    held: int
    upload_until: datetime
    claimed_until: datetime | None
    created_at: datetime


class Found(msgspec.Struct, frozen=True):
    """What looking into a file has found."""

    content_type: str
    size: int
    width: int | None
    height: int | None
