"""Measure chatd: ``python -m loadtest.bench NAME… [--json]``, ``core`` (what any change must hold), ``all``.

Each bench starts a chatd of its own with private servers, measures the floor of the same machine in the same
run, and prints a table; with ``--json`` the last line is one JSON object. ``--write FILE`` makes the page;
what it had of benches that are not named stays (its figures are kept beside it, as JSON). It exits with 1
where a target is missed, and with 2 where a figure would mean nothing: something was lost or doubled.
"""

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.benches import pages
from loadtest.benches.measure import Broken
from loadtest.benches.options import Options
from loadtest.benches.targets import verdicts

#: name -> module with ``async def run(options) -> dict``; a room's bench that is not there is left out.
BENCHES: Mapping[str, str] = {
    "fanout": "loadtest.benches.fanout",
    "durable": "loadtest.benches.durable",
    "latency": "loadtest.benches.latency",
    "idle": "loadtest.benches.idle",
    "storm": "loadtest.benches.storm",
    "growth": "loadtest.benches.growth",
    "overload": "loadtest.benches.overload",
    "gp": "loadtest.bench_gp",
    "search": "loadtest.bench_search",
}


#: About twelve minutes; the others fill millions of rows first.
CORE = ("fanout", "durable", "latency", "idle", "storm", "growth", "overload")


def available() -> list[str]:
    """The benches that are there."""
    return [name for name, module in BENCHES.items() if importlib.util.find_spec(module) is not None]


def run(name: str, options: Options) -> dict[str, Any]:
    """One bench's figures. Raises Broken."""
    module = importlib.import_module(BENCHES[name])
    result: dict[str, Any] = asyncio.run(module.run(options))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    names = available()
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "names", metavar="NAME", nargs="+", choices=[*names, "core", "all"], help=", ".join(names)
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument(
        "--tiny", action="store_true", help="run everything for moments; figures mean nothing"
    )
    parser.add_argument("--write", metavar="FILE", type=Path, help="write the page of these benches")
    given = parser.parse_args(arguments)
    options = Options(tiny=given.tiny)
    wanted = _wanted(given.names, names)
    before = os.getloadavg()[0]
    results: dict[str, dict[str, Any]] = {}
    broken: dict[str, str] = {}
    for name in wanted:
        try:
            results[name] = run(name, options)
        except Broken as error:
            broken[name] = str(error)
            print(f"{name}: BROKEN: {error}\n", flush=True)
            continue
        print(pages.table(name, results[name], verdicts(name, results[name])), flush=True)
    if given.write is not None:
        command = " ".join(("python -m loadtest.bench", *(sys.argv[1:] if arguments is None else arguments)))
        pages.write(given.write, results, broken, command, before)
    if given.json:
        only = results if len(wanted) > 1 or broken else results[wanted[0]]
        print(json.dumps({**only, "broken": broken} if broken else only))
    if broken:
        return 2
    missed = any(not v.met for name in results for v in verdicts(name, results[name]))
    return 1 if missed and not given.tiny else 0


def _wanted(asked: Sequence[str], names: Sequence[str]) -> list[str]:
    """Each once, in the order of BENCHES."""
    wanted = set(asked) | (set(CORE) if "core" in asked else set())
    return [name for name in names if name in wanted or "all" in asked]


if __name__ == "__main__":
    sys.exit(main())
