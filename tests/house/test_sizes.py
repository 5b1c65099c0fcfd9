"""No file and no function grows on and on: the aim is 400 lines and 40, and here is where it ends."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE, FUNCTION = 450, 70
SOURCES = [path for top in ("chatd", "tests", "loadtest") for path in sorted((ROOT / top).rglob("*.py"))]


def test_no_file_is_longer_than_one_reads_at_once() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in SOURCES}
    assert [f"{path}: {count}" for path, count in lines.items() if count > FILE] == []


def test_no_function_is_longer_than_a_page() -> None:
    """A statement of SQL is as long as it must be, and so is the text of a test."""
    long = []
    for path in (path for path in SOURCES if path.is_relative_to(ROOT / "chatd")):
        if path.stem.endswith("store"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or 0) - node.lineno + 1
                if count > FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {count}")
    assert long == []
