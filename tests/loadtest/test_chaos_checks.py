"""The checker can fail: each thing that must not happen is planted in good records, and found."""

import copy
from collections.abc import Callable, Iterator

import pytest

from loadtest.chaos.checks import ephemeral, history, logs, outage, states
from loadtest.chaos.records import Deed, Frame, Records, Send, SocketRecord, Strike, Truth, Violation

CHAT, ANN, BOB = "cht_1", "usr_a", "usr_b"


def message(seq: int, text: str, **changes: object) -> Frame:
    return {
        "id": f"msg_{seq}",
        "chat_id": CHAT,
        "seq": seq,
        "updated_seq": seq,
        "sender_id": ANN,
        "client_message_id": f"key {seq}",
        "content": {"type": "text", "text": text},
        "reply_to": None,
        "reactions": [],
        "edited_at": None,
        "deleted_at": None,
        **changes,
    }


def new(seq: int) -> Frame:
    return {"type": "message.new", "chat_id": CHAT, "seq": seq, "message": message(seq, f"text {seq}")}


def edited(seq: int, of: int) -> Frame:
    changed = message(of, "edited", updated_seq=seq, edited_at="now")
    return {"type": "message.update", "chat_id": CHAT, "seq": seq, "message": changed}


def read(seq: int) -> Frame:
    return {"type": "delivery.read", "chat_id": CHAT, "user_id": BOB, "last_read_seq": seq}


FRAMES = [new(1), new(2), new(3), edited(4, 2), read(2), new(5)]


@pytest.fixture
def records() -> Records:
    """Ann sends four messages and edits the second; Bob reads two; both see all of it, over two sockets."""
    made = Records()
    for user in (ANN, BOB):
        ready = {"chats": [{"chat_id": CHAT, "head_seq": 0, "last_read_seq": 0}]}
        first = SocketRecord(f"phone of {user}", user, "http://one", {CHAT: 0}, ready, 0.0, synced_at=0.0)
        first.frames = [(float(at), frame) for at, frame in enumerate(copy.deepcopy(FRAMES[:3]), 1)]
        first.closed_at = 3.5
        ready = {"chats": [{"chat_id": CHAT, "head_seq": 3, "last_read_seq": 0}]}
        second = SocketRecord(first.device, user, "http://two", {CHAT: 3}, ready, 3.6, synced_at=3.7)
        second.frames = [(float(at), frame) for at, frame in enumerate(copy.deepcopy(FRAMES[3:]), 4)]
        made.sockets += [first, second]
    for seq in (1, 2, 3, 5):
        key = f"key {seq}"
        at = float(seq) - 0.1 if seq < 5 else 5.9
        made.sends[key] = Send(CHAT, ANN, key, f"text {seq}", at - 0.1, at, seq, f"msg_{seq}")
    made.deeds = [
        Deed("edit", CHAT, ANN, "msg_2", "edited", 3.9, done=True),
        Deed("read", CHAT, BOB, "msg_2", "", 4.9, done=True),
    ]
    return made


@pytest.fixture
def truth() -> Truth:
    messages = {m["id"]: m for m in (FRAMES[i]["message"] for i in (0, 3, 2, 5))}
    return Truth(
        log={CHAT: [(seq, "update" if seq == 4 else "new", f"msg_{seq}") for seq in range(1, 6)]},
        rows={CHAT: copy.deepcopy(list(messages.values()))},
        messages={CHAT: copy.deepcopy(messages)},
        reads={CHAT: {ANN: 0, BOB: 2}},
        chats={ANN: {CHAT: {"unread_count": 0}}, BOB: {CHAT: {"unread_count": 2}}},
    )


def judged(records: Records, truth: Truth) -> list[str]:
    return sorted({violation.kind for violation in everything(records, truth)})


def everything(records: Records, truth: Truth) -> Iterator[Violation]:
    yield from logs.order(records)
    yield from logs.ends(records, {CHAT: 5}, {CHAT: {ANN, BOB}})
    yield from logs.live(records, 2.0, [])
    yield from history.kept(records, truth)
    yield from history.acks(records)
    yield from history.deeds(records, truth)
    yield from states.equal(records, truth)


def test_good_records_are_good(records: Records, truth: Truth) -> None:
    assert list(everything(records, truth)) == []


