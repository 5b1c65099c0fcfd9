import asyncio
from collections.abc import AsyncIterator

import pytest

from loadtest.audit import Tally
from loadtest.client import Client, Closed
from loadtest.rest import Account, Api, NoAnswer, Refused, Unreachable
from tests.loadtest.fake import FakeChatd, Frame, running, subject
from tests.waiting import PATIENCE_S


@pytest.fixture
async def client(fake: FakeChatd, ann: Account) -> AsyncIterator[Client]:
    client = await Client(ann, [fake.url], record=100, window=2).start()
    yield client
    await client.close()


def seqs(client: Client) -> list[int]:
    return [frame["seq"] for frame in client.frames if frame["type"] == "message.new"]


def new(seq: int):
    return lambda frame: frame.get("seq") == seq and frame["type"] == "message.new"


async def test_a_message_is_acked_and_comes_back(client: Client):
    acks = [await client.send("cht_1", text) for text in ("a", "b", "c")]
    await client.command("ping")
    assert [ack.seq for ack in acks] == seqs(client) == [1, 2, 3]
    assert client.tally({"cht_1": 3}) == Tally()


async def test_the_first_frame_introduces_us_without_since(fake: FakeChatd, client: Client):
    assert fake.inits[0]["type"] == "connection.init"
    assert "since" not in fake.inits[0]
    assert client.ready["max_frame_bytes"] == 16384


async def test_after_a_drop_the_client_resumes_where_it_was(fake: FakeChatd, client: Client):
    await client.send("cht_1", "before")
    await client.wait_for(new(1)) if not seqs(client) else None
    client.drop()
    await client.wait_for(lambda frame: frame["type"] == "connection.ready")
    fake.store("usr_x", {"client_message_id": "other", "content": {"type": "text", "text": "later"}})
    assert fake.inits[1]["since"] == {"cht_1": 1}
    await client.opened()
    client.drop()
    await client.wait_for(new(2))
    assert client.connects == 3
    assert client.tally({"cht_1": 2}) == Tally()


async def test_a_message_whose_ack_was_lost_goes_again_under_its_id(fake: FakeChatd, client: Client):
    fake.deaf = True
    ack = await client.send("cht_1", "once", client_message_id="k")
    assert (ack.seq, ack.duplicate, ack.tries) == (1, True, 2)
    assert [send["client_message_id"] for send in fake.sends] == ["k", "k"]
    await client.opened()
    assert seqs(client) == [1]


async def test_another_node_takes_over(fake: FakeChatd, ann: Account):
    async with running() as second:
        client = await Client(ann, [fake.url, second.url]).start()
        client.drop()
        await client.wait_for(lambda frame: frame["type"] == "connection.ready")
        assert (len(fake.inits), len(second.inits)) == (1, 1)
        await client.close()


async def test_a_refusal_for_now_is_waited_out(fake: FakeChatd, client: Client):
    fake.refusals = [{"code": code, "retry_after_ms": 20} for code in ("rate_limited", "unavailable")]
    done = [client.post("cht_1", text, client_message_id=text) for text in ("a", "b", "c")]
    acks = await asyncio.gather(*done)
    assert sum(ack.refusals for ack in acks) == 2
    assert {ack.client_message_id for ack in acks} == {"a", "b", "c"}


async def test_a_refusal_for_good_is_told(fake: FakeChatd, client: Client):
    fake.refusals = [{"code": "muted"}]
    with pytest.raises(Refused) as refused:
        await client.send("cht_1", "a")
    assert refused.value.code == "muted"
    with pytest.raises(Refused, match="forbidden"):
        await client.command("forbidden")


async def test_a_silent_socket_is_given_up_for_another(fake: FakeChatd, ann: Account):
    async with running() as second:
        client = await Client(ann, [fake.url, second.url], ack_timeout_s=0.05, window=1).start()
        fake.deaf_to_all = True
        ack = await client.send("cht_1", "anybody?")
        assert (ack.tries, len(second.sends)) == (2, 1)
        await client.close()


async def test_no_ack_ends_with_no_answer(fake: FakeChatd, client: Client):
    fake.deaf_to_all = True
    with pytest.raises(NoAnswer):
        await client.send("cht_1", "anybody?", timeout_s=0.05)
    assert client.pending == 0
    with pytest.raises(NoAnswer):
        await client.command("ping", timeout_s=0.05)


async def test_a_drained_client_comes_back_when_it_was_told(fake: FakeChatd, client: Client):
    loop = asyncio.get_running_loop()
    began = loop.time()
    await fake.close_all(4503, {"type": "system.drain", "reconnect_after_ms": 300})
    await client.wait_for(lambda frame: frame["type"] == "connection.ready")
    assert loop.time() - began >= 0.29
    assert client.closes == {4503: 1}


