"""What the other nodes have said of their users, as this node has heard it.

In versions: the full state once, then differences. Beats carry the version, so a difference that was missed
is seen, and the full state asked for again.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from chatd.core.settings import Presence as PresenceSettings
from chatd.realtime import envelope
from chatd.realtime.last_seen import LastSeen

log = logging.getLogger("chatd.realtime.presence")

#: (online · away · invisible, since).
State = tuple[str, float]


@dataclass(slots=True)
class _Node:
    """What another node has said."""

    heard_at: float
    version: int = -1
    states: dict[str, State] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)  # who was invisible there and is on the way to somewhere
    parts: dict[int, dict[str, State]] = field(default_factory=dict)
    parts_version: int = -1
    asked_at: float = float("-inf")
    leaves_at: float | None = None


class Peers:
    """The other nodes of one node; what becomes of their users is told to ``last_seen``."""

    ASK_EVERY_S = 1.0  # one node, for its full state

    def __init__(
        self,
        settings: PresenceSettings,
        node_id: str,
        tell: Callable[[envelope.NodeEnvelope], None],
        last_seen: LastSeen,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._settings, self._node_id, self._tell = settings, node_id, tell
        self._last_seen, self._monotonic, self._wall = last_seen, monotonic, wall
        self._nodes: dict[str, _Node] = {}

    def states_of(self, user_id: str) -> Iterable[State]:
        """What is said of the user: one for each node that sees a device."""
        for node in self._nodes.values():
            state = node.states.get(user_id)
            if state is not None:
                yield state

    def see(self, user_id: str) -> bool:
        """Whether a node sees a device of the user; invisible ones too."""
        return any(user_id in node.states for node in self._nodes.values())

    def take_dropped(self, user_id: str) -> bool:
        """Whether an invisible device of the user has lost its socket on another node; said once."""
        found = [node for node in self._nodes.values() if user_id in node.dropped]
        for node in found:
            node.dropped.discard(user_id)
        return bool(found)

    def awaits_word(self, silent_s: float) -> bool:
        """Whether a node that was heard in the last ``silent_s`` has not said yet who is there."""
        since = self._monotonic() - silent_s
        return any(
            node.version < 0 and node.leaves_at is None and node.heard_at >= since
            for node in self._nodes.values()
        )

    # --------------------------------------------------------------- hearing

    def heard(self, said: envelope.NodeEnvelope) -> Iterable[str]:
        """What a node said of itself or its users; the users of whom something else is known now."""
        node = self._nodes.get(said.origin)
        if node is None:
            node = self._nodes[said.origin] = _Node(self._monotonic())
        node.heard_at = self._monotonic()
        match said:
            case envelope.Beat():
                node.leaves_at = None
                if said.version != node.version:
                    self._ask(said.origin, node)
            case envelope.PresenceDiff():
                if said.version == node.version + 1:
                    return self._apply(node, said)
                if said.version > node.version:
                    self._ask(said.origin, node)
            case envelope.PresenceFull():
                return self._part(node, said)
            case envelope.Bye():
                # Its users are on their way to another node: they get the grace of a flap.
                node.leaves_at = self._monotonic() + self._settings.offline_grace_s
        return ()

    def _apply(self, node: _Node, said: envelope.PresenceDiff) -> Iterable[str]:
        node.version = said.version
        for user_id, (status, since) in said.changes.items():
            before = node.states.pop(user_id, None)
            if status is not None:
                node.states[user_id] = (status, since)
            self._last_seen.changed(user_id, before and before[0], status, since)
        node.dropped -= said.changes.keys()
        node.dropped.update(said.dropped)
        return said.changes

    def _part(self, node: _Node, said: envelope.PresenceFull) -> Iterable[str]:
        if said.version <= node.version:
            return ()
        if said.version != node.parts_version:
            node.parts, node.parts_version = {}, said.version
        node.parts[said.part] = said.states
        if len(node.parts) < said.of:
            return ()
        before = node.states
        node.states = {user: state for part in node.parts.values() for user, state in part.items()}
        node.version, node.parts, node.dropped = said.version, {}, node.dropped & node.states.keys()
        changed = [u for u in before.keys() | node.states.keys() if before.get(u) != node.states.get(u)]
        for user_id in changed:
            self._last_seen.unknown(user_id)
        return changed

    def _ask(self, origin: str, node: _Node) -> None:
        now = self._monotonic()
        if now - node.asked_at >= self.ASK_EVERY_S:
            node.asked_at = now
            self._tell(envelope.PresenceAsk(self._node_id, origin))

    # ------------------------------------------------------------------ time

    def hear_nobody(self, now: float) -> None:
        """This node's own link is down, which says nothing about the others."""
        for node in self._nodes.values():
            node.heard_at = now

    def forget_silent(self, now: float) -> Iterable[list[str]]:
        """Forget nodes that said good-bye or nothing for too long, one after the other; the users of each."""
        for origin, node in list(self._nodes.items()):
            silent = now - node.heard_at > self._settings.node_timeout_s
            if silent or (node.leaves_at is not None and node.leaves_at <= now):
                log.info("node %s is gone, and %d users with it", origin, len(node.states))
                del self._nodes[origin]
                for user_id, (status, _) in node.states.items():
                    self._last_seen.buried(user_id, status, self._wall() - (now - node.heard_at))
                yield list(node.states)
