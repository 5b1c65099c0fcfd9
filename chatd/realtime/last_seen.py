"""When users were last seen by others, as far as this node knows; PostgreSQL knows the rest.

One who is invisible is not seen: to others they left when they became so.
"""

from collections.abc import Mapping

INVISIBLE = "invisible"


class LastSeen:
    """Times are Unix times."""

    REMEMBERED = 10_000  # users whose leaving is remembered until PostgreSQL has it

    def __init__(self) -> None:
        self._left_at: dict[str, float] = {}  # by users whom nobody sees now, bounded
        self._dropped_at: dict[str, float] = {}  # by users of this node, when the last visible device dropped
        self._gone: dict[str, float] = {}
        self._come: dict[str, float] = {}

    def left_at(self, user_id: str) -> float | None:
        """When one whom nobody sees now was seen last; None where only PostgreSQL may know."""
        return self._left_at.get(user_id)

    def come(self, user_id: str, status: str, at: float) -> None:
        """A device of this node's, in this state, is there."""
        if status != INVISIBLE:
            self._come[user_id] = at

    def dropped(self, user_id: str, status: str, at: float) -> None:
        """A device of this node's that was in this state is seen no more."""
        if status != INVISIBLE:
            self._dropped_at[user_id] = self._gone[user_id] = at

    def dropped_at(self, user_id: str, otherwise: float) -> float:
        """When the last visible device of this node's dropped, or was made invisible."""
        return self._dropped_at.get(user_id, otherwise)

    def forget_drop(self, user_id: str) -> None:
        """The user has no device on this node any more."""
        self._dropped_at.pop(user_id, None)

    def changed(self, user_id: str, before: str | None, status: str | None, since: float) -> None:
        """What a node shows of a user (None: nothing) is another since then."""
        if status is not None and status != INVISIBLE:
            # A time from before says nothing of one who has been seen since.
            self._left_at.pop(user_id, None)
        elif before is not None and before != INVISIBLE:
            if len(self._left_at) >= self.REMEMBERED:
                del self._left_at[next(iter(self._left_at))]
            self._left_at[user_id] = since

    def unknown(self, user_id: str) -> None:
        """They may have been seen since, and when that ended nobody has said."""
        self._left_at.pop(user_id, None)

    def buried(self, user_id: str, status: str, at: float) -> None:
        """The node that showed this of a user was last heard then, and has left no word."""
        if status != INVISIBLE:
            self.changed(user_id, status, None, at)
            self._gone[user_id] = max(at, self._gone.get(user_id, at))

    # ------------------------------------------------------------------------ for PostgreSQL

    def take_gone(self) -> dict[str, float]:
        """Who was seen to leave and when, since the last call; flaps are there too."""
        gone, self._gone = self._gone, {}
        return gone

    def take_come(self) -> dict[str, float]:
        """Who was seen to come to this node and when, since the last call."""
        come, self._come = self._come, {}
        return come

    def give_back(self, gone: Mapping[str, float], come: Mapping[str, float]) -> None:
        """They could not be stored now: the next calls say them again."""
        self._gone, self._come = {**gone, **self._gone}, {**come, **self._come}
