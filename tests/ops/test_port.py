"""The port is ours alone, and our workers' together."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chatd.supervisor.port import PortError, reserve
from tests.ops.serving import a_port
from tests.waiting import PATIENCE_S


@contextmanager
def listening(port: int, *, shared: bool) -> Iterator[int]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield server.getsockname()[1]


def test_workers_can_listen_on_the_port_that_is_held() -> None:
    with (
        reserve("127.0.0.1", 0) as port,
        listening(port, shared=True),
        listening(port, shared=True),
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S),
    ):
        assert port > 0


def test_no_connection_ends_at_the_socket_that_holds_the_port() -> None:
    with (
        reserve("127.0.0.1", 0) as port,
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S),
    ):
        pass


@pytest.mark.parametrize("shared", [False, True], ids=["alone", "with SO_REUSEPORT"])
def test_a_port_that_another_program_listens_on_is_refused(shared: bool) -> None:
    with (
        listening(0, shared=shared) as port,
        pytest.raises(PortError, match=f"port {port} .* is in use"),
        reserve("127.0.0.1", port),
    ):
        pass


def test_of_two_that_start_at_once_one_gets_the_port() -> None:
    port = a_port()
    with (
        reserve("127.0.0.1", port),  # nobody listens yet
        pytest.raises(PortError, match="in use"),
        reserve("127.0.0.1", port),
    ):
        pass


def test_a_port_is_free_again_at_once_though_its_connections_linger() -> None:
    port = a_port()
    with reserve("127.0.0.1", port), listening(port, shared=True):
        client = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    # The server's side closed first, so its end is in TIME_WAIT once the client closes too.
    client.close()
    with reserve("127.0.0.1", port) as again:
        assert again == port


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.7"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(PortError, match="no address of this machine"), reserve(host, 0):
        pass
