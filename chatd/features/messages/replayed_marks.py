"""The watermarks that a replay tells: encoded once for all who have missed them.

A worker that ends sends thousands of sockets back at once, and in a group of thousands each has missed
thousands of marks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatd.core.context import Addressed
from chatd.features.messages.marks_store import Watermark
from chatd.features.messages.receipts import concealed, read_frame, received_frame

#: (whether it is told of what was received, whether it is told nothing of what others have read)
_Kind = tuple[bool, bool]


@dataclass(frozen=True, slots=True)
class _Told:
    """One frame of one member's marks."""

    addressed: Addressed
    owner: str
    read: bool
    #: It says what the same member's ``delivery.read`` does not say to who sees that.
    more: bool = True

    def is_for(self, user_id: str, received: bool, secretive: bool) -> bool:
        own = self.owner == user_id
        if not self.addressed.is_for(user_id):
            return False
        if self.read:
            return own or not secretive
        # What was read was received: said by itself only where the reading does not say it.
        return received and (self.more or (secretive and not own))


class ReplayedMarks:
    """What has moved in one chat, for whoever missed it."""

    def __init__(self, marks: Sequence[Watermark]) -> None:
        self._told = [told for mark in marks for told in _told(mark)]
        #: Who is told something else than everybody.
        self._named: set[str] = set()
        for told in self._told:
            self._named.update(told.addressed.but, told.addressed.only or ())
        self._owners = {told.owner for told in self._told}
        self._general: dict[_Kind, list[bytes]] = {}

    def frames(self, user_id: str, *, received: bool, secretive: bool) -> list[bytes]:
        """For this user; with ``received``, a delivery.received too. The ``secretive`` are not shown what
        others have read.
        """
        kind = (received, secretive)
        if user_id in self._named or (secretive and user_id in self._owners):
            return list(self._for(user_id, kind))
        general = self._general.get(kind)
        if general is None:
            general = self._general[kind] = list(self._for(user_id, kind))
        return general

    def _for(self, user_id: str, kind: _Kind) -> Iterable[bytes]:
        for told in self._told:
            if told.is_for(user_id, *kind):
                yield told.addressed.frame


def _told(mark: Watermark) -> Iterable[_Told]:
    hidden_from = frozenset(mark.hidden_from)
    if mark.read_message_id is not None and mark.read_at is not None:
        frame = read_frame(mark.chat_id, mark.user_id, mark.read_message_id, mark.read_seq, mark.read_at)
        yield _Told(concealed(frame, mark.user_id, hidden_from, mark.read_receipts), mark.user_id, True)
    if mark.received_message_id is not None and mark.received_at is not None:
        addressed = received_frame(
            mark.chat_id,
            mark.user_id,
            mark.received_message_id,
            mark.received_seq,
            mark.received_at,
            None,
            hidden_from,
        )
        more = mark.received_seq > mark.read_seq or not mark.read_receipts
        yield _Told(addressed, mark.user_id, False, more)
