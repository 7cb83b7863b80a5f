"""``torch.jit``: what it returns is the function or module itself, which runs as it stands."""

from __future__ import annotations

from typing import Any

from allgrad.absent import refuse


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """``obj`` itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """``func`` itself."""
    return func


def ignore(function: Any = None, **kwargs: Any) -> Any:
    """The function itself."""
    return function if function is not None else lambda f: f


export = unused = script_method = script_if_tracing = ignore


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False


def save(m: Any, f: Any, **kwargs: Any) -> None:
    """An error: there is no compiled format."""
    refuse("torch.jit.save", "Save the state instead: torch.save(model.state_dict(), path).")


def load(f: Any, **kwargs: Any) -> None:
    """An error: there is no compiled format."""
    refuse("torch.jit.load", "Build the model in Python and load a state dict into it.")
