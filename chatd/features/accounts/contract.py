"""Shapes of accounts (protocol.md, section 2; tribe-backend-plan.md, 2.1)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chatd.core.ids import SessionId, UserId
from chatd.wire.frames import NO_NUL

#: Longer than any email may be (RFC 5321 allows 254), to leave room for the spaces around it.
EmailText = Annotated[str, Meta(min_length=3, max_length=320, pattern=NO_NUL, examples=["alex@example.com"])]
NewPassword = Annotated[str, Meta(min_length=8, max_length=128)]
#: 1 to 60 characters once trimmed; rules.display_name has the last word.
DisplayName = Annotated[str, Meta(min_length=1, max_length=240, pattern=NO_NUL)]
Interests = Annotated[
    list[Annotated[str, Meta(min_length=1, max_length=50, pattern=NO_NUL)]], Meta(max_length=20)
]
City = Annotated[str, Meta(max_length=100, pattern=NO_NUL)]
Provider = Literal["google", "apple"]
#: The id of a user, or ``me``.
UserRef = Annotated[str, Meta(pattern="^(me|usr_[0-7][0-9a-hjkmnp-tv-z]{25})$", max_length=30)]

#: How many users one GET /users names.
MAX_CARDS = 100

#: Why a token may still be good while its session is not; ``unknown``: never was, or purged.
SessionState = Literal["live", "revoked", "expired", "banned", "unknown"]


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """A new account."""

    email: EmailText
    password: NewPassword
    display_name: DisplayName
    city: City | None = None
    interests: Interests | None = None
    signup_source: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None = None


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """The account that was made; log in to get its tokens."""

    id: UserId
    display_name: str
    city: str | None
    interests: list[str]
    created_at: datetime


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody signs in with, for their list of sessions."""

    name: Annotated[str, Meta(max_length=100, pattern=NO_NUL)] | None = None
    platform: Annotated[str, Meta(max_length=32, pattern=NO_NUL)] | None = None


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in by password. What cannot be an email or password is simply a wrong one."""

    email: Annotated[str, Meta(max_length=320)]
    password: Annotated[str, Meta(max_length=1024)]
    device: Device | None = None


class OidcLogin(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in by a provider's ID token; ``nonce`` as it was given to the provider (or before hashing)."""

    id_token: Annotated[str, Meta(min_length=1, max_length=16_384)]
    nonce: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    device: Device | None = None


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """Exchange a refresh token; using one twice ends its whole family."""

    refresh_token: Annotated[str, Meta(min_length=1, max_length=512)]


class Badge(msgspec.Struct, frozen=True, kw_only=True):
    """Something earned."""

    code: str
    earned_at: datetime


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A user as others see them; the fields after ``last_active_at`` are there in one's own only."""

    id: UserId
    display_name: str
    bio: str | None
    city: str | None
    avatar_url: str | None
    interests: list[str]
    badges: list[Badge]
    premium_tier: str | None
    mutual_clubs: list[str]
    last_active_at: datetime | None
    email: str | UnsetType = UNSET
    email_verified: bool | UnsetType = UNSET
    roles: list[str] | UnsetType = UNSET
    time_zone: str | None | UnsetType = UNSET
    icebreaker_prompt_id: str | None | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET
    created_at: datetime | UnsetType = UNSET


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """``expires_in`` is the access token's life in seconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  # the scheme of RFC 6750, no secret
    expires_in: int
    refresh_token: str


class SignedIn(Tokens, frozen=True, kw_only=True):
    """Tokens of a new session, and whose it is."""

    user: Profile


class PatchProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out stays; null empties. ``settings`` replaces the whole object (at most 8 KiB)."""

    display_name: DisplayName | UnsetType = UNSET
    bio: Annotated[str, Meta(max_length=500, pattern=NO_NUL)] | None | UnsetType = UNSET
    city: City | None | UnsetType = UNSET
    avatar_url: Annotated[str, Meta(max_length=2048, pattern=NO_NUL)] | None | UnsetType = UNSET
    interests: Interests | None | UnsetType = UNSET
    icebreaker_prompt_id: Annotated[str, Meta(max_length=64, pattern=NO_NUL)] | None | UnsetType = UNSET
    time_zone: Annotated[str, Meta(max_length=64)] | None | UnsetType = UNSET
    settings: dict[str, Any] | UnsetType = UNSET


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It was done."""

    success: bool = True


class Person(msgspec.Struct, frozen=True):
    """An account and its profile as they are stored (not on the wire)."""

    id: UserId
    email: str
    email_verified: bool
    display_name: str
    bio: str | None
    city: str | None
    avatar_url: str | None
    interests: list[str]
    premium_tier: str | None
    roles: list[str]
    time_zone: str | None
    icebreaker_prompt_id: str | None
    settings: dict[str, Any]
    created_at: datetime
    last_active_at: datetime | None


class Credentials(msgspec.Struct, frozen=True):
    """What a log-in is checked against (not on the wire)."""

    user_id: UserId
    password_hash: str | None
    email_verified: bool
    banned: bool


class RefreshState(msgspec.Struct, frozen=True):
    """A refresh token with its session, both locked (not on the wire)."""

    session_id: SessionId
    user_id: UserId
    roles: list[str]
    used_at: datetime | None
    expires_at: datetime
    revoked_at: datetime | None
    banned: bool


class Card(msgspec.Struct, frozen=True):
    """As much of a user as a list of chats or messages shows."""

    id: UserId
    display_name: str
    avatar_url: str | None


class CardsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose: ids, separated by commas or as repeated parameters, at most MAX_CARDS."""

    ids: list[str]


