"""The user's program, run as ``python script.py …`` or ``python -m module …`` would run it."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import traceback
import types
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType

from allgrad.errors import LaunchError

AS_TORCH = "ALLGRAD_AS_TORCH"  # `allgrad run --as-torch` sets it for the ranks


@dataclass(frozen=True)
class Program:
    """A script (a path) or a module (a dotted name), with its arguments."""

    target: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    @classmethod
    def parse(cls, words: Sequence[str]) -> Program:
        """``[script, args…]`` or ``["-m", module, args…]``."""
        is_module = bool(words) and words[0] == "-m"
        rest = words[1:] if is_module else words
        if not rest:
            raise LaunchError(
                "no program given: allgrad run [options] train.py …, or allgrad run [options] -m module …"
            )
        return cls(rest[0], tuple(rest[1:]), is_module)

    def command_line(self) -> list[str]:
        """The words that ``parse`` takes."""
        return [*(["-m"] if self.is_module else []), self.target, *self.arguments]

    def check(self) -> None:
        """Fail in the launcher, once, rather than on every rank."""
        if not self.is_module and not os.path.isfile(self.target):
            raise LaunchError(f"no such script: {self.target} (working directory {os.getcwd()})")

    def enter(self) -> None:
        """Set ``sys.path[0]`` and ``sys.argv`` for the program; once per process, before ``load``."""
        first = os.getcwd() if self.is_module else os.path.dirname(os.path.realpath(self.target))
        if not sys.flags.safe_path:
            # With -m (how the bootstrap is started) Python has put the working directory there.
            if sys.path and sys.path[0] in ("", os.getcwd()):
                sys.path[0] = first
            else:
                sys.path.insert(0, first)
        sys.argv = [self.target, *self.arguments]

    def load(self) -> Loaded:
        """Find and compile the program; a syntax error is raised here."""
        if not self.is_module:
            path = os.path.abspath(self.target)
            with io.open_code(path) as file:
                source = file.read()
            return Loaded(compile(source, path, "exec", dont_inherit=True), path, None)
        name = self.target
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name += ".__main__"
            spec = importlib.util.find_spec(name)
        loader = spec.loader if spec is not None else None
        code = loader.get_code(name) if isinstance(loader, InspectLoader) else None
        if spec is None or code is None:
            raise LaunchError(f"no module named {name} that could be run; sys.path is {sys.path}")
        sys.argv[0] = spec.origin or name
        return Loaded(code, spec.origin or name, spec)


@dataclass(frozen=True)
class Loaded:
    """A compiled program: can be run several times, each time in a namespace of its own."""

    code: CodeType
    file: str
    spec: ModuleSpec | None

    def namespace(self) -> ModuleType:
        """A fresh ``__main__`` module."""
        module = types.ModuleType("__main__")
        module.__file__ = self.file
        module.__spec__ = self.spec
        module.__package__ = self.spec.parent if self.spec else None
        module.__loader__ = self.spec.loader if self.spec else None
        module.__dict__["__builtins__"] = __builtins__
        return module

    def run(self, module: ModuleType) -> None:
        """Run the program in the namespace of ``module``; whatever it raises comes out.

        Under ``--as-torch`` its ``import torch`` gives allgrad, and an error for what is missing names it.
        """
        if not os.environ.get(AS_TORCH):
            exec(self.code, module.__dict__)
            return
        from allgrad import as_torch

        as_torch.install()
        try:
            exec(self.code, module.__dict__)
        except (AttributeError, ImportError) as error:
            raise as_torch.explained(error) from None


def format_failure(error: BaseException) -> str:
    """The traceback as plain Python would print it: without the frames that lead to the program's first line."""
    own = os.path.dirname(__file__)
    frames = error.__traceback__
    while frames is not None and os.path.dirname(frames.tb_frame.f_code.co_filename) == own:
        frames = frames.tb_next  # it could not be loaded
    frame = error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code is Loaded.run.__code__:
            frames = frame.tb_next
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def exit_code(leaving: SystemExit) -> tuple[int, str]:
    """(exit code, text for stderr) of ``sys.exit(x)``: None is 0, an int itself, anything else is printed and 1."""
    if leaving.code is None:
        return 0, ""
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF, ""
    return 1, f"{leaving.code}\n"
