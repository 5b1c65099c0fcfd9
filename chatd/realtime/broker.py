"""Effects on sockets, on every node.

What is promised, by kind:

- ``log`` and ``marks`` (committed events and watermark moves): every local socket of every node sees them
  in order, once, whatever Redis does. Redis brings them in milliseconds; a gap or the sweep brings them
  from PostgreSQL within 2 s where Redis does not.
- ``left`` (who is put out of a chat, or goes): at once on this node, so that nothing that is said after the
  removal was answered reaches them; on the others in milliseconds through Redis, else by the feed.
- ``feed_changed`` (memberships, ended sessions, bans): read from the node feed in PostgreSQL; Redis only
  says when to look, and every node looks each ``sweep_s`` anyway.
- ``ephemeral``, ``typing``, ``to_users``: at most once; lost with Redis.

The local sockets get everything before Redis does. Nothing here waits: what cannot be sent is dropped
and counted, and found again by the roads above.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import msgspec

from chatd.core.context import Addressed
from chatd.core.errors import AppError, StoreUnavailable
from chatd.core.metrics import Stats
from chatd.core.settings import Settings
from chatd.realtime import envelope
from chatd.realtime.canary import Canary
from chatd.realtime.channels import Channels
from chatd.realtime.redis import Link
from chatd.realtime.streams import LogReader, Sink, Stream, Streams
from chatd.realtime.typing import TypingBoard
from chatd.wire import codec

log = logging.getLogger("chatd.realtime.broker")


class NodeSink(Sink, Protocol):
    """The local sockets, as the broker sees them."""

    def ephemeral(self, chat_id: str, frame: bytes, but: str) -> None:
        """To the chat's sockets, not to user ``but``'s; the first thing a slow socket loses."""
        ...

    def users(self, user_ids: Collection[str], frame: bytes, chat_id: str = "") -> None:
        """To every socket of these users; where it is about a chat, to none that is for another one alone."""
        ...

    def typing(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str]) -> None:
        """Someone types or has stopped: to the chat's other sockets, but to none of a user in ``hidden``."""
        ...


