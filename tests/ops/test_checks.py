"""What is wrong with settings is said before anything is started by them, and by name."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chatd.core.settings import Settings, SettingsError, override, strangers
from chatd.gateway.tls import context_of
from chatd.supervisor.checks import check
from tests.certificates import for_localhost
from tests.ops.serving import chatd


def settings(**sections: dict[str, Any]) -> Settings:
    return override(Settings(), "a test", sections)


def key_of(curve: ec.EllipticCurve) -> str:
    made = ec.generate_private_key(curve)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return made.private_bytes(*form).decode()


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("fcm_account", '{"project_id": "p"}', "CHATD_SECRETS_FCM_ACCOUNT"),
        ("apns_key", "nonsense", "CHATD_SECRETS_APNS_KEY: not a .p8 key"),
        ("apns_key", key_of(ec.SECP256R1()), "apns_topic"),
        ("vapid_key", "nonsense", "CHATD_SECRETS_VAPID_KEY: not a PEM key"),
        ("vapid_key", key_of(ec.SECP384R1()), "P-256"),
    ],
)
def test_keys_for_pushes_are_tried_before_somebody_is_to_be_reached(name: str, value: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refusal:
        check(settings(secrets={name: value}))
    assert "PRIVATE" not in str(refusal.value)


def test_keys_for_pushes_that_are_right_pass() -> None:
    key = key_of(ec.SECP256R1())
    app = {"apns_topic": "com.example.chat", "apns_team_id": "TEAM", "apns_key_id": "KEY"}
    check(settings(secrets={"vapid_key": key, "apns_key": key.replace("\n", "\\n")}, push=app))


def files(directory: Path, name: str) -> tuple[str, str]:
    """A certificate and its key."""
    there = directory / name
    there.mkdir()
    certificate, key = for_localhost(there)
    return str(certificate), str(key)


def locked(path: str) -> str:
    """The same key behind a passphrase."""
    key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
    secrecy = serialization.BestAvailableEncryption(b"passphrase")
    other = Path(path).with_name("locked.pem")
    other.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secrecy)
    )
    return str(other)


def test_what_is_right_passes() -> None:
    check(Settings())
    origins = ("*", "null", "https://app.example.com", "http://localhost:3000", "capacitor://localhost")
    check(
        settings(
            server={
                "allowed_origins": origins,
                "trusted_proxies": ("10.0.0.0/8", "::1"),
                "public_url": "https://chat.example.com/",
            },
            redis={"url": "rediss://:secret@redis.internal:6379/1"},
        )
    )


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("server", "trusted_proxies", ("everywhere",)),
        ("server", "allowed_origins", ("app.example.com",)),
        ("server", "allowed_origins", ("https://app.example.com/",)),
        ("server", "allowed_origins", ("https://app.example.com/chat",)),
        ("server", "public_url", "chat.example.com"),
        ("server", "public_url", "https://"),
        ("server", "tls_cert", "/nowhere/cert.pem"),
        ("server", "tls_key", "/nowhere/key.pem"),
        ("redis", "url", "http://:secret@redis.internal"),
        ("redis", "url", "rediss://:secret@redis.internal?ssl_ca_certs=/nowhere/ca.pem"),
    ],
)
def test_what_could_never_work_is_refused_by_name(section: str, key: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"{section}.{key}") as refusal:
        check(settings(**{section: {key: value}}))
    assert "secret" not in str(refusal.value)


def test_files_of_tls_are_a_certificate_and_its_key(tmp_path: Path) -> None:
    ours, theirs = files(tmp_path, "ours"), files(tmp_path, "theirs")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nothing of the kind")
    both = tmp_path / "both.pem"
    both.write_text(Path(ours[0]).read_text() + Path(ours[1]).read_text())

    def context(cert: str, key: str) -> object:
        return context_of(settings(server={"tls_cert": cert, "tls_key": key}).server)

    assert context("", "") is None
    assert context(*ours) is not None
    assert context(str(both), "") is not None
    for cert, key, word in [
        (ours[0], theirs[1], "MISMATCH"),
        (str(nonsense), ours[1], "nonsense.pem"),
        (ours[0], str(nonsense), "nonsense.pem"),
        (ours[0], str(tmp_path), "Is a directory"),
        (ours[0], locked(ours[1]), "passphrase"),
    ]:
        with pytest.raises(SettingsError, match=word):
            context(cert, key)


def test_serve_says_what_is_wrong_and_starts_nothing(tmp_path: Path) -> None:
    done = chatd(tmp_path, "serve", "--port", "0", CHATD_SERVER_TLS_CERT="/nowhere/cert.pem")
    assert done.returncode == 2
    assert (
        done.stderr
        == "chatd: server.tls_cert '/nowhere/cert.pem' cannot be read: No such file or directory\n"
    )
    assert not (tmp_path / ".chatd").exists()


def test_a_variable_with_a_misspelt_section_is_noticed_and_those_of_others_are_not() -> None:
    ours = {"CHATD_LIMITS_SENDS_PER_10S": "5", "CHATD_ENVIRONMENT": "production", "CHATD_CONFIG": "x"}
    others = {"CHATD_PORT": "tcp://10.0.0.7:80", "CHATD_PORT_8080_TCP_ADDR": "10.0.0.7", "HOME": "/root"}
    others |= {"CHATD_SERVICE_HOST": "10.0.0.7", "CHATD_WEB_SERVICE_PORT_HTTP": "80"}
    assert strangers({**ours, **others, "CHATD_LIMIT_SENDS_PER_10S": "5"}) == ["CHATD_LIMIT_SENDS_PER_10S"]
