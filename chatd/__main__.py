"""The command line: serve, seed, token, admin, schema, contract."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from chatd import __version__
from chatd.core.errors import AppError
from chatd.core.ids import ChatId, SessionId, UserId
from chatd.core.settings import Settings, SettingsError, load, override
from chatd.db import migrations
from chatd.embedded import Embedded, EmbeddedError
from chatd.supervisor import GaveUp, PortError, datadir, serve, work

EXAMPLES = """\
examples:
  chatd serve                                  on 127.0.0.1:8080, with a private PostgreSQL and Redis
  chatd serve --port 0 --workers 1             on any free port, which is printed
  CHATD_POSTGRES_URL=postgresql://… CHATD_REDIS_URL=redis://… chatd serve
  chatd seed --users 100 --chats 20 --members 5 --out users.json
  chatd token usr_01h455vb4pex5vsknk084sn02q --ttl 3600
  chatd admin show usr_01h455vb4pex5vsknk084sn02q
  chatd admin roles usr_01h455vb4pex5vsknk084sn02q moderator
  chatd admin ban usr_01h455vb4pex5vsknk084sn02q --for 86400 --reason spam
  chatd admin unban usr_01h455vb4pex5vsknk084sn02q
  chatd admin sessions usr_01h455vb4pex5vsknk084sn02q
  chatd admin logout usr_01h455vb4pex5vsknk084sn02q
  chatd admin heads --chat cht_01h455vb4pex5vsknk084sn02q
  chatd admin drain
  chatd schema check
  CHATD_POSTGRES_URL=postgresql://… chatd schema apply
  chatd contract --write docs

Settings come from config.toml (--config, CHATD_CONFIG, or the one in this directory), then from the
environment: [limits] sends_per_10s is CHATD_LIMITS_SENDS_PER_10S. config.toml explains each of them.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code: 0 done, 1 could not, 2 wrong command line or settings."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["_worker"]:  # how the supervisor starts its workers; not for people
        return _worker()
    options = _parser().parse_args(arguments)
    try:
        code: int = options.command(options)
    except SettingsError as error:
        print(f"chatd: {error}", file=sys.stderr)
        return 2
    except (PortError, EmbeddedError, GaveUp, migrations.SchemaError, AppError) as error:
        print(f"chatd: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chatd",
        description="A real-time chat and presence server.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"chatd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = _command(commands, "serve", _serve, "run the server until Ctrl-C or SIGTERM")
    serve.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="port to listen on, 0 for any free one (default: 8080)")

    seed = _command(commands, "seed", _seed, "make accounts and chats in bulk (not in production)")
    seed.add_argument("--users", type=_positive, required=True, metavar="N", help="accounts to make")
    seed.add_argument("--chats", type=_count, default=0, metavar="M", help="group chats to make (default: 0)")
    seed.add_argument(
        "--members", type=_positive, default=2, metavar="K", help="members of each (default: 2)"
    )
    seed.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write ids and tokens")

    token = _command(commands, "token", _token, "print an access token of a user (not in production)")
    token.add_argument("user_id", type=_user_id, metavar="USER_ID", help="usr_…")
    token.add_argument("--ttl", type=_positive, metavar="SECONDS", help="how long it is good (default: 900)")

    _admin_parser(commands)

    schema = _command(commands, "schema", _schema, "look at or upgrade the tables of the database")
    schema.add_argument(
        "action",
        choices=("apply", "check", "print"),
        help="apply: make or upgrade the tables; check: compare versions; print: show schema.sql",
    )

    contract = _command(commands, "contract", _contract, "print OpenAPI and AsyncAPI, or write them")
    contract.add_argument("--write", type=Path, metavar="DIR", help="write openapi.json and asyncapi.json")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], what: str, *, whole: str = ""
) -> Any:
    """A command whose help ends with those of EXAMPLES that are its own; ``whole`` is its whole name."""
    own = [line for line in EXAMPLES.splitlines() if f"chatd {whole or name}" in line]
    command = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="\n".join(["examples:", *own]) if own else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--config", type=Path, metavar="PATH", help="settings (default: ./config.toml)")
    command.set_defaults(command=run)
    return command


