"""People who chat, for locust: ``make load``, or ``locust -f loadtest/locustfile.py --host URL``.

Each has a socket and uses REST: reads the list and the history, types, sends, reads receipts, reacts,
loses the connection and resumes. Every frame of every socket is checked; a message lost, doubled or out
of order fails the run (exit code 1). Where the users come from: ``loadtest.crowd``.
"""

import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from locust import FastHttpUser, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner, WorkerRunner

from loadtest.audit import SharedDecoder, Tally
from loadtest.crowd import Crowd, Member, NoCrowd, gather
from loadtest.device import Device
from loadtest.link import FINAL, UNAUTHENTICATED, Closed, Frame
from loadtest.outbox import RETRYABLE
from loadtest.rest import ChatdError, NoAnswer, Refused, Unreachable

#: How often a message is sent again before that is a failure.
TRIES = 8
#: What acked messages have to reach everybody at the end, after the last was sent (protocol.md, 4.6).
SETTLE_S = 5.0
FAULTS = ("message lost", "message duplicated", "message out of order")
WORDS = (
    "so",
    "then",
    "we",
    "met",
    "at",
    "the",
    "lake",
    "and",
    "it",
    "was",
    "warm",
    "once",
    "again",
    "or",
    "not",
)
EMOJI = ("👍", "❤️", "😂", "🎉")

_log = logging.getLogger("loadtest")


class Run:
    """What all users of this process share."""

    crowd: Crowd | None = None
    #: The newest acked seq of each chat.
    heads: dict[str, int] = {}  # noqa: RUF012 - one run a process
    faults = Tally()
    sockets = 0
    #: Workers that said what they found.
    heard = 0
    decode = SharedDecoder()


