"""Who may write to whom, who sees a profile, and who sees what was read: the settings of /privacy, obeyed."""

from typing import Any

from tests.system.calls import opened
from tests.system.world import World


async def wish(world: World, user: str, **settings: Any) -> None:
    status, answer = await world.rest(user, "PATCH", "/api/privacy", settings)
    assert status == 200, answer
    assert settings.items() <= answer.items()


async def grouped(world: World, owner: str, *members: str) -> tuple[int, Any]:
    """A group made by its owner: the answer."""
    return await world.rest(owner, "POST", "/api/chats", {"type": "group", "member_ids": list(members)})


async def added(world: World, owner: str, chat: str, *members: str) -> tuple[int, Any]:
    return await world.rest(owner, "POST", f"/api/chats/{chat}/members", {"user_ids": list(members)})


# ------------------------------------------------------------------------------------- who writes to whom


async def test_a_group_is_no_way_around_who_may_write_to_me(two: World) -> None:
    stranger, friend, shy, hermit = await two.users(4)
    await two.group(friend, shy, hermit)
    await wish(two, shy, messages_from="shared_chats")
    await wish(two, hermit, messages_from="nobody")
    phones = [await two.phone(shy), await two.phone(hermit, node=1)]
    own = await two.group(stranger, friend)
    for target in (shy, hermit):
        for status, answer in (
            await grouped(two, stranger, target),
            await grouped(two, stranger, friend, target),
            await added(two, stranger, own, target),
        ):
            assert (status, answer["code"]) == (403, "blocked")
    assert (await two.rest(stranger, "GET", f"/api/chats/{own}"))[1]["member_count"] == 2, "nobody came in"
    assert (await grouped(two, friend, hermit))[1]["code"] == "blocked", "nobody means nobody"
    for phone in phones:
        await phone.fence()
        assert not phone.seen("chat.joined", "message.new")
    status, chat = await grouped(two, friend, shy)
    assert status == 201, "who shares a chat need not ask"
    await phones[0].event("chat.joined")
    await wish(two, shy, messages_from="nobody")
    assert (await added(two, friend, chat["id"], shy))[0] == 200, "who is in stays in"


async def test_a_direct_chat_is_no_shared_chat(one: World) -> None:
    stranger, shy = await one.users(2)
    await opened(one, stranger, shy)
    await wish(one, shy, messages_from="shared_chats")
    assert (await grouped(one, stranger, shy))[1]["code"] == "blocked"


# ----------------------------------------------------------------------------------------------- profiles


async def profile(world: World, viewer: str, user: str) -> Any:
    status, answer = await world.rest(viewer, "GET", f"/api/users/{user}")
    assert status == 200, answer
    return answer


async def card(world: World, viewer: str, user: str) -> Any:
    _, answer = await world.rest(viewer, "GET", f"/api/users?ids={user}")
    (found,) = answer["users"]
    return found


async def test_a_profile_is_shown_to_whom_its_owner_shows_it(one: World) -> None:
    ann, friend, stranger = await one.users(3)
    await one.group(ann, friend)
    await opened(one, stranger, ann)
    told = {
        "bio": "sings",
        "city": "Austin",
        "interests": ["music"],
        "avatar_url": "https://example.com/a.png",
    }
    assert (await one.rest(ann, "PATCH", "/api/users/me", told))[0] == 200
    phone = await one.phone(ann)
    await phone.fence()
    name = (await profile(one, ann, ann))["display_name"]
    for audience, shown in (
        ("everyone", {friend, stranger}),
        ("shared_chats", {friend}),
        ("nobody", set()),
    ):
        await wish(one, ann, profile=audience)
        for viewer in (friend, stranger):
            found, short = await profile(one, viewer, ann), await card(one, viewer, ann)
            assert found["display_name"] == short["display_name"] == name, "who speaks is no secret"
            if viewer in shown:
                assert told.items() <= found.items(), (audience, viewer)
                assert short["avatar_url"] == told["avatar_url"]
            else:
                assert {found[key] for key in ("bio", "city", "avatar_url", "premium_tier")} == {None}
                assert (found["interests"], found["last_active_at"], short["avatar_url"]) == ([], None, None)
        assert told.items() <= (await profile(one, ann, ann)).items(), "oneself sees all"


