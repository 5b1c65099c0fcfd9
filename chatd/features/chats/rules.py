"""Who may do what in a chat. No I/O: a seat in, an error or nothing out."""

from collections.abc import Iterable
from datetime import datetime

from chatd.core.errors import Conflict, Forbidden, Muted, ValidationFailed
from chatd.features.chats.contract import RANKS, Seat


def require_moderator(seat: Seat) -> None:
    """Titles and invitations are for owners and moderators; a direct chat has neither."""
    if seat.type == "direct":
        raise Forbidden("A direct chat is the same for both: nobody rules it")
    if RANKS[seat.role] < RANKS["moderator"]:
        raise Forbidden("Only an owner or a moderator of this chat may do this")


def require_unmuted(seat: Seat, now: datetime) -> None:
    """Who is muted, here or on the whole server, reads and writes nothing."""
    if seat.muted_until is not None and seat.muted_until > now:
        raise Muted()


def require_own_members(seat: Seat) -> None:
    """Members of a group come and go by themselves; those of other chats follow what the chat belongs to."""
    if seat.type == "direct":
        raise Forbidden("A direct chat has two members for ever")
    if seat.type != "group":
        raise Forbidden(f"The members of this chat are those of its {seat.type}: join or leave that")


def require_outranks(seat: Seat, other_role: str) -> None:
    """Nobody acts on an equal or higher rank."""
    if RANKS[seat.role] <= RANKS[other_role]:
        raise Forbidden("You may only act on members of a lower rank than yours")


def require_may_leave(seat: Seat, owners: Iterable[str]) -> None:
    """The last owner hands over first, unless nobody else is there."""
    if seat.member_count > 1 and set(owners) == {seat.user_id}:
        raise Conflict("You are the last owner: hand the chat over to another member first")


def require_room(members: int, joining: int, limit: int) -> None:
    if members + joining > limit:
        raise Conflict(f"A chat has at most {limit} members; this would make {members + joining}")


def clean_title(title: str | None) -> str | None:
    """The title without spaces around it."""
    if title is None:
        return None
    clean = title.strip()
    if not clean:
        raise ValidationFailed.at("$.title", "a title needs a character that shows")
    return clean
