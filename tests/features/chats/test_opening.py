"""POST /chats."""

import asyncio

import pytest

from chatd.core.errors import Conflict, UserNotFound, ValidationFailed
from chatd.core.ids import UuidIds
from chatd.features.chats import api, service
from chatd.features.chats.contract import CreateChat


def direct(*member_ids):
    return CreateChat(type="direct", member_ids=list(member_ids))


def group(*member_ids, title=None):
    return CreateChat(type="group", member_ids=list(member_ids), title=title)


async def test_a_pair_gets_its_chat_back_whoever_asks(world):
    ada, bob = await world.people(2)
    first = await api.create_chat(world.as_(ada), direct(bob))
    again = await api.create_chat(world.as_(ada), direct(bob))
    other_side = await api.create_chat(world.as_(bob), direct(ada))
    assert (first.status, again.status, other_side.status) == (201, 200, 200)
    assert first.body.id == again.body.id == other_side.body.id


async def test_a_direct_chat_names_the_peer_and_has_no_title(world):
    ada, bob = await world.people(2)
    body = CreateChat(type="direct", member_ids=[bob], title="not used")
    mine = (await api.create_chat(world.as_(ada), body)).body
    theirs = await service.view(world.as_(bob), mine.id)
    assert (mine.peer_id, theirs.peer_id) == (bob, ada)
    assert mine.title is None
    assert (mine.my_role, theirs.my_role, mine.member_count) == ("member", "member", 2)


async def test_fifty_at_once_from_both_sides_make_one_direct_chat(world):
    ada, bob = await world.people(2)
    calls = [api.create_chat(world.as_(me), direct(other)) for me, other in [(ada, bob), (bob, ada)] * 25]
    answers = await asyncio.gather(*calls)
    assert len({answer.body.id for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]
    assert await world.roles(answers[0].body.id) == {ada: "member", bob: "member"}
    assert len(await world.feed()) == 1


@pytest.mark.parametrize("how_many", [0, 2])
async def test_a_direct_chat_takes_exactly_one_other(world, how_many):
    ada, *others = await world.people(1 + how_many)
    with pytest.raises(ValidationFailed) as refused:
        await service.open_chat(world.as_(ada), direct(*others))
    assert refused.value.errors[0].path == "$.member_ids"


async def test_nobody_has_a_direct_chat_with_themselves(world):
    (ada,) = await world.people(1)
    with pytest.raises(ValidationFailed):
        await service.open_chat(world.as_(ada), direct(ada, ada))


async def test_a_chat_with_somebody_who_does_not_exist_is_not_made(world):
    (ada,) = await world.people(1)
    nobody = UuidIds().new("usr")
    for body in (direct(nobody), group(nobody)):
        with pytest.raises(UserNotFound):
            await service.open_chat(world.as_(ada), body)
    assert await world.db.one(int, "SELECT count(*) FROM chat_chats") == 0
    assert await world.feed() == []
    assert world.broker.feeds == 0


async def test_a_group_is_owned_by_who_made_it_and_repeated_ids_count_once(world):
    ada, bob = await world.people(2)
    answer = await api.create_chat(world.as_(ada), group(bob, bob, ada, title="  Friends "))
    assert answer.status == 201
    assert (answer.body.title, answer.body.member_count, answer.body.my_role) == ("Friends", 2, "owner")
    assert await world.roles(answer.body.id) == {ada: "owner", bob: "member"}


async def test_a_group_may_be_empty_and_without_a_title(world):
    (ada,) = await world.people(1)
    chat, new = await service.open_chat(world.as_(ada), group())
    assert new
    assert (chat.title, chat.member_count, chat.last_message) == (None, 1, None)


async def test_a_title_of_spaces_is_none_that_can_be_given(world):
    (ada,) = await world.people(1)
    with pytest.raises(ValidationFailed):
        await service.open_chat(world.as_(ada), group(title="   "))


async def test_one_more_than_fits_is_refused_and_all_that_fit_come_in(world):
    world.limited(max_members=3)
    ada, *others = await world.people(4)
    with pytest.raises(Conflict, match="at most 3 members"):
        await service.open_chat(world.as_(ada), group(*others))
    chat, _ = await service.open_chat(world.as_(ada), group(*others[:2]))
    assert chat.member_count == 3


async def test_the_first_message_of_a_new_chat_has_seq_1(world):
    ada, bob = await world.people(2)
    for chat_id in (await world.direct(ada, bob), await world.group(ada, bob)):
        await world.say(chat_id, bob)
        chat = await service.view(world.as_(ada), chat_id)
        assert chat.last_message.seq == chat.head_seq == 1


async def test_every_node_learns_of_a_new_chat(world):
    ada, bob = await world.people(2)
    chat_id = await world.direct(ada, bob)
    assert await world.feed() == [("chat.joined", chat_id, [ada, bob], None)]
    assert world.broker.feeds == 1
