import asyncio

import orjson
import pytest

from loadtest.outbox import Ack, Outbox


def put(outbox: Outbox, key: str) -> "asyncio.Future[Ack]":
    done: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
    outbox.put({"client_message_id": key, "chat_id": "cht_1"}, done)
    return done


def sent(outbox: Outbox, now: float = 0.0) -> list[str]:
    keys = []
    while pending := outbox.next(now):
        keys.append(orjson.loads(pending.data)["client_message_id"])
    return keys


def ack(key: str, *, duplicate: bool = False) -> dict[str, object]:
    ids = {"client_message_id": key, "chat_id": "cht_1", "message_id": "msg_1"}
    return {"type": "ack", "seq": 1, "duplicate": duplicate, **ids}


async def test_no_more_than_the_window_is_in_flight():
    outbox = Outbox(2)
    for key in "abc":
        put(outbox, key)
    assert sent(outbox) == ["a", "b"]
    outbox.acked(ack("a"), now=1.0)
    assert sent(outbox) == ["c"]


async def test_the_ack_says_how_it_went():
    outbox = Outbox(1)
    done = put(outbox, "a")
    sent(outbox, now=5.0)
    outbox.acked(ack("a", duplicate=True), now=7.0)
    assert done.result() == Ack("cht_1", "a", "msg_1", 1, True, 2.0, 1, 0)
    assert outbox.acked(ack("a"), now=8.0) is None
    assert len(outbox) == 0


async def test_what_was_in_flight_goes_again_before_what_waits():
    outbox = Outbox(2)
    for key in "abc":
        put(outbox, key)
    sent(outbox)
    outbox.disconnected()
    assert sent(outbox) == ["a", "b"]


async def test_not_now_holds_back_everything_and_keeps_the_order():
    outbox = Outbox(1)
    done = put(outbox, "a")
    put(outbox, "b")
    sent(outbox)
    assert outbox.refused("a", "rate_limited", 2.0, now=10.0) is None
    assert sent(outbox, now=11.9) == []
    assert outbox.held_until(now=11.9) == 12.0
    assert sent(outbox, now=12.0) == ["a"]
    assert outbox.held_until(now=12.0) is None
    outbox.acked(ack("a"), now=12.5)
    assert (done.result().tries, done.result().refusals) == (2, 1)


async def test_no_for_good_is_given_back():
    outbox = Outbox(1)
    done = put(outbox, "a")
    sent(outbox)
    refused = outbox.refused("a", "muted", 1.0, now=0.0)
    assert refused is not None
    assert refused.done is done
    assert len(outbox) == 0


async def test_what_was_given_up_while_it_waited_is_not_sent():
    outbox = Outbox(1)
    put(outbox, "a")
    put(outbox, "b")
    outbox.drop("a")
    assert sent(outbox) == ["b"]


async def test_an_id_cannot_be_on_its_way_twice():
    outbox = Outbox(1)
    put(outbox, "a")
    with pytest.raises(ValueError, match="on its way"):
        put(outbox, "a")


async def test_the_oldest_in_flight_says_when_to_worry():
    outbox = Outbox(2)
    assert outbox.overdue_at(5.0) is None
    put(outbox, "a")
    sent(outbox, now=1.0)
    put(outbox, "b")
    sent(outbox, now=3.0)
    assert outbox.overdue_at(5.0) == 6.0
    outbox.acked(ack("a"), now=4.0)
    assert outbox.overdue_at(5.0) == 8.0
