"""What chatd keeps in ``server.data_dir`` beside the private servers.

secrets.toml   keys made up in development, 0600      run.json   where the running chatd is, 0600
metrics/       numbers that workers share, one directory a run
"""

import fcntl
import os
import secrets
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from chatd.core.settings import Secrets, Settings, SettingsError

MIN_KEY_BYTES = 32
"""RFC 7518, 3.2: an HS256 key is at least as long as the hash."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A chatd that runs its own PostgreSQL here, for tools that want to join it."""

    pid: int
    postgres_url: str


def make(settings: Settings) -> Path:
    """The data directory, made if need be. Raises SettingsError where it cannot be."""
    path = Path(settings.server.data_dir)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"server.data_dir {str(path)!r} cannot be made: {error.strerror}") from None
    return path.resolve()


def complete_secrets(settings: Settings, directory: Path) -> Settings:
    """The settings with keys to sign with: from the environment, in development also made up and kept.

    Raises SettingsError where production has none, or a key is too short.
    """
    given = settings.secrets
    if settings.environment == "production":
        if not given.jwt_key:
            raise SettingsError(
                "production needs CHATD_SECRETS_JWT_KEY, the same on every node: at least "
                f"{MIN_KEY_BYTES} bytes, for example from `openssl rand -base64 48`"
            )
    elif not (given.jwt_key and given.internal_api_key):
        kept = _kept_secrets(directory)
        given = msgspec.structs.replace(
            given,
            jwt_key=given.jwt_key or kept.jwt_key,
            internal_api_key=given.internal_api_key or kept.internal_api_key,
        )
    if any(len(key.strip().encode()) < MIN_KEY_BYTES for key in given.jwt_key.split(",")):
        raise SettingsError(
            f"CHATD_SECRETS_JWT_KEY is too short: each key (they are separated by commas) needs at least "
            f"{MIN_KEY_BYTES} bytes"
        )
    return msgspec.structs.replace(settings, secrets=given)


def _kept_secrets(directory: Path) -> Secrets:
    path = directory / "secrets.toml"
    if not path.exists():
        text = (
            "# Made up by chatd for development. Who has the first can be anybody: keep it to yourself.\n"
            f'jwt_key = "{secrets.token_urlsafe(48)}"\ninternal_api_key = "{secrets.token_urlsafe(32)}"\n'
        )
        with _writing(directory):
            new = _private_file(directory, text.encode())
            # Of several chatds that start at once in one directory, one key wins.
            with suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), Secrets)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}): repair it, or remove it for new keys"
        ) from None


@contextmanager
def running(directory: Path, settings: Settings) -> Iterator[None]:
    """Say in run.json, for as long as it is true, that this chatd runs here."""
    path = directory / "run.json"
    run = Run(pid=os.getpid(), postgres_url=settings.postgres.url)
    with _writing(directory):
        _private_file(directory, msgspec.json.encode(run)).replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_running(directory: Path) -> Run | None:
    """The chatd that runs its own PostgreSQL here, if one does."""
    try:
        run = msgspec.json.decode((directory / "run.json").read_bytes(), type=Run)
        lock = os.open(directory / "lock", os.O_RDWR)
    except (OSError, msgspec.MsgspecError):
        return None
    try:
        # Who runs private servers holds the lock (chatd.embedded). If we get it, run.json is a leftover.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return run
    else:
        return None
    finally:
        os.close(lock)


@contextmanager
def metrics(directory: Path) -> Iterator[Path]:
    """A fresh directory for prometheus_client's multiprocess mode; sweeps those of runs that are over."""
    there = directory / "metrics"
    with _writing(directory):
        there.mkdir(mode=0o700, exist_ok=True)
        for old in there.iterdir():
            _sweep(old)
        mine = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=there))
    lock = os.open(mine, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield mine
    finally:
        os.close(lock)
        shutil.rmtree(mine, ignore_errors=True)


def _sweep(old: Path) -> None:
    # A lock, not the process id in the name: chatds in containers may share a disk but not numbers.
    with suppress(OSError):
        fd = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            os.close(fd)


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """A disk that is full or can only be read is the operator's to mend, not a defect."""
    try:
        yield
    except OSError as error:
        raise SettingsError(
            f"server.data_dir {str(directory)!r} cannot be written to ({error.strerror}): make room or mend "
            "its rights, or name another directory (CHATD_SERVER_DATA_DIR)"
        ) from None


def _private_file(directory: Path, content: bytes) -> Path:
    """A new file that only this user can read."""
    fd, name = tempfile.mkstemp(prefix=".new-", dir=directory)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(fd)
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)
