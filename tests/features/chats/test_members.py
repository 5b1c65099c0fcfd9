"""Who may do what, and what the others see of it."""

import msgspec
import pytest

from chatd.core.errors import ChatNotFound, Conflict, Forbidden, UserNotFound
from chatd.core.ids import UuidIds
from chatd.features.chats import api, service
from chatd.features.chats.contract import AddMembers, MemberRef, PatchChat, SetRole

NO_CHAT = UuidIds().new("cht")


@pytest.fixture
async def cast(world):
    """A group with one of each rank, somebody outside, and a direct chat of two of them."""
    owner, moderator, member, other, stranger, newcomer = await world.people(6)
    chat = await world.group(owner, member, other, moderators=[moderator])
    return {
        "owner": owner,
        "moderator": moderator,
        "member": member,
        "other": other,
        "stranger": stranger,
        "newcomer": newcomer,
        "chat": chat,
        "direct": await world.direct(owner, member),
    }


CALLS = {
    "see": lambda ctx, chat, cast: api.get_chat(ctx, chat),
    "rename": lambda ctx, chat, cast: api.patch_chat(ctx, chat, PatchChat(title="New")),
    "add": lambda ctx, chat, cast: api.add_members(ctx, chat, AddMembers(user_ids=[cast["newcomer"]])),
    "remove a member": lambda ctx, chat, cast: api.remove_member(ctx, chat, cast["other"]),
    "remove the moderator": lambda ctx, chat, cast: api.remove_member(ctx, chat, cast["moderator"]),
    "remove the owner": lambda ctx, chat, cast: api.remove_member(ctx, chat, cast["owner"]),
    "promote": lambda ctx, chat, cast: api.set_role(ctx, chat, cast["other"], SetRole(role="moderator")),
    "hand over": lambda ctx, chat, cast: api.set_role(ctx, chat, cast["other"], SetRole(role="owner")),
    "leave": lambda ctx, chat, cast: api.remove_member(ctx, chat, "me"),
}
ALLOWED = {
    ("member", "see"),
    ("member", "leave"),
    ("moderator", "see"),
    ("moderator", "rename"),
    ("moderator", "add"),
    ("moderator", "remove a member"),
    ("moderator", "leave"),
    ("owner", "see"),
    ("owner", "rename"),
    ("owner", "add"),
    ("owner", "remove a member"),
    ("owner", "remove the moderator"),
    ("owner", "promote"),
    ("owner", "hand over"),
}
# One's own removal is leaving.
OTHERWISE = {
    ("moderator", "remove the moderator"): None,
    ("owner", "remove the owner"): Conflict,
    ("owner", "leave"): Conflict,
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("who", ["member", "moderator", "owner"])
async def test_each_rank_may_do_what_is_its_own(world, cast, who, call):
    expected = OTHERWISE.get((who, call), None if (who, call) in ALLOWED else Forbidden)
    before = await world.roles(cast["chat"])
    asked = CALLS[call](world.as_(cast[who]), cast["chat"], cast)
    if expected is None:
        await asked
    else:
        with pytest.raises(expected):
            await asked
        assert await world.roles(cast["chat"]) == before


@pytest.mark.parametrize("call", CALLS)
async def test_a_strangers_chat_is_not_told_from_one_that_does_not_exist(world, cast, call):
    ctx = world.as_(cast["stranger"])
    with pytest.raises(ChatNotFound) as strange:
        await CALLS[call](ctx, cast["chat"], cast)
    with pytest.raises(ChatNotFound) as missing:
        await CALLS[call](ctx, NO_CHAT, cast)
    assert strange.value.detail == missing.value.detail


@pytest.mark.parametrize("call", [call for call in CALLS if call != "see"])
async def test_a_direct_chat_can_be_neither_renamed_nor_joined_nor_left(world, cast, call):
    for who in ("owner", "member"):
        with pytest.raises(Forbidden):
            await CALLS[call](world.as_(cast[who]), cast["direct"], cast)


@pytest.mark.parametrize("call", ["add", "remove a member", "promote", "leave"])
async def test_members_of_an_events_chat_follow_the_event(world, cast, call):
    async with world.db.transaction() as tx:
        chat = await service.create(
            tx,
            world.base,
            type="event",
            title="Picnic",
            context_id=UuidIds().new("evt"),
            members=[(cast["owner"], "owner"), (cast["other"], "member")],
            created_by=cast["owner"],
        )
    with pytest.raises(Forbidden, match="event"):
        await CALLS[call](world.as_(cast["owner"]), chat, cast)


async def test_acting_on_somebody_who_is_not_in_the_chat_is_user_not_found(world, cast):
    ctx = world.as_(cast["owner"])
    with pytest.raises(UserNotFound):
        await api.remove_member(ctx, cast["chat"], cast["stranger"])
    with pytest.raises(UserNotFound):
        await api.set_role(ctx, cast["chat"], cast["stranger"], SetRole(role="member"))


async def test_adding_somebody_without_an_account_adds_nobody(world, cast):
    before = await world.roles(cast["chat"])
    user_ids = [cast["newcomer"], UuidIds().new("usr")]
    with pytest.raises(UserNotFound):
        await api.add_members(world.as_(cast["owner"]), cast["chat"], AddMembers(user_ids=user_ids))
    assert await world.roles(cast["chat"]) == before
    assert all(content["event"] != "members_joined" for content in world.told(cast["chat"]))


async def test_adding_members_who_are_in_changes_nothing(world, cast):
    before = await service.view(world.as_(cast["owner"]), cast["chat"])
    body = AddMembers(user_ids=[cast["member"], cast["moderator"], cast["member"]])
    answer = await api.add_members(world.as_(cast["moderator"]), cast["chat"], body)
    assert (answer.head_seq, answer.member_count) == (before.head_seq, before.member_count)
    assert (await world.roles(cast["chat"]))[cast["moderator"]] == "moderator"


async def test_who_joins_has_read_all_that_was_and_hears_what_comes(world, cast):
    await world.say(cast["chat"], cast["member"])
    body = AddMembers(user_ids=[cast["newcomer"], cast["newcomer"]])
    detail = await api.add_members(world.as_(cast["owner"]), cast["chat"], body)
    ctx = world.as_(cast["newcomer"])
    chat = await service.view(ctx, cast["chat"])
    assert chat.last_read_seq == chat.head_seq == detail.head_seq
    assert chat.unread_count == 0
    joined = {"event": "members_joined", "user_ids": [cast["newcomer"]], "type": "system"}
    assert world.told(cast["chat"])[-1] == {"seq": chat.head_seq, **joined}
    assert (await world.feed())[-1] == ("chat.joined", cast["chat"], [cast["newcomer"]], None)
    await world.say(cast["chat"], cast["member"])
    assert (await service.view(ctx, cast["chat"])).unread_count == 1


async def test_who_is_put_out_is_gone_at_once_and_the_log_says_so(world, cast):
    await api.remove_member(world.as_(cast["moderator"]), cast["chat"], cast["other"])
    with pytest.raises(ChatNotFound):
        await api.get_chat(world.as_(cast["other"]), cast["chat"])
    last = (await service.view(world.as_(cast["owner"]), cast["chat"])).last_message
    assert last.sender_id == cast["moderator"]
    assert world.told(cast["chat"])[-1]["event"] == "member_removed"
    assert (await world.feed())[-1] == ("chat.left", cast["chat"], [cast["other"]], "removed")


async def test_who_leaves_left(world, cast):
    await api.remove_member(world.as_(cast["member"]), cast["chat"], cast["member"])
    assert world.told(cast["chat"])[-1]["event"] == "member_left"
    assert (await world.feed())[-1] == ("chat.left", cast["chat"], [cast["member"]], "left")


async def test_the_owner_goes_after_handing_over(world, cast):
    ctx = world.as_(cast["owner"])
    member = await api.set_role(ctx, cast["chat"], cast["member"], SetRole(role="owner"))
    assert (member.user_id, member.role) == (cast["member"], "owner")
    roles = await world.roles(cast["chat"])
    assert (roles[cast["member"]], roles[cast["owner"]]) == ("owner", "moderator")
    changes = [(c["user_ids"], c["role"]) for c in world.told(cast["chat"])[-2:]]
    assert changes == [([cast["member"]], "owner"), ([cast["owner"]], "moderator")]
    await api.remove_member(ctx, cast["chat"], "me")
    assert cast["owner"] not in await world.roles(cast["chat"])


async def test_the_very_last_member_may_leave(world):
    (ada,) = await world.people(1)
    chat = await world.group(ada)
    await api.remove_member(world.as_(ada), chat, "me")
    assert await world.roles(chat) == {}


async def test_the_owner_cannot_step_down_without_an_heir(world, cast):
    with pytest.raises(Conflict):
        await api.set_role(world.as_(cast["owner"]), cast["chat"], "me", SetRole(role="member"))


async def test_giving_the_rank_that_is_there_changes_nothing(world, cast):
    seen = len(world.broker.logged)
    ctx = world.as_(cast["owner"])
    for who, role in (("me", "owner"), (cast["moderator"], "moderator")):
        assert (await api.set_role(ctx, cast["chat"], who, SetRole(role=role))).role == role
    assert len(world.broker.logged) == seen


async def test_one_owner_cannot_act_on_another(world):
    ada, bob = await world.people(2)
    async with world.db.transaction() as tx:
        members = [(ada, "owner"), (bob, "owner")]
        chat = await service.create(tx, world.base, type="group", title=None, members=members, created_by=ada)
    with pytest.raises(Forbidden):
        await api.remove_member(world.as_(ada), chat, bob)
    with pytest.raises(Forbidden):
        await api.set_role(world.as_(ada), chat, bob, SetRole(role="member"))
    await api.remove_member(world.as_(ada), chat, "me")
    await api.add_members(world.as_(bob), chat, AddMembers(user_ids=[ada]))
    with pytest.raises(Conflict):
        await api.remove_member(world.as_(bob), chat, "me")


async def test_a_new_title_is_in_the_log_and_told_to_everybody(world, cast):
    ctx = world.as_(cast["moderator"])
    assert (await api.patch_chat(ctx, cast["chat"], PatchChat(title=" Foes "))).title == "Foes"
    assert world.told(cast["chat"])[-1]["title"] == "Foes"
    assert (await world.feed())[-1] == ("chat.updated", cast["chat"], [], "title")
    heads = len(world.broker.logged)
    await api.patch_chat(ctx, cast["chat"], PatchChat(title="Foes"))
    assert len(world.broker.logged) == heads
    assert (await api.patch_chat(ctx, cast["chat"], PatchChat(title=None))).title is None
    assert world.told(cast["chat"])[-1]["title"] is None


def test_a_member_in_a_path_is_me_or_a_users_id():
    user_id = UuidIds().new("usr")
    assert [msgspec.convert(text, MemberRef) for text in ("me", user_id)] == ["me", user_id]
    for wrong in ("", "you", "me\n", "me ", user_id + "\n", user_id[:-1], UuidIds().new("cht")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, MemberRef)


async def test_members_are_listed_earliest_first(world, cast):
    body = AddMembers(user_ids=[cast["newcomer"]])
    detail = await api.add_members(world.as_(cast["owner"]), cast["chat"], body)
    assert detail.members[-1].user_id == cast["newcomer"]
    assert {member.user_id: member.role for member in detail.members} == await world.roles(cast["chat"])
    assert detail.member_count == len(detail.members)
