"""The two documents as files, so that a change of the contract shows in review."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson

from chatd.core.declarations import Command, Route
from chatd.rest import asyncapi, openapi


def documents(
    routes: Sequence[Route], commands: Sequence[Command], events: Sequence[type[msgspec.Struct]]
) -> dict[str, dict[str, Any]]:
    """File name to document."""
    return {"openapi.json": openapi.document(routes), "asyncapi.json": asyncapi.document(commands, events)}


def text_of(document: dict[str, Any]) -> bytes:
    """A document as its file has it: indented, so that a difference is a few lines."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def stale_snapshots(directory: Path, made: dict[str, dict[str, Any]]) -> list[str]:
    """The files that are not what they should be, or not there."""
    stale = []
    for name, document in made.items():
        file = directory / name
        if not file.is_file() or file.read_bytes() != text_of(document):
            stale.append(name)
    return stale


def write_snapshots(directory: Path, made: dict[str, dict[str, Any]]) -> None:
    """Write what ``documents`` made to its files."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, document in made.items():
        (directory / name).write_bytes(text_of(document))
