"""The heap of the times at which tokens run out."""

from types import SimpleNamespace
from typing import Any

from chatd.core.settings import Settings
from chatd.gateway.heartbeat import Heart


def socket(number: int, expires_at: float) -> Any:
    closed: list[int] = []
    return SimpleNamespace(
        id=f"con_{number}",
        expires_at=expires_at,
        phase=0,
        closed=closed,
        close=lambda code, _: closed.append(code),
    )


def test_a_socket_that_is_still_opening_has_no_token_that_ran_out() -> None:
    """Its time is not known yet; and the heap is made anew from all that are there when many have gone."""
    by_id: dict[str, Any] = {}
    edge: Any = SimpleNamespace(settings=Settings(), by_id=by_id)
    heart = Heart(edge)
    for number in range(heart.LEFT + 1):
        heart.expires(socket(number, 2000.0))  # and it has gone
    opening, opened = socket(-1, 0.0), socket(-2, 2000.0)
    by_id.update({opening.id: opening, opened.id: opened})
    for number in range(heart.LEFT + 1):
        heart.expires(socket(number, 2000.0))
    heart._expire(1000.0)
    assert (opening.closed, opened.closed) == ([], [])
    heart._expire(3000.0)
    assert (opening.closed, opened.closed) == ([], [4401])
