"""What a page says of each message's readers is what one would find by hand, in one walk."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from chatd.core.clock import SystemClock
from chatd.core.ids import UuidIds
from chatd.features.chats.contract import Message
from chatd.features.messages.contract import Delivery
from chatd.features.messages.delivery import READ_BY_SHOWN, deliveries
from chatd.features.messages.marks_store import Progress

new = UuidIds().new
USERS = [new("usr") for _ in range(6)]
CHAT = new("cht")
seqs = st.integers(0, 12)


class Members(list[Progress]):
    """Counts how often it is gone through."""

    walks = 0

    def __iter__(self) -> Iterator[Progress]:
        self.walks += 1
        return super().__iter__()


def message(seq: int, sender: str) -> Message:
    return Message(
        id=new("msg"),
        chat_id=CHAT,
        seq=seq,
        updated_seq=seq,
        sender_id=sender,
        client_message_id="1",
        content=Raw(b"{}"),
        reply_to=None,
        reactions=[],
        sent_at=SystemClock().now(),
        edited_at=None,
        deleted_at=None,
        moderation_status="visible",
    )


def by_hand(said: Message, progress: list[Progress]) -> Delivery:
    others = [p for p in progress if p.user_id != said.sender_id]
    read_by = [p.user_id for p in others if p.read_seq >= said.seq]
    received = bool(read_by) or any(p.received_seq >= said.seq for p in others)
    status = "read" if read_by else "delivered" if received else "sent"
    return Delivery(status=status, read_by=read_by[:READ_BY_SHOWN], read_count=len(read_by))  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from(USERS)), unique_by=lambda each: each[0]),
    st.permutations(USERS).flatmap(
        lambda users: st.tuples(*(st.builds(Progress, st.just(user), seqs, seqs) for user in users[:4]))
    ),
)
def test_each_message_has_the_readers_that_one_would_find_by_hand(
    said: list[tuple[int, str]], progress: tuple[Progress, ...]
) -> None:
    messages = [message(seq, sender) for seq, sender in sorted(said, reverse=True)]
    assert deliveries(messages, progress) == [by_hand(each, list(progress)) for each in messages]


def test_of_thousands_of_readers_the_first_are_named_and_all_are_gone_through_once() -> None:
    readers = [new("usr") for _ in range(1000)]
    progress = Members(Progress(user, 200 - place % 7, 200) for place, user in enumerate(readers))
    messages = [message(seq, readers[seq % 5]) for seq in range(200, 0, -1)]
    found = deliveries(messages, progress)
    assert progress.walks <= 2
    assert found == [by_hand(each, progress) for each in messages]
    assert found[-1].read_count == 999
