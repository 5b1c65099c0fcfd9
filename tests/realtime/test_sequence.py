"""Whatever comes twice, late, early or not at all, everything passes once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from chatd.realtime.sequence import Sequence


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[int, list[tuple[int, list[int]]]]:
    """Numbers 1..n cut into batches, shuffled, some repeated, some cut differently."""
    n = draw(st.integers(1, 40))
    batches: list[tuple[int, list[int]]] = []
    for _ in range(draw(st.integers(1, 3))):
        at = 1
        while at <= n:
            size = draw(st.integers(1, 6))
            batches.append((at, list(range(at, min(n, at + size - 1) + 1))))
            at += size
    kept = [b for b in batches if draw(st.booleans())]
    return n, draw(st.permutations(kept))


@given(arrivals(), st.integers(0, 10), st.integers(0, 10))
def test_all_pass_once_in_order_and_a_heal_closes_every_gap(
    case: tuple[int, list[tuple[int, list[int]]]], start: int, late: int
) -> None:
    n, batches = case
    start = min(start, n)
    sequence: Sequence[int] = Sequence()
    passed: list[int] = []
    for i, (first, items) in enumerate(batches):
        if i == late:
            passed += sequence.start(start)
        passed += sequence.offer(first, items)
    if sequence.position is None:
        passed += sequence.start(start)
    assert passed == list(range(start + 1, start + 1 + len(passed)))
    assert sequence.position == start + len(passed)
    # What is missing is read from PostgreSQL: everything after the position.
    passed += sequence.offer(sequence.position + 1, list(range(sequence.position + 1, n + 1)))
    assert passed == list(range(start + 1, n + 1))
    assert not sequence.gap


def test_what_is_held_is_bounded() -> None:
    sequence: Sequence[int] = Sequence()
    sequence.start(0)
    for first in range(2, 10_000):
        assert sequence.offer(first, [first]) == []
    assert sequence._held is not None
    assert len(sequence._held) <= Sequence.MAX_HELD
    assert sequence.offer(1, [1])[-1] == Sequence.MAX_HELD + 1
