"""The data directory: keys that are kept and private, and who runs there."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chatd.core.settings import Postgres, Secrets, Server, Settings, SettingsError
from chatd.embedded import Embedded
from chatd.supervisor import datadir

PRODUCTION = Settings(environment="production")


def test_keys_made_up_in_development_are_kept_and_private(tmp_path: Path) -> None:
    first = datadir.complete_secrets(Settings(), tmp_path)
    assert len(first.secrets.jwt_key) >= 32
    assert first.secrets.internal_api_key
    assert datadir.complete_secrets(Settings(), tmp_path) == first
    assert stat.S_IMODE((tmp_path / "secrets.toml").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secrets.toml"]


def test_other_secrets_stay_beside_the_keys_that_are_made_up(tmp_path: Path) -> None:
    given = Settings(secrets=Secrets(smtp_password="p", vapid_key="v"))
    secrets = datadir.complete_secrets(given, tmp_path).secrets
    assert (secrets.smtp_password, secrets.vapid_key) == ("p", "v")
    assert secrets.jwt_key


def test_of_many_starters_at_once_one_makes_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: datadir.complete_secrets(Settings(), tmp_path), range(32)))
    assert len({each.secrets.jwt_key for each in made}) == 1


def test_a_key_from_the_environment_is_taken_and_not_written(tmp_path: Path) -> None:
    given = Settings(secrets=Secrets(jwt_key="a" * 32, internal_api_key="b"))
    assert datadir.complete_secrets(given, tmp_path) == given
    assert list(tmp_path.iterdir()) == []


def test_production_makes_up_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="CHATD_SECRETS_JWT_KEY"):
        datadir.complete_secrets(PRODUCTION, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("environment", ["development", "production"])
@pytest.mark.parametrize("key", ["hunter2", "a" * 31, "a" * 32 + ",hunter2", "a" * 32 + ","])
def test_a_short_key_is_refused(tmp_path: Path, environment: str, key: str) -> None:
    settings = Settings(
        environment=environment,  # type: ignore[arg-type]
        secrets=Secrets(jwt_key=key, internal_api_key="b"),
    )
    with pytest.raises(SettingsError, match="too short") as refusal:
        datadir.complete_secrets(settings, tmp_path)
    assert key not in str(refusal.value)


@pytest.mark.parametrize("text", ["jwt_key = 5", "jwt_key =", "\xff"])
def test_a_damaged_file_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"secrets\.toml"):
        datadir.complete_secrets(Settings(), tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"server\.data_dir"):
        datadir.make(Settings(server=Server(data_dir=str(tmp_path / "file" / "data"))))


def test_who_runs_is_found_only_while_it_runs(tmp_path: Path) -> None:
    settings = Settings(postgres=Postgres(url="postgresql://here"))
    assert datadir.find_running(tmp_path) is None
    with Embedded(tmp_path, postgres=False), datadir.running(tmp_path, settings):
        found = datadir.find_running(tmp_path)
        assert found == datadir.Run(pid=os.getpid(), postgres_url="postgresql://here")
        assert stat.S_IMODE((tmp_path / "run.json").stat().st_mode) == 0o600
        left_behind = (tmp_path / "run.json").read_bytes()
    assert datadir.find_running(tmp_path) is None
    (tmp_path / "run.json").write_bytes(left_behind)  # as after kill -9
    assert datadir.find_running(tmp_path) is None


def test_metrics_of_a_run_that_is_over_are_swept_and_of_one_that_runs_are_not(tmp_path: Path) -> None:
    (tmp_path / "metrics").mkdir()
    over = tmp_path / "metrics" / "1-over"
    over.mkdir()
    (over / "counter_1.db").write_text("")
    with datadir.metrics(tmp_path) as mine, datadir.metrics(tmp_path) as other:
        assert {path.name for path in (tmp_path / "metrics").iterdir()} == {mine.name, other.name}
    assert list((tmp_path / "metrics").iterdir()) == []


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """As where the disk is full: here the files are folders, or the folder a file."""
    (tmp_path / "metrics").write_text("")
    with (
        pytest.raises(SettingsError, match=r"server\.data_dir .* cannot be written to"),
        datadir.metrics(tmp_path),
    ):
        pass
    (tmp_path / "run.json").mkdir()
    settings = Settings(postgres=Postgres(url="postgresql://here"))
    with pytest.raises(SettingsError, match="CHATD_SERVER_DATA_DIR"), datadir.running(tmp_path, settings):
        pass
