"""Registration, profiles, and what is done to many at once."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core.errors import EmailTaken, Forbidden, RateLimited, UserNotFound, ValidationFailed
from chatd.features.accounts import rules, service, tokens
from chatd.features.accounts.contract import PatchProfile, Register

PASSWORD = "correct horse"


def wanted(**fields) -> Register:
    return Register(**{"email": "alex@example.com", "password": PASSWORD, "display_name": "Alex"} | fields)


def patch(**fields) -> PatchProfile:
    return msgspec.convert(fields, PatchProfile)


async def test_an_account_is_made_as_asked(world):
    before = datetime.now(UTC)
    made = await service.register(
        world.base, wanted(display_name="  Alex ", city=" Austin ", interests=["hiking", " music", "hiking"])
    )
    assert (made.display_name, made.city, made.interests) == ("Alex", "Austin", ["hiking", "music"])
    assert before <= made.created_at <= datetime.now(UTC)
    profile = await service.get_profile(world.as_(made.id), "me")
    assert (profile.email, profile.email_verified, profile.roles) == ("alex@example.com", False, ["user"])
    assert profile.created_at == made.created_at


async def test_of_twenty_registrations_with_one_email_one_is_made(world):
    emails = ["alex@example.com", "ALEX@example.com", " Alex@Example.COM "]
    outcomes = await asyncio.gather(
        *(service.register(world.base, wanted(email=emails[i % 3])) for i in range(20)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 19
    assert (await world.count("users"), await world.count("user_profiles")) == (1, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "alex"),
        ("email", "a@b@c"),
        ("email", "@example.com"),
        ("email", "alex@"),
        ("email", "al ex@example.com"),
        ("email", "alex\x07@example.com"),
        ("email", "alex\0@example.com"),
        ("email", "alex@.example.com"),
        ("email", "alex@example..com"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "a@" + "b" * 253),
        ("display_name", "   "),
        ("display_name", "x" * 61),
        ("display_name", "Al\nex"),
        ("display_name", "Al\u202eex"),
        ("display_name", "\u200b"),
        ("city", "Aus\ttin"),
        ("interests", ["hiking", " "]),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(world, field, value):
    with pytest.raises(ValidationFailed) as caught:
        await service.register(world.base, wanted(**{field: value}))
    assert caught.value.errors[0].path.startswith(f"$.{field}")
    assert await world.count("users") == 0


async def test_names_of_all_the_world_are_welcome(world):
    for i, name in enumerate(["Zoë", "李小龙", "👩‍👩‍👧", "محمد", "x" * 60]):
        made = await service.register(world.base, wanted(email=f"{i}@example.com", display_name=f" {name} "))
        assert made.display_name == name


async def test_registrations_are_counted_per_address(world):
    world.set(limits={"registrations_per_minute": 2})
    for i in range(2):
        await service.register(world.base, wanted(email=f"{i}@example.com"))
    with pytest.raises(RateLimited):
        await service.register(world.base, wanted(email="3@example.com"))


@given(st.text(max_size=80) | st.emails())
def test_the_one_form_of_an_email_is_its_own(text):
    found = rules.email(text)
    if found is not None:
        assert rules.email(found) == found
        assert found.count("@") == 1
        assert len(found) <= 254
        assert not any(c.isspace() or ord(c) < 32 for c in found)


async def test_a_stranger_sees_the_public_profile_only(world):
    user, other = await world.person(), await world.person("other@example.com", "Other")
    profile = await service.get_profile(world.as_(other), user)
    assert msgspec.to_builtins(profile) == {
        "id": user,
        "display_name": "Alex",
        "bio": None,
        "city": "Austin",
        "avatar_url": None,
        "interests": [],
        "badges": [],
        "premium_tier": None,
        "mutual_clubs": [],
        "last_active_at": None,
    }
    assert await service.get_profile(world.as_(user), user) == await service.get_profile(
        world.as_(user), "me"
    )


async def test_nobody_is_user_not_found(world):
    user = await world.person()
    with pytest.raises(UserNotFound):
        await service.get_profile(world.as_(user), world.base.ids.new("usr"))
    await world.give_roles(user, "user", "admin")
    with pytest.raises(UserNotFound):
        await service.patch_profile(world.as_(user), world.base.ids.new("usr"), patch(city="Paris"))


async def test_a_profile_is_changed_where_it_is_said_and_nowhere_else(world):
    user = await world.person()
    me = world.as_(user)
    everything = {
        "display_name": "Lex",
        "bio": "Two\nlines",
        "city": "Paris",
        "avatar_url": "https://cdn.example.com/a.jpg?x=1",
        "interests": ["music"],
        "icebreaker_prompt_id": "prompt_20240420",
        "time_zone": "Europe/Paris",
        "settings": {"theme": "dark", "nested": {"a": [1, 2.5, None, True]}},
    }
    await service.patch_profile(me, "me", patch(**everything))
    profile = msgspec.to_builtins(await service.get_profile(me, "me"))
    assert {name: profile[name] for name in everything} == everything
    await service.patch_profile(
        me, user, patch(bio=None, city=None, avatar_url=None, time_zone=None, interests=None)
    )
    profile = msgspec.to_builtins(await service.get_profile(me, "me"))
    gone = {"bio": None, "city": None, "avatar_url": None, "time_zone": None, "interests": []}
    assert {name: profile[name] for name in everything} == everything | gone
    await service.patch_profile(me, user, patch())
    assert msgspec.to_builtins(await service.get_profile(me, "me")) == profile


async def test_only_oneself_and_an_admin_may_change_a_profile(world):
    user, other = await world.person(), await world.person("other@example.com", "Other")
    for roles in ((), ("user",), ("moderator", "organizer", "premium_plus")):
        await world.give_roles(other, *roles)
        # What a token says of roles counts for nothing: it may be older than what the table says.
        with pytest.raises(Forbidden):
            await service.patch_profile(world.as_(other, roles=("admin",)), user, patch(bio="Mine"))
    await world.give_roles(other, "user", "admin")
    await service.patch_profile(world.as_(other), user, patch(bio="Moderated"))
    assert (await service.get_profile(world.as_(user), "me")).bio == "Moderated"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("display_name", " "),
        ("bio", "a\x07b"),
        ("avatar_url", "javascript:alert(1)"),
        ("avatar_url", "http://"),
        ("avatar_url", "https://user@example.com/a.jpg"),
        ("avatar_url", "https://example.com:port/"),
        ("avatar_url", "https://[::1/"),
        ("avatar_url", 'https://example.com/"onload="x'),
        ("avatar_url", "/relative.jpg"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("settings", {"a": "x" * 9000}),
        ("settings", {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {}}}}}}}}}),
        ("settings", {"a": "nul\0"}),
        ("settings", {"nul\0": 1}),
        ("settings", {"a": 1e300}),
        ("settings", {"a": 2**70}),
        ("settings", {"a": 1e-300}),
    ],
)
async def test_a_field_that_cannot_be_is_refused_and_changes_nothing(world, field, value):
    user = await world.person()
    with pytest.raises(ValidationFailed) as caught:
        await service.patch_profile(world.as_(user), "me", patch(**{"city": "Paris", field: value}))
    assert caught.value.errors[0].path.startswith(f"$.{field}")
    assert (await service.get_profile(world.as_(user), "me")).city == "Austin"


@pytest.mark.parametrize(
    "fields",
    [
        {"display_name": None},
        {"bio": "x" * 501},
        {"interests": ["x"] * 21},
        {"settings": None},
        {"settings": []},
        {"avatar_url": "https://example.com/" + "x" * 2048},
    ],
)
def test_the_shape_of_a_change_is_checked(fields):
    with pytest.raises(msgspec.ValidationError):
        patch(**fields)


async def test_patches_at_once_of_different_fields_lose_nothing(world):
    me = world.as_(await world.person())
    await asyncio.gather(
        *(
            service.patch_profile(me, "me", patch(**{field: f"new {field}"}))
            for field in ("bio", "city", "display_name")
        )
    )
    profile = await service.get_profile(me, "me")
    assert (profile.bio, profile.city, profile.display_name) == ("new bio", "new city", "new display_name")


async def test_last_active_at_never_moves_back(world):
    one, two = await world.person(), await world.person("two@example.com")
    at = datetime(2030, 1, 1, tzinfo=UTC)
    later = at + timedelta(hours=1)
    assert await service.touch_last_active(world.db, [(one, at), (one, later), (two, at)]) == 2
    assert await service.touch_last_active(world.db, [(one, at), (two, later)]) == 1
    assert await service.touch_last_active(world.db, []) == 0
    assert await service.touch_last_active(world.db, [(world.base.ids.new("usr"), at)]) == 0
    for user in (one, two):
        assert (await service.get_profile(world.as_(one), user)).last_active_at == later


async def test_nodes_that_touch_the_same_users_do_not_wait_for_each_other_for_ever(world):
    made = await service.create_many(
        world.db, 200, ids=world.base.ids, now=world.clock.now(), session_ttl_s=60
    )
    at = datetime(2030, 1, 1, tzinfo=UTC)
    pairs = [(each.user_id, at) for each in made]
    await asyncio.gather(
        *(
            service.touch_last_active(
                world.db, [(user, at + timedelta(seconds=i)) for user, at in pairs[:: (-1) ** i]]
            )
            for i in range(12)
        )
    )
    user = made[0].user_id
    assert (await service.get_profile(world.as_(user), user)).last_active_at == at + timedelta(seconds=11)


async def test_accounts_in_bulk_are_live_and_have_no_password(world):
    now = world.clock.now()
    made = await service.create_many(world.db, 4500, ids=world.base.ids, now=now, session_ttl_s=3600)
    assert len({each.user_id for each in made}) == 4500
    states = await service.session_states(world.db, [each.session_id for each in made])
    assert set(states.values()) == {"live"}
    assert await world.db.one(int, "SELECT count(*) FROM users WHERE password_hash IS NULL") == 4500
    one = made[-1]
    token = tokens.issue(world.base.settings, one.user_id, one.session_id, ("user",), now, 3600)
    assert tokens.verify(world.base.settings, token, now).session_id == one.session_id
    profile = await service.get_profile(world.as_(one.user_id), "me")
    assert (profile.display_name, profile.email) == ("Seed 4500", f"{one.user_id}@seed.invalid")


async def test_who_was_never_active_has_no_last_time(world):
    one, two = await world.person(), await world.person("two@example.com")
    at = datetime(2030, 1, 1, tzinfo=UTC)
    await service.touch_last_active(world.db, [(one, at)])
    assert await service.last_active(world.db, [one, two, world.base.ids.new("usr")]) == {one: at}
    assert await service.last_active(world.db, []) == {}
