"""The port that all workers share, held for as long as chatd runs."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

PATIENCE_S = 2.0
"""How long a port may stay taken before that is an error."""


class PortError(Exception):
    """The address cannot be listened on; the message says why."""


@contextmanager
def reserve(host: str, port: int) -> Iterator[int]:
    """Hold ``host:port`` for workers that bind it with SO_REUSEPORT; 0 chooses a free one. Yields the port.

    The socket is bound and never listens, so no connection comes to it; but no process of another user
    can take the port while a worker is being replaced. Raises PortError.
    """
    with ExitStack() as stack:
        held = _bind_patiently(stack, host, port)
        yield held.getsockname()[1]


def _bind_patiently(stack: ExitStack, host: str, port: int) -> socket.socket:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _bind(stack, host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise _explained(host, port, error) from None
        # Workers whose supervisor was killed are about to notice and to let go.
        time.sleep(0.05)


def _bind(stack: ExitStack, host: str, port: int) -> socket.socket:
    family, address = _resolve(host, port)
    with ExitStack() as mine:
        if port:
            mine.enter_context(_alone(host, port))
            # SO_REUSEPORT would let us in beside another server of the same user that uses it too, and
            # the kernel would deal the connections out to both. So look first without it.
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        held = mine.enter_context(socket.socket(family))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
        stack.enter_context(mine.pop_all())
    return held


def _alone(host: str, port: int) -> socket.socket:
    """A lock among chatds that start on one port at the same moment, before any of them listens."""
    # An abstract address (unix(7)) lives in the network's namespace, as the port does, and dies with us.
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0chatd-{os.geteuid()}-{host}-{port}")
    except OSError:
        lock.close()
        raise
    return lock


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    # A name may have addresses of both families; the workers listen on its IPv4 one, and so this must be it.
    wanted = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host, port, wanted, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise PortError(f"server.host {host!r} is no address of this machine: {error.strerror}") from None
    family, _, _, _, address = found[0]
    return family, (str(address[0]), int(address[1]))


def _explained(host: str, port: int, error: OSError) -> PortError:
    match error.errno:
        case errno.EADDRINUSE:
            return PortError(
                f"port {port} on {host} is in use by another program (or another chatd): stop that one, or "
                "choose another with --port or CHATD_SERVER_PORT (0 takes any free one)"
            )
        case errno.EACCES:
            return PortError(f"port {port} is for root only: choose one from 1024 up, behind a proxy")
        case errno.EADDRNOTAVAIL:
            return PortError(f"server.host {host!r} is no address of this machine")
        case _:
            return PortError(f"cannot listen on {host}:{port}: {error.strerror}")
