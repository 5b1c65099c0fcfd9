"""One connection after another: knocking, reading, writing, coming back (protocol.md, section 3)."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from loadtest.rest import MARGIN_S, Account, ChatdError, NoAnswer, Refused, Unreachable

Frame = dict[str, Any]

#: Close codes after which coming back is of no use.
FINAL = frozenset((4400, 4403, 4413, 4429))
UNAUTHENTICATED = 4401
#: What a socket that broke, or never opened, is counted as (RFC 6455, 7.1.5).
ABNORMAL = 1006

_log = logging.getLogger("loadtest.link")


class Closed(ChatdError):
    """The socket is closed, and ``code`` says why; 1000 where we closed it."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code} {reason}".rstrip())
        self.code = code


class Owner(Protocol):
    """Who has the link, and hears what happens to it. Nothing here may wait."""

    def greeting(self) -> Frame:
        """``connection.init`` but for its token."""

    def connected(self, ready: Frame) -> None:
        """``connection.ready`` came."""

    def take(self, frame: Frame) -> None:
        """Any other frame came."""

    def disconnected(self) -> None:
        """The socket is gone; there will be another."""

    def next_to_send(self, now: float) -> bytes | None:
        """The next frame to write, or None."""

    def wake_at(self, now: float) -> float | None:
        """When there may be more to send without ``wake``."""

    def overdue_at(self) -> float | None:
        """When a socket that has not answered by then must be taken for dead."""

    def ended(self, error: ChatdError) -> None:
        """There will be no other socket, and why."""


