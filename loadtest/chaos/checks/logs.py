"""Each socket saw each chat's events ascending by one, and acked messages in time (protocol.md, 4.3, 4.6)."""

from collections.abc import Iterable, Iterator

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


def live(records: Records, within_s: float, excused: Iterable[tuple[float, float]]) -> Iterator[Violation]:
    """An acked message reached each socket that was open all the time within so long, except while
    PostgreSQL itself was away (``excused``).
    """
    windows = list(excused)
    acked = {
        (send.chat_id, send.seq): send.acked_at
        for send in records.sends.values()
        if send.acked_at is not None
    }
    for socket in records.sockets:
        if socket.proxied or socket.synced_at is None:
            continue
        here: dict[str, float] = {}
        for at, frame in socket.of_type("message.new", "chat.joined"):
            if frame["type"] == "chat.joined":
                here[frame["chat"]["id"]] = at
                continue
            since = acked.get((frame["chat_id"], frame["seq"]))
            if since is None or since < here.get(frame["chat_id"], socket.synced_at):
                continue
            late = at - since - records.stalled_s(since, at)
            if late > within_s and not any(begin < at and since < end for begin, end in windows):
                what = f"{_name(socket)} {frame['chat_id']} {frame['seq']}: {late:.1f} s after its ack"
                yield Violation("late", at, what)


def _name(socket: SocketRecord) -> str:
    return f"{socket.device} (socket of {socket.opened_at:.2f})"