def lost(frames: list[tuple[float, Frame]]) -> None:
    del frames[1]


def lost_at_the_end(frames: list[tuple[float, Frame]]) -> None:
    del frames[-1]


def doubled(frames: list[tuple[float, Frame]]) -> None:
    frames.insert(1, frames[0])


def swapped(frames: list[tuple[float, Frame]]) -> None:
    frames[0], frames[1] = frames[1], frames[0]


def late(frames: list[tuple[float, Frame]]) -> None:
    frames[1] = (frames[1][0] + 10, frames[1][1])


@pytest.mark.parametrize(
    ("plant", "socket", "found"),
    [
        (lost, 0, "lost"),
        (lost_at_the_end, 3, "lost"),
        (doubled, 0, "doubled"),
        (doubled, 3, "doubled"),
        (swapped, 0, "disordered"),
        (late, 2, "late"),
    ],
)
def test_a_delivery_that_goes_wrong_is_found(
    records: Records,
    truth: Truth,
    plant: Callable[[list[tuple[float, Frame]]], None],
    socket: int,
    found: str,
) -> None:
    plant(records.sockets[socket].frames)
    assert found in judged(records, truth)


def test_a_replay_that_repeats_or_leaves_a_hole_is_found(records: Records, truth: Truth) -> None:
    records.sockets[1].frames.insert(0, (3.7, new(3)))
    assert [v.kind for v in logs.order(records)] == ["doubled"]
    records.sockets[1].frames = records.sockets[1].frames[2:]
    assert "lost" in [v.kind for v in logs.order(records)]


def test_a_lost_edit_is_found(records: Records, truth: Truth) -> None:
    # Lost on its way to one socket, whose log has no hole: the server gave it no seq.
    for socket in records.sockets:
        socket.frames = [(at, f) for at, f in socket.frames if f["type"] != "message.update"]
        for _, frame in socket.frames:
            if frame.get("seq", 0) == 5:
                frame["seq"] = 4
    assert "stale" in {v.kind for v in states.equal(records, truth)}
    # Lost in the database: acked, and not there.
    truth.messages[CHAT]["msg_2"] = message(2, "text 2")
    assert [v.kind for v in history.deeds(records, truth)] == ["lost"]


def test_a_lost_read_is_found(records: Records, truth: Truth) -> None:
    for socket in records.sockets:
        socket.frames = [(at, f) for at, f in socket.frames if f["type"] != "delivery.read"]
    assert "stale" in judged(records, truth)
    truth.reads[CHAT][BOB] = 1
    assert [v.kind for v in history.deeds(records, truth)] == ["lost"]


def reacted(records: Records, truth: Truth) -> Deed:
    """Bob gives the third message a heart: it is acked, stored, and everybody sees it."""
    given = [{"emoji": "♥", "count": 1, "user_ids": [BOB]}]
    shown = message(3, "text 3", updated_seq=6, reactions=given)
    for socket in records.sockets[1::2]:
        update = {"type": "message.update", "chat_id": CHAT, "seq": 6, "message": copy.deepcopy(shown)}
        socket.frames.append((7.0, update))
    truth.messages[CHAT]["msg_3"] = shown
    truth.log[CHAT].append((6, "update", "msg_3"))
    deed = Deed("react", CHAT, BOB, "msg_3", "♥", 6.5, done=True)
    records.deeds.append(deed)
    return deed


def test_a_lost_reaction_is_found(records: Records, truth: Truth) -> None:
    reacted(records, truth)
    assert [v for v in everything(records, truth) if "ended at" not in v.what] == []
    records.sockets[3].frames.pop()  # one socket was not told
    assert [v.kind for v in states.equal(records, truth)] == ["stale"]
    truth.messages[CHAT]["msg_3"]["reactions"] = []  # nor is it stored
    assert [v.kind for v in history.deeds(records, truth)] == ["lost"]


def test_a_reaction_that_was_taken_back_and_is_there_again_is_found(records: Records, truth: Truth) -> None:
    reacted(records, truth)
    records.deeds.append(Deed("unreact", CHAT, BOB, "msg_3", "♥", 6.8, done=True))
    assert [v.kind for v in history.deeds(records, truth)] == ["lost"]


