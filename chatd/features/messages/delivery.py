"""What has become of a page of messages: who has received and read each of them.

A group of thousands has thousands who have read each of the 200 messages of a page. So the readers are gone
through once for the page, not once a message.
"""

from bisect import insort
from collections.abc import Sequence

from chatd.features.chats.contract import Message
from chatd.features.messages.contract import Delivery
from chatd.features.messages.marks_store import Progress

READ_BY_SHOWN = 100


def deliveries(messages: Sequence[Message], progress: Sequence[Progress]) -> list[Delivery]:
    """Of messages, newest first; ``read_by`` names readers in the order of ``progress``."""
    members = list(progress)
    read_seqs = {member.user_id: member.read_seq for member in members}
    by_read = sorted(range(len(members)), key=lambda place: -members[place].read_seq)
    # Of the two who have received most one at least is not the sender.
    furthest = sorted(members, key=lambda member: -max(member.received_seq, member.read_seq))[:2]
    found, count, shown = [], 0, list[int]()
    for message in messages:
        while count < len(by_read) and members[by_read[count]].read_seq >= message.seq:
            insort(shown, by_read[count])
            del shown[READ_BY_SHOWN + 1 :]  # one more, who may be the sender
            count += 1
        sender = message.sender_id
        read_count = count - (read_seqs.get(sender, 0) >= message.seq)
        received = any(
            max(member.received_seq, member.read_seq) >= message.seq
            for member in furthest
            if member.user_id != sender
        )
        read_by = [members[place].user_id for place in shown if members[place].user_id != sender]
        found.append(
            Delivery(
                status="read" if read_count else "delivered" if received else "sent",
                read_by=read_by[:READ_BY_SHOWN],
                read_count=read_count,
            )
        )
    return found
