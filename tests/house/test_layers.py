"""The import rules that import-linter's contracts (pyproject.toml) cannot say; it checks the others."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = "chatd.features"


def imports(source: str, module: str) -> Iterator[str]:
    """Dotted names that ``source``, the text of ``module``, imports; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: -node.level] if node.level else []
            base += [node.module] if node.module else []
            yield from (".".join([*base, alias.name]) for alias in node.names)


@cache
def above_the_store(room: str) -> frozenset[str]:
    """The modules of a room that use its stores; a store itself uses none."""
    found = set()
    for path in (ROOT / "chatd" / "features" / room).glob("*.py"):
        module = f"{ROOMS}.{room}.{path.stem}"
        if any(re.match(rf"{ROOMS}\.{room}\.\w*store\b", it) for it in imports(path.read_text(), module)):
            found.add(path.stem)
    return frozenset(found)


def complaint(module: str, imported: str) -> str | None:
    """Why ``module`` may not import ``imported``, if it may not."""
    if not imported.startswith(f"{ROOMS}."):
        return None
    room, _, inside = imported.removeprefix(f"{ROOMS}.").partition(".")
    part = inside.partition(".")[0]
    if module.startswith(f"{ROOMS}.{room}.") or module == f"{ROOMS}.{room}":
        mine = module.rpartition(".")[2]
        if (mine == "contract" or mine.endswith("store")) and part in above_the_store(room):
            return f"{module} imports {imported}, which stands above the stores of its room"
        if mine not in {"api", "jobs"} and part in {"service", "api", "jobs"}:
            return (
                f"{module} imports {imported}: a room's service stands on its nouns, its api and jobs on both"
            )
        return None
    if module.startswith(f"{ROOMS}.") and part not in {"service", "contract"}:
        return f"{module} imports {imported}: a room uses a lower room's service and contract, nothing else"
    if part.endswith("store"):
        return f"{module} imports {imported}: a store is its room's own; ask the room's service"
    return None


def test_a_room_is_entered_through_its_service_and_contract() -> None:
    complaints = []
    for path in sorted((ROOT / "chatd").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found = imports(path.read_text(), module)
        complaints += [it for it in (complaint(module, imported) for imported in found) if it]
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("chatd.features.chats.service", "from chatd.features.accounts import store"),
        ("chatd.features.chats.service", "from chatd.features.accounts.store import find"),
        ("chatd.features.chats.api", "import chatd.features.accounts.api"),
        ("chatd.features.chats.service", "from ..accounts import store"),
        ("chatd.boot", "from chatd.features.accounts import store"),
        ("chatd.boot", "from chatd.features.accounts import bans_store"),
        ("chatd.features.chats.guard_store", "from chatd.features.chats import service"),
        ("chatd.features.chats.store", "from chatd.features.chats import views"),
        ("chatd.features.chats.contract", "from chatd.features.chats import service"),
        ("chatd.features.chats.directs", "from chatd.features.chats import service"),
        ("chatd.features.chats.service", "from chatd.features.chats.api import ROUTES"),
    ],
)
def test_this_test_sees_a_store_from_outside(module: str, source: str) -> None:
    assert any(complaint(module, it) for it in imports(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("chatd.features.chats.service", "from chatd.features.accounts import contract, service"),
        ("chatd.features.chats.service", "from chatd.features.accounts.contract import User"),
        ("chatd.features.chats.service", "from . import store"),
        ("chatd.features.chats.store", "from chatd.features.chats.rows import Card"),
        ("chatd.features.chats.service", "from chatd.features.chats import changes"),
        ("chatd.features.chats.api", "from chatd.features.chats import service, views"),
        ("chatd.catalog", "from chatd.features.accounts import api, jobs"),
    ],
)
def test_this_test_lets_pass_what_is_allowed(module: str, source: str) -> None:
    assert not any(complaint(module, it) for it in imports(source, module))