@pytest.mark.parametrize("code", [1001, 4408, 4508])
async def test_a_close_that_allows_it_is_followed_by_another_socket(
    fake: FakeChatd, client: Client, code: int
):
    await fake.close_all(code)
    await client.wait_for(lambda frame: frame["type"] == "connection.ready")
    assert client.closes == {code: 1}


@pytest.mark.parametrize("code", [4400, 4403, 4413, 4429])
async def test_a_close_for_good_ends_what_waits(fake: FakeChatd, client: Client, code: int):
    fake.deaf_to_all = True
    waiting = client.post("cht_1", "a")
    await fake.close_all(code)
    with pytest.raises(Closed) as closed:
        await waiting
    assert closed.value.code == code
    with pytest.raises(Closed):
        await client.send("cht_1", "b")
    assert fake.inits[1:] == []


async def test_an_old_token_is_exchanged_once(fake: FakeChatd, ann: Account):
    fake.close_next_with = 4401
    client = await Client(ann, [fake.url]).start()
    assert len({init["token"] for init in fake.inits}) == 2
    await client.close()


async def test_a_token_that_cannot_be_exchanged_is_the_end(fake: FakeChatd, api: Api, ann: Account):
    fake.close_next_with = 4401
    seeded = Account.of_token(api, ann.user_id, ann.access)
    with pytest.raises(Closed, match="4401"):
        await Client(seeded, [fake.url]).start()


async def test_the_token_is_renewed_before_it_runs_out(fake: FakeChatd, api: Api, ann: Account):
    client = await Client(ann, [fake.url]).start()
    ann.expires_at -= 900
    client.drop()
    await client.wait_for(lambda frame: frame["type"] == "connection.ready")
    assert fake.inits[1]["token"] != fake.inits[0]["token"]
    assert subject(fake.inits[1]["token"]) == ann.user_id
    await client.close()


async def test_an_open_socket_is_given_the_new_token(fake: FakeChatd, api: Api, ann: Account):
    fake.token_ttl_s = 30  # less than the margin: renewed at once
    await api.login("ann@example.com", "a long password")
    ann.expires_at -= 900
    client = await Client(ann, [fake.url]).start()
    async with asyncio.timeout(PATIENCE_S):
        assert subject(await fake.renewed.get()) == ann.user_id
    await client.close()


async def test_a_server_that_is_not_there_is_unreachable_after_a_while(ann: Account):
    client = Client(ann, ["http://127.0.0.1:9"], patience_s=0.3)
    with pytest.raises(Unreachable):
        await client.start()


async def test_a_reset_is_completed_from_history(fake: FakeChatd, client: Client):
    await client.send("cht_1", "1")
    fake.reset_past = 10
    for n in range(2, 302):
        fake.store("usr_x", {"client_message_id": str(n), "content": {"type": "text", "text": str(n)}})
    client.drop()
    await client.wait_for(lambda frame: frame["type"] == "chat.reset")
    await client.opened()
    assert client.tally().lost == 250
    fetched = await client.fetch_skipped("cht_1")
    assert sorted(message["seq"] for message in fetched) == list(range(2, 252))
    await client.send("cht_1", "more")
    await client.command("ping")
    assert client.tally({"cht_1": 302}) == Tally()


async def test_joining_and_leaving_move_what_is_checked(fake: FakeChatd, client: Client):
    chat = {"id": "cht_2", "head_seq": 9}
    for frame in (
        {"type": "chat.joined", "chat": chat},
        {"type": "message.update", "chat_id": "cht_2", "seq": 10},
        {"type": "message.delete", "chat_id": "cht_2", "seq": 12},
        {"type": "chat.left", "chat_id": "cht_2", "reason": "removed"},
    ):
        client.take(frame)
    assert list(client.logs) == ["cht_1"]
    assert client.tally() == Tally(lost=1)


async def test_an_event_of_a_chat_that_nobody_announced_is_a_fault(client: Client):
    client.take({"type": "message.new", "chat_id": "cht_3", "seq": 5})
    assert client.tally() == Tally(disordered=1)


def without(seq: int):
    return lambda socket, frame: [] if frame["seq"] == seq else [frame]


def twice(seq: int):
    return lambda socket, frame: [frame] * (2 if frame["seq"] == seq else 1)


def swapped(seq: int):
    held: list[Frame] = []

    def plant(socket: int, frame: Frame) -> list[Frame]:
        if frame["seq"] == seq:
            held.append(frame)
            return []
        return [frame, held.pop()] if held else [frame]

    return plant


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (without(2), Tally(lost=1)),
        (without(4), Tally(lost=1)),
        (twice(2), Tally(duplicated=1)),
        (swapped(2), Tally(disordered=1)),
    ],
)
async def test_a_socket_that_is_served_badly_notices(fake: FakeChatd, client: Client, plant, found: Tally):
    fake.plant = plant
    for text in "abcd":
        await client.send("cht_1", text)
    await client.command("ping")
    assert client.tally({"cht_1": 4}) == found
