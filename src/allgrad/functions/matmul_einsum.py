"""``einsum``: sums of products by subscripts, carried out as batched matrix products of two operands at a time."""

from __future__ import annotations

import itertools
from typing import Any

from allgrad.autograd.record import Variable, apply
from allgrad.errors import ArgumentError, ShapeError
from allgrad.functions.promote import as_tensor_like
from allgrad.ops import arithmetic
from allgrad.ops.layout import diagonal
from allgrad.ops.matmul import matmul
from allgrad.ops.reduce import sum_
from allgrad.ops.shape import permute, reshape

Labels = list[Any]  # a letter or int per dimension; ("...", k) for the k-th dimension from the right of an ellipsis
Term = tuple[Any, Labels]


def einsum(equation: Any, *operands: Any) -> Any:
    """Products of the operands' elements, summed over every subscript that the output does not name.

    Takes ``einsum("bij,bjk->bik", x, y)`` with ``...`` and repeated subscripts, and the form
    ``einsum(x, [0, 1], y, [1, 2], [0, 2])``.

    >>> import allgrad as torch
    >>> torch.einsum("ii->", torch.eye(3))
    tensor(3.)
    """
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
        written, output = _parsed(equation)
    else:
        operands, written, output = _sublists((equation, *operands))
    if not operands:
        raise ArgumentError("einsum(): must provide at least one operand")
    if len(written) != len(operands):
        more = "fewer" if len(operands) < len(written) else "more"
        raise ArgumentError(
            f"einsum(): {more} operands were provided than specified in the equation: "
            f"{len(operands)} operands, {len(written)} lists of subscripts"
        )
    tensors = [as_tensor_like(x, f"einsum(): operand {i}") for i, x in enumerate(operands)]
    labels = [_spread(w, x._a.ndim, i) for i, (w, x) in enumerate(zip(written, tensors))]
    wanted = _output(output, labels)
    terms = _prepared(tensors, labels)
    return _reduced(terms, wanted)


def _parsed(equation: str) -> tuple[list[Labels], Labels | None]:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    if arrow and "->" in right:
        raise ArgumentError(f"einsum(): found more than one '->' in {equation!r}")
    return [_letters(t, equation) for t in left.split(",")], _letters(right, equation) if arrow else None


def _letters(text: str, equation: str) -> Labels:
    found: Labels = []
    while text:
        if text.startswith("..."):
            found.append(Ellipsis)
            text = text[3:]
        elif text[0].isascii() and text[0].isalpha():
            found.append(text[0])
            text = text[1:]
        else:
            raise ArgumentError(
                f"einsum(): invalid subscript given at {text!r} in {equation!r}: subscripts must be in [a-zA-Z]"
            )
    return found


