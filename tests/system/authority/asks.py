"""A question: what it is about and what is sent, fresh for each who asks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.system.authority.cast import Actor
from tests.system.authority.scene import Scene

Values = dict[str, Any]
Prepare = Callable[[Scene, Actor], Awaitable[Values]]


@dataclass(frozen=True)
class Ask:
    """``prepare`` makes what the question is about: values for the path's names, ``body`` and ``query`` (or a
    command's ``fields``). ``alone``: the question changes who asks it, so each is a new one of their kind.
    """

    prepare: Prepare
    alone: bool = False


def plainly(**values: Any) -> Ask:
    """A question that is about nothing fresh."""

    async def prepare(s: Scene, a: Actor) -> Values:
        return values

    return Ask(prepare)


def about(*, alone: bool = False, **makers: Callable[[Scene, Actor], Any]) -> Ask:
    """A question whose values are made anew, each by its maker, in order."""

    async def prepare(s: Scene, a: Actor) -> Values:
        made = {}
        for name, make in makers.items():
            value = make(s, a)
            made[name] = await value if isinstance(value, Awaitable) else value
        return made

    return Ask(prepare, alone)
