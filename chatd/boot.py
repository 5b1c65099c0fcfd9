"""The one page of wiring: open in order, close in reverse."""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import cache
from typing import Any

from chatd import catalog, objects
from chatd.backend import RoomsBackend
from chatd.core import logs, metrics
from chatd.core.clock import Clock, SystemClock
from chatd.core.collector import calm_the_collector
from chatd.core.context import NOBODY, Actor, Ctx
from chatd.core.declarations import Job
from chatd.core.errors import AppError, StoreUnavailable
from chatd.core.ids import Ids, UuidIds
from chatd.core.settings import Settings
from chatd.db import feed as node_feed
from chatd.db import migrations
from chatd.db.group_commit import GroupCommit
from chatd.db.pool import Db
from chatd.features.messages.reading import PostgresLog
from chatd.features.moderation import service as moderation
from chatd.features.moderation.screen import FilterScreen
from chatd.gateway.edge import Edge
from chatd.gateway.feed import FeedReader
from chatd.gateway.server import Listener
from chatd.realtime.broker import NodeBroker
from chatd.realtime.limits import RedisLimiter
from chatd.realtime.presence import NodePresence
from chatd.realtime.settling import settle
from chatd.rest import asyncapi, openapi, root
from chatd.rest.app import Parts, build
from chatd.rest.root import Readiness
from chatd.rest.server import RestServer, protocol_factory
from chatd.worker.runner import Runner

log = logging.getLogger("chatd.boot")


async def _prune_feed(ctx: Ctx) -> None:
    """Forget feed rows that every node has long read."""
    await node_feed.prune(ctx.db, older_than_s=3600)


#: How long after its sockets a worker may take to end.
LEAVE_S = 10.0
#: How long a worker that starts waits for PostgreSQL, of the minute that it has to get ready.
START_PATIENCE_S = 30.0

JOBS = (*catalog.JOBS, Job("node_feed.prune", 300.0, _prune_feed))


