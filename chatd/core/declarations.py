"""What a feature declares and the edges serve: routes, commands, jobs.

One definition of a route serves aiohttp and OpenAPI; one of a command serves the socket and AsyncAPI.
Types come from the handler's annotations:

- a parameter named in the path's braces is converted to its annotation;
- ``body`` is the JSON body (a msgspec.Struct), ``query`` the query string (a msgspec.Struct);
- the return annotation is the answer's body, ``None`` is 204, ``Answer[T]`` chooses its status itself;
- what is no JSON: a ``body`` of ``Incoming`` is read as it comes, ``Download`` and ``Redirect`` answer.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, get_type_hints

import msgspec

from chatd.core.errors import AppError

T = TypeVar("T")
In = TypeVar("In")
Out = TypeVar("Out")
Errors = tuple[type[AppError], ...]


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """An answer that chooses its own status, one of the route's ``statuses``."""

    body: T
    status: int


class Incoming(Protocol):
    """A body that is read as it comes, never held whole."""

    @property
    def length(self) -> int | None:
        """What the client says that it will send."""
        ...

    def chunks(self, at_most: int) -> AsyncIterator[bytes]:
        """Its bytes. Raises TooLarge past ``at_most``, RequestTimeout where no more come, BadRequest."""
        ...


@dataclass(frozen=True, slots=True)
class Download:
    """A file as the answer: ranges and conditions (RFC 9110, 13 and 14) are the edge's business.

    It is shown for what ``content_type`` says and nothing else, and runs no script.
    """

    path: Path
    content_type: str
    disposition: str
    #: For how long the client may keep it, in seconds.
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class Redirect:
    """It is there now; 302."""

    location: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the document that defines a room's paths words a refusal, where that is not problem+json.

    Status and headers stay those of the error; ``render(error)`` makes the body, a ``struct``.
    """

    struct: type[msgspec.Struct]
    render: Callable[[AppError], msgspec.Struct]


@dataclass(frozen=True, slots=True)
class Route:
    """One REST call: answers at ``/api`` + path and, where the documents write it so, at path alone."""

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    statuses: tuple[int, ...]
    raises: Errors = ()
    auth: bool = True
    #: Which limit of [limits] it is counted under: "read", "write", "none" (the handler counts itself).
    limit: str = "read"
    #: Documented in OpenAPI under this heading; the room's name by default.
    tag: str = ""
    #: For programs of the operator: takes ``secrets.internal_api_key`` instead of an access token.
    internal: bool = False
    #: Refusals in the words of the room's own document; None: problem+json.
    dialect: Dialect | None = None
    #: How long it may take; 0: as every request.
    timeout_s: float = 0.0

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (inspect.getdoc(self.handler) or self.handler.__name__).splitlines()[0]

    def hints(self) -> dict[str, Any]:
        """Parameter and return types, with their Meta."""
        return get_type_hints(self.handler, include_extras=True)


@dataclass(frozen=True, slots=True)
class Command:
    """One socket command. ``handler(ctx, command)`` returns the result to be awaited (a Pending where
    it comes from a batch: no task is made for it then).

    ``reply(result, re)`` makes the answering frame or frames, finished; without it the answer is an ack.
    ``answers`` are the event structs that a ``reply`` answers with, for the documents.
    ``counted`` commands fall under ``limits.commands_per_10s``. ``max_bytes`` lets a command's frame be
    longer than ``socket.max_frame_bytes``, where its own bounds need it.
    """

    struct: type[msgspec.Struct]
    handler: Callable[..., Awaitable[Any]]
    raises: Errors = ()
    answers: tuple[type[msgspec.Struct], ...] = ()
    reply: Callable[[Any, Any], bytes] | None = None
    counted: bool = True
    max_bytes: int = 0

    @property
    def type(self) -> str:
        """The ``type`` on the wire."""
        return str(self.struct.__struct_config__.tag)


@dataclass(frozen=True, slots=True)
class Job:
    """Periodic work, run by one worker of the cluster at a time unless ``everywhere``.

    ``run(ctx)`` must be safe to run twice: a lock makes that rare, not impossible.
    """

    name: str
    every_s: float
    run: Callable[..., Awaitable[None]]
    everywhere: bool = False


@dataclass(frozen=True, eq=False)
class Batch(Generic[In, Out]):
    """Work that is done for many callers in one statement (group commit).

    While one round is in flight, entries queue; when it returns, all that queued is the next round. No
    timer: an idle server runs a round of one at once. ``run(ctx, entries)`` returns an outcome (or an
    exception) for each entry, in order; ``settled(ctx, outcomes)`` runs after every caller has its
    outcome, which is how an ack comes before the broadcast. Entries with the same ``key`` keep their order.
    """

    name: str
    run: Callable[[Any, list[In]], Awaitable[Sequence[Out | Exception]]]
    settled: Callable[[Any, Sequence[Out | Exception]], None] | None = None
    key: Callable[[In], str] | None = None
    max_batch: int = 500
    max_queue: int = 20_000


def _route(method: str, default: int) -> Callable[..., Route]:
    def declare(
        path: str,
        handler: Callable[..., Awaitable[Any]],
        *,
        status: int | tuple[int, ...] = default,
        raises: Errors = (),
        auth: bool = True,
        limit: str = "read",
        tag: str = "",
        internal: bool = False,
        dialect: Dialect | None = None,
        timeout_s: float = 0.0,
    ) -> Route:
        statuses = status if isinstance(status, tuple) else (status,)
        return Route(method, path, handler, statuses, raises, auth, limit, tag, internal, dialect, timeout_s)

    return declare


get = _route("GET", 200)
post = _route("POST", 201)
put = _route("PUT", 200)
patch = _route("PATCH", 200)
delete = _route("DELETE", 200)
