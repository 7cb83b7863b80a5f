"""Programs in which the ranks do not do the same: what must be found, and what the error must say.

In each the last rank is the odd one.  ``words`` must be in the error of every rank (of one of them where ``every`` is
False: then the others learn that it has left); ``{odd}`` is its number.  ``mpi`` says how a job of MPI ranks ends:
"meets" (all ranks raise and could go on), or "ends" (one rank raises, which ends the job).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import allgrad as torch
import allgrad.distributed as dist


class Case(NamedTuple):
    """``program(odd)``, with ``odd`` True on the last rank only."""

    program: Callable[[bool], Any]
    words: tuple[str, ...]
    every: bool = True
    mpi: str = "meets"


CASES: dict[str, Case] = {}


def case(
    name: str, *words: str, every: bool = True, mpi: str = "meets"
) -> Callable[[Callable[[bool], Any]], Callable[[bool], Any]]:
    """Enter the program into the table."""

    def enter(program: Callable[[bool], Any]) -> Callable[[bool], Any]:
        CASES[name] = Case(program, words, every, mpi)
        return program

    return enter


def ones(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.ones(*shape, dtype=dtype)


def last() -> int:
    return dist.get_world_size() - 1


# -- one collective, one fact different ---------------------------------------------------------------------------

REDUCING: dict[str, Callable[..., Any]] = {
    "all_reduce": lambda t, op: dist.all_reduce(t, op),
    "async all_reduce": lambda t, op: dist.all_reduce(t, op, async_op=True).wait(),
    "reduce": lambda t, op: dist.reduce(t, 0, op),
    "reduce_scatter": lambda t, op: dist.reduce_scatter_tensor(t[: len(t) // dist.get_world_size()].clone(), t, op),
}
OPS = {"sum against max": ("sum", "max"), "sum against mean": ("sum", "avg"), "min against product": ("min", "prod")}


def _enter_reductions() -> None:
    for name, call in REDUCING.items():
        for how, (usual, other) in OPS.items():
            plain = name.split()[-1]
            case(f"{name}, {how}", plain, "rank {odd} is in", "expected", "prod" if other == "prod" else usual)(
                lambda odd, call=call, usual=usual, other=other: call(ones(12), other if odd else usual)
            )
        case(f"{name}, dtype", plain, "rank {odd} is in", "float64", "float32")(
            lambda odd, call=call: call(ones(12, dtype=torch.float64 if odd else torch.float32), "sum")
        )
        case(f"{name}, dtype of the same size", plain, "rank {odd} is in", "int32", "float32")(
            lambda odd, call=call: call(ones(12, dtype=torch.int32 if odd else torch.float32), "sum")
        )
        case(f"{name}, count", plain, "rank {odd} is in", "12", "24")(
            lambda odd, call=call: call(ones(24 if odd else 12), "sum")
        )
        case(f"{name}, large count", plain, "rank {odd} is in", "60000", "120000")(
            lambda odd, call=call: call(ones(120000 if odd else 60000), "sum")
        )


_enter_reductions()
case("all_reduce, premultiplied by another factor", "rank {odd} is in", "times 3", "times 2")(
    lambda odd: dist.all_reduce(ones(4), dist.ReduceOp.PREMUL_SUM(3.0 if odd else 2.0))
)
case("all_reduce, one element against none", "rank {odd} is in", "float32, 0", "float32, 1")(
    lambda odd: dist.all_reduce(ones(0 if odd else 1))
)
case("all_reduce, shape of the same count", "rank {odd} is in", "[2, 6]", "[3, 4]")(
    lambda odd: dist.all_reduce(ones(2, 6) if odd else ones(3, 4))
)

ROOTED: dict[str, Callable[[int], Any]] = {
    "broadcast": lambda root: dist.broadcast(ones(5), root),
    "reduce": lambda root: dist.reduce(ones(5), root),
    "gather": lambda root: dist.gather(
        ones(5), [ones(5) for _ in range(last() + 1)] if dist.get_rank() == root else None, root
    ),
    "scatter": lambda root: dist.scatter(
        ones(5), [ones(5) for _ in range(last() + 1)] if dist.get_rank() == root else None, root
    ),
    "broadcast_object_list": lambda root: dist.broadcast_object_list([1], root),
}
for _name, _call in ROOTED.items():
    case(f"{_name}, root", "broadcast" if "object" in _name else _name, "rank {odd} is in", "expected")(
        lambda odd, call=_call: call(last() if odd else 0)
    )

case("broadcast, dtype", "rank {odd} is in", "broadcast(float64", "float32")(
    lambda odd: dist.broadcast(ones(5, dtype=torch.float64 if odd else torch.float32), 0)
)
case("broadcast, count", "rank {odd} is in", "broadcast(float32, 6, 0)", "float32, 5")(
    lambda odd: dist.broadcast(ones(6 if odd else 5), 0)
)
case("all_gather, count", "rank {odd} is in", "all_gather(float32, 6)", "float32, 5")(
    lambda odd: dist.all_gather([ones(6 if odd else 5) for _ in range(last() + 1)], ones(6 if odd else 5))
)
case("all_gather, dtype", "rank {odd} is in", "all_gather(int64, 5)", "float32, 5")(
    lambda odd: dist.all_gather(
        [ones(5, dtype=torch.int64 if odd else torch.float32) for _ in range(last() + 1)],
        ones(5, dtype=torch.int64 if odd else torch.float32),
    )
)
case("all_to_all, counts", "rank {odd}", "sends", "expects")(
    lambda odd: dist.all_to_all(
        [ones(2) for _ in range(last() + 1)], [ones(3 if odd and r == 0 else 2) for r in range(last() + 1)]
    )
)
case("all_to_all, dtype", "rank {odd} is in", "all_to_all(int32)", "float32")(
    lambda odd: dist.all_to_all_single(
        ones(12, dtype=torch.int32 if odd else torch.float32), ones(12, dtype=torch.int32 if odd else torch.float32)
    )
)

# -- another collective -------------------------------------------------------------------------------------------

OTHER: dict[str, tuple[Callable[[], Any], Callable[[], Any], tuple[str, str]]] = {
    "barrier against all_reduce": (dist.barrier, lambda: dist.all_reduce(ones(3)), ("barrier()", "all_reduce(")),
    "barrier against large all_reduce": (
        dist.barrier, lambda: dist.all_reduce(ones(90_000)), ("barrier()", "all_reduce("),
    ),
    "all_reduce against reduce": (
        lambda: dist.all_reduce(ones(3)), lambda: dist.reduce(ones(3), 0), ("all_reduce(", " reduce("),
    ),
    "broadcast against all_reduce": (
        lambda: dist.broadcast(ones(3), 0), lambda: dist.all_reduce(ones(3)), ("broadcast(", "all_reduce("),
    ),
    "all_gather against reduce_scatter": (
        lambda: dist.all_gather_into_tensor(ones((last() + 1) * 12), ones(12)),
        lambda: dist.reduce_scatter_tensor(ones(12 // (last() + 1)), ones(12)),
        ("all_gather(", "reduce_scatter("),
    ),
    "gather against scatter": (
        lambda: ROOTED["gather"](0), lambda: ROOTED["scatter"](0), ("gather(", "scatter("),
    ),
    "object kinds": (
        lambda: dist.all_gather_object([None] * (last() + 1), 1), lambda: dist.broadcast_object_list([1], 0),
        ("all_gather_object", "broadcast_object_list"),
    ),
    "objects against tensors": (
        lambda: dist.broadcast_object_list([1], 0), lambda: dist.broadcast(ones(1), 0),
        ("broadcast_object_list", "broadcast(float32, 1, 0)"),
    ),
    "gathered objects against all": (
        lambda: dist.gather_object(1, [None] * (last() + 1) if dist.get_rank() == 0 else None),
        lambda: dist.all_gather_object([None] * (last() + 1), 1), ("gather_object", "all_gather_object"),
    ),
    "scattered objects against broadcast": (
        lambda: dist.scatter_object_list([None], [0] * (last() + 1)),
        lambda: dist.broadcast_object_list([1], 0), ("scatter_object_list", "broadcast_object_list"),
    ),
    "monitored barrier against barrier": (
        dist.monitored_barrier, lambda: dist.all_reduce(ones(2)), ("monitored_barrier", "all_reduce("),
    ),
    "new group against all_reduce": (
        lambda: dist.new_group([0]), lambda: dist.all_reduce(ones(2)), ("split()", "all_reduce("),
    ),
    "the end against all_reduce": (
        dist.destroy_process_group, lambda: dist.all_reduce(ones(2)), ("destroy_process_group", "all_reduce("),
    ),
}  # fmt: skip
# what goes through shared memory and what goes by messages meet on the board of the node only
_APART = ("against all_reduce", "against large all_reduce", "all_reduce against")
for _name, (_usual, _other, _words) in OTHER.items():
    _apart = any(word in _name for word in _APART)
    case(_name, *_words)(lambda odd, usual=_usual, other=_other: other() if odd else usual())


@case("two collectives in another order", "all_reduce(", "broadcast(")
def swapped(odd: bool) -> None:
    calls = [lambda: dist.all_reduce(ones(3)), lambda: dist.broadcast(ones(3), 0)]
    for call in reversed(calls) if odd else calls:
        call()


@case("two labelled all-reduces of one size in another order", 'for "fc1.weight"', 'for "fc2.weight"', "rank {odd} is")
def swapped_labels(odd: bool) -> None:
    for label in ("fc2.weight", "fc1.weight") if odd else ("fc1.weight", "fc2.weight"):
        _comm().all_reduce(np.ones(300), label=label)


@case("labels that differ at the end only", "rank {odd} is in")
def long_labels(odd: bool) -> None:
    _comm().all_reduce(np.ones(300), label="very.long.name." * 20 + ("weight" if odd else "bias"))
    _comm().barrier("very.long.name." * 20 + ("weight" if odd else "bias"))


def _comm() -> Any:
    from allgrad.distributed.group import default_group

    return default_group().comm


@case("an extra collective in the middle", "rank {odd}", "all_reduce(", "broadcast(")
def extra(odd: bool) -> None:
    for _ in range(2 if odd else 1):
        dist.all_reduce(ones(3))
    dist.broadcast(ones(3), 0)


@case("a collective left out in the middle", "rank {odd}", "all_reduce(", "broadcast(")
def missing(odd: bool) -> None:
    if not odd:
        dist.all_reduce(ones(3))
    dist.broadcast(ones(3), 0)


@case("a step more at the end", "all_reduce(", "barrier()")
def step_more(odd: bool) -> None:
    for _ in range(4 if odd else 3):
        dist.all_reduce(ones(3))


@case("several async calls in another order, waited for backwards", "rank {odd} is in", "max", "sum")
def async_order(odd: bool) -> None:
    ops = ["sum", "max", "sum", "min"]
    if odd:
        ops[1:3] = reversed(ops[1:3])
    for handle in reversed([dist.all_reduce(ones(30), op, async_op=True) for op in ops]):
        handle.wait()


@case("async all_reduce against broadcast behind it", "broadcast(")
def async_behind(odd: bool) -> None:
    if odd:
        dist.broadcast(ones(3), 0)
        dist.all_reduce(ones(3))
        return
    handle = dist.all_reduce(ones(3), async_op=True)
    dist.broadcast(ones(3), 0)
    handle.wait()


# -- groups ---------------------------------------------------------------------------------------------------------


@case("groups of other ranks", "rank {odd} is in", "split()", "ranks [0, ", "ranks [0]")
def other_members(odd: bool) -> None:
    dist.new_group([0, last()] if odd else [0])


@case("a group that one rank does not make", "split()", "barrier()")
def group_not_made(odd: bool) -> None:
    if not odd:
        dist.new_group([0])


@case("two groups in another order", "waits in", "group")
def crossed_groups(odd: bool) -> None:
    first, second = dist.new_group(), dist.new_group()
    for group in (second, first) if odd else (first, second):
        dist.all_reduce(ones(3), group=group)


@case("a collective of a subgroup against one of all", "all_reduce(", every=False, mpi="ends")
def group_against_all(odd: bool) -> None:
    pair = dist.new_group([0, last()])
    if odd:
        dist.all_reduce(ones(3))
    elif dist.get_rank() == 0:
        dist.all_reduce(ones(3), group=pair)


# -- between two ranks ----------------------------------------------------------------------------------------------


@case("a message of another count", "rank {odd} sent", "24 bytes", every=False, mpi="ends")
def message_count(odd: bool) -> None:
    if odd:
        dist.send(ones(7), 0)
    elif dist.get_rank() == 0:
        dist.recv(ones(6), last())


@case("a message of another dtype", "rank {odd} sent", "32 bytes", every=False, mpi="ends")
def message_dtype(odd: bool) -> None:
    if odd:
        dist.send(ones(8, dtype=torch.float64), 0)
    elif dist.get_rank() == 0:
        dist.recv(ones(8), last())


@case("a message of another dtype of the same size", "rank {odd} sent", "int32", "float32", every=False, mpi="ends")
def message_dtype_same_size(odd: bool) -> None:
    if odd:
        dist.send(ones(8, dtype=torch.int32), 0)
    elif dist.get_rank() == 0:
        dist.recv(ones(8), last())


@case("a message under another tag", "recv(float32, 6) from rank {odd}, tag 2", "barrier()")
def message_tag(odd: bool) -> None:
    if odd:
        dist.send(ones(6), 0, tag=1)
    elif dist.get_rank() == 0:
        dist.recv(ones(6), last(), tag=2)


@case("a message that nobody sends", "recv(float32, 6) from rank {odd}", "barrier()")
def message_missing(odd: bool) -> None:
    if dist.get_rank() == 0:
        dist.recv(ones(6), last())


@case(
    "two ranks that both receive first", "recv(float32, 6) from rank 0", "recv(float32, 6) from rank {odd}", mpi="ends"
)
def both_receive(odd: bool) -> None:
    if odd or dist.get_rank() == 0:
        peer = 0 if odd else last()
        dist.recv(ones(6), peer)
        dist.send(ones(6), peer)


@case("a large message against a collective", "send(float32, 500000) to rank 0", "all_reduce(")
def message_against_collective(odd: bool) -> None:
    if odd:
        dist.send(ones(500_000), 0)
    else:
        dist.all_reduce(ones(3))


@case("a receive against a collective", "recv(float32, 3) from rank 0", "all_reduce(")
def receive_against_collective(odd: bool) -> None:
    if odd:
        dist.recv(ones(3), 0)
    else:
        dist.all_reduce(ones(3))


@case("a batch of messages without its other half", "recv(float32, 3) from rank {odd}", "barrier()")
def half_a_batch(odd: bool) -> None:
    if dist.get_rank() == 0:
        ops = [dist.P2POp(dist.isend, ones(3), last()), dist.P2POp(dist.irecv, ones(3), last())]
        for handle in dist.batch_isend_irecv(ops):
            handle.wait()
    elif odd:
        dist.recv(ones(3), 0)


@case("a list of objects of another length", "broadcast_object_list", "2", "3", every=False, mpi="ends")
def object_list_length(odd: bool) -> None:
    dist.broadcast_object_list([1, 2, 3] if odd else [1, 2], 0)
