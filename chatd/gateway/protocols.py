"""``websockets``' Sans-I/O protocols as this server speaks them: its close codes, its subprotocol."""

import logging
from typing import Any

from websockets.protocol import SERVER, Protocol, State
from websockets.server import ServerProtocol

from chatd.gateway.upgrade import SUBPROTOCOL
from chatd.wire.frames import CloseCode

_quiet = logging.getLogger("chatd.gateway.websockets")
_quiet.setLevel(logging.ERROR)

#: What the library closes with -> what protocol.md says.
_CODES = {1002: CloseCode.BROKEN, 1007: CloseCode.BROKEN, 1009: CloseCode.TOO_LARGE}


class _Undecided(ServerProtocol):
    """The library's protocol, but failures close with the codes of protocol.md."""

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(_CODES.get(int(code), code), reason[:100])


class _Opened(Protocol):
    """The same, for a socket whose upgrade was answered without it."""

    def fail(self, code: int, reason: str = "") -> None:
        super().fail(_CODES.get(int(code), code), reason[:100])


def opened(max_size: int) -> Protocol:
    """For a socket whose upgrade is answered elsewhere (gateway.upgrade)."""
    return _Opened(SERVER, state=State.OPEN, max_size=max_size, logger=_quiet)


def undecided(max_size: int, extensions: Any) -> ServerProtocol:
    """For one whose upgrade request the library shall judge."""
    subprotocols: Any = [SUBPROTOCOL]
    return _Undecided(
        extensions=extensions,
        subprotocols=subprotocols,
        select_subprotocol=_echo_known,
        max_size=max_size,
        logger=_quiet,
    )


def _echo_known(protocol: ServerProtocol, subprotocols: Any) -> Any:
    """``chatd.v1`` is echoed if offered; a client that offers others or none is served all the same."""
    return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None
