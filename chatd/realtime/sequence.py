"""One order for all: items that carry consecutive numbers, let through once each and in order.

Numbers may come twice, late, or with a jump. What is early is held until the gap is closed, by a late
arrival or by reading it from PostgreSQL; what came before is dropped.
"""

from typing import Generic, TypeVar

T = TypeVar("T")


class Sequence(Generic[T]):
    """``position`` is the last number let through; None until it is known (everything is held)."""

    __slots__ = ("_held", "_held_count", "position")

    MAX_HELD = 2000

    def __init__(self) -> None:
        self.position: int | None = None
        self._held: dict[int, list[T]] | None = None
        self._held_count = 0

    @property
    def gap(self) -> bool:
        """Something is held because something before it is missing."""
        return self._held is not None

    def start(self, position: int) -> list[T]:
        """Begin after ``position``; returns what was held and may pass now."""
        self.position = position
        return self._release([])

    def offer(self, first: int, items: list[T]) -> list[T]:
        """Items numbered ``first, first + 1, …``; returns those (and held ones) that may pass now."""
        position = self.position
        if position is not None:
            if first == position + 1 and self._held is None:  # the way of nearly every message
                self.position = position + len(items)
                return items
            if first <= position + 1:  # never held, so that a full hold cannot keep its own gap open
                fresh = items[position + 1 - first :]
                self.position = position + len(fresh)
                return self._release(fresh)
        self._hold(first, items)
        return []

    def skip_to(self, position: int) -> list[T]:
        """Everything up to ``position`` is known to be through by another road."""
        if self.position is None or position > self.position:
            self.position = position
        return self._release([])

    def _hold(self, first: int, items: list[T]) -> None:
        if self._held is None:
            self._held = {}
        if self._held_count + len(items) > self.MAX_HELD:
            return  # bounded: what is dropped here is read from PostgreSQL when the gap is healed
        known = self._held.get(first)
        if known is None or len(known) < len(items):
            self._held_count += len(items) - (len(known) if known else 0)
            self._held[first] = items

    def _release(self, passed: list[T]) -> list[T]:
        held, position = self._held, self.position
        if held is None or position is None:
            return passed
        for first in sorted(held):
            if first > position + 1:
                break
            items = held.pop(first)
            self._held_count -= len(items)
            fresh = items[position + 1 - first :]
            position += len(fresh)
            passed = passed + fresh
        self.position = position
        if not held:
            self._held = None
            self._held_count = 0
        return passed
