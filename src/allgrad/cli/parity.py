"""Does a program compute at N ranks what it computes at one?

  allgrad parity train.py --epochs 1          3 steps at 2 virtual ranks and at 1, on the same global batches
  allgrad parity -n 3 --steps 5 train.py      5 steps at 3 virtual ranks

The first activation or gradient that differs is named, with the reason as far as it can be known.
Exit code: 0 equal, 1 a difference, 2 the runs could not be compared.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import sys
from typing import TYPE_CHECKING

from allgrad.cli.program import AS_TORCH, Program
from allgrad.errors import ArgumentError

if TYPE_CHECKING:
    from allgrad.parity.record import Recorder

SUMMARY = "compare a training program at 1 and at N ranks, and say where and why they differ"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, then the program with its own arguments."""
    parser.usage = "allgrad parity [options] (PROGRAM | -m MODULE) [argument ...]"
    parser.add_argument("-n", type=int, default=2, metavar="N", help="virtual ranks to compare with one (default: 2)")
    parser.add_argument("--steps", type=int, default=3, metavar="K", help="optimizer steps to compare (default: 3)")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, metavar="X", help="allowed share of the largest value (default: 1e-4)"
    )
    parser.add_argument("--no-replay", action="store_true", help="let dropout at 1 rank draw masks of its own")
    parser.add_argument("--as-torch", action="store_true", help="an unmodified PyTorch program: torch is allgrad")
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is the name of a module")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="the program and its arguments")


def execute(arguments: argparse.Namespace) -> int:
    """Run twice, compare, print the verdict."""
    for name in ("n", "steps"):
        if getattr(arguments, name) < (2 if name == "n" else 1):
            raise ArgumentError(f"{'-n' if name == 'n' else '--steps'} is too small: {getattr(arguments, name)}")
    from allgrad.parity.compare import UNCOMPARABLE, compare
    from allgrad.parity.record import Recorder

    program = Program.parse([*(["-m"] if arguments.module else []), *arguments.program])
    program.check()
    if arguments.as_torch:
        os.environ[AS_TORCH] = "1"
    many = Recorder(arguments.steps)
    failure = _run(program, many, arguments.n)
    ranks = [many.ranks[r] for r in range(arguments.n)]
    one = Recorder(arguments.steps, ranks, not arguments.no_replay)
    failure = failure or _run(program, one, 1)
    if failure:
        print(f"allgrad parity: the program failed, so nothing could be compared\n{failure}", file=sys.stderr)
        return UNCOMPARABLE
    verdict = compare(ranks, one.ranks[0], arguments.tolerance)
    print(f"allgrad parity: {verdict.text}")
    return verdict.code


def _run(program: Program, recorder: Recorder, size: int) -> str:
    """Run the program under the recorder, its output kept back; what went wrong, "" if nothing."""
    import numpy as np

    from allgrad.cli.virtual import run_program

    random.seed(0)
    np.random.seed(0)
    said = io.StringIO()
    with recorder.watching(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = run_program(program, size)
    return f"at {size} rank{'s' * (size > 1)}, exit code {code}:\n{said.getvalue()[-3000:]}" if code else ""
