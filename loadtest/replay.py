"""Replay real conversations into a chatd and check what every socket received.

    python -m loadtest.replay FILE… [--speed X] [--url URL] [--json]

Everybody who speaks in the transcripts gets an account and a socket in one group chat, and says what
they said: at X times the speed of life or, without --speed, as fast as the acks allow. Every acked
message must reach every socket once, unaltered and in order; the exit code is 1 where one did not.
"""

import argparse
import asyncio
import json
import logging
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import orjson
import uvloop

from loadtest.audit import SharedDecoder, Tally
from loadtest.client import Ack, Client, Frame
from loadtest.irc import Conversation, read
from loadtest.ledger import Ledger, received
from loadtest.rest import Account, Api, ChatdError, Refused
from loadtest.server import NotServing, own_chatd

MAX_TEXT = 4000
MAX_MEMBERS = 5000
#: Around the text of a ``message.send``: type, ids and braces, with room.
ENVELOPE_BYTES = 400

#: How long nothing may come before what is missing is taken for lost.
PATIENCE_S = 15.0

T = TypeVar("T")
R = TypeVar("R")


class CannotReplay(Exception):
    """Something is missing that only who started this can give; the message says what."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    files: list[Path]
    speed: float | None = None
    url: str | None = None
    users: Path | None = None
    workers: int = 2
    window: int = 4
    in_flight: int = 256
    linger_s: float = 2.5
    json: bool = False


@dataclass(frozen=True)
class Report:
    """What came of it; times in milliseconds."""

    lines: dict[str, int]
    skipped: dict[str, int]
    sockets: int
    seconds: float
    sent: int
    acked: int
    refused: dict[str, int]
    expected: int
    delivered: int
    lost: int
    duplicated: int
    disordered: int
    altered: int
    reconnects: int
    duplicate_acks: int
    ack_p50: float | None
    ack_p99: float | None
    delivery_p50: float | None
    delivery_p99: float | None

    @property
    def good(self) -> bool:
        faults = self.lost + self.duplicated + self.disordered + self.altered
        return faults == 0 and self.acked == self.sent and self.delivered == self.expected

    def __str__(self) -> str:
        def list_of(counts: dict[str, int]) -> str:
            return ", ".join(f"{n:,} {name}" for name, n in counts.items()) or "none"

        def ms(value: float | None) -> str:
            return "-" if value is None else f"{value:,.1f} ms"

        return f"""\