class NodeBroker:
    """The broker of one node. ``open`` starts it, ``close`` ends it."""

    def __init__(
        self,
        settings: Settings,
        *,
        node_id: str,
        reader: LogReader,
        sink: NodeSink,
        on_feed: Callable[[], None],
        on_left: Callable[[str, Collection[str], str], None] = lambda chat_id, user_ids, reason: None,
        on_node: Callable[[Any], None],
        presence_version: Callable[[], int],
        on_up: Callable[[], None],
        stats: Stats | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node_id = node_id
        self._stats = stats or Stats()
        self._was_up = False
        self._settings = settings
        self._reader, self._sink = reader, sink
        self._on_feed, self._on_node, self._on_link_up = on_feed, on_node, on_up
        self._on_left = on_left
        self._presence_version = presence_version
        self.channels = Channels(settings.redis.prefix)
        self.streams = Streams(
            reader,
            sink,
            patience_s=settings.fanout.gap_patience_ms / 1000,
            sweep_s=settings.fanout.sweep_s,
            stats=self._stats,
        )
        self.typists = TypingBoard(
            sink.typing, ttl_s=settings.presence.typing_ttl_s, every_s=settings.presence.typing_every_s
        )
        self.link = Link(
            settings.redis.url,
            timeout_s=settings.redis.timeout_s,
            buffer_bytes=settings.redis.buffer_bytes,
            on_message=self._heard,
            on_up=self._link_up,
            on_down=self._link_down,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._starting: set[asyncio.Task[None]] = set()
        self.canary = Canary(settings.redis.heartbeat_s, monotonic)
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self.degraded = True

    # ------------------------------------------------------------------ life

    async def open(self) -> None:
        """Start the link and the tasks. Redis may be away: the node is degraded until it comes."""
        await self.link.subscribe([self.channels.nodes])
        self.link.start()
        for name, work in (
            ("sweep", self.streams.sweep_forever),
            ("heal", self.streams.heal_forever),
            ("typing", self.typists.expire_forever),
            ("beat", self._beat_forever),
        ):
            self._tasks.append(asyncio.create_task(work(), name=f"broker {name}"))

    async def close(self) -> None:
        """Say good-bye and stop."""
        self._tell_nodes(envelope.Bye(self.node_id))
        for timer in self._lingering.values():
            timer.cancel()
        ending = [*self._tasks, *self._starting]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending, timeout=2)
        await self.link.close()

    async def alone(self) -> bool:
        """Whether Redis says that no other node listens; False where it does not say."""
        return await self.link.hearers(self.channels.nodes) == 1

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What must not die; boot watches it."""
        return [*self._tasks, *self.link.tasks]

    # --------------------------------------------------------------- effects

    def log(self, chat_id: str, first_seq: int, last_seq: int, frames: Sequence[bytes]) -> None:
        """Deliver committed events ``first_seq..last_seq`` of a chat, one frame each."""
        items = list(frames)
        self.streams.offer_log(chat_id, first_seq, items)
        self._tell_chat(chat_id, envelope.Log(self.node_id, first_seq, items))

    def marks(self, chat_id: str, receipt_seq: int, frames: Sequence[Addressed]) -> None:
        """Deliver the watermark moves of one receipt version."""
        self.streams.offer_marks(chat_id, receipt_seq, frames)
        plain = [
            envelope.Mark(f.frame, sorted(f.only) if f.only is not None else None, sorted(f.but))
            for f in frames
        ]
        self._tell_chat(chat_id, envelope.Marks(self.node_id, receipt_seq, plain))

    def ephemeral(self, chat_id: str, event: msgspec.Struct, *, but: str = "") -> None:
        """An event worth only its newest value."""
        frame = codec.frame(event)
        self._sink.ephemeral(chat_id, frame, but)
        self._tell_chat(chat_id, envelope.Ephemeral(self.node_id, frame, but))

    def to_users(self, user_ids: Collection[str], event: msgspec.Struct) -> None:
        """An event to every socket of these users."""
        frame, chat_id = codec.frame(event), _chat_of(event)
        self._sink.users(user_ids, frame, chat_id)
        self._tell_nodes(envelope.ToUsers(self.node_id, list(user_ids), frame, chat_id))

    def typing(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str] = frozenset()) -> None:
        """Someone types or has stopped."""
        self.typists.heard(chat_id, user_id, on, hidden)
        self._tell_chat(chat_id, envelope.Typing(self.node_id, user_id, on, sorted(hidden)))

    def left(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        """These users are in the chat no more."""
        self._on_left(chat_id, user_ids, reason)
        self._tell_nodes(envelope.Left(self.node_id, chat_id, list(user_ids), reason))

    def feed_changed(self) -> None:
        """The node feed has new rows: every node reads it now."""
        self._on_feed()
        self._tell_nodes(envelope.Poke(self.node_id))

    def tell_nodes(self, message: envelope.NodeEnvelope) -> None:
        """Presence speaks to the other nodes through here."""
        self._tell_nodes(message)

    def _tell_chat(self, chat_id: str, message: envelope.ChatEnvelope) -> None:
        self.link.publish(self.channels.chat(chat_id), envelope.encode(message))

    def _tell_nodes(self, message: envelope.NodeEnvelope) -> None:
        self.link.publish(self.channels.nodes, envelope.encode(message))

    # --------------------------------------------------------------- streams

    async def listen(self, chat_ids: Sequence[str]) -> None:
        """Follow these chats, each once more than before; returns when all are live.

        They count from the call on, until ``leave``, whatever becomes of it. Raises StoreUnavailable.
        """
        fresh, waiting = [], []
        for chat_id in chat_ids:
            stream = self.streams.get(chat_id) or self.streams.add(chat_id)
            timer = self._lingering.pop(chat_id, None)
            if timer is not None:
                timer.cancel()
            stream.users += 1
            if stream.opened is None and not stream.live:
                stream.opened = asyncio.get_running_loop().create_future()
                fresh.append(stream)
            if stream.opened is not None:
                waiting.append(stream.opened)
        if fresh:
            # Not the caller's work: others wait for these streams too, and it may be cancelled.
            task = asyncio.create_task(self._start(fresh), name="start streams")
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        for opened in waiting:
            await asyncio.shield(opened)

    async def _start(self, streams: list[Stream]) -> None:
        """Bring streams to life; where that fails, the next one who listens tries again."""
        chat_ids = [stream.chat_id for stream in streams]
        failure: AppError | None = None
        try:
            # Subscribe first, then read the head: what comes between is held and passed on.
            await self.link.subscribe([self.channels.chat(c) for c in chat_ids])
            for head in await self._reader.heads(chat_ids):
                stream = self.streams.get(head.chat_id)
                if stream is not None and not stream.live:
                    self.streams.start(stream, head)
        except AppError as error:
            failure = error
        except BaseException:
            failure = StoreUnavailable()
            raise
        finally:
            for stream in streams:
                opened, stream.opened = stream.opened, None
                if opened is not None and not opened.done():
                    if failure is None:
                        opened.set_result(None)
                    else:
                        opened.set_exception(failure)
                        opened.exception()  # perhaps nobody waits any more

    def leave(self, chat_id: str) -> None:
        """Follow a chat once less; the last one out stops listening after a while, not at once, since a
        phone that lost its network is back in seconds.
        """
        stream = self.streams.get(chat_id)
        if stream is None:
            return
        stream.users -= 1
        if stream.users <= 0 and chat_id not in self._lingering:
            self._lingering[chat_id] = asyncio.get_running_loop().call_later(
                self._settings.fanout.linger_s, self._stop, chat_id
            )

    def _stop(self, chat_id: str) -> None:
        self._lingering.pop(chat_id, None)
        self.streams.drop(chat_id)
        self.link.unsubscribe([self.channels.chat(chat_id)])

    # ------------------------------------------------------------------ link

    def _heard(self, channel: bytes, payload: bytes) -> None:
        chat_id = self.channels.chat_of(channel)
        try:
            if chat_id is not None:
                self._heard_chat(chat_id, envelope.decode_chat(payload))
            else:
                self._heard_node(envelope.decode_node(payload))
        except msgspec.MsgspecError:
            log.warning("a message on %s is not of this version; ignored", channel.decode())

    def _heard_chat(self, chat_id: str, said: envelope.ChatEnvelope) -> None:
        if said.origin == self.node_id:
            return
        match said:
            case envelope.Log():
                self.streams.offer_log(chat_id, said.first, said.frames)
            case envelope.Marks():
                frames = [
                    Addressed(m.frame, None if m.only is None else frozenset(m.only), frozenset(m.but))
                    for m in said.frames
                ]
                self.streams.offer_marks(chat_id, said.version, frames)
            case envelope.Typing():
                self.typists.heard(chat_id, said.user_id, said.on, frozenset(said.hidden))
            case envelope.Ephemeral():
                self._sink.ephemeral(chat_id, said.frame, said.but)

    def _heard_node(self, said: envelope.NodeEnvelope) -> None:
        if said.origin == self.node_id:
            if isinstance(said, envelope.Beat):
                self._set_degraded(False)
                self.canary.came(said.count)
            return
        match said:
            case envelope.Poke():
                self._on_feed()
            case envelope.Left():
                self._on_left(said.chat_id, said.user_ids, said.reason)
            case envelope.ToUsers():
                self._sink.users(said.user_ids, said.frame, said.chat_id)
            case _:
                self._on_node(said)

    async def _beat_forever(self) -> None:
        """The heartbeat tells others that we live and ourselves that the subscription does."""
        while True:
            self._beat()
            await asyncio.sleep(self._settings.redis.heartbeat_s)
            if self.canary.silent:
                self._set_degraded(True)
                if self.link.up:
                    log.warning("Redis is connected but carries nothing; reconnecting")
                    self.canary.start_anew()
                    self.link.reset()

    def _beat(self) -> None:
        self._tell_nodes(envelope.Beat(self.node_id, self.canary.sends(), self._presence_version()))

    def _link_up(self) -> None:
        self._stats.redis_reconnects += self._was_up
        self._was_up = True
        self.canary.link_up()
        self._beat()
        self.canary.start_anew()
        self.streams.sweep_soon()
        self._on_feed()
        self._on_link_up()

    def _link_down(self) -> None:
        self._set_degraded(True)

    def _set_degraded(self, degraded: bool) -> None:
        if degraded != self.degraded:
            self.degraded = degraded
            if degraded:
                log.warning("Redis is away: other nodes' events come from PostgreSQL until it is back")
            else:
                log.info("Redis carries again")
                self.streams.sweep_soon()


def _chat_of(event: msgspec.Struct) -> str:
    """The chat that an event is about, by itself or by the message that it schedules; empty for none."""
    return getattr(getattr(event, "scheduled", event), "chat_id", None) or ""
