"""Sign-in by a provider: whose account it is, and who is let in."""

import asyncio
from dataclasses import replace

import pytest

from chatd.core.errors import Banned, RateLimited, Unauthenticated
from chatd.features.accounts import service
from tests.databases import until_somebody_waits


async def test_a_newcomer_gets_an_account_and_finds_it_again(world, issuer, come_in):
    first = await come_in(issuer.token())
    assert (first.user.email, first.user.email_verified, first.user.display_name) == (
        "alex@example.com",
        True,
        "Alex",
    )
    await service.require_live_session(world.as_(first))
    # the subject is who they are: the email may change, or be left out (as Apple does)
    second = await come_in(issuer.token(email=..., email_verified=...))
    third = await come_in(issuer.token(email="new@example.com"))
    assert first.user.id == second.user.id == third.user.id
    assert issuer.fetched == 1
    assert (await service.refresh(world.base, third.refresh_token)).expires_in == 900


async def test_a_verified_account_is_linked_and_keeps_its_password(world, issuer, come_in):
    user = await world.person()
    await world.db.run("UPDATE users SET email_verified = true")
    before = await world.sign_in()
    assert (await come_in(issuer.token(email="ALEX@example.com"))).user.id == user
    await service.require_live_session(world.as_(before))
    await world.sign_in()


async def test_who_registered_with_an_email_not_theirs_is_out_when_its_owner_comes(world, issuer, come_in):
    user = await world.person()
    hijacker = await world.sign_in()
    owner = await come_in(issuer.token())
    assert owner.user.id == user
    assert owner.user.email_verified is True
    with pytest.raises(Unauthenticated):
        await world.sign_in()
    with pytest.raises(Unauthenticated):
        await service.refresh(world.base, hijacker.refresh_token)
    with pytest.raises(Unauthenticated):
        await service.require_live_session(world.as_(hijacker))
    await service.require_live_session(world.as_(owner))
    [row] = await world.feed()
    assert (row.kind, row.reason, row.session_id) == (
        "session.ended",
        "account_linked",
        world.actor(hijacker).session_id,
    )
    assert world.broker.feeds == 1


async def test_an_unverified_email_of_the_provider_links_nothing(world, issuer, come_in):
    await world.person()
    with pytest.raises(Unauthenticated):
        await come_in(issuer.token(email_verified=False))
    await world.sign_in()
    assert await world.count("user_identities") == 0


async def test_two_providers_with_one_email_are_one_account(issuer, come_in):
    google = await come_in(issuer.token())
    apple = await come_in(
        issuer.token(iss="https://appleid.apple.com", aud="com.example.app", sub="apple-1"), provider="apple"
    )
    assert google.user.id == apple.user.id


async def test_ten_first_sign_ins_at_once_make_one_account(world, issuer, come_in):
    signed = await asyncio.gather(*(come_in(issuer.token()) for _ in range(10)))
    assert len({each.user.id for each in signed}) == 1
    assert (await world.count("users"), await world.count("user_identities")) == (1, 1)


async def test_a_banned_user_does_not_come_in_by_a_provider_either(world, issuer, come_in):
    signed = await come_in(issuer.token())
    await world.ban(signed.user.id)
    with pytest.raises(Banned):
        await come_in(issuer.token())
    assert await world.count("sessions") == 1


async def test_sign_ins_by_a_provider_are_counted_per_address(world, issuer, come_in):
    world.set(limits={"logins_per_minute": 1})
    world.base = replace(world.base, address="2001:db8::1")
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await come_in("x")
    world.base = replace(world.base, address="2001:db8::2")  # the same /64: one customer
    with pytest.raises(RateLimited):
        await come_in(issuer.token())


async def test_who_deletes_the_account_while_a_provider_vouches_for_them_has_no_session_of_it(
    world, issuer, come_in
):
    first = await come_in(issuer.token())
    me = world.as_(first)
    async with world.db.transaction() as tx:
        await service.depart(tx, me, await service.require_oneself(me, None))
        late = asyncio.create_task(come_in(issuer.token()))
        await until_somebody_waits(world.db)
    assert (await late).user.id != first.user.id
    open_ = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await world.db.one(int, open_, first.user.id) == 0
