"""What a handler is given: one frozen ``Ctx``, and the shapes of what hangs from it.

The shapes are protocols because core imports nothing of chatd; ``chatd.db`` and ``chatd.realtime``
are what stands behind them. No globals, no locator: boot makes the pieces, the edges make the Ctx.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from chatd.core.clock import Clock
from chatd.core.declarations import Batch
from chatd.core.ids import Ids
from chatd.core.objects import NoObjects, ObjectStore
from chatd.core.pending import Pending
from chatd.core.settings import Settings

T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks. ``user_id`` is empty for nobody (routes declared with ``auth=False``)."""

    user_id: str
    session_id: str = ""
    roles: frozenset[str] = frozenset()
    #: When the access token runs out, as a Unix time.
    expires_at: float = 0.0


NOBODY = Actor("")
#: A program of the operator, known by ``secrets.internal_api_key`` (routes declared ``internal``).
OPERATOR = Actor("", roles=frozenset({"operator"}))


class Queries(Protocol):
    """One statement each; rows become structs whose fields are in the statement's column order.

    All raise StoreUnavailable where PostgreSQL does not answer in time.
    """

    async def rows(self, kind: type[T], sql: str, *args: Any) -> list[T]:
        """Every row."""
        ...

    async def maybe(self, kind: type[T], sql: str, *args: Any) -> T | None:
        """The first row, or None."""
        ...

    async def one(self, kind: type[T], sql: str, *args: Any) -> T:
        """The first row, which must be there."""
        ...

    async def run(self, sql: str, *args: Any) -> int:
        """Do it; the number of rows touched."""
        ...


class Tx(Queries, Protocol):
    """Statements of one transaction, and what shall follow its commit."""

    def after_commit(self, effect: Callable[..., None], *args: Any) -> None:
        """Call ``effect(*args)`` once the transaction has committed; never if it has not."""
        ...


class Database(Queries, Protocol):
    """The pool."""

    def transaction(self) -> AbstractAsyncContextManager[Tx]:
        """BEGIN … COMMIT, READ COMMITTED; an exception rolls back."""
        ...


class Broker(Protocol):
    """Effects on sockets, on every node. Calls return at once; realtime/broker.py has the guarantees."""

    def log(self, chat_id: str, first_seq: int, last_seq: int, frames: Sequence[bytes]) -> None:
        """Deliver committed events ``first_seq..last_seq`` of a chat's log, in order, exactly once."""
        ...

    def marks(self, chat_id: str, receipt_seq: int, frames: Sequence["Addressed"]) -> None:
        """Deliver committed watermark moves; ``receipt_seq`` is their version."""
        ...

    def ephemeral(self, chat_id: str, event: msgspec.Struct, *, but: str = "") -> None:
        """An event worth only its newest value to the chat's sockets, but not to user ``but``'s."""
        ...

    def to_users(self, user_ids: Collection[str], event: msgspec.Struct) -> None:
        """An event to every socket of these users; lossy where Redis is."""
        ...

    def typing(self, chat_id: str, user_id: str, on: bool, hidden: frozenset[str] = frozenset()) -> None:
        """Someone types or has stopped, which those in ``hidden`` are not to know; the throttle and the 5 s
        end are applied on each node.
        """
        ...

    def left(self, chat_id: str, user_ids: Collection[str], reason: str) -> None:
        """These users are in the chat no more: their sockets on this node get nothing of it from the call on,
        those on other nodes as soon as Redis says so. A row of the node feed says the same for good.
        """
        ...

    def feed_changed(self) -> None:
        """The node feed has new rows (memberships, sessions, bans): every node reads it now."""
        ...


@dataclass(frozen=True, slots=True)
class Addressed:
    """A finished frame and whom of the chat it is for: everybody (None) or these users, but not ``but``."""

    frame: bytes
    only: frozenset[str] | None = None
    but: frozenset[str] = frozenset()

    def is_for(self, user_id: str) -> bool:
        """Whether this user's sockets get it."""
        return user_id not in self.but and (self.only is None or user_id in self.only)