class Person(FastHttpUser):
    """Somebody with a telephone."""

    network_timeout = connection_timeout = 30.0

    def wait_time(self) -> float:
        options = self.environment.parsed_options
        return random.uniform(1 / 3, 5 / 3) * float(options.pause)

    def on_start(self) -> None:
        if Run.crowd is None:
            raise StopUser
        self.member: Member = Run.crowd.next()
        self.recent: deque[tuple[str, str, int]] = deque(maxlen=50)
        """Newest messages: chat, id, seq."""
        self.device = Device(_socket_url(self.host or ""), on_frame=self.hear, decode=Run.decode)
        Run.sockets += 1
        self.gone = True  # until the first socket is open
        self.connect("connect")
        self.gone = False

    def on_stop(self) -> None:
        """Stay until everything acked so far has come, then judge what came."""
        if Run.crowd is None or self.gone:
            return
        heads = {chat_id: Run.heads.get(chat_id, 0) for chat_id in self.device.book.logs}
        try:
            self.online()
            deadline = time.monotonic() + SETTLE_S
            while not self.has(heads) and time.monotonic() < deadline:
                time.sleep(0.05)
            self.fetch_skipped()
        except (ChatdError, StopUser) as error:
            _log.warning("the socket of %s was gone at the end: %s", self.member.user_id, error)
        finally:
            self.device.close()
            self.judge(self.device.book.tally(heads))

    @task(6)
    def say(self) -> None:
        if not (chat_id := self.some_chat()):
            return
        words = " ".join(random.choices(WORDS, k=random.randint(2, 30)))
        self.command("typing.start", chat_id=chat_id)
        time.sleep(random.uniform(0.3, 2.0))
        self.send(chat_id, words)

    @task(4)
    def read_receipt(self) -> None:
        if self.recent:
            chat_id, message_id, _ = self.recent[-1]
            self.command("delivery.read", chat_id=chat_id, last_read_message_id=message_id)

    @task(2)
    def react(self) -> None:
        if self.recent:
            chat_id, message_id, _ = random.choice(self.recent)
            self.command("reaction.add", chat_id=chat_id, message_id=message_id, emoji=random.choice(EMOJI))

    @task(2)
    def read_history(self) -> None:
        if chat_id := self.some_chat():
            self.get(f"/api/chats/{chat_id}/messages?limit=50", "/api/chats/{id}/messages")

    @task(1)
    def list_chats(self) -> None:
        self.get("/api/chats", "/api/chats")

    @task(1)
    def lose_the_connection(self) -> None:
        self.device.drop()
        time.sleep(random.uniform(0.1, 3.0))
        self.online()

    # --- the socket ---

    def connect(self, name: str) -> None:
        """Open a socket, however many it takes. Raises StopUser where that is of no use."""
        began = time.monotonic()
        for attempt in range(TRIES):
            tried = time.perf_counter()
            try:
                self.device.open(self.member.token(self.host or ""))
            except Closed as closed:
                if closed.code in FINAL or closed.code == UNAUTHENTICATED:
                    _log.error("%s was turned away: %s", self.member.user_id, closed)
                    _report(name, 0.0, closed)
                    raise StopUser from None
            except ChatdError as error:
                _log.debug("%s: %s", self.member.user_id, error)
            else:
                _report(name, (time.perf_counter() - tried) * 1000)
                return
            time.sleep(random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2**attempt))
        _report(name, (time.monotonic() - began) * 1000, Unreachable(f"no socket in {TRIES} tries"))
        raise StopUser

    def online(self) -> None:
        if not self.device.up:
            if isinstance(ended := self.device.ended, Closed) and ended.code in FINAL:
                _report("socket closed", 0.0, ended)
            self.connect("resume")

    def send(self, chat_id: str, text: str) -> None:
        """Send until it is acked, under one id, which also says when: any process can tell how old it is."""
        key = f"{time.time_ns()}-{secrets.token_hex(6)}"
        self.measured("message.send ack", lambda: self.keep_sending(chat_id, text, key))

    def keep_sending(self, chat_id: str, text: str, key: str) -> None:
        content = {"type": "text", "text": text}
        message: Frame = {"chat_id": chat_id, "client_message_id": key, "content": content}
        for _ in range(TRIES):
            self.online()
            try:
                ack = self.device.request("message.send", **message)
            except Refused as refused:
                if refused.code not in RETRYABLE:
                    raise
                time.sleep((refused.retry_after_s or 1.0) * random.uniform(1.0, 1.2))
            except NoAnswer:
                self.device.drop()
            except Closed:
                pass
            else:
                Run.heads[chat_id] = max(Run.heads.get(chat_id, 0), ack["seq"])
                return
        raise NoAnswer(f"no ack after {TRIES} tries")

    def command(self, type_: str, **fields: Any) -> None:
        self.online()
        self.measured(type_, lambda: self.device.request(type_, **fields))

    def hear(self, frame: Frame, live: bool) -> None:
        """Every frame, on the reading greenlet."""
        if frame["type"] != "message.new":
            return
        message = frame["message"]
        self.recent.append((frame["chat_id"], message["id"], frame["seq"]))
        sent_ns, _, rest = (message["client_message_id"] or "").partition("-")
        if live and rest and sent_ns.isdigit():
            age_ms = max(0.0, (time.time_ns() - int(sent_ns)) / 1e6)
            _report("message.new delivery", age_ms)

    def measured(self, name: str, do: Callable[[], Any]) -> None:
        """Do it, and tell locust how long it took, or why it failed.

        A socket that went in the meantime is no failure: it is what ``online`` is for.
        """
        began = time.perf_counter()
        try:
            do()
        except Closed:
            return
        except ChatdError as error:
            _report(name, (time.perf_counter() - began) * 1000, error)
        else:
            _report(name, (time.perf_counter() - began) * 1000)

    # --- the rest ---

    def some_chat(self) -> str | None:
        return random.choice(chats) if (chats := list(self.device.book.logs)) else None

    def get(self, path: str, name: str) -> Any:
        headers = {"Authorization": f"Bearer {self.member.token(self.host or '')}"}
        return self.client.get(path, headers=headers, name=name)

    def has(self, heads: dict[str, int]) -> bool:
        logs = self.device.book.logs
        return all(chat_id not in logs or logs[chat_id].last >= head for chat_id, head in heads.items())

    def fetch_skipped(self) -> None:
        """What a ``chat.reset`` left to history."""
        for chat_id, log in self.device.book.logs.items():
            for gap in list(log.skipped):
                before = gap.stop
                while before > gap.start:
                    path = f"/api/chats/{chat_id}/messages?before_seq={before}&limit=200"
                    messages = self.get(path, "/api/chats/{id}/messages").json()["messages"]
                    if not messages:
                        break
                    for message in messages:
                        log.fill(message["seq"])
                    before = min(message["seq"] for message in messages)

    def judge(self, tally: Tally) -> None:
        Run.faults = Run.faults.plus(tally)
        for name, count in zip(FAULTS, tally, strict=True):
            for _ in range(count):
                _report(name, 0.0, ChatdError(name))


