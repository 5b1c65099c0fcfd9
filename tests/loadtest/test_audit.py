import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.audit import Histogram, LogCheck, SharedDecoder, Tally
from loadtest.ledger import Ledger, received
from loadtest.outbox import Ack


def taken(base: int, *seqs: int) -> LogCheck:
    log = LogCheck(base)
    for seq in seqs:
        log.take(seq)
    return log


def test_a_whole_log_has_no_faults():
    assert taken(7, 8, 9, 10).tally(head=10) == Tally()


def test_an_event_left_out_is_lost():
    assert taken(0, 1, 2, 4).tally() == Tally(lost=1)


def test_an_event_missing_at_the_end_is_lost_too():
    assert taken(0, 1, 2).tally(head=4) == Tally(lost=2)


def test_nothing_at_all_is_all_lost():
    assert taken(5).tally(head=9) == Tally(lost=4)


def test_an_event_that_comes_twice_is_duplicated():
    assert taken(0, 1, 2, 2, 3).tally() == Tally(duplicated=1)


def test_an_event_from_before_the_beginning_was_here_before():
    assert taken(5, 5, 6).tally() == Tally(duplicated=1)


def test_two_events_that_change_places_are_out_of_order_and_not_lost():
    assert taken(0, 1, 3, 2, 4).tally() == Tally(disordered=1)


def test_what_a_reset_leaves_out_is_lost_until_it_is_fetched():
    log = taken(0, 1)
    log.jump(5)
    log.take(6)
    assert log.tally() == Tally(lost=4)
    assert [log.fill(seq) for seq in (2, 3, 4, 5, 6)] == [True, True, True, True, False]
    assert log.tally() == Tally()


def test_fetching_does_not_excuse_a_loss():
    log = taken(0, 1, 3)
    assert not log.fill(2)
    assert log.tally() == Tally(lost=1)


def test_a_server_whose_log_became_shorter_has_lost_the_rest():
    log = taken(0, 1, 2, 3)
    log.resume(1)
    assert log.tally().lost == 2


@given(st.integers(0, 3), st.lists(st.integers(1, 30)))
def test_every_event_is_there_once_or_found_faulty(base: int, seqs: list[int]):
    log = taken(base, *seqs)
    came = {seq for seq in seqs if seq > base}
    newest = max(came, default=base)
    tally = log.tally()
    assert tally.lost == newest - base - len(came)
    assert tally.duplicated == len(seqs) - len(came)
    assert (tally == Tally()) == (seqs == list(range(base + 1, base + 1 + len(seqs))))
    assert received(log, list(range(base + 1, 40))) == len(came)


@given(st.lists(st.floats(1e-5, 60), min_size=1))
def test_quantiles_are_within_two_per_cent(values: list[float]):
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    median = sorted(values)[(len(values) - 1) // 2]
    assert histogram.quantile(0.5) == pytest.approx(median, rel=0.021)
    assert histogram.quantile(1.0) == pytest.approx(max(values), rel=0.021)


def test_there_is_no_median_of_nothing():
    assert Histogram().quantile(0.5) is None


def test_the_same_bytes_are_decoded_once():
    decode = SharedDecoder(size=2)
    assert decode(b'{"type":"a"}') is decode(b'{"type":"a"}')
    assert [decode(b'{"type":"%d"}' % n)["type"] for n in range(5)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"type":1}', b"\xff"])
def test_what_is_no_frame_is_refused(data: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - of orjson and of ours alike
        SharedDecoder()(data)


def ack(key: str, seq: int, refusals: int = 0) -> Ack:
    return Ack("cht_1", key, f"msg_{seq}", seq, False, 0.01, 1, refusals)


def message(key: str | None, seq: int, text: str, sender: str = "usr_a") -> dict[str, object]:
    content = {"type": "text", "text": text}
    return {"id": f"msg_{seq}", "seq": seq, "sender_id": sender, "client_message_id": key, "content": content}


def two_sent() -> Ledger:
    ledger = Ledger()
    ledger.send("k1", "usr_a", "one", at=1.0)
    ledger.send("k2", "usr_a", "two", at=1.0)
    ledger.ack(ack("k1", 1))
    return ledger


def test_what_was_sent_and_comes_as_it_was_is_right():
    ledger = two_sent()
    ledger.receive(message("k1", 1, "one"), at=1.5)
    ledger.receive(message("k2", 2, "two"), at=1.5)  # before its ack
    ledger.ack(ack("k2", 2))
    assert ledger.altered == ledger.overtaken() == ledger.reused_seqs() == 0
    assert ledger.deliveries.count == 2


@pytest.mark.parametrize(
    "wrong",
    [
        message("k1", 1, "oNe"),
        message("k1", 1, "one", sender="usr_b"),
        message("k1", 2, "one"),
        {**message("k1", 1, "one"), "id": "msg_9"},
        {**message("k1", 1, "one"), "content": {"type": "tombstone"}},
        message("unknown", 1, "one"),
    ],
)
def test_what_comes_otherwise_is_altered(wrong: dict[str, object]):
    ledger = two_sent()
    ledger.receive(wrong, at=1.5)
    assert ledger.altered == 1


def test_what_the_chat_itself_says_is_not_judged():
    ledger = two_sent()
    ledger.receive(message(None, 3, "somebody joined"), at=1.5)
    assert ledger.altered == 0


def test_an_ack_that_contradicts_the_delivery_is_altered():
    ledger = two_sent()
    ledger.receive(message("k2", 2, "two"), at=1.5)
    ledger.ack(ack("k2", 3))
    assert ledger.altered == 1


def test_a_seq_given_out_twice_is_noticed():
    ledger = two_sent()
    ledger.ack(ack("k2", 1))
    assert ledger.reused_seqs() == 1


def test_a_sender_overtaken_by_themselves_is_noticed():
    ledger = Ledger()
    for key, seq in (("k1", 2), ("k2", 1)):
        ledger.send(key, "usr_a", key, at=1.0)
        ledger.ack(ack(key, seq))
    assert ledger.overtaken() == 1


def test_a_message_that_was_refused_for_a_while_may_be_overtaken():
    ledger = Ledger()
    for key, seq, refusals in (("k1", 3, 1), ("k2", 2, 0), ("k3", 4, 0)):
        ledger.send(key, "usr_a", key, at=1.0)
        ledger.ack(ack(key, seq, refusals))
    assert ledger.overtaken() == 0
