"""A pub/sub link to Redis that mends itself: hiredis fed by an asyncio.Protocol.

redis-py's ``listen()`` takes a core for 79,000 messages a second; this takes one for 1.8 million. It does
only what the broker needs: SUBSCRIBE, UNSUBSCRIBE and PUBLISH, at most once, never waiting. A connection
that is up proves nothing, which is why the broker sends itself heartbeats through it.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import hiredis

log = logging.getLogger("chatd.realtime.redis")


def command(*parts: bytes) -> bytes:
    """One command in RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""
    out = [b"*%d\r\n" % len(parts)]
    for part in parts:
        out.append(b"$%d\r\n%b\r\n" % (len(part), part))
    return b"".join(out)


class Refused(OSError):
    """Redis answers, and lets us not in: NOAUTH, WRONGPASS, LOADING."""


class _Wire(asyncio.Protocol):
    """One connection: replies go to ``on_reply``, its end to ``ended``."""

    def __init__(self, on_reply: Callable[[Any], None]) -> None:
        self._reader = hiredis.Reader()
        self._on_reply = on_reply
        self.transport: Any = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def greet(self, *commands: bytes) -> None:
        """Say these first. Raises Refused where one is answered by an error, OSError where it all ends."""
        replies: asyncio.Queue[Any] = asyncio.Queue()
        then, self._on_reply = self._on_reply, replies.put_nowait
        self.ended.add_done_callback(lambda _: replies.put_nowait(ConnectionResetError("it hung up")))
        self.transport.write(b"".join(commands))
        for _ in commands:
            reply = await replies.get()
            if isinstance(reply, hiredis.ReplyError):
                raise Refused(str(reply))
            if isinstance(reply, OSError):
                raise reply
        self._on_reply = then

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        reader, on_reply = self._reader, self._on_reply
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                on_reply(reply)
        except hiredis.ProtocolError:
            log.warning("Redis spoke something else than RESP; reconnecting")
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def write(self, data: bytes) -> bool:
        """Send; False where the connection is on its way out, which its owner is about to learn."""
        if self.transport.is_closing():
            return False
        self.transport.write(data)
        return True

    @property
    def buffered(self) -> int:
        size: int = self.transport.get_write_buffer_size()
        return size