lines           {list_of(self.lines)}
not sent        {list_of(self.skipped)}
sockets         {self.sockets:,}, which came back {self.reconnects:,} times
sent            {self.sent:,} in {self.seconds:,.1f} s
acked           {self.acked:,} ({self.duplicate_acks:,} of them as repeats); refused: {list_of(self.refused)}
delivered       {self.delivered:,} of {self.expected:,}
lost            {self.lost:,}
duplicated      {self.duplicated:,}
out of order    {self.disordered:,}
altered         {self.altered:,}
ack             p50 {ms(self.ack_p50)}, p99 {ms(self.ack_p99)}
delivery        p50 {ms(self.delivery_p50)}, p99 {ms(self.delivery_p99)}
{"all of it, to everybody, in order" if self.good else "NOT as promised"}"""


class Replay:
    """The conversation on its way through one chat."""

    def __init__(self, conversation: Conversation, chat_id: str) -> None:
        self.clients: Sequence[Client] = ()
        self.ledger = Ledger()
        self.skipped: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._conversation = conversation
        self._chat_id = chat_id

    def on_frame(self, _: Client, frame: Frame) -> None:
        """Hold a frame of any socket against what was sent."""
        if frame["type"] == "message.new" and frame["chat_id"] == self._chat_id:
            self.ledger.receive(frame["message"], time.monotonic())
        elif frame["type"] == "chat.reset":
            for message in frame["messages"]:
                self.ledger.receive(message)

    async def speak(self, options: Options) -> None:
        """Say everything, in the order of the transcripts, and wait for the acks."""
        windows = [asyncio.Semaphore(options.window) for _ in self.clients]
        in_flight = asyncio.Semaphore(options.in_flight)
        max_bytes = min(client.ready["max_frame_bytes"] for client in self.clients) - ENVELOPE_BYTES
        began, waits = time.monotonic(), set[asyncio.Future[Ack]]()
        for n, said in enumerate(self._conversation.said):
            if reason := _unsendable(said.text, max_bytes):
                self.skipped[reason] += 1
                continue
            if options.speed:
                await asyncio.sleep(max(0.0, began + said.at / options.speed - time.monotonic()))
            window, client = windows[said.person], self.clients[said.person]
            # Both come back with the ack, and every send ends (Client.post).
            await window.acquire()
            await in_flight.acquire()
            key = f"line-{n}"
            self.ledger.send(key, client.account.user_id, said.text, time.monotonic())
            try:
                done = client.post(self._chat_id, said.text, client_message_id=key)
            except ChatdError as error:
                done = asyncio.get_running_loop().create_future()
                done.set_exception(error)
            waits.add(done)
            for call in (waits.discard, partial(self._settle, (window, in_flight))):
                done.add_done_callback(call)
        if waits:
            await asyncio.wait(waits)

    def _settle(self, places: tuple[asyncio.Semaphore, ...], done: "asyncio.Future[Ack]") -> None:
        for place in places:
            place.release()
        error = done.exception()
        if error is None:
            self.ledger.ack(done.result())
        else:
            self.refused[error.code if isinstance(error, Refused) else type(error).__name__] += 1

    async def listen(self, linger_s: float) -> None:
        """Wait until every socket has everything, or nothing has come for a while.

        Then ``linger_s`` more, since what comes twice comes late: nodes compare their logs every
        second or two; and a ping through each socket, since its answer is behind all that was sent.
        """
        progress, moved = -1, time.monotonic()
        while (now := self._progress()) < self.head() * len(self.clients):
            if now != progress:
                progress, moved = now, time.monotonic()
            elif time.monotonic() - moved > PATIENCE_S:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(linger_s)
        pings = (client.command("ping") for client in self.clients if client.error is None)
        for error in await asyncio.gather(*pings, return_exceptions=True):
            if isinstance(error, BaseException) and not isinstance(error, ChatdError):
                raise error
        for client in self.clients:
            if (log := client.logs.get(self._chat_id)) and log.skipped:
                for message in await client.fetch_skipped(self._chat_id):
                    self.ledger.receive(message)

    def head(self) -> int:
        """The newest seq that anybody knows of."""
        seen = [client.logs[self._chat_id].last for client in self.clients if self._chat_id in client.logs]
        return max(self.ledger.acked_seqs()[-1:] + seen, default=0)

    def _progress(self) -> int:
        return sum(client.logs[self._chat_id].last for client in self.clients if self._chat_id in client.logs)

    def report(self, seconds: float) -> Report:
        acked, head = self.ledger.acked_seqs(), self.head()
        total, delivered = Tally(), 0
        for client in self.clients:
            if (log := client.logs.get(self._chat_id)) is not None:
                delivered += received(log, acked)
            else:  # thrown out of the chat: what it missed is not in its logs
                total = total.plus(Tally(lost=len(acked)))
            total = total.plus(client.tally({self._chat_id: head}))

        def ms(value: float | None) -> float | None:
            return None if value is None else round(value * 1000, 2)

        return Report(
            lines=dict(self._conversation.counts),
            skipped=dict(self.skipped),
            sockets=len(self.clients),
            seconds=round(seconds, 2),
            sent=len(self.ledger.sent),
            acked=len(acked),
            refused=dict(self.refused),
            expected=len(acked) * len(self.clients),
            delivered=delivered,
            lost=total.lost,
            duplicated=total.duplicated + self.ledger.reused_seqs(),
            disordered=total.disordered + self.ledger.overtaken(),
            altered=self.ledger.altered,
            reconnects=sum(client.connects - 1 for client in self.clients),
            duplicate_acks=self.ledger.duplicate_acks,
            ack_p50=ms(self.ledger.acks.quantile(0.5)),
            ack_p99=ms(self.ledger.acks.quantile(0.99)),
            delivery_p50=ms(self.ledger.deliveries.quantile(0.5)),
            delivery_p99=ms(self.ledger.deliveries.quantile(0.99)),
        )


def _unsendable(text: str, max_bytes: int) -> str | None:
    """Why the protocol does not carry this text; None where it does."""
    if not text:
        return "empty"
    if len(text) > MAX_TEXT or len(orjson.dumps(text)) > max_bytes:
        return "too long"
    return "with NUL" if "\0" in text else None


async def replay(options: Options) -> Report:
    """Do it. Raises CannotReplay, NotServing, ChatdError, OSError."""
    conversation = read(options.files)
    if not conversation.said:
        raise CannotReplay("nobody says anything in these files")
    if len(conversation.people) > MAX_MEMBERS:
        raise CannotReplay(f"{len(conversation.people)} people do not fit in one chat ({MAX_MEMBERS})")
    async with _server(options) as url, Api(url, timeout_s=120.0) as api:
        accounts = await _accounts(api, options, conversation.people)
        others = [account.user_id for account in accounts[1:]]
        chat_id = await api.create_group(accounts[0], others, "A replay")
        play = Replay(conversation, chat_id)
        decode = SharedDecoder()
        play.clients = [
            Client(account, [url], window=options.window, decode=decode, on_frame=play.on_frame)
            for account in accounts
        ]
        try:
            _say(f"{len(accounts):,} sockets connect")
            await _all(play.clients, lambda client: client.start(), 64)
            _say(f"{len(conversation.said):,} things are said")
            began = time.monotonic()
            await play.speak(options)
            await play.listen(options.linger_s)
            return play.report(time.monotonic() - began - options.linger_s)
        finally:
            await _all(play.clients, lambda client: client.close(), 256)


@asynccontextmanager
async def _server(options: Options) -> AsyncIterator[str]:
    """Where chatd is: as told, or one of our own for as long as the block lasts."""
    if options.url:
        yield options.url
        return
    _say(f"chatd starts with {options.workers} workers")
    async with own_chatd(options.workers) as server:
        yield server.url


async def _accounts(api: Api, options: Options, people: Sequence[str]) -> list[Account]:
    """One for each of the people: from ``chatd seed``'s file, or registered and logged in now."""
    if options.users:
        accounts = _seeded(api, options.users)
        if len(accounts) < len(people):
            raise CannotReplay(f"{len(people)} people speak, and {options.users} has {len(accounts)} users")
        return accounts[: len(people)]
    run, password = secrets.token_hex(6), secrets.token_urlsafe(16)
    _say(f"{len(people):,} people register")

    async def enter(member: tuple[int, str]) -> Account:
        email = f"replay-{run}-{member[0]}@example.com"
        await api.register(email, password, member[1][:60])
        return await api.login(email, password)

    try:
        return await _all(list(enumerate(people)), enter, 16)
    except Refused as error:
        if error.code != "rate_limited":
            raise
        raise CannotReplay(
            f"this chatd limits how many register or log in from one address ({error}). Start it with "
            "CHATD_LIMITS_REGISTRATIONS_PER_MINUTE=0 and CHATD_LIMITS_LOGINS_PER_MINUTE=0 (and "
            "CHATD_LIMITS_SENDS_PER_10S=0 for full speed), or make the accounts with "
            f"`chatd seed --users {len(people)} --out FILE` and give --users FILE"
        ) from None


