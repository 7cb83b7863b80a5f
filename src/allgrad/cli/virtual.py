"""Virtual ranks of a program: ``python -m allgrad.cli.virtual N [-m] PROGRAM ARGUMENT …``.

The program runs N times in this process, as threads that take turns, each in a ``__main__`` namespace of its own;
rank 0 is the main thread.  Modules that the program imports are shared, and so are Python's and NumPy's global
random generators: keep what differs between ranks in the program itself, or use ``allgrad.manual_seed``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from allgrad.cli.program import Loaded, Program, exit_code, format_failure
from allgrad.comm.virtual import run_virtual
from allgrad.context import ctx


class RankEnviron(MutableMapping[str, str]):
    """``os.environ`` with a copy for each rank: ``os.environ["RANK"]`` is right in every one of the threads.

    A thread that is no rank sees the environment of the process.
    """

    def __init__(self, process: MutableMapping[str, str]) -> None:
        self._process = process
        self._rank = threading.local()

    def enter(self, variables: Mapping[str, str]) -> None:
        """From now on this thread is a rank and has ``variables`` besides those of the process."""
        self._rank.values = {**self._process, **variables}

    def leave(self) -> None:
        """This thread is no rank any more."""
        del self._rank.values

    @property
    def _mine(self) -> MutableMapping[str, str]:
        values: MutableMapping[str, str] = getattr(self._rank, "values", self._process)
        return values

    def __getitem__(self, name: str) -> str:
        return self._mine[name]

    def __setitem__(self, name: str, value: str) -> None:
        if not isinstance(value, str):  # as the real one does
            raise TypeError(f"str expected, not {type(value).__name__}")
        self._mine[name] = value

    def __delitem__(self, name: str) -> None:
        del self._mine[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._mine))

    def __len__(self) -> int:
        return len(self._mine)

    def copy(self) -> dict[str, str]:
        """A plain dict, as of the real one."""
        return dict(self)

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**other, **self}


def rank_variables(rank: int, size: int) -> dict[str, str]:
    """What torchrun sets, for one of ``size`` ranks of one node."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }


def run_program(program: Program, size: int) -> int:
    """Run ``program`` on ``size`` virtual ranks; the exit code.  A rank that raises ends all, and is named."""
    environment: Any = RankEnviron(os.environ)
    failed: list[int] = []  # the ranks that raised, the first one first: only one rank runs at a time
    process_environment, os.environ = os.environ, environment
    try:
        program.enter()
        loaded = program.load()
        run_virtual(_run_rank, size, loaded, environment, failed)
    except SystemExit as leaving:
        code, text = exit_code(leaving)
        sys.stderr.write(text)
        return code
    except BaseException as error:
        if failed:
            print(f"allgrad: rank {failed[0]} of {size} virtual ranks failed; all were ended", file=sys.stderr)
        sys.stderr.write(format_failure(error))
        return 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    finally:
        os.environ = process_environment  # noqa: B003  (the real one comes back)
    return 0


def _run_rank(loaded: Loaded, environment: RankEnviron, failed: list[int]) -> None:
    rank, size = ctx.launched.rank, ctx.launched.size
    environment.enter(rank_variables(rank, size))
    module = loaded.namespace()
    if rank == 0:
        sys.modules["__main__"] = module
    try:
        loaded.run(module)
    except SystemExit:
        raise
    except BaseException:
        failed.append(rank)
        raise
    finally:
        environment.leave()


if __name__ == "__main__":
    sys.exit(run_program(Program.parse(sys.argv[2:]), int(sys.argv[1])))
