"""A client that goes by its frames ends with what one that fetches everything anew has (4.4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loadtest.chaos.records import Frame, Records, SocketRecord, Truth, Violation

#: A frame of a deletion does not say when it was; delivery is of history alone.
_NOT_IN_FRAMES = ("deleted_at", "delivery")


@dataclass
class State:
    """One device's copy of the world. Before ``whole_from`` of a chat it knows only what came by again."""

    messages: dict[str, dict[str, Frame]] = field(default_factory=dict)
    whole_from: dict[str, int] = field(default_factory=dict)
    reads: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Chats that it came into on the way: how far the others had read is to be fetched.
    joined: set[str] = field(default_factory=set)


def built(sockets: Sequence[SocketRecord]) -> State:
    """What the frames of a device's sockets add up to; the last word counts."""
    state = State()
    for socket in sockets:
        for chat_id in state.messages.keys() - {chat["chat_id"] for chat in socket.ready["chats"]}:
            _leave(state, chat_id)
        for chat in socket.ready["chats"]:
            own = state.reads.setdefault(chat["chat_id"], {})
            own[socket.user_id] = chat["last_read_seq"]
            if not state.whole_from.get(chat["chat_id"]):
                state.whole_from[chat["chat_id"]] = socket.since.get(chat["chat_id"], chat["head_seq"]) + 1
        for _, frame in socket.frames:
            _apply(state, frame)
    return state


def _apply(state: State, frame: Frame) -> None:
    match frame["type"]:
        case "message.new" | "message.update":
            message = frame["message"]
            state.messages.setdefault(frame["chat_id"], {})[message["id"]] = message
        case "message.delete":
            known = state.messages.get(frame["chat_id"], {})
            if old := known.get(frame["message_id"]):
                buried = {"content": {"type": "tombstone"}, "reactions": [], "deleted_at": True}
                # Replay shows what is deleted by now as deleted at each of its places.
                known[frame["message_id"]] = {
                    **old,
                    **buried,
                    "updated_seq": max(frame["seq"], old["updated_seq"]),
                }
        case "chat.reset":
            state.messages[frame["chat_id"]] = {m["id"]: m for m in frame["messages"]}
            whole = min((m["seq"] for m in frame["messages"]), default=frame["head_seq"] + 1)
            state.whole_from[frame["chat_id"]] = whole
        case "chat.joined":
            _leave(state, frame["chat"]["id"])
            state.whole_from[frame["chat"]["id"]] = frame["chat"]["head_seq"] + 1
            state.joined.add(frame["chat"]["id"])
        case "chat.left":
            _leave(state, frame["chat_id"])
        case "delivery.read":
            state.reads.setdefault(frame["chat_id"], {})[frame["user_id"]] = frame["last_read_seq"]


def _leave(state: State, chat_id: str) -> None:
    state.messages.pop(chat_id, None)
    state.whole_from.pop(chat_id, None)
    state.reads.pop(chat_id, None)


def equal(records: Records, truth: Truth) -> Iterator[Violation]:
    """Every device that was there to the end against a fresh fetch."""
    for device, sockets in records.devices().items():
        if sockets[-1].closed_at is not None:
            continue
        state = built(sockets)
        at = sockets[-1].frames[-1][0] if sockets[-1].frames else sockets[-1].opened_at
        for chat_id, chat in truth.chats[sockets[-1].user_id].items():
            if not sockets[-1].is_for(chat_id):
                continue
            for what in _differences(state, truth, chat_id, chat, sockets[-1].user_id):
                yield Violation("stale", at, f"{device} {chat_id}: {what}")


def _differences(state: State, truth: Truth, chat_id: str, chat: Frame, user_id: str) -> Iterator[str]:
    known = state.messages.get(chat_id, {})
    whole_from = state.whole_from.get(chat_id, 1)
    for message_id, fresh in truth.messages[chat_id].items():
        mine = known.get(message_id)
        if mine is None:
            if fresh["seq"] >= whole_from:
                yield f"does not know message {fresh['seq']}"
        elif bad := [name for name in fresh if name not in _NOT_IN_FRAMES and mine.get(name) != fresh[name]]:
            yield f"shows message {fresh['seq']} with {bad[0]} {mine.get(bad[0])}, not {fresh[bad[0]]}"
    for message_id in known.keys() - truth.messages[chat_id].keys():
        yield f"shows {message_id}, which is nowhere"
    for reader, seq in truth.reads[chat_id].items():
        mine_seq = state.reads.get(chat_id, {}).get(reader, 0)
        if mine_seq != seq and chat_id not in state.joined:
            yield f"thinks that {reader} has read up to {mine_seq}, not {seq}"
    unread = sum(_unread(m, truth.reads[chat_id].get(user_id, 0), user_id) for m in known.values())
    if whole_from <= truth.reads[chat_id].get(user_id, 0) + 1 and unread != chat["unread_count"]:
        yield f"counts {unread} unread, not {chat['unread_count']}"


def _unread(message: Frame, read: int, user_id: str) -> bool:
    said = message["content"]["type"] == "text" and message["client_message_id"] is not None
    return said and message["seq"] > read and message["sender_id"] != user_id
