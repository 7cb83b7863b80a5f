"""Writes docs/ops.md from the op table: ``python docs/make_ops.py``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import allgrad
import allgrad.autograd
import allgrad.functions
import allgrad.nn
import allgrad.ops
from allgrad.ops.op import TABLE, Op

HERE = Path(__file__).resolve().parent

HEAD = """# Operations

Everything that allgrad differentiates comes down to these {count} operations; the functions that users call check
their arguments, promote dtypes and run one or more of them. This file is written by `docs/make_ops.py` from the table
itself; a test compares the two.

- **derivative**: the inputs that have a pullback. A rule is written once and serves arrays (ordinary backward) and
  Tensors (`create_graph=True`), so a derivative of any order is there wherever a first one is.
- **keeps**: what a node holds until backward: values of inputs, or `out`, the output. Shapes and dtypes cost nothing
  and are not listed.
- **view**: the result may share the memory of the first input; in-place changes are followed through it.
"""


def load() -> dict[str, Op]:
    """The table with the ops of every module in it."""
    for package in (allgrad.ops, allgrad.autograd, allgrad.functions, allgrad.nn):
        for part in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(part.name)
    return {name: op for name, op in TABLE.items() if op.definition.__module__.startswith("allgrad.")}


def family(op: Op) -> str:
    """The module that the op is written in."""
    return op.definition.__module__.removeprefix("allgrad.")


def signature(op: Op) -> str:
    """Inputs, and settings with their defaults."""
    names = []
    for p in inspect.signature(op.definition).parameters.values():
        if p.kind is p.KEYWORD_ONLY and "*" not in names and not op.variadic:
            names.append("*")
        default = "" if p.default is p.empty else f"={p.default!r}"
        names.append(("*" if p.kind is p.VAR_POSITIONAL else "") + p.name + default)
    return f"{op.name}({', '.join(names)})"


def keeps(op: Op) -> str:
    """The values that the pullbacks of all inputs name."""
    rules = [op.fused] if op.fused is not None else list(op.pulls.values())
    found = []
    for rule in rules:
        for kind, i in rule.needs:
            name = "out" if kind == "out" else op.inputs[i] if kind == "input" else ""
            if name and name not in found:
                found.append(name)
    return ", ".join(found)


def derivative(op: Op) -> str:
    """By which inputs the op is differentiated."""
    if not op.differentiable:
        return "–"
    if op.fused is not None:
        return "all"
    return ", ".join(op.inputs[i] for i in sorted(op.pulls))


def text() -> str:
    """The whole file."""
    by_family: dict[str, list[Op]] = {}
    table = load()
    for op in table.values():
        by_family.setdefault(family(op), []).append(op)
    parts = [HEAD.format(count=len(table))]
    for name in sorted(by_family):
        parts.append(f"\n## {name}\n\n| operation | value | derivative | keeps | view |\n|---|---|---|---|---|")
        for op in sorted(by_family[name], key=lambda op: op.name):
            doc = inspect.cleandoc(op.__doc__ or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            doc = doc.replace("``", "`")
            row = (f"`{signature(op)}`".replace("|", "\\|"), doc, derivative(op), keeps(op), "yes" if op.view else "")
            parts.append(f"| {' | '.join(row)} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    (HERE / "ops.md").write_text(text(), encoding="utf-8")
    print(f"docs/ops.md: {len(load())} operations")