class Link:
    """A socket to one of ``urls``, replaced when it goes, until that is of no use any more.

    It gives up after ``patience_s`` without a connection, or at a close code that says so.
    """

    def __init__(
        self,
        owner: Owner,
        account: Account,
        urls: Sequence[str],
        decode: Callable[[bytes], Frame],
        *,
        connect_timeout_s: float,
        patience_s: float,
    ) -> None:
        self.urls = list(urls)
        self.reconnect_after_s = 0.0
        self.connects = 0
        self.closes: Counter[int] = Counter()
        self._owner = owner
        self._account = account
        self._decode = decode
        self._connect_timeout_s = connect_timeout_s
        self._patience_s = patience_s
        self._wake = asyncio.Event()
        self._ws: ClientConnection | None = None
        self._runner: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        return self._ws is not None

    def start(self) -> None:
        self._runner = asyncio.create_task(self._run(), name=f"link of {self._account.user_id}")

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def drop(self) -> None:
        """Lose the connection without a word."""
        if self._ws is not None:
            self._ws.transport.abort()

    async def close(self, timeout_s: float) -> None:
        """Say goodbye and stop."""
        ws, runner = self._ws, self._runner
        if ws is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await ws.close()
        if runner is not None:
            runner.cancel()
            await asyncio.wait((runner,), timeout=timeout_s)

    async def _run(self) -> None:
        failures, strangers, lost_at = 0, 0, time.monotonic()
        try:
            while True:
                connects = self.connects
                code = await self._connection(self.urls[0])
                if self.connects > connects:
                    failures, strangers, lost_at = 0, 0, time.monotonic()
                strangers += code == UNAUTHENTICATED
                self._require_hope(code, strangers, lost_at)
                if code == UNAUTHENTICATED:
                    self._account.distrust_token()
                failures += 1
                self.urls.append(self.urls.pop(0))
                await asyncio.sleep(self._back_off(failures))
        except ChatdError as error:
            self._owner.ended(error)
        except Exception as error:
            # A defect here, or a server that does not keep to the protocol. Nobody awaits this task,
            # so whoever waits for the owner must hear of it.
            _log.exception("the link of %s stopped", self._account.user_id)
            self._owner.ended(ChatdError(f"{type(error).__name__}: {error}"))

    def _require_hope(self, code: int, strangers: int, lost_at: float) -> None:
        # One 4401 may be an old token; a second one, with a new token, is meant for us.
        if code in FINAL or strangers > 1 or (strangers and not self._account.renewable):
            raise Closed(code)
        if time.monotonic() - lost_at > self._patience_s:
            raise Unreachable(f"no connection for {self._patience_s:.0f} s (the last ended with {code})")

    def _back_off(self, failures: int) -> float:
        """Seconds to wait: what the server asked for, else doubling to 5 s; never all clients at once."""
        asked, self.reconnect_after_s = self.reconnect_after_s, 0.0
        return asked or random.uniform(0.5, 1.0) * min(5.0, 0.1 * 2**failures)

    async def _connection(self, url: str) -> int:
        """One socket from its opening to its end; its close code."""
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                ws, ready = await self._knock(url)
        except InvalidStatus as error:
            status = error.response.status_code
            if status < 500 and status != 429:
                raise Refused(f"http_{status}", "the upgrade was refused") from None
            return ABNORMAL
        except (OSError, TimeoutError, InvalidHandshake, Unreachable, NoAnswer) as error:
            _log.debug("%s: %s", url, error)
            return ABNORMAL
        except ConnectionClosed as closed:
            return self._ended_with(closed)
        except Refused as error:
            # A new token, where PostgreSQL is away: not now.
            if error.code not in ("unavailable", "rate_limited") and not error.code.startswith("http_5"):
                raise
            return ABNORMAL
        self._ws = ws
        self.connects += 1
        self._owner.connected(ready)
        writer = asyncio.create_task(self._write(ws))
        try:
            while True:
                self._owner.take(self._decode(await ws.recv(decode=False)))
        except ConnectionClosed as closed:
            return self._ended_with(closed)
        finally:
            self._ws = None
            self._owner.disconnected()
            ws.transport.abort()
            await _finish(writer)

    def _ended_with(self, closed: ConnectionClosed) -> int:
        code = closed.rcvd.code if closed.rcvd else ABNORMAL
        self.closes[code] += 1
        return code

    async def _knock(self, url: str) -> tuple[ClientConnection, Frame]:
        """Connect, introduce ourselves, and wait for ``connection.ready``."""
        token = await self._account.token()
        ws = await connect(
            url, compression=None, proxy=None, max_size=2**24, max_queue=256, ping_timeout=60, close_timeout=2
        )
        try:
            await ws.send(orjson.dumps({**self._owner.greeting(), "token": token}), text=True)
            while (frame := self._decode(await ws.recv(decode=False)))["type"] != "connection.ready":
                self._owner.take(frame)
        except BaseException:
            ws.transport.abort()
            raise
        return ws, frame

    async def _write(self, ws: ClientConnection) -> None:
        """Send what there is to send, in order, until the socket goes; keep the token fresh."""
        renew_at = self._renew_at()
        with suppress(ConnectionClosed):
            while True:
                self._wake.clear()
                while (data := self._owner.next_to_send(time.monotonic())) is not None:
                    await ws.send(data, text=True)
                if time.monotonic() >= renew_at:
                    await self._renew(ws)
                    renew_at = max(self._renew_at(), time.monotonic() + 5.0)
                overdue_at = self._owner.overdue_at()
                if overdue_at is not None and overdue_at <= time.monotonic():
                    ws.transport.abort()  # a socket that answers nothing: the next may do better
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._quiet_s(renew_at, overdue_at)):
                        await self._wake.wait()

    def _quiet_s(self, renew_at: float, overdue_at: float | None) -> float:
        """For how long the writer need not look again if nothing wakes it."""
        now = time.monotonic()
        times = (renew_at, overdue_at, self._owner.wake_at(now))
        # A bound even where there is nothing to wait for costs a wake-up a minute.
        return min(60.0, *(at - now for at in times if at is not None))

    def _renew_at(self) -> float:
        """When the token needs to be exchanged; never for one that cannot be."""
        if not self._account.renewable:
            return float("inf")
        return time.monotonic() + self._account.remaining_s() - MARGIN_S

    async def _renew(self, ws: ClientConnection) -> None:
        try:
            token = await self._account.token()
        except ChatdError as error:
            # It has a minute left, so this is tried again; a socket that outlives its token gets 4401.
            _log.warning("the token of %s was not renewed: %s", self._account.user_id, error)
            return
        await ws.send(orjson.dumps({"type": "auth.refresh", "token": token}), text=True)


async def _finish(writer: "asyncio.Task[None]") -> None:
    writer.cancel()
    await asyncio.wait((writer,), timeout=5.0)
    if writer.done() and not writer.cancelled() and (error := writer.exception()):
        raise error
