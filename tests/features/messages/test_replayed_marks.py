"""Whoever comes back is told of what others have read; the same bytes for all who are told the same."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.ids import UuidIds
from chatd.features.messages.marks_store import Watermark
from chatd.features.messages.receipts import concealed, read_frame, received_frame
from chatd.features.messages.replayed_marks import ReplayedMarks

new = UuidIds().new
USERS = [new("usr") for _ in range(5)]
CHAT, READ, RECEIVED, AT = new("cht"), new("msg"), new("msg"), datetime(2026, 1, 1, tzinfo=UTC)


def mark(user: str, **fields: Any) -> Watermark:
    default = Watermark(CHAT, user, READ, 5, AT, 1, RECEIVED, 7, AT, 1, [], True)
    return msgspec.structs.replace(default, **fields)


marks = st.lists(st.sampled_from(USERS), unique=True).flatmap(
    lambda users: st.tuples(
        *(
            st.builds(
                mark,
                st.just(user),
                read_message_id=st.sampled_from([READ, None]),
                received_message_id=st.sampled_from([RECEIVED, None]),
                received_seq=st.sampled_from([5, 7]),
                hidden_from=st.lists(st.sampled_from([u for u in USERS if u != user]), unique=True),
                read_receipts=st.booleans(),
            )
            for user in users
        )
    )
)


def by_hand(moved: tuple[Watermark, ...], user: str, received: bool, secretive: bool) -> list[bytes]:
    """As one frame after another would be decided upon for one user alone."""
    found = []
    for m in moved:
        blind = frozenset((user,)) - {m.user_id} if secretive else frozenset()
        hidden = frozenset(m.hidden_from)
        if m.read_message_id is not None:
            frame = read_frame(CHAT, m.user_id, m.read_message_id, m.read_seq, AT)
            found.append(concealed(frame, m.user_id, hidden | blind, m.read_receipts))
        more = m.received_seq > m.read_seq or not m.read_receipts or bool(blind)
        if received and m.received_message_id is not None and more:
            found.append(
                received_frame(CHAT, m.user_id, m.received_message_id, m.received_seq, AT, None, hidden)
            )
    return [each.frame for each in found if each.is_for(user)]


@given(marks, st.lists(st.tuples(st.sampled_from(USERS), st.booleans(), st.booleans()), max_size=6))
def test_everybody_is_told_what_they_would_be_told_alone(
    moved: tuple[Watermark, ...], readers: list[tuple[str, bool, bool]]
) -> None:
    told = ReplayedMarks(moved)
    for user, received, secretive in readers:
        expected = by_hand(moved, user, received, secretive)
        assert told.frames(user, received=received, secretive=secretive) == expected


def test_who_misses_the_same_is_told_the_same_bytes() -> None:
    told = ReplayedMarks([mark(user) for user in USERS])
    ann, bob, *_ = USERS
    ones, others = (told.frames(user, received=True, secretive=False) for user in (ann, bob))
    assert len(ones) == 2 * len(USERS)
    assert all(one is other for one, other in zip(ones, others, strict=True))
    hidden = told.frames(ann, received=True, secretive=True)
    assert hidden[0] is ones[0], "one's own reading is no secret to oneself"
