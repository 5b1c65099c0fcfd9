"""`chatd admin` beside a running server: it acts on it, and says what it did."""

import json
from collections.abc import Callable
from pathlib import Path

from tests.ops.serving import Serving, chatd, until

Start = Callable[..., Serving]
ADA = {"email": "ada@example.com", "password": "correct horse", "display_name": "Ada"}
NOBODY = "usr_01h455vb4pex5vsknk084sn02q"


def test_admin_acts_on_the_server_that_runs_here(start: Start, tmp_path: Path) -> None:
    serving = start()
    serving.saw("ready on")
    status, body = serving.ask("POST", "/users", ADA)
    assert status == 201
    ada = json.loads(body)["id"]

    made = chatd(tmp_path, "admin", "roles", ada, "moderator")
    assert (made.returncode, json.loads(made.stdout)["roles"]) == (0, ["user", "moderator"]), made.stderr
    assert chatd(tmp_path, "admin", "ban", ada, "--for", "60", "--reason", "spam").returncode == 0
    login = {"email": ADA["email"], "password": ADA["password"]}
    assert json.loads(serving.ask("POST", "/auth/login", login)[1])["code"] == "banned"
    assert chatd(tmp_path, "admin", "unban", ada).returncode == 0
    assert serving.ask("POST", "/auth/login", login)[0] == 200
    assert "There is no such user" in chatd(tmp_path, "admin", "show", NOBODY).stderr

    before = serving.workers()
    assert chatd(tmp_path, "admin", "drain").returncode == 0
    serving.saw("all workers are new")
    until(lambda: not serving.workers() & before)
    assert len(serving.workers()) == len(before)


def test_admin_says_what_it_cannot_do(tmp_path: Path) -> None:
    nobody = chatd(tmp_path, "admin", "show", NOBODY)
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "the database has no schema yet" in nobody.stderr
    for wrong in (("ban", "cht_1"), ("heads",), ("roles", NOBODY, "emperor"), ("ban", NOBODY, "--for", "0")):
        assert chatd(tmp_path, "admin", *wrong).returncode == 2
