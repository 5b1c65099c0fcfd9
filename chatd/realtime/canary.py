"""The heartbeats of this node as they come back to it: proof that its subscription is alive, not its TCP
connection alone.
"""

from collections.abc import Callable


class Canary:
    """Counts beats, and knows up to when Redis has carried all that the nodes said."""

    REMEMBERED = 100
    MISSED = 3  # of our own: then the link stands but carries nothing

    def __init__(self, beat_s: float, monotonic: Callable[[], float]) -> None:
        self._beat_s, self._monotonic = beat_s, monotonic
        self._sent = self._heard = 0
        self._times: dict[int, float] = {}
        self._settled_at = 0.0
        #: Whatever the nodes said up to this time (monotonic) has been heard here: a beat of our own that was
        #: sent then has come back, and Redis keeps the order.
        self.carried_until = 0.0

    @property
    def silent(self) -> bool:
        """Whether too many beats have not come back."""
        return self._sent - self._heard >= self.MISSED

    def sends(self) -> int:
        """The number of the beat that goes out now."""
        self._sent += 1
        self._times[self._sent] = self._monotonic()
        if len(self._times) > self.REMEMBERED:
            del self._times[next(iter(self._times))]
        return self._sent

    def came(self, count: int) -> None:
        """That beat is back."""
        self._heard = count
        sent_at = self._times.get(count, 0.0)
        if sent_at >= self._settled_at:
            self.carried_until = sent_at

    def link_up(self) -> None:
        """A new link: the other nodes' may take longer to mend than ours, and say nothing until then."""
        self._settled_at = self._monotonic() + self.MISSED * self._beat_s

    def start_anew(self) -> None:
        """What was sent by now is not waited for."""
        self._heard = self._sent
