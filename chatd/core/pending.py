"""A result that a batch will bring."""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Pending(Generic[T]):
    """A one-listener future that calls its listener at once, inside ``resolve``.

    An asyncio.Future calls back a loop turn later; by then the message would be on its way to the
    members and its ack would come after it. protocol.md promises the ack first.
    """

    __slots__ = ("_error", "_listener", "_result", "done")

    def __init__(self) -> None:
        self.done = False
        self._result: T | None = None
        self._error: Exception | None = None
        self._listener: Callable[[Pending[T]], None] | None = None

    def listen(self, listener: Callable[["Pending[T]"], None]) -> None:
        """Call ``listener(self)`` when done; at once if it is."""
        if self.done:
            listener(self)
        else:
            self._listener = listener

    def resolve(self, result: T) -> None:
        """Finish with a result."""
        self._result = result
        self._finish()

    def fail(self, error: Exception) -> None:
        """Finish with an error."""
        self._error = error
        self._finish()

    def result(self) -> T:
        """The result; raises the error where there is one."""
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]  # None only where T allows it

    def _finish(self) -> None:
        self.done = True
        listener, self._listener = self._listener, None
        if listener is not None:
            listener(self)

    def __await__(self) -> Generator[Any, None, T]:
        if not self.done:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.listen(lambda _: None if future.done() else future.set_result(None))
            yield from future
        return self.result()
