"""What needs no database: votes, days, and what a GP may be about."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.errors import ValidationFailed
from chatd.features.gp import rules
from chatd.features.gp.contract import CreateGp
from chatd.features.gp.rows import Ballot, Seat
from chatd.features.gp.vocabulary import GENRES, SUB_TYPES

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def ballots(yes, no, silent=0):
    choices = ["yes"] * yes + ["no"] * no + [None] * silent
    return [Ballot(f"usr_{i}", choice) for i, choice in enumerate(choices)]


def outcome(yes, no, silent=0, fewest=3):
    return rules.tally(ballots(yes, no, silent), fewest=fewest).outcome


@pytest.mark.parametrize(("voters", "needed"), [(3, 3), (4, 3), (5, 4), (10, 7)])
def test_seventy_percent_is_three_of_three_three_of_four_and_four_of_five(voters, needed):
    assert rules.needed(voters) == needed
    assert outcome(needed, voters - needed) == "approved"
    assert outcome(needed - 1, voters - needed + 1) == "failed"


def test_a_vote_ends_as_soon_as_nothing_can_change_its_outcome():
    assert outcome(3, 0, 1) == "approved"
    assert outcome(0, 1, 2) == "failed"  # 3 of 3 are needed
    assert outcome(0, 1, 3) == "voting"
    assert outcome(2, 2, 1) == "failed"


def test_too_few_voters_cannot_make_a_gp_permanent():
    assert outcome(2, 0) == "failed"


@given(st.integers(3, 60), st.integers(0, 60), st.integers(0, 60))
def test_the_tally_is_exact_whatever_the_numbers(voters, yes, no):
    yes = min(yes, voters)
    no = min(no, voters - yes)
    found = outcome(yes, no, voters - yes - no)
    assert (found == "approved") == (100 * yes >= 70 * voters)
    assert (found == "failed") == (100 * (voters - no) < 70 * voters)


def test_the_moderator_is_the_earliest_who_wrote_and_is_not_the_admin():
    seats = [Seat(user, LONG_AGO) for user in ("ann", "bob", "cat", "dan")]
    assert rules.moderator(seats, "ann", {"ann", "cat", "dan"}) == "cat"
    assert rules.moderator(seats, "ann", {"ann"}) is None


# ------------------------------------------------------------------------------------------------- days


def test_a_day_ends_at_midnight_where_the_user_is():
    noon = datetime(2026, 6, 1, 12, tzinfo=UTC)
    assert rules.day_end(noon, None, LONG_AGO) == datetime(2026, 6, 2, tzinfo=UTC)
    assert rules.day_end(noon, "Asia/Kolkata", LONG_AGO) == datetime(2026, 6, 1, 18, 30, tzinfo=UTC)
    assert rules.day_end(noon, "America/Los_Angeles", LONG_AGO) == datetime(2026, 6, 2, 7, tzinfo=UTC)
    assert rules.day_end(noon, "Mars/Olympus", LONG_AGO) == datetime(2026, 6, 2, tzinfo=UTC)


def test_a_day_on_which_the_clocks_change_has_23_or_25_hours():
    spring = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert rules.day_end(spring, "Europe/Berlin", LONG_AGO) == datetime(2026, 3, 29, 22, tzinfo=UTC)
    autumn = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert rules.day_end(autumn, "Europe/Berlin", LONG_AGO) == datetime(2026, 10, 25, 23, tzinfo=UTC)


def test_changing_the_time_zone_gains_no_day():
    now = datetime(2026, 6, 1, 12, tzinfo=UTC)
    end = rules.day_end(now, "Pacific/Auckland", LONG_AGO)
    for zone in ("Pacific/Kiritimati", "Asia/Tokyo", "Asia/Kolkata", "UTC", "America/New_York"):
        again = rules.day_end(end, zone, end)
        assert again - end >= timedelta(hours=23)


# ---------------------------------------------------------------------------------------------- subjects


def wanted(**changes):
    body = {
        "category": "Vibe GP",
        "subType": "Chill",
        "talkTopics": ["Life stuff"],
        "location": {"latitude": 1, "longitude": 2},
    }
    return msgspec.convert(body | changes, CreateGp)


@pytest.mark.parametrize("category", SUB_TYPES)
def test_every_category_takes_its_own_sub_types_only(category):
    fitting = {"specificName": "Inception"}
    for other, sub_types in SUB_TYPES.items():
        for sub_type in sub_types:
            extra = fitting | ({"genre": GENRES[category][0]} if category in GENRES else {})
            body = wanted(category=category, subType=sub_type, **extra)
            if other == category or sub_type in SUB_TYPES[category]:
                rules.subject(body)
            else:
                with pytest.raises(ValidationFailed, match="subType"):
                    rules.subject(body)


def test_a_named_movie_needs_its_name_and_a_genre_one_of_its_category():
    with pytest.raises(ValidationFailed, match="specificName"):
        rules.subject(wanted(category="Movie GP", subType="Movie Name", specificName="  "))
    with pytest.raises(ValidationFailed, match="genre"):
        rules.subject(wanted(category="Movie GP", subType="Genre"))
    with pytest.raises(ValidationFailed, match="genre"):
        rules.subject(wanted(category="Movie GP", subType="Genre", genre="Isekai"))
    assert rules.subject(wanted(category="Anime GP", subType="Genre", genre="Isekai")).genre == "Isekai"


def test_empty_strings_are_nothing():
    found = rules.subject(wanted(specificName="", genre="", description=" ", reasonNote=""))
    assert set(found) == {None}


@pytest.mark.parametrize(
    "changes",
    [
        {"category": "Sad GP"},
        {"talkTopics": []},
        {"talkTopics": ["Life stuff", "Meme talk", "Fan theories", "Trip planning"]},
        {"talkTopics": ["Politics"]},
        {"creationReason": "No reason"},
        {"reasonNote": "x" * 101},
        {"description": "x" * 201},
        {"location": {"latitude": 91, "longitude": 0}},
        {"location": {"latitude": 0, "longitude": -180.1}},
    ],
)
def test_what_is_out_of_its_list_or_range_is_refused(changes):
    with pytest.raises(msgspec.ValidationError):
        wanted(**changes)


def test_the_same_topic_twice_is_refused():
    with pytest.raises(ValidationFailed, match="talkTopics"):
        rules.subject(wanted(talkTopics=["Meme talk", "Meme talk"]))