class Endpoint:
    """Where Redis is: ``redis://[user:password@]host:port/db``, ``rediss://…`` or ``unix:///path``.

    ``rediss`` takes ``?ssl_ca_certs=FILE``; ``ssl_certfile`` and ``ssl_keyfile`` for a certificate of ours.
    Raises ValueError, whose text does not tell the password, and OSError for files that cannot be read.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix"):
            raise ValueError("it begins with redis://, rediss:// or unix://")
        self.unix = unquote(parts.path) if parts.scheme == "unix" else None
        try:
            self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 6379
        except ValueError:  # whose text may be half a password
            raise ValueError("its port is no number (in a password / is %2F, : is %3A, @ is %40)") from None
        options = dict(parse_qsl(parts.query))
        known = {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}
        if unknown := sorted(options.keys() - known):
            raise ValueError(f"it has options that are not known: {', '.join(unknown)}")
        self.tls = None
        if parts.scheme == "rediss":
            self.tls = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
            if certificate := options.get("ssl_certfile"):
                self.tls.load_cert_chain(certificate, options.get("ssl_keyfile"))
        self.user = unquote(parts.username or "")
        self.password = unquote(parts.password or "")

    async def connect(self, on_reply: Callable[[Any], None], timeout_s: float) -> _Wire:
        """A connection that is let in. Raises OSError (Refused among them) or TimeoutError."""
        loop = asyncio.get_running_loop()
        # It answers nothing of use before it has loaded its data, nor to who is not logged in.
        hello = [command(b"PING")]
        if self.password:
            login = (self.user.encode(), self.password.encode()) if self.user else (self.password.encode(),)
            hello.insert(0, command(b"AUTH", *login))
        async with asyncio.timeout(timeout_s):
            if self.unix is not None:
                _, wire = await loop.create_unix_connection(lambda: _Wire(on_reply), self.unix)
            else:
                _, wire = await loop.create_connection(
                    lambda: _Wire(on_reply), self.host, self.port, ssl=self.tls
                )
            try:
                await wire.greet(*hello)
            except BaseException:
                wire.transport.abort()
                raise
        return wire


class Link:
    """Publish and subscribe with reconnection.

    ``on_message(channel, payload)`` is called for each message; ``on_up()`` when both connections stand
    and every channel has been asked for again; ``on_down()`` when one of them is lost.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        buffer_bytes: int,
        on_message: Callable[[bytes, bytes], None],
        on_up: Callable[[], None],
        on_down: Callable[[], None],
    ) -> None:
        self._endpoint = Endpoint(url)
        self._timeout_s, self._buffer_bytes = timeout_s, buffer_bytes
        self._on_message, self._on_up, self._on_down = on_message, on_up, on_down
        self._channels: set[bytes] = set()
        self._confirmations: dict[bytes, list[asyncio.Future[bool]]] = {}
        self._counts: list[asyncio.Future[int | None]] = []  # questions of ``hearers``, in order
        self._sub: _Wire | None = None
        self._pub: _Wire | None = None
        self._outbox: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        #: What was wrong and has been logged since a message last came: each reason once, not each time.
        self._told: set[str] = set()
        self.dropped = 0

    @property
    def up(self) -> bool:
        """Both connections stand (which proves little)."""
        return self._sub is not None and self._pub is not None

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What must not die once it is started."""
        return [] if self._task is None else [self._task]

    def start(self) -> None:
        """Connect, and again whenever it is lost."""
        self._task = asyncio.create_task(self._run(), name="redis link")

    async def close(self) -> None:
        """Say what is left to say, then end."""
        self._flush()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)
        self._lost()

    def reset(self) -> None:
        """Drop both connections and make new ones: they stand but carry nothing."""
        for wire in (self._sub, self._pub):
            if wire is not None:
                wire.transport.abort()

    def publish(self, channel: bytes, payload: bytes) -> None:
        """Send, at most once, with all else of this loop iteration; dropped while Redis is away."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(command(b"PUBLISH", channel, payload))

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, []
        if not outbox:
            return
        pub = self._pub
        if pub is None or pub.buffered > self._buffer_bytes or not pub.write(b"".join(outbox)):
            self.dropped += len(outbox)

    async def subscribe(self, channels: Iterable[bytes]) -> bool:
        """Hear these channels from now on; True once Redis has confirmed them all, False if it has not
        in time (they are kept, and asked for again on every reconnection).
        """
        new = [channel for channel in channels if channel not in self._channels]
        self._channels.update(new)
        if self._sub is None:
            return False
        if not new:
            return True
        loop = asyncio.get_running_loop()
        waiting = []
        for channel in new:
            future: asyncio.Future[bool] = loop.create_future()
            self._confirmations.setdefault(channel, []).append(future)
            waiting.append(future)
        self._sub.write(command(b"SUBSCRIBE", *new))
        done, late = await asyncio.wait(waiting, timeout=self._timeout_s)
        for future in late:
            future.cancel()
        return not late and all(future.result() for future in done)

    def unsubscribe(self, channels: Iterable[bytes]) -> None:
        """Hear these no more."""
        gone = [channel for channel in channels if channel in self._channels]
        self._channels.difference_update(gone)
        if gone and self._sub is not None:
            self._sub.write(command(b"UNSUBSCRIBE", *gone))

    async def hearers(self, channel: bytes) -> int | None:
        """How many connections hear a channel (ours among them); None where Redis does not say in time."""
        if self._pub is None:
            return None
        count: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._counts.append(count)
        self._pub.write(command(b"PUBSUB", b"NUMSUB", channel))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(count)
        except TimeoutError:
            return None

    async def _run(self) -> None:
        delay = 0.05
        while True:
            try:
                await self._connect()
            except (OSError, TimeoutError, UnicodeError) as error:  # the last for names that no host can have
                what = "does not let us in" if isinstance(error, Refused) else "is not reachable"
                self._tell(f"Redis {what}: %s", str(error) or "no answer in time")
            else:
                delay = 0.05
                self._on_up()
                await self._until_lost()
                self._lost()
                self._on_down()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311  jitter, not a secret
            delay = min(delay * 2, 1.0)

    async def _connect(self) -> None:
        pub = await self._endpoint.connect(self._answered, self._timeout_s)
        try:
            sub = await self._endpoint.connect(self._heard, self._timeout_s)
        except BaseException:
            pub.transport.abort()
            raise
        self._pub, self._sub = pub, sub
        channels = list(self._channels)
        for i in range(0, len(channels), 1000):
            sub.write(command(b"SUBSCRIBE", *channels[i : i + 1000]))

    async def _until_lost(self) -> None:
        if self._sub is None or self._pub is None:
            return
        await asyncio.wait([self._sub.ended, self._pub.ended], return_when=asyncio.FIRST_COMPLETED)

    def _lost(self) -> None:
        for wire in (self._sub, self._pub):
            if wire is not None:
                wire.transport.abort()
        self._sub = self._pub = None
        for count in self._counts:
            count.set_result(None)
        self._counts = []
        waiting, self._confirmations = self._confirmations, {}
        for futures in waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(False)

    def _tell(self, message: str, why: str) -> None:
        if why not in self._told:
            self._told.add(why)
            log.warning(message, why)

    def _heard(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            self._tell("Redis refuses SUBSCRIBE: %s", str(reply))
            return
        if not isinstance(reply, list):
            return
        if reply[0] == b"message":
            if self._told:
                self._told.clear()
            self._on_message(reply[1], reply[2])
        elif reply[0] == b"subscribe":
            for future in self._confirmations.pop(reply[1], ()):
                if not future.done():
                    future.set_result(True)

    def _answered(self, reply: Any) -> None:
        """PUBLISH answers with the number of hearers, which nobody needs; PUBSUB with a list."""
        if isinstance(reply, hiredis.ReplyError):
            self._tell("Redis refuses PUBLISH: %s", str(reply))
            counts, self._counts = self._counts, []  # perhaps it was one of these
            for count in counts:
                count.set_result(None)
        elif isinstance(reply, list) and self._counts:
            self._counts.pop(0).set_result(int(reply[1]))