async def test_a_hidden_profile_is_still_judged_whole(one: World) -> None:
    ann, bob = await one.users(2)
    assert (await one.rest(ann, "PATCH", "/api/users/me", {"bio": "cheap watches"}))[0] == 200
    await wish(one, ann, profile="nobody")
    assert (await one.rest(bob, "POST", f"/api/users/{ann}/report", {"reason": "spam"}))[0] == 201
    kept = await one.nodes[0].db.one(str, "SELECT snapshot ->> 'bio' FROM moderation_cases")
    assert kept == "cheap watches"


# ------------------------------------------------------------------------------------------- read receipts


async def last_read(world: World, viewer: str, chat: str, of: str) -> int:
    _, detail = await world.rest(viewer, "GET", f"/api/chats/{chat}")
    return next(int(m["last_read_seq"]) for m in detail["members"] if m["user_id"] == of)


async def test_who_hides_what_they_read_does_not_see_what_others_have(two: World) -> None:
    ann, bob, eve = await two.users(3)
    chat = await two.group(ann, bob, eve)
    await wish(two, ann, read_receipts=False)
    a, b, e = await two.phone(ann), await two.phone(bob, node=1), await two.phone(eve)
    message = (await a.say(chat, "hi"))["message_id"]
    await b.event("message.new", chat_id=chat)
    await b.call("delivery.read", chat_id=chat, last_read_message_id=message)
    read = await e.event("delivery.read", user_id=bob)
    await e.say(chat, "seen")
    await a.event("message.new", seq=read["last_read_seq"] + 1)
    assert not a.seen("delivery.read"), "live"

    late, others = await two.phone(ann, since={chat: 0}), await two.phone(eve, since={chat: 0})
    for phone in (late, others):
        await phone.event("sync.complete")
    assert not late.seen("delivery.read"), "on resume"
    assert late.seen("delivery.received"), "that it came is no secret"
    assert others.seen("delivery.read")

    assert await last_read(two, ann, chat, bob) == 0
    assert await last_read(two, eve, chat, bob) == read["last_read_seq"]
    _, history = await two.rest(ann, "GET", f"/api/chats/{chat}/messages")
    assert history["messages"][1]["delivery"] == {"status": "delivered", "read_by": [], "read_count": 0}
    _, history = await two.rest(eve, "GET", f"/api/chats/{chat}/messages")
    assert history["messages"][1]["delivery"]["read_by"] == [bob]

    await wish(two, ann, read_receipts=True)
    assert await last_read(two, ann, chat, bob) == read["last_read_seq"], "shown again with one's own"


async def test_reads_that_are_healed_are_kept_from_who_hides_theirs(one: World) -> None:
    ann, bob, eve = await one.users(3)
    chat = await one.group(ann, bob, eve)
    await wish(one, ann, read_receipts=False)
    a, e = await one.phone(ann), await one.phone(eve)
    message = (await a.say(chat, "hi"))["message_id"]
    # As another node would write it, whose word Redis has lost: what follows is read from the tables.
    await one.nodes[0].db.run(
        "SELECT advance_marks(ARRAY[$1::uuid], ARRAY[$2::uuid], ARRAY['read'], ARRAY[$3::uuid])",
        chat,
        bob,
        message,
    )
    await e.event("delivery.read", user_id=bob)
    await a.fence()
    assert not a.seen("delivery.read")


async def test_ones_own_devices_agree_on_what_was_read_all_the_same(one: World) -> None:
    ann, bob = await one.users(2)
    chat = await one.group(ann, bob)
    await wish(one, bob, read_receipts=False)
    phone, tablet, a = await one.phone(bob), await one.phone(bob), await one.phone(ann)
    message = (await a.say(chat, "hi"))["message_id"]
    await phone.event("message.new", chat_id=chat)
    await phone.call("delivery.read", chat_id=chat, last_read_message_id=message)
    await tablet.event("delivery.read", user_id=bob)
    again = await one.phone(bob, since={chat: 0})
    await again.event("sync.complete")
    assert again.seen("delivery.read")