class Cards(msgspec.Struct, frozen=True, kw_only=True):
    """Those of the users that there are, in no order."""

    users: list[Card]


class LastActive(msgspec.Struct, frozen=True):
    """When a user was last there (not on the wire)."""

    user_id: UserId
    at: datetime


class SessionRow(msgspec.Struct, frozen=True):
    """One session's state (not on the wire)."""

    id: SessionId
    state: SessionState


class Standing(msgspec.Struct, frozen=True):
    """A user's global roles as they are now (not on the wire)."""

    user_id: UserId
    roles: list[str]
    banned: bool


class AccountState(msgspec.Struct, frozen=True):
    """An account as admins see it: ``banned_at`` is null for who is not banned now, ``banned_until`` is null
    with it for ever; ``sessions`` counts those that are open.
    """

    id: UserId
    email: str
    email_verified: bool
    display_name: str
    roles: list[str]
    banned_at: datetime | None
    banned_until: datetime | None
    created_at: datetime
    last_active_at: datetime | None
    sessions: int


class BannedUser(msgspec.Struct, frozen=True):
    """Who is banned from the server; ``banned_until`` is null for ever."""

    id: UserId
    display_name: str
    banned_at: datetime
    banned_until: datetime | None


class NewAccount(msgspec.Struct, frozen=True):
    """An account made in bulk, with its open session (not on the wire)."""

    user_id: UserId
    session_id: SessionId


# ------------------------------------------------------------------------------- safety of one's own account


class Session(msgspec.Struct, frozen=True):
    """One log-in that is open."""

    id: SessionId
    device_name: str | None
    device_platform: str | None
    #: Where it was opened from.
    address: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    #: Whether it is the one that asks.
    current: bool


class Sessions(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody is logged in, last used first."""

    sessions: list[Session]


class EndSessions(msgspec.Struct, frozen=True, kw_only=True):
    """Which of one's sessions to end."""

    keep_current: bool = True


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How many sessions were ended."""

    ended: int


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True):
    """A new password; all other sessions end."""

    current_password: Annotated[str, Meta(max_length=1024)]
    new_password: NewPassword


class ForgotPassword(msgspec.Struct, frozen=True, kw_only=True):
    """Ask for a letter with a code. The answer never says whether there is such an account."""

    email: Annotated[str, Meta(max_length=320)]


class ResetPassword(msgspec.Struct, frozen=True, kw_only=True):
    """Set a password by the code of a letter; all sessions end."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]
    new_password: NewPassword


class VerifyEmail(msgspec.Struct, frozen=True, kw_only=True):
    """Prove an email by the code of a letter."""

    token: Annotated[str, Meta(min_length=1, max_length=128)]


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """If there is whom to write to, a letter is on its way."""

    status: Literal["sent"] = "sent"


class Proof(msgspec.Struct, frozen=True):
    """Whose code it was, and what it had been sent to (not on the wire)."""

    user_id: UserId
    email: str


class NewLogin(msgspec.Struct, frozen=True):
    """A sign-in of a device that its user had not used before (not on the wire)."""

    session_id: SessionId
    user_id: UserId
    email: str
    email_verified: bool
    device_name: str | None
    device_platform: str | None
    address: str | None
    at: datetime