class Node:
    """One worker: everything between its port and its database.

    ``open`` takes connections once it returns; ``drain`` sends them elsewhere; ``close`` ends the rest.
    """

    def __init__(self, settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.settings = settings
        self.clock, self.ids = clock or SystemClock(), ids or UuidIds()
        self.node_id = self.ids.new("nod")
        self.stats = metrics.Stats()
        self.db = Db(settings.postgres)
        self.groups = GroupCommit(
            observe=lambda name, size: metrics.BATCH_SIZE.labels(name).observe(size),
            bounds={"append": (settings.messages.max_batch, settings.messages.max_queue)},
            flush=lambda: self.edge.hub.flush(),
            max_wait_s=settings.admission.max_wait_ms / 1000,
        )
        self.limiter = RedisLimiter(settings.redis, self.clock)
        self.objects = objects.of(settings)
        self.draining = False
        self._tasks: list[asyncio.Task[Any]] = []
        self.ctx: Ctx
        self.rest: RestServer
        self._wire()

    def _wire(self) -> None:
        settings = self.settings
        self.presence = NodePresence(
            settings.presence,
            node_id=self.node_id,
            tell=lambda message: self.broker.tell_nodes(message),
            tell_watchers=self._tell_watchers,
            may_tell=lambda connection_id: self.edge.takes_ephemeral(connection_id),
            link_is_well=lambda: not self.broker.degraded,
            carried_until=lambda: self.broker.canary.carried_until,
            monotonic=self.clock.monotonic,
            wall=lambda: self.clock.now().timestamp(),
        )
        ctx_parts: dict[str, Any] = {
            "db": self.db,
            "groups": self.groups,
            "presence": self.presence,
            "limiter": self.limiter,
            "objects": self.objects,
            "clock": self.clock,
            "ids": self.ids,
            "settings": settings,
            "screen": FilterScreen(scans=bool(settings.moderation.classifier_url)),
        }
        # The backend needs a Ctx, the broker the edge's hub, the Ctx the broker: so the broker comes last.
        self.backend = RoomsBackend(Ctx(NOBODY, broker=None, **ctx_parts))  # type: ignore[arg-type]
        self.edge = Edge(
            settings=settings,
            node_id=self.node_id,
            clock=self.clock,
            ids=self.ids,
            stats=self.stats,
            backend=self.backend,
            commands=catalog.COMMANDS,
            make_ctx=self._make_ctx,
        )
        self.feed = FeedReader(self.edge, self.db, settings.fanout.sweep_s)
        self.broker = NodeBroker(
            settings,
            node_id=self.node_id,
            reader=PostgresLog(self.db),
            sink=self.edge.hub,
            on_feed=self.feed.look,
            on_left=self.feed.put_out,
            on_node=self.presence.heard,
            presence_version=lambda: self.presence.version,
            on_up=self.presence.ask_everybody,
            stats=self.stats,
            monotonic=self.clock.monotonic,
        )
        #: What all Ctx of this node have in common.
        self._shared = {"broker": self.broker, **ctx_parts}
        self.ctx = Ctx(NOBODY, **self._shared)
        self.backend.use(self.ctx)
        self.groups.ctx = self.ctx
        self.edge.attach(self.broker, self.presence, self.feed)
        self.edge.admission.pressure = lambda chat_id: self.groups.pressure("append", chat_id)
        self.listener = Listener(self.edge, lambda socket_of: self.rest(socket_of))
        self.runner = Runner(self.db, self.ctx, JOBS)

    def _make_ctx(self, actor: Actor, origin: str, address: str) -> Ctx:
        return Ctx(actor=actor, origin=origin, address=address, **self._shared)

    def _tell_watchers(
        self, ids: Iterable[str], user_id: str, status: str, since: float | None, shown: bool
    ) -> None:
        frame = self.backend.presence(user_id, status, since, shown)
        for connection_id in ids:
            connection = self.edge.by_id.get(connection_id)
            if connection is not None:
                connection.write(frame)

    # ------------------------------------------------------------------ life

    LAST_JOBS_S = 5.0
    SETTLE_BEATS = 4  # so long a new worker waits to hear from the others

    async def open(self, host: str, port: int, *, settle_s: float = 0.0, patience_s: float = 0.0) -> None:
        """Connect, start the tasks, listen. Raises OSError, and StoreUnavailable where PostgreSQL is away and
        not back within ``patience_s``.

        Before it listens or works on jobs it waits, at most ``settle_s``, until every node that beats has
        said who is there: who came in before that would be shown people offline who are not, and people who
        are there would be sent push notifications.
        """
        until = time.monotonic() + patience_s
        await _again(self.db.open, until)
        await _again(lambda: moderation.prepare(self.ctx), until)
        await self.objects.open()
        await _again(self.feed.start, until)
        await self.broker.open()
        app = build(
            Parts(
                settings=self.settings,
                routes=catalog.ROUTES,
                stats=self.stats,
                make_ctx=self._make_ctx,
                authenticate=self.backend.authenticate,
                require_live=self.backend.require_live,
                readiness=self.readiness,
                documents=_documents(),
            )
        )
        self.rest = await protocol_factory(app, drain_s=self.settings.server.drain_s)
        self._watch_gauges()
        self._tasks = [
            asyncio.create_task(self.feed.follow_forever(), name="node feed"),
            asyncio.create_task(self.edge.heart.beat_forever(), name="heartbeats"),
            asyncio.create_task(self.edge.admission.watch_forever(), name="admission"),
            asyncio.create_task(self.presence.tick_forever(), name="presence"),
            asyncio.create_task(metrics.tick(self.stats), name="metrics"),
        ]
        if settle_s:
            beat_s = self.settings.redis.heartbeat_s
            await settle(self.broker, self.presence, beat_s=beat_s, within_s=settle_s)
        self.runner.start()  # jobs ask who is there, too
        await self.listener.open(host, port)

    def _watch_gauges(self) -> None:
        watch = self.stats.watch
        watch("sockets", lambda: len(self.edge.by_id))
        watch("queue_bytes", lambda: self.edge.queue_bytes)
        watch("slow_sockets", lambda: len(self.edge.slow))
        watch("batch_waiting", lambda: self.groups.waiting)
        watch("redis_up", lambda: 0 if self.broker.degraded else 1)
        watch("degraded", lambda: 1 if self.broker.degraded else 0)
        watch("draining", lambda: 1 if self.draining else 0)
        watch("db_pool_size", lambda: self.db.size[0])
        watch("db_pool_idle", lambda: self.db.size[1])
        watch("inflight_commands", lambda: sum(c.inflight for c in self.edge.connections))

    async def readiness(self) -> Readiness:
        """What is missing for taking traffic, and what is worked without."""
        missing = ["not draining"] if self.draining else []
        try:
            await migrations.require_current(self.db)
            if await self.db.one(bool, "SELECT current_setting('transaction_read_only')::bool"):
                missing.append("postgres: it takes no writes")
        except AppError:
            missing.append("postgres")
        except migrations.SchemaError as error:
            missing.append(f"schema: {error}")
        return Readiness(missing=missing, degraded=["redis"] if self.broker.degraded else [])

    @property
    def watched(self) -> list[asyncio.Task[Any]]:
        """Tasks without which the node is no node."""
        return [*self._tasks, *self.broker.tasks]

    async def drain(self) -> None:
        """Take no new connections, finish what is at work, send the sockets elsewhere."""
        self.draining = True
        self.listener.close()
        within = self.settings.server.drain_s
        self.edge.announce_drain(within / 2)
        await self.edge.finish_work(within / 4)
        await self.groups.drain(within / 4)
        try:
            await self.edge.drain(within / 2)
        except TimeoutError:
            for connection in list(self.edge.connections):
                connection.abort()

    async def close(self) -> None:
        """End everything, in reverse."""
        self.listener.close()
        for connection in list(self.edge.connections):
            connection.abort()
        await asyncio.sleep(0)
        await self.rest.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.LAST_JOBS_S):  # without PostgreSQL they would not end soon
                await self.runner.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks, timeout=2)
        await self.groups.drain(2)
        await self.broker.close()
        await self.limiter.close()
        await self.objects.close()
        await self.db.close()


