"""config.toml is the settings: every one of them, with its default, and no other."""

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from chatd.core.settings import Section, Settings, SettingsError, load

CONFIG = Path(__file__).parents[2] / "config.toml"
FROM_ENVIRONMENT_ONLY = {"secrets"}


def defaults() -> dict[str, Any]:
    return {
        name: value
        for name, value in msgspec.to_builtins(Settings(), builtin_types=(tuple,)).items()
        if name not in FROM_ENVIRONMENT_ONLY
    }


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def test_the_file_lists_exactly_the_settings_with_exactly_their_defaults() -> None:
    written = tomllib.loads(CONFIG.read_text())
    expected = msgspec.json.decode(msgspec.json.encode(defaults()))
    assert written == expected
    assert load(CONFIG, {}) == Settings()


def test_the_file_has_the_sections_and_keys_in_the_order_of_the_types() -> None:
    written = tomllib.loads(CONFIG.read_text())
    assert list(written) == list(defaults())
    for section, values in defaults().items():
        if isinstance(values, dict):
            assert list(written[section]) == list(values)


def test_every_setting_has_a_comment_over_it() -> None:
    lines = CONFIG.read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if re.match(r"\w+ = ", line):
            # Settings that belong together may share one.
            assert before.startswith("#") or re.match(r"\w+ = ", before), line


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[limits]\nsends_per_minute = 5", "sends_per_minute"),
        ("[limit]\nsends_per_10s = 5", "limit"),
        ("port = 80", "port"),
        ('[limits]\nsends_per_10s = "5"', "limits.sends_per_10s"),
        ("[server]\nport = 70000", "server.port"),
        ("[server]\nworkers = -1", "server.workers"),
        ("[server]\ndrain_s = nan", "server.drain_s"),
        ("[redis]\ntimeout_s = inf", "redis.timeout_s"),
        ("[limits]\nsends_per_10s = 99999999999999999999", "limits.sends_per_10s"),
        ("[auth]\nrefresh_ttl_s = 2000000000", "auth.refresh_ttl_s"),
        ("[gp]\nhistory_days = 1000000000", "gp.history_days"),
        ("[postgres]\npool_size = 1000000000", "postgres.pool_size"),
        ("[server]\nallowed_origins = [1]", "server.allowed_origins"),
        ("[socket]\ncompression = 1", "socket.compression"),
        ('environment = "staging"', "environment"),
        ('[secrets]\njwt_key = "x"', "CHATD_SECRETS_"),
        ("[server\n", "config.toml"),
    ],
)
def test_a_wrong_file_is_refused_and_the_key_named(tmp_path: Path, text: str, names: str) -> None:
    path = file(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(names)) as refusal:
        load(path, {})
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape("none.toml")):
        load(tmp_path / "none.toml", {})


def test_a_file_may_leave_out_what_it_does_not_change(tmp_path: Path) -> None:
    settings = load(file(tmp_path, "[server]\nport = 9000\ndrain_s = 3"), {})
    assert (settings.server.port, settings.server.drain_s, settings.limits) == (9000, 3.0, Settings().limits)


def test_the_environment_goes_over_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, "[server]\nport = 9000\n[limits]\nsends_per_10s = 7\nsends_burst = 8")
    settings = load(
        path,
        {
            "CHATD_ENVIRONMENT": "production",
            "CHATD_LIMITS_SENDS_PER_10S": "5",
            "CHATD_SERVER_ALLOWED_ORIGINS": "https://a.example, https://b.example",
            "CHATD_SERVER_DRAIN_S": "0.5",
            "CHATD_SOCKET_COMPRESSION": "true",
            "CHATD_SECRETS_JWT_KEY": "k" * 32,
            "CHATD_CONFIG": "elsewhere.toml",
            "HOME": "/root",
        },
    )
    assert settings.environment == "production"
    assert (settings.limits.sends_per_10s, settings.limits.sends_burst) == (5, 8)
    assert settings.server.port == 9000
    assert settings.server.allowed_origins == ("https://a.example", "https://b.example")
    assert settings.server.drain_s == 0.5
    assert settings.socket.compression is True
    assert settings.secrets.jwt_key == "k" * 32


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("CHATD_LIMITS_SENDS_PER_10S", "many", "CHATD_LIMITS_SENDS_PER_10S"),
        ("CHATD_LIMITS_SEND_PER_10S", "5", "limits.send_per_10s"),
        ("CHATD_SERVER_PORT", "70000", "server.port"),
        ("CHATD_SOCKET_COMPRESSION", "perhaps", "CHATD_SOCKET_COMPRESSION"),
        ("CHATD_ENVIRONMENT", "staging", "environment"),
        *(
            ("CHATD_MAIL_SENDER", sender, "mail.sender")
            for sender in (
                *("", "Chat", "Chat <chat>", "Chat <chat@@chat.example>", "a@chat.example, b@chat.example"),
                *(
                    "Chat <chat@chat.example",
                    "Chat, Inc <chat@chat.example>",
                    "ü@chat.example",
                    "chat@a..example",
                ),
                *(
                    "chat@chat.example\r\nBcc: all@chat.example",
                    f"chat@{'long' * 20}.example",
                    "<@chat.example>",
                ),
            )
        ),
    ],
)
def test_a_wrong_variable_is_refused_and_named(name: str, value: str, names: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(names)):
        load(None, {name: value})


@pytest.mark.parametrize(
    "sender",
    [
        "chat@chat.example",
        "Chat <chat@chat.example>",
        '"Chat, Inc" <chat@chat.example>',
        "Grüße <chat@bücher.example>",
    ],
)
def test_a_sender_of_letters_may_have_a_name(sender: str) -> None:
    assert load(None, {"CHATD_MAIL_SENDER": sender}).mail.sender == sender


def test_every_setting_can_be_set_by_its_variable() -> None:
    for section, kind in get_type_hints(Settings).items():
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            continue
        for key in kind.__struct_fields__:
            value = getattr(getattr(Settings(), section), key)
            text = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            if key in ("level", "format"):
                text = str(value)
            found = load(None, {f"CHATD_{section}_{key}".upper(): text})
            assert getattr(getattr(found, section), key) == value, f"{section}.{key}"


def test_settings_survive_the_way_to_a_worker() -> None:
    settings = load(None, {"CHATD_SERVER_TRUSTED_PROXIES": "10.0.0.0/8,::1", "CHATD_SECRETS_JWT_KEY": "k"})
    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
