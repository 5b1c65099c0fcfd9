"""PgBouncer between chatd and PostgreSQL: taken where it leaves sessions whole, else refused."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chatd.db import migrations
from chatd.embedded import Embedded
from tests.ops.serving import a_port, until

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
#: What chatd says when it connects, and PgBouncer does not know.
ALLOWED = "ignore_startup_parameters = jit, synchronous_commit, enable_seqscan"


def answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture
def pooler(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Starts a PgBouncer before a PostgreSQL of the test's own; its url."""
    inner = a_port()
    running: list[subprocess.Popen[bytes]] = []
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # it refuses to be root, and nobody can read what lies in pytest's folder

    def start(mode: str, more: str) -> str:
        port = a_port()
        file = folder / "pgbouncer.ini"
        file.write_text(
            f"[databases]\nchatd = host=127.0.0.1 port={inner} user=chatd\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = any\npool_mode = {mode}\n{more}\n"
        )
        assert PGBOUNCER
        nobody = pwd.getpwnam("nobody")
        root: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        running.append(
            subprocess.Popen(
                [PGBOUNCER, "-q", str(file)], stderr=subprocess.DEVNULL, **(root if os.geteuid() == 0 else {})
            )
        )
        until(lambda: answers(port))
        return f"postgresql://chatd@127.0.0.1:{port}/chatd?sslmode=disable"

    with Embedded(
        tmp_path / "data",
        redis=False,
        postgres_settings={"listen_addresses": "127.0.0.1", "port": str(inner), "fsync": "off"},
    ):
        yield start
        for process in running:
            process.kill()
            process.wait()
    shutil.rmtree(folder)


async def test_postgresql_itself_passes(database: str) -> None:
    await migrations.require_session(database)


@pytest.mark.skipif(PGBOUNCER is None, reason="there is no PgBouncer on this machine")
async def test_a_pooler_that_keeps_sessions_whole_passes(pooler: Callable[[str, str], str]) -> None:
    await migrations.require_session(pooler("session", ALLOWED))


@pytest.mark.skipif(PGBOUNCER is None, reason="there is no PgBouncer on this machine")
@pytest.mark.parametrize(
    ("mode", "more", "why"),
    [("transaction", ALLOWED, "each transaction another session"), ("session", "", "startup parameter")],
)
async def test_any_other_is_refused_with_the_reason(
    pooler: Callable[[str, str], str], mode: str, more: str, why: str
) -> None:
    with pytest.raises(migrations.SchemaError, match=why):
        await migrations.require_session(pooler(mode, more))
