"""Accounts, chats and tokens in bulk, as real as those of people."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from chatd import seed
from chatd.__main__ import main
from chatd.core.errors import UserNotFound
from chatd.core.settings import Postgres, Secrets, Settings, SettingsError
from chatd.db.pool import Db
from chatd.features.accounts import service as accounts
from chatd.features.accounts import tokens
from chatd.features.chats import service as chats


@pytest.fixture
def settings(database: str) -> Settings:
    return Settings(postgres=Postgres(url=database), secrets=Secrets(jwt_key="k" * 32))


async def test_seeded_users_have_tokens_of_live_sessions_for_a_day(settings: Settings) -> None:
    made = await seed.seed(settings, users=5, chats=0, members=2)
    now = datetime.now(UTC)
    actors = [tokens.verify(settings, user.access_token, now) for user in made.users]
    assert [actor.user_id for actor in actors] == [user.id for user in made.users]
    assert all(actor.expires_at > (now + timedelta(hours=23)).timestamp() for actor in actors)
    db = Db(settings.postgres)
    await db.open()
    try:
        states = await accounts.session_states(db, [actor.session_id for actor in actors])
        assert set(states.values()) == {"live"}
    finally:
        await db.close()


async def test_seeded_chats_are_as_a_person_would_have_made_them(settings: Settings) -> None:
    made = await seed.seed(settings, users=12, chats=30, members=4)
    connection = await asyncpg.connect(settings.postgres.url)
    try:
        counts = await connection.fetch("SELECT member_count, head_seq, type FROM chat_chats")
        roles = await connection.fetch("SELECT role, count(*) FROM chat_participants GROUP BY 1")
    finally:
        await connection.close()
    assert [tuple(row) for row in counts] == [(4, 0, "group")] * 30
    assert dict(tuple(row) for row in roles) == {"owner": 30, "member": 90}
    db = Db(settings.postgres)
    await db.open()
    try:
        for chat in made.chats:
            views = await chats.views(db, chat.id, chat.member_ids, unread_cap=99)
            assert set(views) == set(chat.member_ids)
            assert views[chat.member_ids[0]].my_role == "owner"
    finally:
        await db.close()


async def test_everybody_is_in_about_as_many_chats_and_never_twice_in_one(settings: Settings) -> None:
    made = await seed.seed(settings, users=7, chats=50, members=3)
    seats = Counter(user_id for chat in made.chats for user_id in chat.member_ids)
    assert len(seats) == 7
    assert max(seats.values()) - min(seats.values()) <= 2
    assert all(len(set(chat.member_ids)) == 3 for chat in made.chats)


async def test_a_chat_of_everybody_can_be_seeded(settings: Settings) -> None:
    made = await seed.seed(settings, users=6, chats=2, members=6)
    assert [sorted(chat.member_ids) for chat in made.chats] == [sorted(user.id for user in made.users)] * 2


@pytest.mark.parametrize("members", [4, 5001])
async def test_more_members_than_there_can_be_are_refused(settings: Settings, members: int) -> None:
    with pytest.raises(SettingsError, match=f"--members {members}"):
        await seed.seed(settings, users=3, chats=1, members=members)


async def test_seeding_again_adds(settings: Settings) -> None:
    first = await seed.seed(settings, users=2, chats=1, members=2)
    second = await seed.seed(settings, users=2, chats=1, members=2)
    assert not {user.id for user in first.users} & {user.id for user in second.users}


async def test_a_token_is_of_a_new_session_and_good_for_as_long_as_was_said(settings: Settings) -> None:
    user = (await seed.seed(settings, users=1, chats=0, members=2)).users[0]
    now = datetime.now(UTC)
    one = tokens.verify(settings, await seed.token(settings, user.id, 60), now)
    other = tokens.verify(settings, await seed.token(settings, user.id, 3600), now)
    assert one.user_id == other.user_id == user.id
    assert one.session_id != other.session_id
    assert 55 < one.expires_at - now.timestamp() < 65
    assert 3595 < other.expires_at - now.timestamp() < 3605
    assert other.roles == {"user"}


async def test_nobody_gets_no_token(settings: Settings) -> None:
    with pytest.raises(UserNotFound):
        await seed.token(settings, "usr_01h455vb4pex5vsknk084sn02q", 60)


def test_the_commands_need_nothing_but_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["seed", "--users", "4", "--chats", "3", "--members", "2", "--out", "made.json"]) == 0
    made = msgspec.json.decode((tmp_path / "made.json").read_bytes(), type=seed.Seeded)
    assert (len(made.users), len(made.chats), made.chats[0].type) == (4, 3, "group")
    capsys.readouterr()
    assert main(["token", made.users[0].id]) == 0
    out = capsys.readouterr().out
    assert out.count(".") == 2
    assert out.count("\n") == 1
