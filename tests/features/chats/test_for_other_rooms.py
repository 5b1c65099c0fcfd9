"""What later rooms build on: creation with a context, conversion, closing for writing."""

import asyncio

import pytest

from chatd.core.errors import ChatNotFound, Conflict
from chatd.core.ids import UuidIds
from chatd.features.chats import service
from tests.databases import until_somebody_waits


async def make(world, kind, context_id, *people):
    async with world.db.transaction() as tx:
        return await service.create(
            tx,
            world.base,
            type=kind,
            title="Walk",
            context_id=context_id,
            members=[(people[0], "owner"), *((user_id, "member") for user_id in people[1:])],
            created_by=people[0],
        )


@pytest.mark.parametrize(("kind", "prefix"), [("event", "evt"), ("club", "clb"), ("gp", "gp")])
async def test_a_chat_names_what_it_belongs_to(world, kind, prefix):
    (ada,) = await world.people(1)
    context_id = UuidIds().new(prefix)
    chat_id = await make(world, kind, context_id, ada)
    assert (await service.view(world.as_(ada), chat_id)).context_id == context_id


async def test_a_gp_that_becomes_a_group_keeps_its_id_and_messages(world):
    ada, bob = await world.people(2)
    chat_id = await make(world, "gp", UuidIds().new("gp"), ada, bob)
    message_id = await world.say(chat_id, ada)
    async with world.db.transaction() as tx:
        await service.convert(tx, world.base, chat_id, type="group", title="Walkers", by=ada)
    chat = await service.view(world.as_(bob), chat_id)
    assert (chat.type, chat.title, chat.context_id, chat.head_seq) == ("group", "Walkers", None, 2)
    assert message_id in await service.messages_by_ids(world.db, [message_id])
    assert (await world.feed())[-1] == ("chat.updated", chat_id, [], "converted")
    await service.leave(world.as_(bob), chat_id)


async def test_a_direct_chat_is_not_converted(world):
    ada, bob = await world.people(2)
    chat_id = await world.direct(ada, bob)
    with pytest.raises(Conflict):
        async with world.db.transaction() as tx:
            await service.convert(tx, world.base, chat_id, type="group", by=ada)


async def test_a_closed_chat_takes_no_messages_until_it_is_opened(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada, bob)
    for on in (True, True, False):
        async with world.db.transaction() as tx:
            await service.set_read_only(tx, world.base, chat_id, on)
        assert (await service.require_seat(world.db, chat_id, bob)).read_only is on
    assert [row[3] for row in await world.feed()] == [None, "read_only", "writable"]


async def test_what_is_done_in_a_transaction_that_fails_is_heard_by_nobody(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada)
    seen = (len(world.broker.logged), world.broker.feeds)

    async def add_and_fail():
        async with world.db.transaction() as tx:
            await service.add_members(tx, world.base, chat_id, [bob], by=ada)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await add_and_fail()
    assert (len(world.broker.logged), world.broker.feeds) == seen
    assert (await service.view(world.as_(ada), chat_id)).head_seq == 0


async def test_a_chat_that_is_not_there_is_said_to_be_so(world):
    (ada,) = await world.people(1)
    nowhere = UuidIds().new("cht")
    async with world.db.transaction() as tx:
        for call in (
            service.add_members(tx, world.base, nowhere, [ada], by=ada),
            service.remove_member(tx, world.base, nowhere, ada, by=ada, reason="left"),
            service.set_read_only(tx, world.base, nowhere, True),
            service.lock_seat(tx, nowhere, ada),
        ):
            with pytest.raises(ChatNotFound):
                await call


async def test_removing_who_is_not_in_says_so_and_writes_nothing(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada)
    async with world.db.transaction() as tx:
        assert not await service.remove_member(tx, world.base, chat_id, bob, by=ada, reason="removed")
    assert world.told(chat_id) == []


async def test_a_chat_that_is_erased_waits_for_what_is_just_being_sent_in_it_before_it_is_held(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada, bob)
    await world.db.run(
        "INSERT INTO scheduled_messages (id, chat_id, user_id, content, send_at, due_at)"
        " VALUES ($1, $2, $3, '{}', now(), now())",
        *(UuidIds().new("sch"), chat_id, ada),
    )

    async def erase():
        async with world.db.transaction() as tx:
            await service.erase(tx, world.base, chat_id)

    async with world.db.transaction() as sending:
        await sending.run("SELECT 1 FROM scheduled_messages FOR UPDATE")
        erasing = asyncio.create_task(erase())
        await until_somebody_waits(world.db)
        # What is sent goes over another connection: it would wait for the chat, and this one for it.
        await world.db.run("SELECT 1 FROM chat_chats WHERE id = $1 FOR NO KEY UPDATE NOWAIT", chat_id)
    await erasing
    assert await world.db.one(int, "SELECT count(*) FROM chat_chats") == 0
