from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadtest.irc import Cast, Conversation, decode, parse, read


def conversation(*lines: str | bytes) -> Conversation:
    cast, into = Cast(), Conversation()
    parse([line.encode() if isinstance(line, str) else line for line in lines], cast, into)
    into.people = cast.people
    return into


def who_said_what(of: Conversation) -> list[tuple[str, str]]:
    return [(of.people[said.person], said.text) for said in of.said]


def test_who_said_what_is_read_in_order():
    read_ = conversation("[10:00] <ann> hello", "[10:00] <bob> <ann> hi [10:01] ", "[10:01] <ann>   x")
    assert who_said_what(read_) == [("ann", "hello"), ("bob", "<ann> hi [10:01] "), ("ann", "  x")]


def test_a_line_without_words_is_said_all_the_same():
    assert who_said_what(conversation("[10:00] <ann>", "[10:00] <ann> ")) == [("ann", ""), ("ann", "")]


def test_marks_of_rank_and_padding_are_not_part_of_the_nick():
    read_ = conversation("[10:00] <@ann> a", "[10:00] <+ann> b", "[10:00] < ann > c", "[10:00:30] <ann> d")
    assert read_.people == ["ann"]


def test_a_rename_follows_the_person():
    read_ = conversation(
        "[10:00] <ann> I am off",
        "=== ann is now known as ann_away",
        "[10:01] <ann_away> back",
        "=== ann_away is now known as anna",
        "[10:02] <anna> it is still me",
    )
    assert read_.people == ["ann"]
    assert [said.person for said in read_.said] == [0, 0, 0]


def test_a_nick_left_behind_is_somebody_elses_when_it_speaks_again():
    read_ = conversation(
        "[10:00] <ann> a", "=== ann is now known as bob", "[10:01] <ann> b", "[10:01] <bob> c"
    )
    assert who_said_what(read_) == [("ann", "a"), ("ann (2)", "b"), ("ann", "c")]


def test_the_rename_of_somebody_silent_leaves_the_others_alone():
    read_ = conversation("[10:00] <ann> a", "=== lurker is now known as ann", "[10:01] <ann> b")
    assert read_.people == ["ann"]


def test_coming_going_and_everything_else_is_counted():
    read_ = conversation(
        "=== ann [~ann@host.example]  has joined #ubuntu",
        "=== bob [~bob@long.host.that.was.cut  has joi",
        "=== ann [~ann@host.example]  has left #ubuntu []",
        "=== ann [~ann@host.example]  has quit",
        "=== cat has left",
        "=== ann waves",
        "[10:00]  * ann waves again",
        "[29:99] <ann> no clock shows that",
        "no line at all",
        "",
        "=== ann is now known as bob",
        "[10:00] <ann> hello",
    )
    assert read_.counts == Counter(said=1, joins=2, leaves=3, renames=1, other=4)


def test_bytes_that_are_not_utf_8_are_latin_1_even_in_the_same_line():
    assert decode("größe ".encode() + "größe".encode("latin-1")) == "größe größe"


@given(st.binary())
def test_any_bytes_are_some_conversation(data: bytes):
    read_ = conversation(*data.split(b"\n"))
    assert sum(read_.counts.values()) >= len(read_.said)


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(0, 59)), max_size=40))
def test_time_never_goes_back(times: list[tuple[int, int]]):
    ats = [said.at for said in conversation(*(f"[{h:02}:{m:02}] <a> b" for h, m in times)).said]
    assert ats == sorted(ats)
    assert not ats or ats[0] == 0


def test_midnight_is_a_minute_after_a_minute_to():
    read_ = conversation("[23:58] <a> 1", "[23:59] <a> 2", "[00:00] <a> 3", "[00:02] <a> 4")
    assert [said.at for said in read_.said] == [0, 60, 120, 240]


def test_one_follows_twelve_on_a_clock_of_twelve_hours():
    assert [said.at for said in conversation("[12:59] <a> 1", "[01:00] <a> 2").said] == [0, 60]


def test_a_clock_put_right_costs_no_day():
    read_ = conversation("[15:30] <a> 1", "[15:10] <a> 2", "[15:11] <a> 3")
    assert [said.at for said in read_.said] == [0, 30, 60]


def test_what_is_said_in_one_minute_is_spread_over_it():
    read_ = conversation(*["[10:00] <a> x"] * 4, "[10:01] <a> y")
    assert [said.at for said in read_.said] == [0, 15, 30, 45, 60]


def test_transcripts_follow_each_other_and_share_their_people(tmp_path):
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"[10:00] <ann> a\r\n[10:05] <ann> b\r\n")
    second.write_bytes(b"[02:00] <bob> c\n[02:01] <ann> d\n")
    read_ = read([first, second])
    assert read_.people == ["ann", "bob"]
    assert [said.text for said in read_.said] == ["a", "b", "c", "d"]
    assert [said.at for said in read_.said] == [0, 300, 360, 420]