def _seeded(api: Api, path: Path) -> list[Account]:
    try:
        users = orjson.loads(path.read_bytes())["users"]
        return [Account.of_token(api, user["id"], user["access_token"]) for user in users]
    except (ValueError, KeyError, TypeError) as error:
        raise CannotReplay(f"{path} is not a file of `chatd seed` ({type(error).__name__})") from None


async def _all(items: Sequence[T], do: Callable[[T], Awaitable[R]], at_once: int) -> list[R]:
    """The results, in order; the first failure stops the rest and is raised as it is."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with gate:
            return await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.replay", description="Replay IRC transcripts into chatd and check it."
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="transcripts, one conversation")
    parser.add_argument("--speed", type=_positive, metavar="X", help="times life (default: as acks allow)")
    parser.add_argument("--url", help="a running chatd (default: its own, in a temporary directory)")
    parser.add_argument("--users", type=Path, metavar="FILE", help="accounts, as `chatd seed` writes them")
    parser.add_argument("--workers", type=int, default=2, help="processes of its own chatd (default: 2)")
    parser.add_argument("--window", type=int, default=4, help="unacked messages of a person (default: 4)")
    parser.add_argument("--in-flight", type=int, default=256, help="and of all together (default: 256)")
    parser.add_argument(
        "--linger",
        type=float,
        dest="linger_s",
        default=2.5,
        metavar="SECONDS",
        help="how long to wait for what may come twice (default: 2.5)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return Options(**vars(parser.parse_args(arguments)))


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all as promised; 1: not; 2: it could not be tried."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    options = _options(arguments)
    try:
        report = uvloop.run(replay(options))
    except (CannotReplay, NotServing, ChatdError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(json.dumps({**asdict(report), "good": report.good}, indent=2) if options.json else report)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
