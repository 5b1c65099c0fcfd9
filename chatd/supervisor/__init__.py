"""``chatd serve``: port, private servers, schema, workers; opened in that order, closed in reverse.

SIGTERM and SIGINT stop it (a second one hurries), SIGHUP reads the settings again and replaces the
workers one by one. Killed with -9 it leaves nothing behind: workers and private servers notice.
"""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from msgspec.structs import replace

from chatd.core import logs
from chatd.core.settings import Settings, SettingsError, strangers
from chatd.embedded import Embedded, EmbeddedError, Service
from chatd.supervisor import banner, datadir
from chatd.supervisor.checks import check
from chatd.supervisor.fleet import Fleet, GaveUp, keep
from chatd.supervisor.port import PortError, reserve
from chatd.supervisor.process import work
from chatd.supervisor.schema import bring_up_to_date

__all__ = ["GaveUp", "PortError", "serve", "work"]

Load = Callable[[], Settings]
log = logging.getLogger("chatd.supervisor")


def serve(load: Load) -> None:
    """Run chatd until it is told to stop.

    Raises what an operator can do something about: SettingsError, PortError, EmbeddedError, SchemaError,
    StoreUnavailable, GaveUp; and KeyboardInterrupt where it was stopped before it had started.
    """
    # Until the event loop runs, and after it, a signal is simply an exception.
    _interrupt_on_signals()
    load = _checked(load)
    settings = load()
    logs.setup(settings.log)
    for name in strangers(os.environ):
        log.warning("%s is no setting of chatd's and has no effect", name)
    _raise_file_limit()
    with ExitStack() as stack:
        try:
            port = stack.enter_context(reserve(settings.server.host, settings.server.port))
        except PortError as error:
            here = Path(settings.server.data_dir).absolute()
            if run := datadir.find_running(here):  # perhaps its `make` was killed, and nobody sees it
                raise PortError(f"{error}. From {here} process {run.pid} serves") from None
            raise
        private = _Private(settings, datadir.make(settings))
        stack.enter_context(private)
        settings = private.complete(settings)
        if private.has_postgres:
            stack.enter_context(datadir.running(private.directory, settings))
        metrics = stack.enter_context(datadir.metrics(private.directory))
        asyncio.run(_Supervisor(settings, port, private, load, metrics).run())
        _interrupt_on_signals()  # the loop has put back handlers that end us on the spot
        log.info("the workers have stopped")


def _checked(load: Load) -> Load:
    def loaded() -> Settings:
        settings = load()
        check(settings)
        return settings

    return loaded


class _Private:
    """The private servers of this run, none where both are configured."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.directory = directory
        self.has_postgres = not settings.postgres.url
        self.has_redis = not settings.redis.url
        self._embedded = Embedded(directory, postgres=self.has_postgres, redis=self.has_redis, say=log.info)

    def __enter__(self) -> None:
        if self.has_postgres or self.has_redis:
            self._embedded.start()

    def __exit__(self, *_: object) -> None:
        self._embedded.stop()

    @property
    def services(self) -> list[Service]:
        wanted = (self.has_postgres, "postgres"), (self.has_redis, "redis")
        return [getattr(self._embedded, name) for has, name in wanted if has]

    def complete(self, settings: Settings) -> Settings:
        """The settings with the private servers' addresses and the kept secrets."""
        if self.has_postgres:
            settings = replace(settings, postgres=replace(settings.postgres, url=self._embedded.postgres.url))
        if self.has_redis:
            settings = replace(settings, redis=replace(settings.redis, url=self._embedded.redis.url))
        return datadir.complete_secrets(settings, self.directory)


class _Supervisor:
    """The part that runs in an event loop: schema, workers, signals."""

    def __init__(self, settings: Settings, port: int, private: _Private, load: Load, metrics: Path) -> None:
        self.settings, self.port, self.private, self.load = settings, port, private, load
        self._fleet = Fleet(settings, port=port, metrics=metrics)
        self._stopping = asyncio.Event()
        self._rolling: asyncio.Task[None] | None = None
        self._had_terminal = _has_terminal()

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises GaveUp, SchemaError, StoreUnavailable."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        serving = asyncio.create_task(self._serve(), name="serving")
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (self._rolling, serving, stopping):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _serve(self) -> None:
        await bring_up_to_date(self.settings.postgres.url)
        keepers = [asyncio.create_task(keep(service), name=service.name) for service in self.private.services]
        try:
            await self._fleet.run(self._announce)
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    def _announce(self) -> None:
        banner.show(
            self.settings,
            self.port,
            self._fleet.size,
            {service.name: service.directory for service in self.private.services},
        )

    def _stop(self) -> None:
        if self._stopping.is_set():
            log.warning("hurrying: connections are cut")
            self._fleet.hurry.set()
            return
        log.info("stopping; connections have %g s to finish", self.settings.server.drain_s)
        self._stopping.set()

    def _hang_up(self) -> None:
        # Also what a terminal sends when it closes, and then nobody is left to stop us.
        if self._had_terminal and not _has_terminal():
            self._stop()
        elif not self._fleet.up or (self._rolling is not None and not self._rolling.done()):
            log.warning("not replacing the workers: they are being started right now")
        else:
            self._rolling = asyncio.create_task(self._roll(), name="rolling restart")

    async def _roll(self) -> None:
        try:
            fresh = self.private.complete(self.load())
        except (SettingsError, EmbeddedError) as error:
            log.error("the new settings cannot be used, the old ones stay: %s", error)
            return
        # What only a new start can change stays as it is.
        server = replace(
            fresh.server,
            host=self.settings.server.host,
            port=self.settings.server.port,
            workers=self.settings.server.workers,
            data_dir=self.settings.server.data_dir,
        )
        if server != fresh.server:
            log.warning("server.host, port, workers and data_dir change at the next start, not now")
        self._fleet.settings = replace(fresh, server=server)
        await self._fleet.roll()


def _interrupt_on_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _has_terminal() -> bool:
    """Whether this process has a terminal that is alive (tty(4))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _raise_file_limit() -> None:
    """As many open files as the system lets us have, for as many sockets; workers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1_048_576 if hard == resource.RLIM_INFINITY else min(hard, 1_048_576)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
