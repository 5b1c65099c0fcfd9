"""One's own account in one's own hands: sessions, passwords, proven emails, lock-out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chatd.core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthenticated,
    ValidationFailed,
)
from chatd.core.settings import Settings
from chatd.features.accounts import jobs, security, service
from chatd.features.accounts.contract import Device, Login
from chatd.features.mail import jobs as mail_jobs
from tests.databases import until_somebody_waits
from tests.features.accounts.conftest import PASSWORD, World
from tests.features.mailbox import Mailbox, mailbox

ALEX = "alex@example.com"


@pytest.fixture
async def post(world: World) -> AsyncIterator[Mailbox]:
    async with mailbox() as box:
        world.set(
            mail={"host": "127.0.0.1", "port": box.port, "security": "none", "sender": "c@chat.example"}
        )
        yield box


async def sign_in(world: World, device: Device | None = None, password: str = PASSWORD):
    return await service.login(world.base, Login(email=ALEX, password=password, device=device))


async def refused(world: World, who) -> bool:
    try:
        await service.require_live_session(world.as_(who))
    except Unauthenticated:
        return True
    return False


# ------------------------------------------------------------------------------------------------ sessions


async def test_my_sessions_are_listed_with_their_devices_and_which_one_asks(world):
    await world.person()
    phone = await sign_in(world, Device(name="Pixel", platform="android"))
    await sign_in(world)
    found = (await security.list_sessions(world.as_(phone))).sessions
    assert [(s.device_name, s.device_platform, s.current) for s in found] == [
        (None, None, False),
        ("Pixel", "android", True),
    ]
    assert {s.address for s in found} == {"192.0.2.7"}


async def test_sessions_that_have_ended_or_run_out_are_not_listed(world):
    await world.person()
    old = await sign_in(world)
    await service.logout(world.as_(old))
    await sign_in(world)
    world.later(days=8)
    new = await sign_in(world)
    assert [s.current for s in (await security.list_sessions(world.as_(new))).sessions] == [True]


async def test_a_session_that_i_end_is_refused_and_every_node_learns_it(world):
    user = await world.person()
    lost, mine = await sign_in(world), await sign_in(world)
    lost_id = world.actor(lost).session_id
    await security.end_session(world.as_(mine), lost_id)
    assert await refused(world, lost)
    assert not await refused(world, mine)
    assert [(row.kind, row.session_id, row.user_ids) for row in await world.feed()] == [
        ("session.ended", lost_id, [user])
    ]
    assert world.broker.feeds == 1


async def test_nobody_ends_the_session_of_another(world):
    await world.person()
    mine = await sign_in(world)
    await world.person("eve@example.com", "Eve")
    eve = await world.sign_in("eve@example.com")
    with pytest.raises(NotFound):
        await security.end_session(world.as_(eve), world.actor(mine).session_id)
    assert not await refused(world, mine)


async def test_all_sessions_but_this_one_end_or_all_of_them(world):
    await world.person()
    one, two, three = [await sign_in(world) for _ in range(3)]
    assert await security.end_sessions(world.as_(one), keep_current=True) == 2
    assert [await refused(world, who) for who in (one, two, three)] == [False, True, True]
    assert await security.end_sessions(world.as_(one), keep_current=False) == 1
    assert await refused(world, one)


# --------------------------------------------------------------------------------------------- new devices


async def taken(world: World):
    async with world.db.transaction() as tx:
        return await security.take_new_logins(tx, 10)


async def test_a_login_from_an_unknown_device_is_told_once_and_the_first_one_of_all_is_not(world):
    user = await world.person()
    pixel = Device(name="Pixel", platform="android")
    await sign_in(world, pixel)
    await sign_in(world, pixel)
    assert await taken(world) == []
    await sign_in(world, Device(name="iPad", platform="ios"))
    [notice] = await taken(world)
    assert (notice.user_id, notice.email, notice.device_name) == (user, ALEX, "iPad")
    assert notice.address == "192.0.2.7"
    assert await taken(world) == []


async def test_a_device_that_does_not_name_itself_is_known_by_its_address(world):
    await world.person()
    await sign_in(world)
    await sign_in(world)
    assert await taken(world) == []
    world.base = replace(world.base, address="198.51.100.1")
    await sign_in(world)
    assert len(await taken(world)) == 1


# ------------------------------------------------------------------------------------------------ lock-out


async def fail(world: World, email: str = ALEX, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            await service.login(world.base, Login(email=email, password="wrong"))


@pytest.mark.parametrize("email", [ALEX, "nobody@example.com"])
async def test_wrong_passwords_in_a_row_lock_an_email_whether_it_is_somebodys_or_not(world, email):
    world.set(auth={"lockout_after": 3})
    await world.person()
    await fail(world, email, 3)
    with pytest.raises(RateLimited) as locked:
        await service.login(world.base, Login(email=email, password=PASSWORD))
    assert 29_000 < (locked.value.retry_after_ms or 0) <= 30_000


async def test_the_rate_of_logins_answers_before_the_lock_does(world):
    defaults = Settings()
    world.set(
        auth={"lockout_after": defaults.auth.lockout_after},
        limits={"logins_per_minute": defaults.limits.logins_per_minute},
    )
    await world.person()
    await fail(world, times=10)
    with pytest.raises(RateLimited):
        await sign_in(world)
    world.limiter.counts.clear()  # a minute later
    assert (await sign_in(world)).access_token


async def test_each_wrong_password_after_the_lock_doubles_it_up_to_a_bound(world):
    world.set(auth={"lockout_after": 2, "lockout_s": 30.0, "lockout_max_s": 100.0})
    await world.person()
    await fail(world, times=2)
    waits = []
    for _ in range(3):
        with pytest.raises(RateLimited) as locked:
            await sign_in(world)
        waits.append(round((locked.value.retry_after_ms or 0) / 1000))
        world.later(seconds=waits[-1] + 1)
        await fail(world)
    assert waits == [30, 60, 100]


async def test_the_right_password_after_the_lock_counts_from_none_again(world):
    world.set(auth={"lockout_after": 3})
    await world.person()
    await fail(world, times=2)
    await sign_in(world)
    await fail(world, times=2)
    await sign_in(world)


async def test_open_sessions_go_on_while_the_email_is_locked(world):
    world.set(auth={"lockout_after": 1})
    await world.person()
    mine = await sign_in(world)
    await fail(world)
    assert not await refused(world, mine)
    assert (await service.refresh(world.base, mine.refresh_token)).access_token


async def test_wrong_passwords_of_yesterday_are_forgotten(world):
    world.set(auth={"lockout_after": 3})
    await world.person()
    await fail(world, times=2)
    world.later(days=2)
    await jobs.purge_codes(world.base)
    await fail(world, times=2)
    await sign_in(world)


# ----------------------------------------------------------------------------------------------- passwords


async def test_a_new_password_ends_the_other_sessions_and_the_old_one_is_wrong(world, post):
    await world.person()
    other, mine = await sign_in(world), await sign_in(world)
    await security.change_password(world.as_(mine), PASSWORD, "another horse")
    assert [await refused(world, who) for who in (other, mine)] == [True, False]
    await fail(world)
    with pytest.raises(Unauthenticated):
        await sign_in(world)
    await sign_in(world, password="another horse")
    await mail_jobs.deliver(world.base)
    assert post.to(ALEX)[-1]["Subject"] == "Your password was changed"


async def test_who_does_not_know_the_password_does_not_change_it(world):
    await world.person()
    mine = await sign_in(world)
    with pytest.raises(Forbidden):
        await security.change_password(world.as_(mine), "wrong", "another horse")
    await sign_in(world)


async def test_guessing_at_an_unlocked_phone_locks_too(world):
    world.set(auth={"lockout_after": 2})
    await world.person()
    mine = await sign_in(world)
    for _ in range(2):
        with pytest.raises(Forbidden):
            await security.change_password(world.as_(mine), "wrong", "another horse")
    with pytest.raises(RateLimited):
        await security.change_password(world.as_(mine), PASSWORD, "another horse")


async def test_an_account_without_a_password_sets_one_by_letter(world, post):
    user = await world.person()
    mine = await sign_in(world)
    await world.db.run("UPDATE users SET password_hash = NULL WHERE id = $1", user)
    with pytest.raises(Conflict):
        await security.change_password(world.as_(mine), "", "another horse")
    await security.forgot_password(world.base, ALEX)
    await mail_jobs.deliver(world.base)
    await security.reset_password(world.base, post.code(ALEX), "another horse")
    await sign_in(world, password="another horse")


async def test_a_letter_lets_set_a_new_password_once_and_ends_every_session(world, post):
    await world.person()
    mine = await sign_in(world)
    await security.forgot_password(world.base, " ALEX@example.com ")
    await mail_jobs.deliver(world.base)
    code = post.code(ALEX)
    await security.reset_password(world.base, code, "another horse")
    assert await refused(world, mine)
    signed = await sign_in(world, password="another horse")
    assert signed.user.email_verified is True
    with pytest.raises(ValidationFailed):
        await security.reset_password(world.base, code, "a third horse")


async def test_of_two_who_bring_the_same_code_one_sets_the_password(world, post):
    await world.person()
    await security.forgot_password(world.base, ALEX)
    await mail_jobs.deliver(world.base)
    outcomes = await asyncio.gather(
        *(security.reset_password(world.base, post.code(ALEX), f"horse number {i}") for i in range(5)),
        return_exceptions=True,
    )
    assert [type(o) for o in outcomes].count(type(None)) == 1
    assert [type(o) for o in outcomes].count(ValidationFailed) == 4


async def test_a_code_runs_out(world, post):
    await world.person()
    await security.forgot_password(world.base, ALEX)
    await mail_jobs.deliver(world.base)
    world.later(seconds=world.base.settings.auth.reset_ttl_s + 1)
    with pytest.raises(ValidationFailed):
        await security.reset_password(world.base, post.code(ALEX), "another horse")
    await jobs.purge_codes(world.base)
    assert (
        await world.db.one(int, "SELECT count(*) FROM account_tokens WHERE purpose = 'reset_password'") == 0
    )


async def test_a_code_of_one_purpose_is_none_of_another(world, post):
    await world.person()
    await mail_jobs.deliver(world.base)
    with pytest.raises(ValidationFailed):
        await security.reset_password(world.base, post.code(ALEX), "another horse")


async def test_an_email_of_nobody_gets_no_letter_and_the_same_answer(world, post):
    await world.person()
    await mail_jobs.deliver(world.base)
    before = len(post.letters)
    for email in ("nobody@example.com", "no email at all"):
        assert await security.forgot_password(world.base, email) is None
    await mail_jobs.deliver(world.base)
    assert len(post.letters) == before


async def test_letters_are_bounded(world, post):
    await world.person()
    for _ in range(security.LETTERS_PER_HOUR):
        await security.forgot_password(world.base, ALEX)
    with pytest.raises(RateLimited):
        await security.forgot_password(world.base, ALEX)


async def test_setting_a_password_by_letter_opens_the_lock(world, post):
    world.set(auth={"lockout_after": 1})
    await world.person()
    await fail(world)
    await security.forgot_password(world.base, ALEX)
    await mail_jobs.deliver(world.base)
    await security.reset_password(world.base, post.code(ALEX), "another horse")
    await sign_in(world, password="another horse")


# -------------------------------------------------------------------------------------------------- emails


async def test_whoever_registers_gets_a_letter_whose_code_proves_the_email(world, post):
    world.set(server={"public_url": "https://chat.example"})
    await world.person()
    await mail_jobs.deliver(world.base)
    code = post.code(ALEX)
    assert f"https://chat.example/#verify_email={code}" in post.to(ALEX)[0].get_content()
    assert (await sign_in(world)).user.email_verified is False
    await security.verify_email(world.base, code)
    assert (await sign_in(world)).user.email_verified is True
    with pytest.raises(ValidationFailed):
        await security.verify_email(world.base, code)


async def test_a_second_letter_makes_the_first_one_s_code_void(world, post):
    await world.person()
    mine = await sign_in(world)
    await mail_jobs.deliver(world.base)
    first = post.code(ALEX)
    await security.ask_to_verify(world.as_(mine))
    await mail_jobs.deliver(world.base)
    with pytest.raises(ValidationFailed):
        await security.verify_email(world.base, first)
    await security.verify_email(world.base, post.code(ALEX))
    before = len(post.letters)
    await security.ask_to_verify(world.as_(mine))
    await mail_jobs.deliver(world.base)
    assert len(post.letters) == before


async def test_a_ban_and_a_departure_at_once_do_not_wait_for_each_other_for_ever(world):
    user = await world.person()
    me = world.as_(await world.sign_in())

    async def depart():
        async with world.db.transaction() as tx:
            await service.depart(tx, me, await service.person(world.db, user))

    async with world.db.transaction() as tx:
        await service.lock_standings(me, tx, [user])
        departing = asyncio.create_task(depart())
        await until_somebody_waits(world.db)
        await service.ban(tx, me, user, until=None, reason="spam")
    await departing
    assert await world.count("account_deletions") == 1
