"""A client of chatd's socket, written from protocol.md alone.

It does what a good client does: resumes with ``since``, sends again under the same
``client_message_id`` until the ack, renews its token, and comes back after a while of its own when the
server tells it to or vanishes. And what a measurement needs: it checks every chat's log for holes.
"""

import asyncio
import random
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Self

import orjson

from loadtest.audit import LogBook, LogCheck, SharedDecoder, Tally
from loadtest.link import ABNORMAL, Closed, Frame, Link
from loadtest.outbox import Ack, Outbox
from loadtest.rest import Account, ChatdError, NoAnswer, Refused

__all__ = ["Ack", "Client", "Closed", "Frame"]


class Client:
    """One device of one account, over as many sockets as it takes.

    ``urls`` are the nodes, tried in turn. ``on_frame`` gets every frame, in order; frames are shared
    between the clients of one ``decode`` and must not be changed. ``record`` keeps that many of the
    newest in ``frames``. ``window`` is how many messages may wait for their acks at the same time.
    """

    def __init__(
        self,
        account: Account,
        urls: Sequence[str],
        *,
        path: str = "/ws",
        window: int = 32,
        since: dict[str, int] | None = None,
        on_frame: Callable[["Client", Frame], None] | None = None,
        record: int = 0,
        decode: Callable[[bytes], Frame] | None = None,
        device_id: str | None = None,
        connect_timeout_s: float = 15.0,
        ack_timeout_s: float = 15.0,
        sync_timeout_s: float = 60.0,
        patience_s: float = 60.0,
    ) -> None:
        self.account = account
        self.book = LogBook(since)
        self.frames: deque[Frame] = deque(maxlen=record)
        self.ready: Frame = {}
        self.error: ChatdError | None = None
        self.link = Link(
            self,
            account,
            [_socket_url(url) + path for url in urls],
            decode or SharedDecoder(),
            connect_timeout_s=connect_timeout_s,
            patience_s=patience_s,
        )
        self._on_frame = on_frame
        self._device_id = device_id or str(uuid.uuid4())
        self._ack_timeout_s = ack_timeout_s
        self._sync_timeout_s = sync_timeout_s
        self._outbox = Outbox(window)
        self._commands: deque[bytes] = deque()
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._watchers: list[tuple[Callable[[Frame], bool], asyncio.Future[Frame]]] = []
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._open = asyncio.Event()
        self._sync_timer: asyncio.TimerHandle | None = None
        self._handlers: dict[str, Callable[[Frame], None]] = {
            "ack": self._on_ack,
            "error": self._on_error,
            "sync.complete": self._on_sync_complete,
            "system.drain": self._on_drain,
        }

    async def start(self, timeout_s: float = 60.0) -> Self:
        """Connect and, with ``since``, catch up. Raises ChatdError."""
        self.link.start()
        await self.opened(timeout_s)
        return self

    async def opened(self, timeout_s: float = 60.0) -> None:
        """Wait until a socket is open and has caught up. Raises NoAnswer, or why there will be none."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._open.wait()
        except TimeoutError:
            raise NoAnswer("no socket opened in time") from None
        if self.error:
            raise self.error

    def post(
        self,
        chat_id: str,
        text: str,
        *,
        client_message_id: str | None = None,
        reply_to: str | None = None,
        timeout_s: float = 120.0,
    ) -> "asyncio.Future[Ack]":
        """Send a message, now or as soon as there is a socket; the future ends with its ack.

        It fails with Refused, with NoAnswer after ``timeout_s``, or with what ended the client.
        """
        if self.error:
            raise self.error
        key = client_message_id or str(uuid.uuid4())
        message: Frame = {
            "type": "message.send",
            "id": key,
            "chat_id": chat_id,
            "client_message_id": key,
            "content": {"type": "text", "text": text},
        }
        if reply_to:
            message["reply_to"] = reply_to
        done: asyncio.Future[Ack] = self._loop.create_future()
        self._outbox.put(message, done)
        timer = self._loop.call_later(timeout_s, self._give_up, key, timeout_s)
        done.add_done_callback(lambda _: timer.cancel())
        self.link.wake()
        return done

    async def send(self, chat_id: str, text: str, **options: Any) -> Ack:
        """``post``, and wait for the ack."""
        return await self.post(chat_id, text, **options)

    async def command(self, type_: str, *, timeout_s: float = 15.0, **fields: Any) -> Frame:
        """Any other command, and the frame that answers it. Raises Refused, NoAnswer, Closed.

        A command is not sent again when the socket goes: whether it was done is then not known.
        """
        await self.opened(timeout_s)
        self._number += 1
        key = f"command {self._number}"
        reply: asyncio.Future[Frame] = self._loop.create_future()
        self._replies[key] = reply
        self.tell(type_, id=key, **fields)
        try:
            async with asyncio.timeout(timeout_s):
                return await reply
        except TimeoutError:
            raise NoAnswer(f"no answer to {type_}") from None
        finally:
            self._replies.pop(key, None)

    def tell(self, type_: str, **fields: Any) -> None:
        """A command whose answer does not matter; forgotten where there is no socket."""
        if self.link.up:
            self._commands.append(orjson.dumps({"type": type_, **fields}))
            self.link.wake()

    async def wait_for(self, fits: Callable[[Frame], bool], timeout_s: float = 15.0) -> Frame:
        """The next frame that fits. Raises NoAnswer, or what ended the client."""
        if self.error:
            raise self.error
        found: asyncio.Future[Frame] = self._loop.create_future()
        watcher = (fits, found)
        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(timeout_s):
                return await found
        except TimeoutError:
            raise NoAnswer("no such frame came") from None
        finally:
            self._watchers.remove(watcher)

    def drop(self) -> None:
        """Lose the connection without a word, as in a tunnel; the client comes back by itself."""
        self.link.drop()

    async def close(self, timeout_s: float = 5.0) -> None:
        """Say goodbye and stop; what was not acked fails with Closed."""
        await self.link.close(timeout_s)
        self.ended(Closed(1000))

    @property
    def logs(self) -> dict[str, LogCheck]:
        """What came of each chat."""
        return self.book.logs

    @property
    def pending(self) -> int:
        """Messages that were not acked yet."""
        return len(self._outbox)

    @property
    def connects(self) -> int:
        """How many sockets there have been."""
        return self.link.connects

    @property
    def closes(self) -> Counter[int]:
        """How often a socket ended with which code."""
        return self.link.closes

    def tally(self, heads: dict[str, int] | None = None) -> Tally:
        """Faults in all logs so far; with chats' true heads, what is missing at their ends too."""
        return self.book.tally(heads)

    async def fetch_skipped(self, chat_id: str) -> list[Frame]:
        """The messages that a ``chat.reset`` left to REST history; from now on they count as received."""
        log = self.logs[chat_id]
        found: list[Frame] = []
        for gap in list(log.skipped):
            before = gap.stop
            while before > gap.start:
                page = await self.account.api.history(self.account, chat_id, before_seq=before)
                found.extend(message for message in page if log.fill(message["seq"]))
                if not page:
                    break
                before = min(message["seq"] for message in page)
        return found

    # --- what the link tells (see Owner) ---

    def greeting(self) -> Frame:
        init: Frame = {"type": "connection.init", "client": "loadtest", "device_id": self._device_id}
        if since := self.book.since():
            init["since"] = since
        return init

    def connected(self, ready: Frame) -> None:
        resumes = bool(self.logs)
        self.book.open(ready)
        self.ready = ready
        if resumes:
            # A replay that never ends is a fault of this socket; another may do better.
            self._sync_timer = self._loop.call_later(self._sync_timeout_s, self.link.drop)
        else:
            self._open.set()
        self._show(ready)

    def disconnected(self) -> None:
        self._open.clear()
        self._commands.clear()
        self._outbox.disconnected()
        if self._sync_timer:
            self._sync_timer.cancel()
        for reply in self._replies.values():
            _fail(reply, Closed(ABNORMAL, "before the answer"))

    def ended(self, error: ChatdError) -> None:
        self.error = self.error or error
        self._outbox.fail(error)
        for reply in self._replies.values():
            _fail(reply, error)
        for _, found in self._watchers:
            _fail(found, error)
        self._open.set()  # whoever waits for it finds the error

    def next_to_send(self, now: float) -> bytes | None:
        if self._commands:
            return self._commands.popleft()
        pending = self._outbox.next(now)
        return pending.data if pending else None

    def wake_at(self, now: float) -> float | None:
        return self._outbox.held_until(now)

    def overdue_at(self) -> float | None:
        return self._outbox.overdue_at(self._ack_timeout_s)

    def take(self, frame: Frame) -> None:
        self.book.take(frame)
        if handler := self._handlers.get(frame["type"]):
            handler(frame)
        if self._replies and (reply := self._replies.get(frame.get("re", ""))) and not reply.done():
            reply.set_result(frame)
        self._show(frame)

    def _show(self, frame: Frame) -> None:
        if self.frames.maxlen:
            self.frames.append(frame)
        for fits, found in self._watchers:
            if not found.done() and fits(frame):
                found.set_result(frame)
        if self._on_frame:
            self._on_frame(self, frame)

    def _on_ack(self, frame: Frame) -> None:
        if "client_message_id" in frame and self._outbox.acked(frame, time.monotonic()):
            self.link.wake()

    def _on_error(self, frame: Frame) -> None:
        error = Refused(frame["code"], frame["message"], frame.get("retry_after_ms", 1000) / 1000)
        key = frame.get("client_message_id") or frame.get("re", "")
        # Jitter, so that those who were refused together do not come back together.
        wait_s = (error.retry_after_s or 0.0) * random.uniform(1.0, 1.2)
        if pending := self._outbox.refused(key, error.code, wait_s, time.monotonic()):
            _fail(pending.done, error)
        if reply := self._replies.get(frame.get("re", "")):
            _fail(reply, error)
        self.link.wake()

    def _on_sync_complete(self, frame: Frame) -> None:
        if "chat_id" not in frame:  # of the resume, not of a ``sync``
            if self._sync_timer:
                self._sync_timer.cancel()
            self._open.set()

    def _on_drain(self, frame: Frame) -> None:
        self.link.reconnect_after_s = frame["reconnect_after_ms"] / 1000

    def _give_up(self, key: str, after_s: float) -> None:
        if pending := self._outbox.drop(key):
            _fail(pending.done, NoAnswer(f"no ack for {key} within {after_s:.0f} s"))


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _socket_url(url: str) -> str:
    """``http://host`` as ``ws://host``."""
    scheme, rest = url.rstrip("/").split("://", 1)
    return {"http": "ws", "https": "wss"}.get(scheme, scheme) + "://" + rest
