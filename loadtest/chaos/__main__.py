"""``python -m loadtest.chaos``: break everything under a conversation, and prove that nothing was lost."""

import argparse
import logging
import random
import sys
from collections.abc import Sequence

import uvloop

from chatd.embedded import EmbeddedError
from loadtest.chaos import report
from loadtest.chaos.faults import FAULTS
from loadtest.chaos.run import Options, run
from loadtest.rest import ChatdError
from loadtest.server import NotServing


def options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m loadtest.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="how long (default: 10)")
    parser.add_argument("--seed", type=int, metavar="S", help="the order of all things (default: random)")
    parser.add_argument(
        "--faults",
        default=",".join(FAULTS),
        metavar="A,B",
        help=f"which strike (default: {', '.join(FAULTS)})",
    )
    parser.add_argument("--brief", action="store_true", help="each fault once, and not for long")
    parser.add_argument("--people", type=int, default=8, help="virtual users (default: 8)")
    parser.add_argument("--rate", type=float, default=4.0, help="what each does in a second (default: 4)")
    given = parser.parse_args(arguments)
    faults = tuple(name for name in given.faults.split(",") if name)
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    return Options(seed, given.minutes, faults, given.brief, given.people, given.rate)


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all as promised; 1: not; 2: it could not be tried."""
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    chosen = options(arguments)
    print(f"seed {chosen.seed}", flush=True)
    try:
        verdict = uvloop.run(run(chosen))
    except (NotServing, EmbeddedError, ChatdError, OSError) as error:
        print(f"chaos: seed {chosen.seed}: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(report.text(verdict))
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
