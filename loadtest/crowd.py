"""Where the users of a load come from: a file of ``chatd seed``, a seeding of our own, or registration."""

import itertools
import json
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

_log = logging.getLogger("loadtest.crowd")

#: How many share a group chat, where we make the chats.
MEMBERS = 10
_LOCAL = frozenset(("127.0.0.1", "::1", "localhost"))
_TIMEOUT_S = 30.0


class NoCrowd(Exception):
    """There are no users to be had; the message says what to do."""


@dataclass
class Member:
    """One account. A token of our own registration is renewed by logging in again."""

    user_id: str
    access: str
    login: dict[str, str] = field(default_factory=dict)
    good_until: float = float("inf")

    def token(self, host: str) -> str:
        if time.time() > self.good_until:
            answer = _post(host, "/auth/login", self.login)
            self.access, self.good_until = answer["access_token"], _renew_at(answer)
        return self.access


class Crowd:
    """The accounts, handed out in turn; past the last, the first gets a second device."""

    def __init__(self, members: list[Member]) -> None:
        if not members:
            raise NoCrowd("there are no users in it")
        self.members = members
        self._turns = itertools.count()

    def next(self) -> Member:
        return self.members[next(self._turns) % len(self.members)]


def gather(host: str, users: int) -> Crowd:
    """As many users as there shall be, in group chats.

    ``CHATD_USERS`` names a file of ``chatd seed``. Without it a chatd on this machine is seeded, and
    elsewhere, or where that is another one than ours, the users register. Raises NoCrowd.
    """
    _require_chatd(host)
    if path := os.environ.get("CHATD_USERS"):
        return _from_file(Path(path))
    if urlsplit(host).hostname in _LOCAL:
        crowd = _seed(users)
        if _welcome(host, crowd.members[0]):
            return crowd
        _log.warning("%s is not the chatd that `chatd seed` seeds from here; registering instead", host)
    return _register(host, users)


def _from_file(path: Path) -> Crowd:
    try:
        users = json.loads(path.read_text("utf-8"))["users"]
        return Crowd([Member(user["id"], user["access_token"]) for user in users])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoCrowd(f"{path} is not a file of `chatd seed`: {error}") from None


def _seed(users: int) -> Crowd:
    with tempfile.TemporaryDirectory(prefix="chatd-") as directory:
        path = Path(directory, "users.json")
        chats = max(1, users // 2)
        members = min(users, MEMBERS)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "chatd", "seed", "--users", str(users)),
                *("--chats", str(chats), "--members", str(members), "--out", str(path)),
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise NoCrowd(f"`chatd seed` failed: {done.stderr.strip() or done.stdout.strip()}")
        return _from_file(path)


def _require_chatd(host: str) -> None:
    try:
        requests.get(f"{host}/healthz", timeout=_TIMEOUT_S).raise_for_status()
    except requests.RequestException as error:
        raise NoCrowd(f"no chatd answers at {host} (start one with `make run`): {error}") from None


def _welcome(host: str, member: Member) -> bool:
    """Whether the server takes this token."""
    headers = {"Authorization": f"Bearer {member.access}"}
    return requests.get(f"{host}/api/users/me", headers=headers, timeout=_TIMEOUT_S).ok


def _register(host: str, users: int) -> Crowd:
    run, password = secrets.token_hex(6), secrets.token_urlsafe(16)
    members = []
    for n in range(users):
        login = {"email": f"load-{run}-{n}@example.com", "password": password}
        user_id = _post(host, "/users", {**login, "display_name": f"Load {n}"})["id"]
        answer = _post(host, "/auth/login", login)
        members.append(Member(user_id, answer["access_token"], login, _renew_at(answer)))
    for group in _batched(members):
        owner, *others = group
        body = {"type": "group", "member_ids": [other.user_id for other in others], "title": "A load"}
        _post(host, "/chats", body, owner.access)
    return Crowd(members)


def _batched(members: list[Member]) -> list[list[Member]]:
    return [members[n : n + MEMBERS] for n in range(0, len(members), MEMBERS)]


def _renew_at(answer: dict[str, Any]) -> float:
    return time.time() + float(answer["expires_in"]) - 60.0


def _post(host: str, path: str, body: dict[str, Any], token: str | None = None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.post(f"{host}/api{path}", json=body, headers=headers, timeout=_TIMEOUT_S)
    except requests.RequestException as error:
        raise NoCrowd(f"no chatd answers at {host}: {error}") from None
    if answer.status_code == 429:
        raise NoCrowd(
            "this chatd limits how many register or log in from one address: make the users with "
            "`chatd seed --users N --chats M --members K --out FILE` there and name the file in CHATD_USERS"
        )
    if not answer.ok:
        raise NoCrowd(f"POST {path} was answered with {answer.status_code}: {answer.text[:200]}")
    return answer.json()
