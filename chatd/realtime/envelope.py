"""What nodes say to each other through Redis: a small header around frames that nobody parses again."""

import msgspec


class _Envelope(msgspec.Struct, array_like=True, frozen=True, tag_field="k"):
    """``origin`` is the node that says it; a node ignores what it said itself."""

    origin: str


class Log(_Envelope, tag="l", array_like=True, frozen=True):
    """On a chat's channel: finished frames of its log; the first one's seq, one seq a frame."""

    first: int
    frames: list[bytes]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """A watermark's frame, for whom (None: all), and for whom not."""

    frame: bytes
    only: list[str] | None
    but: list[str] = []


class Marks(_Envelope, tag="m", array_like=True, frozen=True):
    """On a chat's channel: watermark moves of one receipt version."""

    version: int
    frames: list[Mark]


class Typing(_Envelope, tag="t", array_like=True, frozen=True):
    """On a chat's channel: a user types, or has stopped; some are not to know."""

    user_id: str
    on: bool
    hidden: list[str] = []


class Ephemeral(_Envelope, tag="e", array_like=True, frozen=True):
    """On a chat's channel: a frame worth only its newest value, not for the sockets of user ``but``."""

    frame: bytes
    but: str


class Beat(_Envelope, tag="b", array_like=True, frozen=True):
    """On the nodes' channel: I live, this is my ``count``-th beat and my presence is at ``version``."""

    count: int
    version: int


class Bye(_Envelope, tag="x", array_like=True, frozen=True):
    """On the nodes' channel: I have stopped in good order."""


class Poke(_Envelope, tag="p", array_like=True, frozen=True):
    """On the nodes' channel: the node feed has new rows."""


class Left(_Envelope, tag="o", array_like=True, frozen=True):
    """On the nodes' channel: these users are out of a chat, as a row of the node feed says too."""

    chat_id: str
    user_ids: list[str]
    reason: str


class ToUsers(_Envelope, tag="u", array_like=True, frozen=True):
    """On the nodes' channel: a frame for every socket of these users; perhaps it is about one chat."""

    user_ids: list[str]
    frame: bytes
    chat_id: str = ""


class PresenceDiff(_Envelope, tag="d", array_like=True, frozen=True):
    """On the nodes' channel: version ``version`` of my users is the one before with these changes:
    user -> (status, or None for gone; since when, as a Unix time). ``dropped`` are those of them that are
    invisible and whose last device here has just lost its socket.
    """

    version: int
    changes: dict[str, tuple[str | None, float]]
    dropped: list[str] = []


class PresenceFull(_Envelope, tag="f", array_like=True, frozen=True):
    """On the nodes' channel: all my users at ``version``, in ``of`` parts."""

    version: int
    part: int
    of: int
    states: dict[str, tuple[str, float]]


class PresenceAsk(_Envelope, tag="a", array_like=True, frozen=True):
    """On the nodes' channel: ``of`` (or everybody, for "*"), say all your users again."""

    of: str


ChatEnvelope = Log | Marks | Typing | Ephemeral
NodeEnvelope = Beat | Bye | Poke | Left | ToUsers | PresenceDiff | PresenceFull | PresenceAsk

encode = msgspec.msgpack.Encoder().encode
decode_chat = msgspec.msgpack.Decoder(ChatEnvelope).decode
decode_node = msgspec.msgpack.Decoder(NodeEnvelope).decode
