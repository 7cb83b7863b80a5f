"""The command line: ``allgrad COMMAND …`` and ``python -m allgrad COMMAND …`` are the same.

One module per command.  A command module has ``SUMMARY`` (one line), ``add_arguments(parser)`` and
``execute(arguments) -> exit code``; whatever is slow to import is imported inside ``execute``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from allgrad.errors import AllgradError

COMMANDS = {
    "run": "allgrad.cli.run",
    "info": "allgrad.cli.info",
    "parity": "allgrad.cli.parity",
    "doctor": "allgrad.cli.doctor",
}

USAGE_ERROR = 2  # the exit code of argparse for a command line that cannot be understood


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line, every command included."""
    parser = argparse.ArgumentParser(prog="allgrad", description="Data-parallel training on CPUs.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module_name in COMMANDS.items():
        module = importlib.import_module(module_name)
        command = commands.add_parser(name, help=module.SUMMARY, description=module.__doc__, allow_abbrev=False)
        command.formatter_class = argparse.RawDescriptionHelpFormatter
        module.add_arguments(command)
        command.set_defaults(execute=module.execute)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error that allgrad foresaw is one line, not a traceback."""
    arguments = build_parser().parse_args(argv)
    try:
        return int(arguments.execute(arguments))
    except AllgradError as error:
        print(f"allgrad {arguments.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
