"""Many at once on one chat: the chat's row decides who was first."""

import asyncio

from chatd.core.errors import ChatNotFound, Conflict, UserNotFound
from chatd.features.chats import service
from tests.databases import until_somebody_waits


async def all_at_once(*calls):
    """(results, errors by type name)"""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)]
    return [outcome for outcome in outcomes if not isinstance(outcome, Exception)], errors


async def require_whole(world, chat_id):
    """The count is the members', the log has no holes, and somebody owns what has members."""
    roles = await world.roles(chat_id)
    count, head = [
        await world.db.one(int, f"SELECT {column} FROM chat_chats WHERE id = $1", chat_id)
        for column in ("member_count", "head_seq")
    ]
    assert count == len(roles)
    seqs = await world.db.rows(int, "SELECT seq FROM chat_messages WHERE chat_id = $1 ORDER BY seq", chat_id)
    assert seqs == list(range(1, head + 1))
    assert not roles or list(roles.values()).count("owner") == 1
    return roles


async def test_twenty_invited_to_five_seats_fill_them_and_no_more(world):
    world.limited(max_members=6)
    ada, *others = await world.people(21)
    chat_id = await world.group(ada)
    let_in, errors = await all_at_once(
        *(service.invite(world.as_(ada), chat_id, [user_id]) for user_id in others)
    )
    assert (len(let_in), errors) == (5, [Conflict] * 15)
    assert len(await require_whole(world, chat_id)) == 6


async def test_one_invited_twenty_times_at_once_joins_once(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada)
    _, errors = await all_at_once(*(service.invite(world.as_(ada), chat_id, [bob]) for _ in range(20)))
    assert errors == []
    await require_whole(world, chat_id)
    assert [content["event"] for content in world.told(chat_id)] == ["members_joined"]


async def test_one_put_out_ten_times_at_once_goes_once(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada, bob)
    done, errors = await all_at_once(*(service.expel(world.as_(ada), chat_id, bob) for _ in range(10)))
    assert (len(done), errors) == (1, [UserNotFound] * 9)
    assert await require_whole(world, chat_id) == {ada: "owner"}
    assert [content["event"] for content in world.told(chat_id)] == ["member_removed"]


async def test_leaving_ten_times_at_once_is_leaving_once(world):
    ada, bob = await world.people(2)
    chat_id = await world.group(ada, bob)
    done, errors = await all_at_once(*(service.leave(world.as_(bob), chat_id) for _ in range(10)))
    assert (len(done), errors) == (1, [ChatNotFound] * 9)
    await require_whole(world, chat_id)


async def test_handing_over_to_one_who_is_leaving_never_leaves_a_chat_without_its_owner(world):
    for _ in range(10):
        ada, bob = await world.people(2)
        chat_id = await world.group(ada, bob)
        _, errors = await all_at_once(
            service.leave(world.as_(bob), chat_id), service.set_role(world.as_(ada), chat_id, bob, "owner")
        )
        roles = await require_whole(world, chat_id)
        # Either he was gone first, or he is the owner now and cannot go.
        assert (errors, roles) in (
            ([UserNotFound], {ada: "owner"}),
            ([Conflict], {ada: "moderator", bob: "owner"}),
        )


async def test_one_ownership_handed_to_many_at_once_goes_to_one(world):
    ada, *others = await world.people(9)
    chat_id = await world.group(ada, *others)
    done, errors = await all_at_once(
        *(service.set_role(world.as_(ada), chat_id, user_id, "owner") for user_id in others)
    )
    assert (len(done), len(errors)) == (1, 7)
    roles = await require_whole(world, chat_id)
    assert roles[done[0].user_id] == "owner"


async def test_the_log_has_no_holes_while_people_come_go_and_talk(world):
    ada, *others = await world.people(13)
    chat_id = await world.group(ada, *others[:6])
    _, errors = await all_at_once(
        *(world.say(chat_id, ada, f"number {n}") for n in range(20)),
        *(service.leave(world.as_(user_id), chat_id) for user_id in others[:6]),
        *(service.invite(world.as_(ada), chat_id, [user_id]) for user_id in others[6:]),
        *(service.rename(world.as_(ada), chat_id, f"Title {n}") for n in range(5)),
    )
    assert errors == []
    roles = await require_whole(world, chat_id)
    assert set(roles) == {ada, *others[6:]}
    # Who came in starts right after the message that says so.
    for member in (await service.detail(world.as_(ada), chat_id)).members[1:]:
        joined = next(c for c in world.told(chat_id) if member.user_id in c.get("user_ids", ()))
        assert member.last_read_seq == joined["seq"]


async def test_who_goes_for_good_hands_over_what_was_handed_to_them_at_the_last_moment(world):
    ada, bob, eve = await world.people(3)
    chat_id = await world.group(ada, bob, eve)
    async with world.db.transaction() as tx:
        await service.lock(tx, chat_id)
        going = asyncio.create_task(service.depart(world.as_(bob), bob))
        await until_somebody_waits(world.db)  # bob's going has seen a member, and waits for the chat
        await service.assign_role(tx, world.as_(ada), chat_id, bob, "owner", by=ada)
        await service.assign_role(tx, world.as_(ada), chat_id, ada, "member", by=ada)
    assert await going is False
    assert await require_whole(world, chat_id) == {ada: "owner", eve: "member"}
