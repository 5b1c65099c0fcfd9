"""What is written down during a run. Times are ``time.monotonic`` seconds of this process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Frame = dict[str, Any]


@dataclass(slots=True)
class SocketRecord:
    """One socket of one device: what it asked to resume from, and every frame it got, with its time."""

    device: str
    user_id: str
    url: str
    since: dict[str, int]
    ready: Frame
    opened_at: float
    frames: list[tuple[float, Frame]] = field(default_factory=list)
    synced_at: float | None = None
    closed_at: float | None = None
    #: Through a proxy that may stall it: nothing about its times can be held against the server.
    proxied: bool = False
    #: The one chat of a /chats/{chat_id} socket.
    scope: str | None = None

    def is_for(self, chat_id: str) -> bool:
        return self.scope in (None, chat_id)

    def of_type(self, *types: str) -> Iterator[tuple[float, Frame]]:
        return ((at, frame) for at, frame in self.frames if frame["type"] in types)


@dataclass(slots=True)
class Send:
    """One message that somebody wanted to send, under one client_message_id for ever."""

    chat_id: str
    sender_id: str
    client_message_id: str
    text: str
    at: float
    acked_at: float | None = None
    seq: int | None = None
    message_id: str | None = None
    #: The server said no, for good.
    refused: str | None = None


@dataclass(slots=True)
class Deed:
    """An edit, delete, reaction or read: ``done`` is True where it was acked, False where it was refused,
    None where nobody knows.
    """

    kind: str  # edit · delete · react · unreact · read
    chat_id: str
    user_id: str
    message_id: str
    value: str
    at: float
    done: bool | None = None


@dataclass(slots=True)
class Strike:
    """One fault: when it began, when it was undone, and when all was well again (None: it never was)."""

    name: str
    began: float
    undone: float = 0.0
    healed: float | None = None
    #: What was not well when that was looked at last.
    ailing: str = ""


class Violation(NamedTuple):
    """A promise that was broken, and when it showed."""

    kind: str  # lost · doubled · disordered · altered · stale · late · typing · presence · outage · defect
    at: float
    what: str


@dataclass
class Truth:
    """What the server says once everything is at rest."""

    #: chat -> the log in PostgreSQL: (seq, kind, message_id), ascending.
    log: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    #: chat -> rows of chat_messages.
    rows: dict[str, list[Frame]] = field(default_factory=dict)
    #: chat -> message id -> the message as REST history shows it.
    messages: dict[str, dict[str, Frame]] = field(default_factory=dict)
    #: chat -> user -> last_read_seq, as members are shown.
    reads: dict[str, dict[str, int]] = field(default_factory=dict)
    #: user -> chat -> the chat as the user's list shows it.
    chats: dict[str, dict[str, Frame]] = field(default_factory=dict)


@dataclass
class Records:
    """All of one run."""

    sockets: list[SocketRecord] = field(default_factory=list)
    sends: dict[str, Send] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    #: user -> since when they hide (are invisible).
    hidden: dict[str, float] = field(default_factory=dict)
    #: What went wrong where no check looks: tracebacks, answers that say "internal".
    defects: list[Violation] = field(default_factory=list)
    #: (when, for how long) this process itself did not get to run.
    stalls: list[tuple[float, float]] = field(default_factory=list)
    #: How long after its end a fault may still be felt.
    heal_s: float = 30.0
    #: Until when sockets that are open still were listened to.
    ended_at: float | None = None

    def devices(self) -> dict[str, list[SocketRecord]]:
        """Each device's sockets, in order."""
        found: dict[str, list[SocketRecord]] = {}
        for socket in self.sockets:
            found.setdefault(socket.device, []).append(socket)
        return found

    def end_of(self, socket: SocketRecord) -> float:
        """Until when it could be told something."""
        last = socket.frames[-1][0] if socket.frames else socket.opened_at
        return socket.closed_at or max(self.ended_at or last, last)

    def stalled_s(self, begin: float, end: float) -> float:
        """For how long between two times this process did not get to run."""
        return sum(took for at, took in self.stalls if begin <= at <= end + took)