def deleted(records: Records, truth: Truth) -> None:
    """Ann deletes her third message: it is acked, a tombstone, and everybody sees it."""
    grave = message(3, "", updated_seq=6, content={"type": "tombstone"}, deleted_at="now")
    for socket in records.sockets[1::2]:
        socket.frames.append(
            (7.0, {"type": "message.delete", "chat_id": CHAT, "seq": 6, "message_id": "msg_3"})
        )
    truth.messages[CHAT]["msg_3"] = grave
    truth.rows[CHAT] = [grave if row["id"] == "msg_3" else row for row in truth.rows[CHAT]]
    truth.log[CHAT].append((6, "delete", "msg_3"))
    truth.chats[BOB][CHAT]["unread_count"] = 1
    records.deeds.append(Deed("delete", CHAT, ANN, "msg_3", "", 6.5, done=True))


def test_a_deletion_that_does_not_last_is_found(records: Records, truth: Truth) -> None:
    deleted(records, truth)
    assert [v for v in everything(records, truth) if "ended at" not in v.what] == []
    socket = records.sockets[3]
    back = {"type": "message.update", "chat_id": CHAT, "seq": 7, "message": message(3, "text 3")}
    socket.frames.append((8.0, back))  # shown again, as by an update that was read before and sent behind
    assert "stale" in {v.kind for v in states.equal(records, truth)}
    truth.messages[CHAT]["msg_3"] = message(3, "text 3")  # alive again in the database
    assert [v.kind for v in history.deeds(records, truth)] == ["lost"]


def test_what_nobody_edited_or_deleted_must_be_as_it_was_sent(records: Records, truth: Truth) -> None:
    truth.rows[CHAT][0] |= {"content": {"type": "text", "text": "made up"}, "edited_at": "now"}
    truth.rows[CHAT][3] |= {"content": {"type": "tombstone"}, "deleted_at": "now"}
    assert [v.kind for v in history.kept(records, truth)] == ["altered", "altered"]


def test_a_delivery_that_a_reconnection_hid_is_found(records: Records, truth: Truth) -> None:
    # Nothing came for a minute; then the socket went, and the next one's replay closed the gap.
    socket = records.sockets[2]
    socket.closed_at = 60.0
    records.sockets[3].opened_at, records.sockets[3].synced_at = 60.1, 60.2
    socket.frames = [(at, f) for at, f in socket.frames if f["seq"] != 3]
    records.sockets[3].since = {CHAT: 2}
    records.sockets[3].frames = [(60.2, new(3)), *((at + 60, f) for at, f in records.sockets[3].frames)]
    assert list(logs.order(records)) == []
    assert {v.kind for v in logs.live(records, 2.0, [])} == {"lost"}
    assert list(logs.live(records, 2.0, [(2.0, 70.0)])) == []


def test_a_replay_that_says_it_is_complete_and_is_not_is_found(records: Records, truth: Truth) -> None:
    socket = records.sockets[1]
    socket.since = {CHAT: 2}
    socket.frames.insert(0, (3.7, {"type": "sync.complete"}))
    assert "lost" in [v.kind for v in logs.order(records)]
    socket.frames.insert(0, (3.65, new(3)))
    assert list(logs.order(records)) == []


def test_a_message_that_waits_too_long_for_its_ack_is_found(records: Records) -> None:
    records.sends["key 3"].at = -40.0
    assert [v.kind for v in outage.patient(records, 30.0, [])] == ["outage"]
    assert list(outage.patient(records, 30.0, [(-40.0, -20.0)])) == []


def test_wrong_presence_at_rest_is_found() -> None:
    shown = {"phone": {ANN: "online", BOB: "offline"}, "tablet": {ANN: "online"}}
    assert list(ephemeral.at_rest({"phone": shown["phone"]}, {ANN: "online", BOB: "offline"})) == []
    assert len(list(ephemeral.at_rest(shown, {ANN: "away", BOB: "offline"}))) == 3


def test_typing_that_goes_on_while_nothing_else_comes_is_found() -> None:
    frames = [(1.0, typing_frame(True))]
    socket = SocketRecord("phone", BOB, "http://one", {}, {"chats": []}, 0.0, frames=frames)
    assert len(list(ephemeral.typing(Records(sockets=[socket], ended_at=30.0), slack_s=1.0))) == 1


