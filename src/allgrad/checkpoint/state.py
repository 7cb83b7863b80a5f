"""The state of what is tracked, and of every source of random numbers, as plain values; and back.

Anything with ``state_dict`` and ``load_state_dict`` can be tracked, and ``Generator``.  An optimizer whose state is
dealt out over the ranks gives each rank's share, in the numbering of the whole, so that any number of ranks can load it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from allgrad.checkpoint.sections import Stored
from allgrad.distributed.ddp import DistributedDataParallel
from allgrad.errors import ArgumentError
from allgrad.random import Generator, default_generator, stream
from allgrad.utils.data import DataLoader

RNG, VALUES, METRICS = "rng", "values", "metrics"
RESERVED = (RNG, VALUES, METRICS)


def check_tracked(name: str, thing: Any) -> None:
    """ArgumentError for what has no state that could be saved, or a name of our own."""
    if name in RESERVED or not name.isidentifier():
        raise ArgumentError(f"track({name}=…): {', '.join(RESERVED)} are taken, and a name must be an identifier")
    if not isinstance(thing, Generator) and not all(callable(getattr(thing, m, None)) for m in _METHODS):
        raise ArgumentError(
            f"track({name}=…) needs an object with state_dict() and load_state_dict(), or a Generator, found "
            f"{type(thing).__name__}; put plain values into manager.values"
        )


_METHODS = ("state_dict", "load_state_dict")


def gather_shares(objects: Mapping[str, Any]) -> None:
    """Optimizers that can give their state only as a whole gather it on rank 0.  Collective."""
    for thing in objects.values():
        if _gathered(thing):
            thing.consolidate_state_dict(to=0)


def save_state(thing: Any, rank: int) -> Any:
    """What has to be saved of one tracked object on this rank."""
    if _gathered(thing):
        return thing.state_dict() if rank == 0 else None
    if isinstance(thing, Generator):
        return {"state": thing.get_state()}
    return thing.local_state_dict() if _in_shares(thing) else thing.state_dict()


def load_state(thing: Any, stored: Stored, name: str, rank: int, size: int) -> Callable[[], Any]:
    """Read the state of one tracked object; calling what is returned puts it there.

    At another number of ranks, a state that differed between the ranks is put together (sharded optimizers) or that of
    rank 0 is used, for loaders with other seeds for the workers of the other ranks.
    """
    world = stored.manifest.world_size
    if _in_shares(thing):
        whole: Any
        if size == world:
            whole = stored.value(name, rank)
        else:
            parts = [stored.value(name, r) for r in range(world)]
            whole = {**parts[0], "state": {i: entry for part in parts for i, entry in part["state"].items()}}
        return lambda: thing.load_state_dict(whole)
    value = stored.value(name, rank if size == world and not _gathered(thing) else 0)
    if isinstance(thing, Generator):
        return lambda: thing.set_state(value["state"])
    if isinstance(thing, DataLoader) and size != world and rank and isinstance(value.get("base_seed"), int):
        seed = stream("resumed loader", value["base_seed"], rank).initial_seed() >> 1
        value = {k: v for k, v in value.items() if k != "workers"} | {"base_seed": seed}
    return lambda: thing.load_state_dict(value)


def not_carried_over(objects: Mapping[str, Any], stored: Stored, size: int) -> list[str]:
    """What differed between the ranks that saved, and of which another number of ranks gets rank 0's."""
    if size == stored.manifest.world_size:
        return []
    return [n for n in (*objects, VALUES) if not _carried_over(objects.get(n)) and stored.differs(n)]


def _carried_over(thing: Any) -> bool:
    """Whether the states of different ranks become one without loss."""
    if isinstance(thing, DistributedDataParallel):
        return thing.broadcast_buffers  # rank 0's buffers are those that count
    return isinstance(thing, DataLoader) or _in_shares(thing) or _gathered(thing)


def _in_shares(thing: Any) -> bool:
    """Whether ``local_state_dict()`` gives this rank's part of the ``state`` of an optimizer, and the union loads."""
    return callable(getattr(thing, "local_state_dict", None))


def _gathered(thing: Any) -> bool:
    """Whether the state is dealt out over the ranks, and can be had as a whole only."""
    return callable(getattr(thing, "consolidate_state_dict", None)) and not _in_shares(thing)


def random_state() -> dict[str, Any]:
    """The default generator of this rank, Python's ``random`` and NumPy's global generator."""
    version, words, cached = random.getstate()
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "default": default_generator().get_state(),
        "python": {"version": version, "words": np.array(words, np.uint32), "cached": cached},
        "numpy": {"kind": kind, "keys": np.asarray(keys), "position": int(position), "has_gauss": int(has_gauss),
                  "gauss": float(gauss)},
    }  # fmt: skip


def load_random_state(stored: Stored, rank: int, size: int) -> Callable[[], None]:
    """Read it; calling what is returned restores it.

    A rank that the saving world had not gets streams of its own, unless all ranks drew alike.
    """
    manifest = stored.manifest
    known = rank < manifest.world_size or not stored.differs(RNG)
    value = stored.value(RNG, rank if rank < manifest.world_size else 0)

    def restore() -> None:
        if known:
            default_generator().set_state(value["default"])
            python, numpy = value["python"], value["numpy"]
            words = tuple(int(w) for w in python["words"])
            random.setstate((python["version"], words, python["cached"]))
            np.random.set_state(
                (numpy["kind"], numpy["keys"], numpy["position"], numpy["has_gauss"], numpy["gauss"])
            )  # fmt: skip
            return
        fresh = stream("resumed rank", manifest.step, size, rank)
        default_generator().set_state(fresh.get_state())
        random.seed(fresh.initial_seed())
        np.random.seed(fresh.initial_seed() % 2**32)

    return restore
