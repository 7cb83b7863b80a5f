"""Nested tuples, lists and dicts of Tensors: what functions take and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allgrad.autograd.record import Variable


def leaves(tree: Any) -> list[Any]:
    """Everything in a tree that is no container, in order."""
    if isinstance(tree, (tuple, list)):
        return [leaf for part in tree for leaf in leaves(part)]
    if isinstance(tree, dict):
        return [leaf for part in tree.values() for leaf in leaves(part)]
    return [tree]


def tensors(tree: Any) -> list[Any]:
    """The Tensors of a tree."""
    return [leaf for leaf in leaves(tree) if isinstance(leaf, Variable)]


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """A tree of the same form with ``f`` of each of its leaves."""
    if isinstance(tree, dict):
        return type(tree)((key, mapped(f, part)) for key, part in tree.items())
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):  # a named tuple
        return type(tree)(*(mapped(f, part) for part in tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(mapped(f, part) for part in tree)
    return f(tree)


def rebuilt(tree: Any, new_leaves: list[Any]) -> Any:
    """A tree of the same form with these leaves, in order."""
    left = iter(new_leaves)
    return mapped(lambda _: next(left), tree)
