"""Who is there, over all nodes (protocol.md, section 5).

Each node owns the state of its own sockets and keeps a copy of every other node's, told in versions:
the full state once, then differences (as Phoenix does). Heartbeats carry the version, so a node that
missed a difference sees it and asks for the full state again. Nothing is stored in Redis; a Redis that
comes back empty costs nothing.

A device that drops stays as a ghost for ``offline_grace_s``: a flap shorter than that is seen by nobody. It
ends when it is also known that no other node has said meanwhile that the device is there, or
``node_timeout_s`` later where Redis carries nothing that could tell.
A node that falls silent is forgotten after ``node_timeout_s``; while our own link is down, nobody is.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping

from chatd.core.settings import Presence as PresenceSettings
from chatd.realtime import envelope
from chatd.realtime.last_seen import INVISIBLE, LastSeen
from chatd.realtime.peers import Peers, State

ONLINE, AWAY, OFFLINE = "online", "away", "offline"
#: The most present of a user's devices speaks for the user.
_RANK = {ONLINE: 3, AWAY: 2, INVISIBLE: 1}
#: In place of a node's id, in a question to all of them.
EVERYBODY = "*"


class NodePresence:
    """Presence as one node knows it.

    Sockets watch users; ``tell_watchers(connection_ids, user_id, status, since, shown)`` is called when what
    is seen of one has changed; these sockets are told since when only where ``shown``. Of a socket that
    ``may_tell`` says no of, it is remembered that it is owed a change, until it ``reads_on``.
    """

    TOGETHER_S = 0.05  # so long a question to everybody waits for more of its kind
    PART = 1000  # users in one message of the full state

    def __init__(
        self,
        settings: PresenceSettings,
        *,
        node_id: str,
        tell: Callable[[envelope.NodeEnvelope], None],
        tell_watchers: Callable[[Iterable[str], str, str, float | None, bool], None],
        link_is_well: Callable[[], bool],
        may_tell: Callable[[str], bool] = lambda connection_id: True,
        carried_until: Callable[[], float] = lambda: math.inf,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._node_id = settings, node_id
        self._tell, self._tell_watchers, self._link_is_well = tell, tell_watchers, link_is_well
        self._may_tell, self._carried_until = may_tell, carried_until
        self._monotonic, self._wall = monotonic, wall
        self._devices: dict[str, dict[str, str]] = {}
        self._ghosts: dict[str, tuple[str, float]] = {}  # connection -> (user, until), by time
        self._own: dict[str, State] = {}  # what this node says of its users
        self._diff: dict[str, tuple[str | None, float]] = {}
        self.last_seen = LastSeen()
        self._peers = Peers(settings, node_id, tell, self.last_seen, monotonic=monotonic, wall=wall)
        self._watchers: dict[str, dict[str, str]] = {}  # user -> connection -> the status it was shown
        self._watching: dict[str, list[str]] = {}  # connection -> users
        self._owed: dict[str, set[str]] = {}  # connection -> users of whom it was not told what it should
        self._discreet: dict[str, set[str]] = {}  # user -> connections not to be told since when
        self._telling = False
        self.version = 0

    # ---------------------------------------------------------------- local

    def connected(self, user_id: str, connection_id: str) -> None:
        """A socket of this user is open: online, or still invisible where a ghost was, here or elsewhere."""
        devices = self._devices.setdefault(user_id, {})
        status = INVISIBLE if self._peers.take_dropped(user_id) else ONLINE
        for ghost in [c for c in devices if c in self._ghosts]:
            if devices.pop(ghost) == INVISIBLE:
                status = INVISIBLE
            del self._ghosts[ghost]
        devices[connection_id] = status
        self.last_seen.come(user_id, status, self._wall())
        self._settle(user_id)
        self._say_if_invisible(user_id)

    def set_status(self, user_id: str, connection_id: str, status: str) -> None:
        """This device is now online, away or invisible."""
        devices = self._devices.get(user_id)
        if devices is not None and connection_id in devices and connection_id not in self._ghosts:
            if status == INVISIBLE:
                self.last_seen.dropped(user_id, devices[connection_id], self._wall())
            devices[connection_id] = status
            self._settle(user_id)

    def disconnected(self, user_id: str, connection_id: str) -> None:
        """Its socket is gone; the device stays as a ghost for the grace time."""
        if connection_id in self._devices.get(user_id, ()):
            self._ghosts[connection_id] = (user_id, self._monotonic() + self._settings.offline_grace_s)
            self.last_seen.dropped(user_id, self._devices[user_id][connection_id], self._wall())
            self._say_if_invisible(user_id)

    def _say_if_invisible(self, user_id: str) -> None:
        # Others are to know where the device may be coming from: it must not flash up where it comes back.
        own = self._own.get(user_id)
        if own is not None and own[0] == INVISIBLE:
            self._say(user_id, *own)

    def _settle(self, user_id: str) -> None:
        devices = self._devices.get(user_id)
        before = self._own.get(user_id)
        if not devices:
            self._devices.pop(user_id, None)
            if before is not None:
                since = self.last_seen.dropped_at(user_id, before[1])
                self.last_seen.forget_drop(user_id)
                del self._own[user_id]
                self._changed(user_id, before, None, since)
            return
        status = (
            max(devices.values(), key=_RANK.__getitem__) if len(devices) > 1 else next(iter(devices.values()))
        )
        if before is None or before[0] != status:
            since = self._wall()
            if status == INVISIBLE:
                since = self.last_seen.dropped_at(user_id, since)
            self._own[user_id] = (status, since)
            self._changed(user_id, before, status, since)

    def _changed(self, user_id: str, before: State | None, status: str | None, since: float) -> None:
        self.last_seen.changed(user_id, before and before[0], status, since)
        self._say(user_id, status, since)

    def _say(self, user_id: str, status: str | None, since: float) -> None:
        if not self._diff:
            asyncio.get_running_loop().call_soon(self._flush)
        self._diff[user_id] = (status, since)

    def _flush(self) -> None:
        diff, self._diff = self._diff, {}
        self.version += 1
        dropped = [
            user_id
            for user_id, (status, _) in diff.items()
            if status == INVISIBLE and self._ghosts.keys() >= self._devices[user_id].keys()
        ]
        self._tell(envelope.PresenceDiff(self._node_id, self.version, diff, dropped))
        self._on_change(diff)

    # -------------------------------------------------------------- reading

    def state_of(self, user_id: str) -> State | None:
        """(online · away, since) over all nodes, None where nobody sees the user."""
        best: State | None = None
        own = self._own.get(user_id)
        if own is not None and own[0] != INVISIBLE:
            best = own
        for state in self._peers.states_of(user_id):
            if state[0] != INVISIBLE and (best is None or _RANK[state[0]] > _RANK[best[0]]):
                best = state
        return best

    def status_of(self, user_id: str) -> str:
        """online · away · offline; ``invisible`` is offline."""
        state = self.state_of(user_id)
        return OFFLINE if state is None else state[0]

    def has_socket(self, user_id: str) -> bool:
        """Whether a device of the user has a socket on any node, or had a flap ago; invisible ones too."""
        return user_id in self._own or self._peers.see(user_id)

    def since(self, user_id: str) -> float | None:
        """When the present state began (Unix time); None where only PostgreSQL may know."""
        state = self.state_of(user_id)
        return state[1] if state is not None else self.last_seen.left_at(user_id)

    def here(self) -> list[str]:
        """The users that have a device on this node."""
        return list(self._devices)

    def seen(self) -> list[str]:
        """The users that others see on this node now: by a device with a socket, not by one that dropped."""
        return [
            user_id
            for user_id, devices in self._devices.items()
            if any(status != INVISIBLE and c not in self._ghosts for c, status in devices.items())
        ]

    # -------------------------------------------------------------- watching

    def watch(self, connection_id: str, seen: Mapping[str, str], discreet: Collection[str] = ()) -> None:
        """Replace the watch list of a socket: these users, last shown to it in these states; of those in
        ``discreet`` it is not told since when.
        """
        self.unwatch(connection_id)
        for user_id in seen.keys() & set(discreet):
            self._discreet.setdefault(user_id, set()).add(connection_id)
        if seen:
            self._watching[connection_id] = list(seen)
            for user_id, status in seen.items():
                self._watchers.setdefault(user_id, {})[connection_id] = status

    def unwatch(self, connection_id: str) -> None:
        """The socket watches nobody any more."""
        self._owed.pop(connection_id, None)
        for user_id in self._watching.pop(connection_id, ()):
            self._drop_watcher(user_id, connection_id)

    def _drop_watcher(self, user_id: str, connection_id: str) -> str | None:
        watchers, discreet = self._watchers.get(user_id, {}), self._discreet.get(user_id, set())
        shown = watchers.pop(connection_id, None)
        discreet.discard(connection_id)
        if not watchers:
            self._watchers.pop(user_id, None)
        if not discreet:
            self._discreet.pop(user_id, None)
        return shown

    def watched_by(self, connection_id: str) -> Collection[str]:
        """The users that a socket watches."""
        return self._watching.get(connection_id, ())

    def watchers_of(self, user_id: str) -> Collection[str]:
        """The sockets of this node that watch a user."""
        return self._watchers.get(user_id, ())

    def part(self, connection_id: str, user_id: str) -> None:
        """The socket sees nothing of this user from now on: it is told that the user has gone."""
        shown = self._drop_watcher(user_id, connection_id)
        if shown not in (None, OFFLINE) and self._readers([connection_id], user_id):
            self._tell_watchers([connection_id], user_id, OFFLINE, None, False)

    def reads_on(self, connection_id: str) -> None:
        """The socket may be told again: what it is owed, as it is now."""
        for user_id in self._owed.pop(connection_id, ()):
            watchers = self._watchers.get(user_id, {})
            if connection_id not in watchers:  # it was parted from this user meanwhile
                self._tell_watchers([connection_id], user_id, OFFLINE, None, False)
            elif watchers[connection_id] != self.status_of(user_id):
                self._show([connection_id], user_id)

    def keep_last_seen(self, user_id: str) -> None:
        """Nobody who watches this user is told since when any more."""
        if user_id in self._watchers:
            self._discreet.setdefault(user_id, set()).update(self._watchers[user_id])

    def _on_change(self, user_ids: Iterable[str]) -> None:
        for user_id in user_ids:
            watchers = self._watchers.get(user_id)
            if watchers is None:
                continue
            status = self.status_of(user_id)
            changed = [connection for connection, shown in watchers.items() if shown != status]
            readers = self._readers(changed, user_id)
            if readers:
                self._show(readers, user_id)

    def _readers(self, connection_ids: list[str], user_id: str) -> list[str]:
        """Those that may be told; the others are owed it."""
        readers = [connection_id for connection_id in connection_ids if self._may_tell(connection_id)]
        for connection_id in set(connection_ids).difference(readers):
            self._owed.setdefault(connection_id, set()).add(user_id)
        return readers

    def _show(self, connection_ids: list[str], user_id: str) -> None:
        """Tell these watchers of a user what is."""
        status, since = self.status_of(user_id), self.since(user_id)
        self._watchers[user_id].update(dict.fromkeys(connection_ids, status))
        discreet = self._discreet.get(user_id, set())
        for shown in (True, False):
            ids = [connection for connection in connection_ids if (connection not in discreet) is shown]
            if ids:
                self._tell_watchers(ids, user_id, status, since, shown)

    # ---------------------------------------------------------- other nodes

    def heard(self, said: envelope.NodeEnvelope) -> None:
        """What another node said about itself or its users."""
        if isinstance(said, envelope.PresenceAsk):
            if said.of == self._node_id:
                self._tell_all()
            elif said.of == EVERYBODY and not self._telling:
                # Many may ask at once, when Redis is back: one answer is heard by all of them.
                self._telling = True
                asyncio.get_running_loop().call_later(self.TOGETHER_S, self._tell_all)
            return
        self._on_change(self._peers.heard(said))

    def awaits_word(self, silent_s: float) -> bool:
        """Whether a node that was heard in the last ``silent_s`` has not said yet who is there."""
        return self._peers.awaits_word(silent_s)

    def ask_everybody(self) -> None:
        """What the other nodes have said may have been missed: let them say it again."""
        self._tell(envelope.PresenceAsk(self._node_id, EVERYBODY))

    def _tell_all(self) -> None:
        self._telling = False
        users = list(self._own.items())
        parts = [dict(users[i : i + self.PART]) for i in range(0, len(users), self.PART)] or [{}]
        for i, states in enumerate(parts):
            self._tell(envelope.PresenceFull(self._node_id, self.version, i, len(parts), states))

    # ----------------------------------------------------------------- time

    async def tick_forever(self) -> None:
        """End ghosts and forget silent nodes; runs until cancelled."""
        while True:
            await asyncio.sleep(min(0.25, self._settings.offline_grace_s / 4))
            self.tick()

    def tick(self) -> None:
        """What time has ended."""
        now = self._monotonic()
        # The device may be back on another node, whose word may be on its way or have been lost with Redis.
        heard = max(min(now, self._carried_until()), now - self._settings.node_timeout_s)
        due = []
        for connection_id, (user_id, until) in self._ghosts.items():
            if until > heard:
                break
            due.append((connection_id, user_id))
        for connection_id, user_id in due:
            del self._ghosts[connection_id]
            self._devices.get(user_id, {}).pop(connection_id, None)
            self._settle(user_id)
        if not self._link_is_well():
            self._peers.hear_nobody(now)
            return
        for users in self._peers.forget_silent(now):
            self._on_change(users)
