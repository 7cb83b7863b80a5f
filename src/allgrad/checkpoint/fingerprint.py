"""What a run has to have in common with the one that is resumed: model, optimizer, data, program.

Each fact is one line, ``name -> value``; names start with what they belong to, and that is also what ``override`` takes.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from allgrad.distributed.ddp import DistributedDataParallel
from allgrad.nn.modules.module import Module
from allgrad.optim.optimizer import Optimizer
from allgrad.utils.data import DataLoader

PER_WORLD = "per rank"  # facts that are compared at the same number of ranks only


def fingerprint(objects: Mapping[str, Any]) -> dict[str, str]:
    """The facts about the tracked ``objects`` and the program, as (fact, value)."""
    facts: dict[str, str] = {"objects tracked": ", ".join(f"{n} ({type(o).__name__})" for n, o in objects.items())}
    modules = [thing for thing in objects.values() if isinstance(thing, Module)]
    for name, thing in objects.items():
        if isinstance(thing, Module):
            facts.update(_model(name, thing))
        elif isinstance(thing, Optimizer):
            facts.update(_optimizer(name, thing))
        elif isinstance(thing, DataLoader):
            facts.update(_data(name, thing))
    for path in sorted(_sources(modules)):
        facts[f"code {path.name}"] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return facts


def _model(name: str, module: Module) -> dict[str, str]:
    inner: Any = module.module if isinstance(module, DistributedDataParallel) else module
    facts = {f"model {name} class": type(inner).__qualname__}
    for key, value in inner.state_dict().items():
        if hasattr(value, "_a"):
            facts[f"model {name}.{key}"] = f"{value._a.dtype.name} {list(value._a.shape)}"
    for key, p in inner.named_parameters():
        if not p.requires_grad:
            facts[f"model {name}.{key}"] += " frozen"
    return facts


def _optimizer(name: str, optimizer: Optimizer) -> dict[str, str]:
    facts = {f"optimizer {name} class": type(optimizer).__name__}
    for i, group in enumerate(optimizer.param_groups):
        facts[f"optimizer {name} group {i}"] = f"{len(group['params'])} parameters"
    for key, value in optimizer.defaults.items():
        if value is None or isinstance(value, (bool, int, float, str, tuple, np.generic)):
            facts[f"optimizer {name} {key}"] = repr(value.item() if isinstance(value, np.generic) else value)
    return facts


def _data(name: str, loader: DataLoader) -> dict[str, str]:
    facts = {f"data {name} batch_size {PER_WORLD}": repr(loader.batch_size)}
    if hasattr(loader.dataset, "__len__"):
        facts[f"data {name} samples"] = str(len(loader.dataset))
    return facts


def _sources(modules: Collection[Module]) -> set[Path]:
    """The program's file, and the files of the modules' classes that are not part of allgrad."""
    found = {getattr(sys.modules.get("__main__"), "__file__", None)}
    library = Path(__file__).resolve().parents[1]
    for module in modules:
        for inner in module.modules():
            try:
                found.add(inspect.getsourcefile(type(inner)))
            except TypeError:  # a class made in a running program, such as a notebook
                continue
    paths = {Path(f).resolve() for f in found if f}
    return {p for p in paths if p.is_file() and library not in p.parents}


def differences(
    saved: Mapping[str, str], here: Mapping[str, str], same_world: bool, override: bool | Collection[str]
) -> list[str]:
    """One sentence for each fact that differs and is not among what ``override`` lets pass."""
    if override is True:
        return []
    allowed = set(override or ())
    found = []
    for fact in [*saved, *(f for f in here if f not in saved)]:
        before, now = saved.get(fact), here.get(fact)
        if before == now or fact.split()[0] in allowed or (fact.endswith(PER_WORLD) and not same_world):
            continue
        found.append(f"{fact}: saved {before or 'nothing'}, now {now or 'nothing'}")
    return found
