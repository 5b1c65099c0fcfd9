"""What ``chatd serve`` prints once it is ready."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from chatd import __version__
from chatd.core.settings import Settings

_FIRST_WORDS = """\
  J='Content-Type: application/json' ADA='"email":"ada@example.com","password":"a long password"'
  curl {url}/users -H "$J" -d "{{$ADA,\\"display_name\\":\\"Ada\\"}}"
  TOKEN=$(curl -s {url}/auth/login -H "$J" -d "{{$ADA}}" | grep -o 'eyJ[^"]*')
  CHAT=$(curl -s {url}/chats -H "$J" -H "Authorization: Bearer $TOKEN" \\
    -d '{{"type":"group","member_ids":[]}}' | grep -o 'cht_[^"]*')
  curl {url}/chats/$CHAT/messages -H "$J" -H "Authorization: Bearer $TOKEN" \\
    -d '{{"client_message_id":"1","content":{{"type":"text","text":"Hello!"}}}}'
"""


def http_url(settings: Settings, port: int) -> str:
    """Where clients on this machine reach this chatd."""
    scheme = "https" if settings.server.tls_cert else "http"
    host = settings.server.host
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - names what is listened on, does not listen
        host = "localhost"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def show(settings: Settings, port: int, workers: int, private: Mapping[str, Path]) -> None:
    """Say where chatd is, what it runs on, how to talk to it and how to stop it."""
    text = _text(settings, port, workers, private)
    # Nobody may be reading any more (`chatd serve | head -1`); that is no reason to stop.
    with suppress(OSError):
        sys.stdout.write(text)
        sys.stdout.flush()


def _text(settings: Settings, port: int, workers: int, private: Mapping[str, Path]) -> str:
    url = http_url(settings, port)
    name = "worker" if workers == 1 else "workers"
    return f"""
chatd {__version__} is ready on {url}

  WebSocket    ws{url.removeprefix("http")}/ws
  REST         {url}/api   (described on {url}/docs)
  PostgreSQL   {_server(private.get("PostgreSQL"), settings.postgres.url)}
  Redis        {_server(private.get("Redis"), settings.redis.url)}
  Process      {os.getpid()} and {workers} {name}, {settings.environment}

A first account, its token, a chat and a message (README.md goes on from there, with a socket):

{_FIRST_WORDS.format(url=url)}
Stop: Ctrl-C (twice to hurry). Replace the workers one by one: kill -HUP {os.getpid()}

"""


def _server(directory: Path | None, url: str) -> str:
    if directory is not None:
        return f"its own, in {directory}"
    parts = urlsplit(url)  # shown without the password
    return f"{parts.hostname or parts.path}{f':{parts.port}' if parts.port else ''}"
