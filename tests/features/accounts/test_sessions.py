"""Log-in, refresh, log-out, and what becomes of sessions."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from chatd.core.context import NOBODY
from chatd.core.errors import Banned, RateLimited, Unauthenticated
from chatd.features.accounts import jobs, passwords, service, sessions_store, store
from chatd.features.accounts.contract import Device, Login

PASSWORD = "correct horse"


async def test_a_login_gives_tokens_and_the_own_profile(world):
    user = await world.person()
    signed = await world.sign_in(" ALEX@Example.com ")
    assert (signed.token_type, signed.expires_in) == ("Bearer", 900)
    assert signed.user.id == user
    assert signed.user.email == "alex@example.com"
    actor = world.actor(signed)
    assert actor.user_id == user
    assert actor.roles == {"user"}
    assert await service.session_states(world.db, [actor.session_id]) == {actor.session_id: "live"}


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("alex@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("no email", PASSWORD),
        ("a\0@b", "x\0y"),
        ("", ""),
    ],
)
async def test_a_wrong_email_and_a_wrong_password_get_the_same_answer(world, email, password):
    await world.person()
    with pytest.raises(Unauthenticated, match=r"^Wrong email or password$"):
        await world.sign_in(email, password)
    assert await world.count("sessions") == 0


async def test_a_wrong_email_and_a_wrong_password_take_the_same_time(world, monkeypatch):
    """Time is what the checks cost: as many of them, of the same costs."""
    await world.person()
    checked: list[str] = []
    verify = passwords.PasswordHasher.verify

    def note(hasher, stored, password):
        checked.append(stored)
        return verify(hasher, stored, password)

    monkeypatch.setattr(passwords.PasswordHasher, "verify", note)
    for email in ("alex@example.com", "nobody@example.com", "no email"):
        with pytest.raises(Unauthenticated):
            await world.sign_in(email, "wrong password")
    assert len(checked) == 3
    assert not any(passwords.outdated(stored) for stored in checked)


async def test_the_hash_that_is_nobodys_is_nobodys():
    assert not await passwords.HashPool(1).verify(None, "anything")


async def test_a_session_remembers_its_device(world):
    await world.person()
    await service.login(
        world.base,
        Login(email="alex@example.com", password=PASSWORD, device=Device(name="Pixel", platform="android")),
    )
    assert (
        await world.db.one(str, "SELECT device_name || '/' || device_platform FROM sessions")
        == "Pixel/android"
    )


async def test_attempts_are_counted_per_account_whatever_the_address(world):
    await world.person()
    world.set(limits={"logins_per_minute": 3})
    for i in range(3):
        world.base = replace(world.base, address=f"192.0.2.{i}")
        with pytest.raises(Unauthenticated):
            await world.sign_in("Alex@example.com", "wrong password")
    with pytest.raises(RateLimited):
        await world.sign_in()


async def test_attempts_are_counted_per_address_ten_times_as_many(world):
    world.set(limits={"logins_per_minute": 1})
    for i in range(10):
        with pytest.raises(Unauthenticated):
            await world.sign_in(f"nobody{i}@example.com")
    with pytest.raises(RateLimited):
        await world.sign_in("nobody11@example.com")


async def test_the_limiter_is_not_told_who_has_an_account(world):
    world.set(limits={"logins_per_minute": 1})
    with pytest.raises(Unauthenticated):
        await world.sign_in("alex@example.com")
    assert not any("alex" in key for _, key in world.limiter.counts)


async def test_a_hash_of_other_costs_is_renewed_at_login(world, monkeypatch):
    cheap = passwords.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    user = await world.person()
    await world.db.run("UPDATE users SET password_hash = $2 WHERE id = $1", user, cheap.hash(PASSWORD))
    await world.sign_in()
    assert not passwords.outdated(await world.db.one(str, "SELECT password_hash FROM users"))
    await world.sign_in()


async def test_a_banned_user_is_told_so_only_with_the_right_password(world):
    user = await world.person()
    await world.ban(user)
    with pytest.raises(Banned):
        await world.sign_in()
    with pytest.raises(Unauthenticated):
        await world.sign_in(password="wrong password")


async def test_a_ban_ends_when_it_says(world):
    user = await world.person()
    await world.ban(user, world.clock.now() + timedelta(hours=1))
    with pytest.raises(Banned):
        await world.sign_in()
    world.later(hours=2)
    assert (await world.sign_in()).user.id == user


async def test_a_password_taken_away_while_it_is_checked_lets_nobody_in(world):
    user = await world.person()
    stored = await world.db.one(str, "SELECT password_hash FROM users")
    now = world.clock.now()
    async with world.db.transaction() as tx:
        await store.hand_over(tx, user, now)
        late = asyncio.create_task(
            sessions_store.open_session(
                world.db,
                world.base.ids.new("ses"),
                user,
                b"hash",
                checked_hash=stored,
                new_hash=None,
                device_name=None,
                device_platform=None,
                address=None,
                now=now,
                expires_at=now,
            )
        )
        while not await world.db.one(int, "SELECT count(*) FROM pg_locks WHERE NOT granted"):
            pass
    assert await late is False
    assert await world.count("sessions") == 0


async def test_a_refresh_gives_two_new_tokens_of_the_same_session(world):
    await world.person()
    signed = await world.sign_in()
    world.later(minutes=10)
    fresh = await service.refresh(world.base, signed.refresh_token)
    assert fresh.refresh_token != signed.refresh_token
    assert fresh.access_token != signed.access_token
    assert world.actor(fresh).session_id == world.actor(signed).session_id
    assert (await service.refresh(world.base, fresh.refresh_token)).expires_in == 900


async def test_a_refresh_brings_the_roles_of_today(world):
    user = await world.person()
    signed = await world.sign_in()
    await world.db.run("UPDATE users SET roles = '{user,admin}' WHERE id = $1", user)
    assert world.actor(await service.refresh(world.base, signed.refresh_token)).roles == {"user", "admin"}


async def test_a_refresh_token_used_twice_revokes_its_family(world):
    user = await world.person()
    signed, other = await world.sign_in(), await world.sign_in()
    fresh = await service.refresh(world.base, signed.refresh_token)
    for token in (signed.refresh_token, fresh.refresh_token, signed.refresh_token):
        with pytest.raises(Unauthenticated):
            await service.refresh(world.base, token)
    session = world.actor(fresh).session_id
    assert await service.session_states(world.db, [session]) == {session: "revoked"}
    with pytest.raises(Unauthenticated):
        await service.require_live_session(world.as_(fresh))
    [row] = await world.feed()
    assert (row.kind, row.session_id, row.user_ids, row.reason) == (
        "session.ended",
        session,
        [user],
        "refresh_token_reused",
    )
    assert world.broker.feeds == 1
    await service.refresh(world.base, other.refresh_token)  # the other family has nothing to do with it


async def test_of_twenty_refreshes_at_once_one_succeeds_and_the_family_is_revoked(world):
    await world.person()
    signed = await world.sign_in()
    outcomes = await asyncio.gather(
        *(service.refresh(world.base, signed.refresh_token) for _ in range(20)), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(won) == 1
    assert all(isinstance(outcome, Unauthenticated) for outcome in outcomes if outcome not in won)
    with pytest.raises(Unauthenticated):
        await service.refresh(world.base, won[0].refresh_token)
    with pytest.raises(Unauthenticated):
        await service.require_live_session(world.as_(won[0]))
    assert len(await world.feed()) == 1


async def test_a_refresh_token_lives_seven_days_and_its_session_with_it(world):
    await world.person()
    signed = await world.sign_in()
    world.later(days=6)
    fresh = await service.refresh(world.base, signed.refresh_token)
    world.later(days=6)
    again = await service.refresh(world.base, fresh.refresh_token)
    session = world.actor(again).session_id
    assert await world.count("refresh_tokens") == 2  # the first has run out, and is forgotten
    world.later(days=7, seconds=1)
    with pytest.raises(Unauthenticated):
        await service.refresh(world.base, again.refresh_token)
    assert await service.session_states(world.db, [session], now=world.clock.now()) == {session: "expired"}


async def test_tokens_are_stored_hashed_only(world):
    await world.person()
    signed = await world.sign_in()
    assert await world.db.one(int, "SELECT max(length(hash)) FROM refresh_tokens") == 32
    stored = await world.db.rows(
        str, "SELECT t::text FROM refresh_tokens t UNION ALL SELECT s::text FROM sessions s"
    )
    assert not any(signed.refresh_token in row for row in stored)


async def test_a_banned_user_gets_no_new_tokens(world):
    user = await world.person()
    signed = await world.sign_in()
    await world.ban(user)
    with pytest.raises(Banned):
        await service.refresh(world.base, signed.refresh_token)
    with pytest.raises(Banned):
        await service.require_live_session(world.as_(signed))


async def test_a_logout_ends_this_session_and_no_other(world):
    user = await world.person()
    here, there = await world.sign_in(), await world.sign_in()
    await service.logout(world.as_(here))
    await service.logout(world.as_(here))
    [row] = await world.feed()
    assert (row.kind, row.user_ids, row.reason) == ("session.ended", [user], "logout")
    assert row.session_id == world.actor(here).session_id
    assert world.broker.feeds == 1
    with pytest.raises(Unauthenticated):
        await service.require_live_session(world.as_(here))
    with pytest.raises(Unauthenticated):
        await service.refresh(world.base, here.refresh_token)
    await service.require_live_session(world.as_(there))


async def test_a_session_that_never_was_is_unknown(world):
    strange = world.base.ids.new("ses")
    assert await service.session_states(world.db, [strange]) == {strange: "unknown"}
    assert await service.session_states(world.db, []) == {}
    with pytest.raises(Unauthenticated):
        await service.require_live_session(replace(world.base, actor=NOBODY))


async def test_what_ran_out_is_purged_and_what_lives_is_kept(world):
    await world.person()
    await world.sign_in()
    world.later(days=8, hours=1)
    alive = await world.sign_in()
    await jobs.purge(world.base)
    assert (await world.count("sessions"), await world.count("refresh_tokens")) == (1, 1)
    await service.refresh(world.base, alive.refresh_token)


async def test_a_full_queue_of_passwords_says_not_now():
    pool = passwords.HashPool(1, queue_per_thread=2)
    outcomes = await asyncio.gather(*(pool.hash("password") for _ in range(10)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, passwords.Unavailable)]
    assert len(refused) == 7
    assert await pool.verify(await pool.hash("password"), "password")  # and it takes new ones again


async def test_a_password_is_the_same_however_a_keyboard_composes_it():
    pool = passwords.HashPool(1)
    assert await pool.verify(await pool.hash("caf\u00e9 au lait"), "cafe\u0301 au lait")