class PresenceView(Protocol):
    """Presence as this node knows it, and the watch lists of its sockets."""

    def status_of(self, user_id: str) -> str:
        """online · away · offline, over all nodes; ``invisible`` is offline."""
        ...

    def has_socket(self, user_id: str) -> bool:
        """Whether a device of the user has a socket on any node; invisible ones too."""
        ...

    def since(self, user_id: str) -> float | None:
        """When that began, as a Unix time; None where only PostgreSQL may know (accounts.last_active)."""
        ...

    def set_status(self, user_id: str, connection_id: str, status: str) -> None:
        """This device is now online, away or invisible."""
        ...

    def watch(self, connection_id: str, seen: Mapping[str, str], discreet: Collection[str] = ()) -> None:
        """Replace the watch list of a socket: these users, last shown to it in these states; of those in
        ``discreet`` it is not told since when.
        """
        ...

    def seen(self) -> list[str]:
        """The users that others see on this node now: by a device with a socket, not by one that dropped."""
        ...

    @property
    def last_seen(self) -> "Sightings":
        """What PostgreSQL is to know of it."""
        ...


class Sightings(Protocol):
    """Who was seen to come and to leave, as Unix times; each is told once. The invisible are not seen."""

    def take_gone(self) -> dict[str, float]:
        """Users that were seen to leave and when, since the last call; flaps are there too."""
        ...

    def take_come(self) -> dict[str, float]:
        """Users that were seen to come to this node and when, since the last call."""
        ...

    def give_back(self, gone: Mapping[str, float], come: Mapping[str, float]) -> None:
        """They could not be stored now: the next calls say them again."""
        ...


class Limiter(Protocol):
    """Rates over all nodes."""

    async def require(self, bucket: str, key: str, *, limit: int, period_s: float, burst: int = 0) -> None:
        """Count one. Raises RateLimited with ``retry_after_ms`` where it is one too many."""
        ...

    async def admit(
        self, bucket: str, counts: Mapping[str, int], *, limit: int, period_s: float, burst: int = 0
    ) -> dict[str, "Admitted"]:
        """Count many at once, one round trip for all keys: how many of each key's may pass."""
        ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """The first ``count`` pass; the rest may come back after ``retry_after_ms``."""

    count: int
    retry_after_ms: int


class Groups(Protocol):
    """Group commit: what many ask for at once is done in one statement (``declarations.Batch``)."""

    def submit(self, batch: Batch[In, Out], entry: In) -> Pending[Out]:
        """Queue ``entry`` for the next round of ``batch``.

        Raises Unavailable at once where the queue is at its bound.
        """
        ...


@dataclass(frozen=True, slots=True)
class Judgement:
    """What filters say of a text. ``flagged`` and ``hidden`` are stored so; ``refused``, ``silenced`` (its
    sender, for ``silence_s``) and ``muted`` (its sender, everywhere) are not. ``reason`` names what said it.
    """

    status: str
    reason: str
    silence_s: float = 0.0


class Screen(Protocol):
    """What texts go through before they are stored."""

    @property
    def scans(self) -> bool:
        """Whether what is stored shall be shown to the outside classifier, too."""
        ...

    async def judge(self, limiter: Limiter, texts: Sequence[tuple[str, str]]) -> dict[int, Judgement]:
        """Of (sender's id, text): the place, from 0, of each that there is something to say of."""
        ...


class OpenScreen:
    """Lets everything through."""

    scans = False

    async def judge(self, limiter: Limiter, texts: Sequence[tuple[str, str]]) -> dict[int, Judgement]:
        """Nothing to say."""
        return {}


_OPEN = OpenScreen()
_NOWHERE: Any = NoObjects()


@dataclass(frozen=True, slots=True)
class Ctx:
    """Everything a handler may use."""

    actor: Actor
    db: Database
    groups: Groups
    broker: Broker
    presence: PresenceView
    limiter: Limiter
    clock: Clock
    ids: Ids
    settings: Settings
    screen: Screen = _OPEN
    objects: ObjectStore = _NOWHERE
    #: The connection (socket) or request id, for logs; commands of one socket share it.
    origin: str = ""
    #: The client's address, after trusted proxies.
    address: str = ""
    #: Where the client has reached us, as "https://chat.example.com"; empty where that is not known.
    base_url: str = ""