def test_an_acked_message_that_is_not_stored_is_found(records: Records, truth: Truth) -> None:
    truth.rows[CHAT] = [row for row in truth.rows[CHAT] if row["seq"] != 3]
    assert [v.kind for v in history.kept(records, truth)] == ["lost"]


def test_an_acked_message_that_is_stored_twice_or_elsewhere_or_otherwise_is_found(
    records: Records, truth: Truth
) -> None:
    rows = truth.rows[CHAT]
    twice = Truth(rows={CHAT: [*rows, rows[0]]})
    assert [v.kind for v in history.kept(records, twice)] == ["doubled"]
    rows[0]["seq"] = 7
    rows[2]["content"] = {"type": "text", "text": "something else"}
    assert [v.kind for v in history.kept(records, truth)] == ["altered", "altered"]


def test_a_hole_or_a_repeat_in_the_log_itself_is_found(records: Records, truth: Truth) -> None:
    truth.log[CHAT][2] = (2, "new", "msg_3")
    assert sorted(v.kind for v in history.kept(records, truth)) == ["doubled", "lost"]


def test_two_acks_that_differ_are_found(records: Records) -> None:
    ack = {"type": "ack", "client_message_id": "key 1", "message_id": "msg_1", "seq": 1, "sent_at": "t"}
    for seq, socket in ((1, records.sockets[0]), (2, records.sockets[1])):
        socket.frames.append((9.0, {**ack, "ack_token": "a", "seq": seq}))
    assert [v.kind for v in history.acks(records)] == ["altered"]


def test_a_wrong_unread_count_is_found(records: Records, truth: Truth) -> None:
    truth.chats[BOB][CHAT]["unread_count"] = 3
    assert "stale" in judged(records, truth)


def typing_frame(on: bool, user: str = ANN) -> Frame:
    return {"type": "typing.start" if on else "typing.stop", "chat_id": CHAT, "user_id": user}


@pytest.mark.parametrize(
    ("frames", "count"),
    [
        ([(1.0, typing_frame(True)), (6.0, typing_frame(False))], 0),
        ([(1.0, typing_frame(True)), (30.0, new(1))], 1),  # it never ends
        ([(1.0, typing_frame(True)), (1.5, typing_frame(True)), (2.0, typing_frame(False))], 1),  # too often
        ([(1.0, typing_frame(True, BOB)), (2.0, typing_frame(False, BOB))], 2),  # one's own
    ],
)
def test_typing_that_does_not_end_comes_too_often_or_is_one_s_own_is_found(
    frames: list[tuple[float, Frame]], count: int
) -> None:
    socket = SocketRecord("phone", BOB, "http://one", {}, {"chats": []}, 0.0, frames=frames)
    assert len(list(ephemeral.typing(Records(sockets=[socket]), slack_s=1.0))) == count


@pytest.mark.parametrize(("back_at", "count"), [(14.0, 1), (25.0, 0)])
def test_a_flap_that_somebody_saw_is_found(back_at: float, count: int) -> None:
    shown = {"type": "presence.update", "user_id": ANN, "status": "offline"}
    watcher = SocketRecord("w", BOB, "http://one", {}, {"chats": []}, 0.0, frames=[(21.0, shown)])
    flaps = [
        SocketRecord("a", ANN, "http://one", {}, {"chats": []}, 0.0, closed_at=10.0),
        SocketRecord("a", ANN, "http://two", {}, {"chats": []}, back_at),
    ]
    records = Records(sockets=[watcher, *flaps])
    assert len(list(ephemeral.presence(records, 10.0))) == count


def test_an_outage_longer_than_its_fault_may_cost_is_found(records: Records) -> None:
    records.strikes = [Strike("cut", 3.0, 3.2, 4.0)]
    assert list(outage.bounded(records, {"cut": 3.5}, heal_s=10.0, slack_s=0.0)) == []
    assert [v.kind for v in outage.bounded(records, {"cut": 2.0}, heal_s=10.0, slack_s=0.0)] == ["outage"] * 2
    records.strikes[0].healed = None
    assert "outage" in [v.kind for v in outage.bounded(records, {"cut": 9.0}, heal_s=10.0, slack_s=0.0)]
