"""Each socket saw each chat's events ascending by one, and acked messages in time (protocol.md, 4.3, 4.6)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from loadtest.audit import DURABLE
from loadtest.chaos.records import Records, SocketRecord, Violation


def order(records: Records) -> Iterator[Violation]:
    """One socket: from ``since`` (or the head it was told) on, by one, to the end."""
    for socket in records.sockets:
        yield from _order(socket)


def _order(socket: SocketRecord) -> Iterator[Violation]:
    heads = {chat["chat_id"]: chat["head_seq"] for chat in socket.ready["chats"]}
    begin = {chat_id: socket.since.get(chat_id, head) for chat_id, head in heads.items()}
    last = dict(begin)
    seen: set[tuple[str, int]] = set()
    for at, frame in socket.frames:
        chat_id = frame.get("chat_id", "")
        if frame["type"] == "chat.reset":
            last[chat_id] = frame["head_seq"]
        elif frame["type"] == "chat.joined":
            last[frame["chat"]["id"]] = begin[frame["chat"]["id"]] = frame["chat"]["head_seq"]
            seen = {(other, seq) for other, seq in seen if other != frame["chat"]["id"]}
        elif frame["type"] == "chat.left":
            last.pop(chat_id, None)  # nothing of it may come any more
        elif frame["type"] == "sync.complete" and "chat_id" not in frame:
            for missed, head in heads.items():
                if missed in socket.since and last.get(missed, head) < head:
                    yield Violation(
                        "lost", at, f"{_name(socket)} {missed}: replayed to {last[missed]} of {head}"
                    )
        elif frame["type"] in DURABLE:
            seq, before = frame["seq"], last.get(chat_id)
            if before is None or seq != before + 1:
                again = (chat_id, seq) in seen or seq <= begin.get(chat_id, 0)
                kind = "doubled" if again else "lost" if before is None or seq > before else "disordered"
                yield Violation(kind, at, f"{_name(socket)} {chat_id}: {seq} after {before}")
            seen.add((chat_id, seq))
            last[chat_id] = max(seq, before or 0)


def ends(records: Records, heads: dict[str, int], members: dict[str, set[str]]) -> Iterator[Violation]:
    """Who was there to the end has seen each chat to its head."""
    for sockets in records.devices().values():
        socket = sockets[-1]
        if socket.closed_at is not None:
            continue
        last = {chat["chat_id"]: chat["head_seq"] for chat in socket.ready["chats"]}
        for _, frame in socket.frames:
            if frame["type"] in DURABLE:
                last[frame["chat_id"]] = frame["seq"]
            elif frame["type"] == "chat.reset":
                last[frame["chat_id"]] = frame["head_seq"]
            elif frame["type"] == "chat.joined":
                last[frame["chat"]["id"]] = frame["chat"]["head_seq"]
        for chat_id, head in heads.items():
            if socket.is_for(chat_id) and socket.user_id in members[chat_id] and last.get(chat_id, 0) < head:
                at = socket.frames[-1][0] if socket.frames else socket.opened_at
                yield Violation(
                    "lost", at, f"{_name(socket)} {chat_id}: ended at {last.get(chat_id, 0)} of {head}"
                )


Windows = Sequence[tuple[float, float]]


def live(records: Records, within_s: float, excused: Windows) -> Iterator[Violation]:
    """An acked message reached each socket that was open all the time within so long, except while
    PostgreSQL itself was away (``excused``).
    """
    acked: dict[str, list[tuple[float, int]]] = {}
    for send in records.sends.values():
        if send.acked_at is not None and send.seq is not None:
            acked.setdefault(send.chat_id, []).append((send.acked_at, send.seq))
    for socket in records.sockets:
        if not socket.proxied and socket.synced_at is not None:
            came = {
                (f["chat_id"], f["seq"]): at
                for at, f in reversed(socket.frames)
                if f["type"] == "message.new"
            }
            for stay in _stays(socket, records.end_of(socket)):
                yield from _in_time(
                    records, socket, stay, acked.get(stay.chat_id, ()), came, within_s, excused
                )


@dataclass
class _Stay:
    """A socket in a chat: from when on it heard all that came after ``after``, and until when."""

    chat_id: str
    begin: float
    end: float
    after: int


def _stays(socket: SocketRecord, end: float) -> list[_Stay]:
    begin = socket.synced_at or socket.opened_at
    open_: dict[str, _Stay] = {}
    for chat in socket.ready["chats"]:
        after = socket.since.get(chat["chat_id"], chat["head_seq"])
        open_[chat["chat_id"]] = _Stay(chat["chat_id"], begin, end, after)
    stays = list(open_.values())
    for at, frame in socket.of_type("chat.joined", "chat.left", "chat.reset"):
        if frame["type"] == "chat.joined":
            chat = frame["chat"]
            open_[chat["id"]] = _Stay(chat["id"], at, end, chat["head_seq"])
            stays.append(open_[chat["id"]])
        elif (stay := open_.get(frame["chat_id"])) is not None:
            if frame["type"] == "chat.reset":
                stay.after = max(stay.after, frame["head_seq"])
            else:
                stay.end = at
                del open_[frame["chat_id"]]
    return stays


def _in_time(
    records: Records,
    socket: SocketRecord,
    stay: _Stay,
    acked: Sequence[tuple[float, int]],
    came: Mapping[tuple[str, int], float],
    within_s: float,
    excused: Windows,
) -> Iterator[Violation]:
    for since, seq in acked:
        if not stay.begin <= since < stay.end or seq <= stay.after:
            continue
        at = came.get((stay.chat_id, seq))
        until = stay.end if at is None else at
        late = until - since - records.stalled_s(since, until)
        if late <= within_s or any(begin < since + within_s and since < end for begin, end in excused):
            continue
        what = f"{_name(socket)} {stay.chat_id} {seq}"
        if at is None:
            yield Violation("lost", since, f"{what}: not there {late:.1f} s after its ack, when it closed")
        else:
            yield Violation("late", at, f"{what}: {late:.1f} s after its ack")


def _name(socket: SocketRecord) -> str:
    return f"{socket.device} (socket of {socket.opened_at:.2f})"
