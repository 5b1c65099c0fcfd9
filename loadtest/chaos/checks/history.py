"""What was acked is there, once, unchanged, where the ack said (protocol.md, 4.1 and 4.2)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from loadtest.chaos.records import Deed, Frame, Records, Truth, Violation


def kept(records: Records, truth: Truth) -> Iterator[Violation]:
    """Every acked message once under its seq; no unacked one twice; no seq left out."""
    by_key: dict[str, list[Frame]] = {}
    tried = _tried(records)
    for rows in truth.rows.values():
        for row in rows:
            if row["client_message_id"] is not None:
                by_key.setdefault(row["client_message_id"], []).append(row)
    for key, send in records.sends.items():
        rows = by_key.pop(key, [])
        if len(rows) > 1:
            yield Violation("doubled", send.at, f"{key} is stored {len(rows)} times")
        if send.acked_at is None:
            continue
        if not rows:
            yield Violation("lost", send.acked_at, f"{key} was acked with seq {send.seq} and is not there")
            continue
        row = rows[0]
        if (row["chat_id"], row["seq"], row["id"]) != (send.chat_id, send.seq, send.message_id):
            yield Violation(
                "altered", send.acked_at, f"{key} was acked as {send.seq}, is stored as {row['seq']}"
            )
        if row["sender_id"] != send.sender_id or not _says(row, send.text, tried.get(row["id"], ())):
            yield Violation("altered", send.acked_at, f"{key} does not say what was sent")
    for key in by_key:
        yield Violation("doubled", 0.0, f"{key} is stored, and nobody sent it")
    yield from _whole(truth)


def _tried(records: Records) -> dict[str, list[Deed]]:
    """Edits and deletions that may have come through, by message."""
    tried: dict[str, list[Deed]] = {}
    for deed in records.deeds:
        if deed.kind in ("edit", "delete") and deed.done is not False:
            tried.setdefault(deed.message_id, []).append(deed)
    return tried


def _says(row: Frame, text: str, tried: Sequence[Deed]) -> bool:
    """It says what was sent, or what somebody made of it; what nobody touched is as it was."""
    if row["deleted_at"] is not None:
        return any(deed.kind == "delete" for deed in tried)
    if row["edited_at"] is not None:
        return any(deed.kind == "edit" and deed.value == row["content"].get("text") for deed in tried)
    return bool(row["content"].get("text") == text)


def _whole(truth: Truth) -> Iterator[Violation]:
    for chat_id, log in truth.log.items():
        seqs = [seq for seq, _, _ in log]
        for seq, times in Counter(seqs).items():
            if times > 1:
                yield Violation("doubled", 0.0, f"{chat_id} {seq} was given out {times} times")
        if missing := set(range(1, len(seqs) + 1)) - set(seqs):
            yield Violation("lost", 0.0, f"{chat_id} has no {sorted(missing)[:5]}")


def acks(records: Records) -> Iterator[Violation]:
    """All acks of one client_message_id say the same."""
    first: dict[tuple[str, str], Frame] = {}
    for socket in records.sockets:
        for at, frame in socket.of_type("ack"):
            if "client_message_id" not in frame:
                continue
            said = first.setdefault((socket.user_id, frame["client_message_id"]), frame)
            for name in ("message_id", "seq", "sent_at", "ack_token"):
                if said[name] != frame[name]:
                    what = f"{frame['client_message_id']}: acks name {name} {said[name]} and {frame[name]}"
                    yield Violation("altered", at, what)


def deeds(records: Records, truth: Truth) -> Iterator[Violation]:
    """What was acked of edits, deletes, reactions and reads is so, unless a later try may have undone it."""
    slots: dict[tuple[str, ...], list[Deed]] = {}
    for deed in records.deeds:
        if deed.done is not False:
            slots.setdefault(_slot(deed), []).append(deed)
    deleted = {deed.message_id for deed in records.deeds if deed.kind == "delete" and deed.done is not False}
    for tries in slots.values():
        done = [i for i, deed in enumerate(tries) if deed.done]
        if not done:
            continue
        # The last that was acked, and those after it of which nobody knows.
        possible = tries[done[-1] :]
        deed = tries[done[-1]]
        if not any(_is_so(deed, truth, deleted) for deed in possible):
            yield Violation(
                "lost", deed.at, f"{deed.kind} {deed.value!r} of {deed.message_id} was acked and is not so"
            )


def _slot(deed: Deed) -> tuple[str, ...]:
    """Deeds of one slot follow each other: the last one counts."""
    if deed.kind in ("react", "unreact"):
        return ("react", deed.user_id, deed.message_id, deed.value)
    if deed.kind == "read":
        return ("read", deed.user_id, deed.message_id)
    return (deed.kind, deed.message_id)


def _is_so(deed: Deed, truth: Truth, deleted: set[str]) -> bool:
    message = truth.messages[deed.chat_id].get(deed.message_id)
    if message is None:
        return False
    if deed.kind == "read":
        return truth.reads[deed.chat_id].get(deed.user_id, 0) >= message["seq"]
    if message["content"]["type"] == "tombstone":
        return deed.message_id in deleted
    match deed.kind:
        case "edit":
            return bool(message["content"].get("text") == deed.value)
        case "react" | "unreact":
            given = {r["emoji"]: r["user_ids"] for r in message["reactions"]}
            return (deed.user_id in given.get(deed.value, ())) == (deed.kind == "react")
    return False