def _options(parser: Any, **_: Any) -> None:
    parser.add_argument(
        "--pause", type=float, default=3.0, help="seconds between what a person does, on average (default: 3)"
    )


def _prepare(environment: Any, **_: Any) -> None:
    # Time to finish what is being said and to wait for the last deliveries.
    environment.stop_timeout = environment.stop_timeout or 3 * SETTLE_S
    _report.environment = environment
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message("chatd.judged", _hear_worker)
    elif isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("chatd.judge", _judge_now, concurrent=True)


def _gather(environment: Any, **_: Any) -> None:
    Run.heads, Run.faults, Run.sockets, Run.heard = {}, Tally(), 0, 0
    if isinstance(environment.runner, MasterRunner):
        return
    try:
        host = (environment.host or "").rstrip("/")
        Run.crowd = gather(host, int(getattr(environment.parsed_options, "num_users", None) or 1))
    except NoCrowd as error:
        _log.error("%s", error)
        environment.process_exit_code = 2
        environment.runner.quit()


# Distributed: at the end of its time a master quits its workers without waiting for what they have to
# say. So it first asks them to let their users go, who judge as they leave, and waits for the findings.


def _ask_workers(environment: Any, **_: Any) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message("chatd.judge")
        deadline = time.monotonic() + environment.stop_timeout + 2 * SETTLE_S
        while Run.heard < environment.runner.worker_count and time.monotonic() < deadline:
            time.sleep(0.05)
        if Run.heard < environment.runner.worker_count:
            _log.error("not every worker said what it found")
            environment.process_exit_code = 1


def _judge_now(environment: Any, **_: Any) -> None:
    environment.runner.stop()
    environment.runner.send_message("chatd.judged", {"sockets": Run.sockets, "faults": list(Run.faults)})


def _hear_worker(msg: Any, **_: Any) -> None:
    Run.heard += 1
    Run.sockets += msg.data["sockets"]
    Run.faults = Run.faults.plus(Tally(*msg.data["faults"]))


def _conclude(environment: Any, **_: Any) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        environment.runner.quit()  # a run that was interrupted comes here with its users still talking
    if Run.sockets:
        found = ", ".join(f"{count} {name}" for name, count in zip(FAULTS, Run.faults, strict=True))
        _log.info("%d sockets were checked: %s", Run.sockets, found)
    if any(Run.faults):
        _log.error("NOT as promised: a message was lost, doubled or out of order")
        environment.process_exit_code = 1


class _Report:
    """Tell locust of something on a socket."""

    environment: Any = None

    def __call__(self, name: str, ms: float, error: Exception | None = None) -> None:
        self.environment.events.request.fire(
            request_type="WS", name=name, response_time=ms, response_length=0, exception=error, context={}
        )


_report = _Report()


def _socket_url(host: str) -> str:
    scheme, rest = host.rstrip("/").split("://", 1)
    return {"http": "ws", "https": "wss"}[scheme] + f"://{rest}/ws"


for event, listener in (
    (events.init_command_line_parser, _options),
    (events.init, _prepare),
    (events.test_start, _gather),
    (events.test_stopping, _ask_workers),
    (events.quitting, _conclude),
):
    event.add_listener(listener)  # type: ignore[no-untyped-call]  # locust's has no types