def _sublists(given: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[Labels], Labels | None]:
    operands, lists = given[: len(given) // 2 * 2 : 2], given[1::2]
    output = list(given[-1]) if len(given) % 2 else None
    written = []
    for sub in (*lists, *(() if output is None else (output,))):
        if isinstance(sub, Variable) or not all(s is Ellipsis or (isinstance(s, int) and 0 <= s < 52) for s in sub):
            raise ArgumentError(f"einsum(): subscripts must be lists of ints in [0, 52) and Ellipsis, found {sub!r}")
        written.append([s if s is Ellipsis else _letter(s) for s in sub])
    return operands, written[: len(lists)], None if output is None else written[-1]


def _letter(i: int) -> str:
    return chr(ord("A") + i) if i < 26 else chr(ord("a") + i - 26)


def _spread(written: Labels, ndim: int, i: int) -> Labels:
    """The label of every dimension, the ellipsis spelled out."""
    dots = written.count(Ellipsis)
    if dots > 1:
        raise ArgumentError(f"einsum(): found '.' for operand {i} for which an ellipsis was already found")
    extra = ndim - (len(written) - dots)
    if extra < 0 or (extra and not dots):
        raise ShapeError(
            f"einsum(): the number of subscripts in the equation ({len(written) - dots}) does not match the number of "
            f"dimensions ({ndim}) for operand {i}" + ("" if dots else " and no ellipsis was given")
        )
    found: Labels = []
    for w in written:
        found += [("...", k) for k in range(extra, 0, -1)] if w is Ellipsis else [w]
    return found


def _output(output: Labels | None, labels: list[Labels]) -> Labels:
    every = [x for term in labels for x in term]
    dots = sorted({x for x in every if isinstance(x, tuple)}, key=lambda x: -x[1])
    if output is None:
        return dots + sorted(x for x in set(every) if not isinstance(x, tuple) and every.count(x) == 1)
    found: Labels = []
    for x in output:
        if x is Ellipsis:
            found += dots
            continue
        if x in found:
            raise ArgumentError(f"einsum(): output subscript {x} appears more than once in the output")
        if x not in every:
            raise ArgumentError(f"einsum(): output subscript {x} does not appear in the equation for any input operand")
        found.append(x)
    return found


def _prepared(tensors: list[Any], labels: list[Labels]) -> list[Term]:
    """Each subscript once per operand, and dimensions of length one that broadcast taken away."""
    terms = []
    for x, names in zip(tensors, labels):
        names = list(names)
        while len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            i = names.index(twice)
            j = names.index(twice, i + 1)
            if x._a.shape[i] != x._a.shape[j]:
                raise ShapeError(
                    f"einsum(): subscript {twice} is repeated for operand but the sizes don't match, "
                    f"{x._a.shape[j]} != {x._a.shape[i]}"
                )
            x = apply(diagonal, (x,), {"offset": 0, "dim1": i, "dim2": j})
            names = [n for k, n in enumerate(names) if k not in (i, j)] + [twice]
        terms.append((x, names))
    sizes: dict[Any, int] = {}
    for i, (x, names) in enumerate(terms):
        for n, size in zip(names, x._a.shape):
            known = sizes.setdefault(n, size)
            if known != size:
                if known != 1 and size != 1:
                    raise ShapeError(
                        f"einsum(): subscript {n} has size {size} for operand {i} which does not broadcast with "
                        f"previously seen size {known}"
                    )
                sizes[n] = size if known == 1 else known
    found = []
    for x, names in terms:
        stay = [k for k, n in enumerate(names) if x._a.shape[k] == sizes[n]]
        if len(stay) < len(names):
            x = apply(reshape, (x,), {"shape": tuple(x._a.shape[k] for k in stay)})
        found.append((x, [names[k] for k in stay]))
    return found


def _reduced(terms: list[Term], wanted: Labels) -> Any:
    while len(terms) > 1:
        i, j = _cheapest(terms, wanted) if len(terms) > 2 else (0, 1)
        rest = [t for k, t in enumerate(terms) if k not in (i, j)]
        needed = set(wanted).union(*(names for _, names in rest))
        terms = [_contract(terms[i], terms[j], needed), *rest]
    x, names = _summed(terms[0], set(wanted))
    order = tuple(names.index(n) for n in wanted)
    return x if order == tuple(range(len(order))) else apply(permute, (x,), {"dims": order})


def _cheapest(terms: list[Term], wanted: Labels) -> tuple[int, int]:
    """The pair whose product is smallest, compared with the two it replaces."""

    def growth(pair: tuple[int, int]) -> int:
        i, j = pair
        sizes = dict(zip(terms[i][1], terms[i][0]._a.shape)) | dict(zip(terms[j][1], terms[j][0]._a.shape))
        needed = set(wanted).union(*(t[1] for k, t in enumerate(terms) if k not in pair))
        size = 1
        for n, length in sizes.items():
            size *= length if n in needed else 1
        return size - terms[i][0]._a.size - terms[j][0]._a.size

    return min(itertools.combinations(range(len(terms)), 2), key=growth)


def _summed(term: Term, needed: set[Any]) -> Term:
    x, names = term
    over = tuple(k for k, n in enumerate(names) if n not in needed)
    return (apply(sum_, (x,), {"dim": over}), [n for n in names if n in needed]) if over else term


def _contract(a: Term, b: Term, needed: set[Any]) -> Term:
    """The product of two operands, summed over the subscripts that nothing else needs."""
    x, left = _summed(a, needed | set(b[1]))
    y, right = _summed(b, needed | set(a[1]))
    both = [n for n in left if n in right]
    batch, over = [n for n in both if n in needed], [n for n in both if n not in needed]
    rows, columns = [n for n in left if n not in both], [n for n in right if n not in both]
    sizes = dict(zip(left, x._a.shape)) | dict(zip(right, y._a.shape))
    names = batch + rows + columns
    if not over:
        x, y = _arranged(x, left, batch + rows), _arranged(y, right, batch + columns)
        x = apply(reshape, (x,), {"shape": x._a.shape + (1,) * len(columns)})
        lead = [sizes[n] for n in batch]
        y = apply(reshape, (y,), {"shape": (*lead, *(1 for _ in rows), *(sizes[n] for n in columns))})
        return apply(arithmetic.mul, (x, y), {}), names
    n, m, k = (_count(group, sizes) for group in (rows, columns, over))
    lead = [_count(batch, sizes)] if batch else []
    # Whichever side of the summed subscripts lies last in memory is kept there: BLAS reads both orders.
    if left and left[-1] in over:
        x = apply(reshape, (_arranged(x, left, batch + rows + over),), {"shape": (*lead, n, k)})
    else:
        x = _turned(apply(reshape, (_arranged(x, left, batch + over + rows),), {"shape": (*lead, k, n)}))
    if right and right[-1] in over and columns:
        y = _turned(apply(reshape, (_arranged(y, right, batch + columns + over),), {"shape": (*lead, m, k)}))
    else:
        y = apply(reshape, (_arranged(y, right, batch + over + columns),), {"shape": (*lead, k, m)})
    return apply(reshape, (apply(matmul, (x, y), {}),), {"shape": tuple(sizes[i] for i in names)}), names


def _turned(x: Any) -> Any:
    n = x._a.ndim
    return apply(permute, (x,), {"dims": (*range(n - 2), n - 1, n - 2)})


def _arranged(x: Any, have: Labels, want: Labels) -> Any:
    order = tuple(have.index(n) for n in want)
    return x if order == tuple(range(len(order))) else apply(permute, (x,), {"dims": order})


def _count(group: Labels, sizes: dict[Any, int]) -> int:
    n = 1
    for name in group:
        n *= sizes[name]
    return n
