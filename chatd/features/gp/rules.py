"""The rules of GPs: facts and a time in, an error or a judgement out. No I/O."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chatd.core.errors import ValidationFailed
from chatd.core.settings import Gp as Settings
from chatd.features.gp.contract import Conversion, CreateGp, GpCriteria, GpCriterion, Status
from chatd.features.gp.errors import GpNotActive
from chatd.features.gp.rows import Ballot, Card, Gp, Seat
from chatd.features.gp.vocabulary import GENRES, NAMED, SUB_TYPES

#: A day of one's own never begins sooner after the last than this: a change of zone gains nobody another.
SHORTEST_DAY = timedelta(hours=23)


class Subject(NamedTuple):
    """What a GP is about, checked and trimmed."""

    specific_name: str | None
    genre: str | None
    description: str | None
    reason_note: str | None
    city: str | None
    zone: str | None


def subject(wanted: CreateGp) -> Subject:
    """Raises ValidationFailed where sub-type, name and genre do not belong together, or topics repeat."""
    allowed = SUB_TYPES[wanted.category]
    if wanted.sub_type not in allowed:
        raise ValidationFailed.at("$.subType", f"a {wanted.category} is one of: {', '.join(allowed)}")
    if len(set(wanted.talk_topics)) != len(wanted.talk_topics):
        raise ValidationFailed.at("$.talkTopics", "each topic once")
    name, genre = _clean(wanted.specific_name), _clean(wanted.genre)
    if wanted.sub_type in NAMED:
        if name is None:
            raise ValidationFailed.at("$.specificName", f"which one? the sub-type is {wanted.sub_type}")
        genre = None
    elif wanted.sub_type == "Genre":
        genres = GENRES[wanted.category]
        if genre not in genres:
            raise ValidationFailed.at("$.genre", f"one of: {', '.join(genres)}")
        name = None
    else:
        name = genre = None
    return Subject(
        name,
        genre,
        _clean(wanted.description),
        _clean(wanted.reason_note),
        _clean(wanted.location.city),
        _clean(wanted.location.zone),
    )


def title(category: str, sub_type: str, name: str | None, genre: str | None) -> str:
    """The title of a GP's chat."""
    return f"{name or genre or sub_type} · {category}"


def _clean(text: str | None) -> str | None:
    return (text or "").strip() or None


# -------------------------------------------------------------------------------------------------- time


def day_end(now: datetime, zone: str | None, last_end: datetime) -> datetime:
    """When the user's day that begins with this creation ends: at midnight where they are."""
    local = now.astimezone(_zone(zone))
    midnight = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    end = midnight.astimezone(UTC)
    if last_end > now - SHORTEST_DAY:
        end = max(end, last_end + SHORTEST_DAY)
    return end


def _zone(name: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def status_at(gp: Gp | Card, now: datetime) -> Status:
    """What the GP is for whoever reads it now, whether or not a job has written it down."""
    if gp.status == "active" and gp.expires_at <= now:
        return ended_as(conversion_at(gp, now))
    return gp.status


def ended_as(conversion: Conversion) -> Status:
    """A GP whose last vote failed ends as ``failed``, any other as ``expired``."""
    return "failed" if conversion in ("voting", "failed") else "expired"


def conversion_at(gp: Gp | Card, now: datetime) -> Conversion:
    """A vote past its deadline has failed: had it passed, it would have ended with the vote that decided."""
    if gp.conversion == "voting" and gp.vote_closes_at is not None and gp.vote_closes_at <= now:
        return "failed"
    return gp.conversion


def require_active(gp: Gp, now: datetime) -> None:
    """Raises GpNotActive."""
    status = status_at(gp, now)
    if status == "converted":
        raise GpNotActive("This GP is permanent now: it is among the chats")
    if status != "active":
        raise GpNotActive(f"This GP ended at {gp.expires_at:%Y-%m-%d %H:%M} UTC")


# ------------------------------------------------------------------------------------------- permanence


def criteria(gp: Gp, messages: int, writers: int, flags: int, now: datetime, limits: Settings) -> GpCriteria:
    """What permanence asks for, and what there is."""
    hours = (now - gp.created_at).total_seconds() / 3600
    return GpCriteria(
        active_members=_at_least(gp.member_count, limits.min_members),
        active_hours=_at_least(hours, limits.min_age_hours),
        toxicity_flags=GpCriterion(met=flags == 0, current=flags, required=0),
        messages=_at_least(messages, limits.min_messages),
        writers=_at_least(writers, limits.min_writers),
    )


def _at_least(current: float, required: float) -> GpCriterion:
    return GpCriterion(met=current >= required, current=round(current, 2), required=required)


def all_met(found: GpCriteria) -> bool:
    """Whether nothing is missing."""
    return not unmet(found)


def unmet(found: GpCriteria) -> list[str]:
    """What is missing, in words."""
    words = {
        "active_members": "members",
        "active_hours": "hours of life",
        "messages": "messages",
        "writers": "members who wrote",
    }
    missing = [
        f"{each.current:g} of {each.required:g} {word}"
        for name, word in words.items()
        if not (each := getattr(found, name)).met
    ]
    return missing if found.toxicity_flags.met else [*missing, "messages were flagged"]


class Tally(NamedTuple):
    """A vote counted."""

    yes: int
    no: int
    voters: int
    needed: int
    outcome: Conversion


def needed(voters: int) -> int:
    """The fewest yes that are 70 %: 3 of 3, 3 of 4, 4 of 5."""
    return -(-7 * voters // 10)


def tally(ballots: Collection[Ballot], *, fewest: int) -> Tally:
    """Approved when 70 % of the electorate say yes; failed when that can no longer be, or when fewer than
    ``fewest`` are left to vote.
    """
    voters = len(ballots)
    yes = sum(1 for ballot in ballots if ballot.choice == "yes")
    no = sum(1 for ballot in ballots if ballot.choice == "no")
    outcome: Conversion = "voting"
    if voters < fewest or 10 * (voters - no) < 7 * voters:
        outcome = "failed"
    elif 10 * yes >= 7 * voters:
        outcome = "approved"
    return Tally(yes, no, voters, needed(voters), outcome)


def moderator(seats: Sequence[Seat], admin: str, writers: Collection[str]) -> str | None:
    """The earliest to join, other than the admin, who wrote at least one message."""
    return next((s.user_id for s in seats if s.user_id != admin and s.user_id in writers), None)


def successor(seats: Sequence[Seat]) -> str | None:
    """Who answers for the GP when its creator goes: the earliest of those who are left."""
    return seats[0].user_id if seats else None