def _admin_parser(commands: Any) -> None:
    admin = commands.add_parser(
        "admin",
        help="bans, roles, sessions, chats' heads, draining",
        description="What admins may do, on the database of the settings; every change is audited.",
        epilog="\n".join(["examples:", *(line for line in EXAMPLES.splitlines() if "chatd admin" in line)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = admin.add_subparsers(title="actions", required=True, metavar="ACTION")

    def action(name: str, what: str, *, user: bool = True) -> Any:
        parser = _command(actions, name, _admin, what, whole=f"admin {name}")
        parser.set_defaults(action=name)
        if user:
            parser.add_argument("user_id", type=_user_id, metavar="USER_ID", help="usr_…")
        return parser

    action("show", "show an account")
    ban = action("ban", "ban a user: sessions end, sockets close within 2 s")
    ban.add_argument("--for", dest="for_s", type=_positive, metavar="SECONDS", help="(default: for ever)")
    ban.add_argument("--reason", default="banned", help="for the audit log")
    action("unban", "let a banned user in again")
    roles = action("roles", "set a user's global roles; who loses one is logged out")
    roles.add_argument("roles", nargs="*", choices=("user", "moderator", "organizer", "admin"), default=[])
    action("sessions", "show where a user is logged in")
    logout = action("logout", "log a user out, everywhere or from one session")
    logout.add_argument(
        "--session", dest="session_id", type=_id_of(SessionId), metavar="SESSION_ID", help="ses_…"
    )
    heads = action("heads", "show where chats' logs stand", user=False)
    which = heads.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--user", dest="user_id", type=_user_id, metavar="USER_ID", help="of this user's chats"
    )
    which.add_argument("--chat", dest="chat_id", type=_id_of(ChatId), metavar="CHAT_ID", help="of this chat")
    action("drain", "replace all workers one by one, without losing a message", user=False)


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _user_id(text: str) -> str:
    try:
        return msgspec.convert(text, UserId)
    except msgspec.ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a user id (usr_ and 26 characters)") from None


def _id_of(kind: Any) -> Callable[[str], str]:
    def parse(text: str) -> str:
        try:
            return str(msgspec.convert(text, kind))
        except msgspec.ValidationError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an id of the right kind") from None

    return parse


def _settings(options: argparse.Namespace) -> Settings:
    path = options.config
    if path is None and os.environ.get("CHATD_CONFIG"):
        path = Path(os.environ["CHATD_CONFIG"])
    if path is None and Path("config.toml").exists():
        path = Path("config.toml")
    settings = load(path, os.environ)
    given = {key: getattr(options, key, None) for key in ("workers", "host", "port")}
    given = {key: value for key, value in given.items() if value is not None}
    return override(settings, "the command line", {"server": given})


# ---------------------------------------------------------------------------------------------- commands


def _serve(options: argparse.Namespace) -> int:
    serve(lambda: _settings(options))
    return 0


def _worker() -> int:
    from chatd.boot import run_worker

    return work(run_worker)


def _seed(options: argparse.Namespace) -> int:
    from chatd import seed

    settings = _development(_settings(options))
    try:
        file = options.out.open("wb")
    except OSError as error:
        raise SettingsError(f"--out {options.out}: {error.strerror}") from None
    with file, _database(settings) as settings:
        made = asyncio.run(
            seed.seed(settings, users=options.users, chats=options.chats, members=options.members)
        )
        file.write(msgspec.json.encode(made))
    print(
        f"{len(made.users)} users and {len(made.chats)} chats are in {options.out}, with tokens for 24 hours"
    )
    return 0


def _token(options: argparse.Namespace) -> int:
    from chatd import seed

    with _database(_development(_settings(options))) as settings:
        ttl = options.ttl or settings.auth.access_ttl_s
        print(asyncio.run(seed.token(settings, options.user_id, ttl)))
    return 0


def _admin(options: argparse.Namespace) -> int:
    from chatd import administer

    given = {name: value for name, value in vars(options).items() if value is not None}
    fields = administer.Wish.__dataclass_fields__
    wish = administer.Wish(**{name: value for name, value in given.items() if name in fields})
    with _database(_settings(options)) as settings:
        asyncio.run(administer.run(settings, wish))
    return 0


def _schema(options: argparse.Namespace) -> int:
    if options.action == "print":
        print(migrations.schema(), end="")
        return 0
    with _database(_settings(options)) as settings:
        if options.action == "apply":
            applied = asyncio.run(migrations.apply(settings.postgres.url))
            before = "empty" if applied.before is None else f"at version {applied.before}"
            print(f"the database was {before} and is at version {applied.after}")
            return 0
        found = asyncio.run(migrations.current(settings.postgres.url))
    print(f"this chatd works with version {migrations.latest()}")
    print("the database is empty" if found is None else f"the database is at version {found}")
    return 0 if found == migrations.latest() else 1


def _contract(options: argparse.Namespace) -> int:
    from chatd import catalog
    from chatd.rest import snapshots

    made = snapshots.documents(catalog.ROUTES, catalog.COMMANDS, catalog.EVENTS)
    if options.write is None:
        sys.stdout.buffer.write(snapshots.text_of(made))
        return 0
    snapshots.write_snapshots(options.write, made)
    print(f"{' and '.join(made)} are in {options.write}")
    return 0


def _development(settings: Settings) -> Settings:
    if settings.environment == "production":
        raise SettingsError("seed and token make accounts and tokens out of nothing: not in production")
    return settings


@contextmanager
def _database(settings: Settings) -> Iterator[Settings]:
    """The settings with keys and a database: the configured one, a running chatd's own, or our own.

    In the last case PostgreSQL runs as long as the block does.
    """
    directory = datadir.make(settings)
    settings = datadir.complete_secrets(settings, directory)
    if settings.postgres.url:
        yield settings
        return
    running = datadir.find_running(directory)
    if running is not None:
        yield replace(settings, postgres=replace(settings.postgres, url=running.postgres_url))
        return
    with Embedded(directory, redis=False, say=lambda text: print(f"chatd: {text}", file=sys.stderr)) as own:
        yield replace(settings, postgres=replace(settings.postgres, url=own.postgres.url))


if __name__ == "__main__":
    sys.exit(main())