@cache
def _documents() -> dict[str, root.Document]:
    """They change with the program only: made once a process, which costs a tenth of a second."""
    return root.documents(
        openapi.document(catalog.ROUTES), asyncapi.document(catalog.COMMANDS, catalog.EVENTS)
    )


async def _again(step: Callable[[], Awaitable[None]], until: float) -> None:
    """Take a step, again while PostgreSQL is away: a worker that gave up would have to start from nothing."""
    while True:
        try:
            return await step()
        except StoreUnavailable as error:
            if time.monotonic() >= until:
                raise
            log.warning("waiting for PostgreSQL: %s", error)
        await asyncio.sleep(0.25)


def leave_within(seconds: float) -> None:
    """End this process by force, unless it has ended by then.

    The supervisor bounds the end of a worker that it told to go. One that was told by somebody else, or that
    goes because a task of its has ended, takes no connections any more: nobody would notice that it hangs.
    """
    # A thread, so that it works also where the event loop does not.
    watchdog = threading.Timer(seconds, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()


def _pass_on_drain(row: node_feed.Row) -> None:
    """The supervisor rolls on SIGHUP: a new worker is ready before an old one sends its sockets elsewhere."""
    if row.kind == "node.drain":
        log.info("an admin asked for new workers")
        os.kill(os.getppid(), signal.SIGHUP)


async def run_worker(settings: Settings, *, worker: int, port: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises what keeps it from starting, or what ended it."""
    logs.setup(settings.log, worker=str(worker))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    node = Node(settings)
    if worker == 0:  # one word to the supervisor is enough
        node.feed.listen(_pass_on_drain)
    settle_s = Node.SETTLE_BEATS * settings.redis.heartbeat_s
    await node.open(settings.server.host, port, settle_s=settle_s, patience_s=START_PATIENCE_S)
    calm_the_collector()
    ready()
    stopping = asyncio.create_task(stop.wait(), name="stop signal")
    try:
        done, _ = await asyncio.wait([stopping, *node.watched], return_when=asyncio.FIRST_COMPLETED)
        leave_within(settings.server.drain_s + LEAVE_S)
        for task in done - {stopping}:
            log.error("%s has ended: the worker cannot go on", task.get_name(), exc_info=task.exception())
        await node.drain()
    finally:
        stopping.cancel()
        await node.close()
    if done - {stopping}:
        raise RuntimeError("a task that must not end has ended")
