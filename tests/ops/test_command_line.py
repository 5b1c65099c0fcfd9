"""What the command line says, and its exit codes: 0 done, 1 could not, 2 wrong command line or settings."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chatd.__main__ import main
from chatd.db import migrations
from tests.ops.serving import chatd

Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Runs a command in this process, in the test's directory: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        out, error = capsys.readouterr()
        return code, out, error

    return run


def test_help_shows_every_command_and_examples(said: Said) -> None:
    code, out, _ = said("--help")
    assert code == 0
    for word in ("serve", "seed", "token", "schema", "contract", "chatd serve --port 0", "config.toml"):
        assert word in out
    assert "_worker" not in out


ADMIN = ("show", "ban", "unban", "roles", "sessions", "logout", "heads", "drain")


@pytest.mark.parametrize(
    "command",
    ["serve", "seed", "token", "schema", "contract", *(f"admin {action}" for action in ADMIN)],
)
def test_every_command_explains_itself_with_an_example(said: Said, command: str) -> None:
    code, out, _ = said(*command.split(), "--help")
    assert code == 0
    assert "--config PATH" in out
    assert f"chatd {command}" in out.partition("examples:")[2]


def test_admin_shows_examples_of_all_that_it_does(said: Said) -> None:
    _, out, _ = said("admin", "--help")
    assert all(f"chatd admin {action}" in out for action in ADMIN)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("dance",),
        ("serve", "--port", "many"),
        ("seed", "--users", "0", "--out", "x"),
        ("seed", "--users", "3"),
        ("token",),
        ("token", "cht_01h455vb4pex5vsknk084sn02q"),
        ("schema", "drop"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(said: Said, arguments: tuple[str, ...]) -> None:
    code, _, error = said(*arguments)
    assert code == 2
    assert "usage: chatd" in error


def test_a_wrong_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[limits]\nsends = 1\n")
    done = chatd(tmp_path, "serve")
    assert done.returncode == 2
    assert done.stderr == "chatd: config.toml: limits: Object contains unknown field `sends`\n"
    assert not (tmp_path / ".chatd").exists()


def test_the_file_of_settings_is_named_by_option_then_variable_then_found_here(
    tmp_path: Path, said: Said
) -> None:
    for name in ("config", "variable", "option"):
        (tmp_path / f"{name}.toml").write_text(f"[{name}]\n")
    assert "unknown field `config`" in said("schema", "check")[2]
    assert "unknown field `variable`" in said("schema", "check", CHATD_CONFIG="variable.toml")[2]
    assert "unknown field `option`" in said("schema", "check", "--config", "option.toml")[2]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [(("--port", "70000"), "server.port"), (("--workers", "-1"), "server.workers")],
)
def test_options_of_serve_are_settings_and_checked_as_such(
    said: Said, arguments: tuple[str, ...], names: str
) -> None:
    code, _, error = said("serve", *arguments)
    assert code == 2
    assert names in error


def test_production_serves_only_with_a_key(said: Said) -> None:
    urls = {"CHATD_POSTGRES_URL": "postgresql://127.0.0.1:1/x", "CHATD_REDIS_URL": "redis://127.0.0.1:1"}
    code, _, error = said("serve", "--port", "0", CHATD_ENVIRONMENT="production", **urls)
    assert code == 2
    assert "CHATD_SECRETS_JWT_KEY" in error
    code, _, error = said("serve", "--port", "0", CHATD_SECRETS_JWT_KEY="short")
    assert code == 2
    assert "too short" in error


@pytest.mark.parametrize(
    "arguments",
    [("seed", "--users", "1", "--out", "users.json"), ("token", "usr_01h455vb4pex5vsknk084sn02q")],
)
def test_production_has_no_seed_and_no_token(
    said: Said, tmp_path: Path, database: str, arguments: tuple[str, ...]
) -> None:
    code, out, error = said(
        *arguments,
        CHATD_ENVIRONMENT="production",
        CHATD_POSTGRES_URL=database,
        CHATD_SECRETS_JWT_KEY="k" * 32,
    )
    assert (code, out) == (2, "")
    assert "not in production" in error
    assert not (tmp_path / "users.json").exists()


def test_the_schema_is_printed_whole(said: Said) -> None:
    assert said("schema", "print") == (0, migrations.schema(), "")


def test_the_schema_is_applied_and_checked(said: Said, database: str) -> None:
    code, out, _ = said("schema", "check", CHATD_POSTGRES_URL=database)
    assert (code, out.splitlines()[-1]) == (1, "the database is empty")
    code, out, _ = said("schema", "apply")
    assert (code, out) == (0, f"the database was empty and is at version {migrations.latest()}\n")
    code, out, _ = said("schema", "check")
    assert (code, out.splitlines()[-1]) == (0, f"the database is at version {migrations.latest()}")


def test_a_database_that_does_not_answer_is_one_line_and_exit_code_1(said: Said) -> None:
    code, _, error = said("schema", "check", CHATD_POSTGRES_URL="postgresql://127.0.0.1:1/chatd")
    assert code == 1
    assert error.startswith("chatd: PostgreSQL does not answer")
    assert error.count("\n") == 1
