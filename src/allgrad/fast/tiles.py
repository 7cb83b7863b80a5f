"""Products of small tiles, as vector instructions: what the compiler does not find by itself in a loop over numbers.

A tile is a few rows of a product, a vector or two wide.  Its sums stay in registers while the loop runs over all terms,
so each number that is loaded is used in several multiplications.  The functions here write LLVM's code for that; in
kernels they are called like any function.  Places in arrays are elements, and nothing is checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic  # its types count the compiler's argument, which callers do not give

_given: Any = vars(config)["CPU_FEATURES"]  # NUMBA_CPU_FEATURES in the environment
_features = binding.get_host_cpu_features().flatten() if _given is None else _given
LANES = 16 if "+avx512f" in _features else 8 if "+avx" in _features else 4
"""float32 numbers in a vector register."""
ROWS, LOW = 8, 6
"""Rows of a tile, and of one for what is left."""
WIDE = 1 if LANES == 8 else 2
"""Vectors beside each other in a tile: the sums must fit into registers, of which AVX2 has 16 and the others 32."""

_word, _place = ir.IntType(32), ir.IntType(64)
_vector = ir.VectorType(ir.FloatType(), LANES)
_nothing = ir.Constant(_vector, ir.Undefined)


def _start(context: Any, builder: Any, kind: Any, array: Any, place: Any) -> Any:
    """The address of an element of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [place])


def _row(builder: Any, address: Any, step: Any, row: int) -> Any:
    return builder.gep(address, [builder.mul(step, _place(row))])


def _at(builder: Any, address: Any, vector: int) -> Any:
    return builder.bitcast(builder.gep(address, [_place(vector * LANES)]), _vector.as_pointer())


def _load(builder: Any, address: Any, vector: int = 0) -> Any:
    return builder.load(_at(builder, address, vector), align=4)


def _store(builder: Any, x: Any, address: Any, vector: int = 0) -> None:
    builder.store(x, _at(builder, address, vector), align=4)


def _everywhere(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    first = builder.insert_element(_nothing, number, _word(0))
    return builder.shuffle_vector(first, _nothing, ir.Constant(ir.VectorType(_word, LANES), [0] * LANES))


def _sums(
    builder: Any, starts: list[Any], vectors: int, count: Any, factor: Callable[..., Any], line: Callable[..., Any]
) -> list[Any]:
    """``starts[r][v] + sum over k < count of factor(k, r) * line(k)[v]``, given addresses of factors and lines."""
    # Allocated in name only: the compiler keeps them in registers.
    sums = [cgutils.alloca_once_value(builder, start) for start in starts]
    with cgutils.for_range(builder, count) as loop:
        place = line(loop.index)
        seen = [_load(builder, place, v) for v in range(vectors)]
        for i, kept in enumerate(sums):
            f = _everywhere(builder, builder.load(factor(loop.index, i // vectors)))
            term = builder.fmul(f, seen[i % vectors], flags=("contract",))
            builder.store(builder.fadd(builder.load(kept), term, flags=("contract",)), kept)
    return [builder.load(kept) for kept in sums]


def spread(rows: int, vectors: int) -> Any:
    """``y[to + r step + j] = shift[row + r] + sum over k of packed[at + k rows + r] * x[origin + places[k] + j]``."""

    @intrinsic
    def tile(typing, y, to, step, shift, row, packed, at, x, origin, places, count):
        i = types.int64

        def write(context, builder, signature, args):
            y, to, step, shift, row, packed, at, x, origin, places, count = args
            kind = signature.args
            into = _start(context, builder, kind[0], y, to)
            level = _start(context, builder, kind[3], shift, row)
            factors = _start(context, builder, kind[5], packed, at)
            lines = _start(context, builder, kind[7], x, origin)
            at_place = _start(context, builder, kind[9], places, _place(0))
            levels = [_everywhere(builder, builder.load(builder.gep(level, [_place(r)]))) for r in range(rows)]
            ends = _sums(
                builder,
                [levels[r] for r in range(rows) for _ in range(vectors)],
                vectors,
                count,
                lambda k, r: builder.gep(factors, [builder.add(builder.mul(k, _place(rows)), _place(r))]),
                lambda k: builder.gep(lines, [builder.load(builder.gep(at_place, [k]))]),
            )
            for n, end in enumerate(ends):
                _store(builder, end, _row(builder, into, step, n // vectors), n % vectors)
            return context.get_dummy_value()

        return types.void(y, i, i, shift, i, packed, i, x, i, places, i), write

    return tile


def gather(rows: int, vectors: int) -> Any:
    """``y[to + r width + j] += sum over k of x[origin + places[first + r] + k] * given[at + k width + j]``."""

    @intrinsic
    def tile(typing, y, to, width, x, origin, places, first, given, at, count):
        i = types.int64

        def write(context, builder, signature, args):
            y, to, width, x, origin, places, first, given, at, count = args
            kind = signature.args
            into = _start(context, builder, kind[0], y, to)
            lines = _start(context, builder, kind[3], x, origin)
            at_place = _start(context, builder, kind[5], places, first)
            beside = _start(context, builder, kind[7], given, at)
            rows_at = [builder.gep(lines, [builder.load(builder.gep(at_place, [_place(r)]))]) for r in range(rows)]
            ends = _sums(
                builder,
                [ir.Constant(_vector, [0.0] * LANES)] * (rows * vectors),
                vectors,
                count,
                lambda k, r: builder.gep(rows_at[r], [k]),
                lambda k: builder.gep(beside, [builder.mul(k, width)]),
            )
            for n, end in enumerate(ends):
                place = _row(builder, into, width, n // vectors)
                _store(builder, builder.fadd(_load(builder, place, n % vectors), end), place, n % vectors)
            return context.get_dummy_value()

        return types.void(y, i, i, x, i, places, i, given, i, i), write

    return tile


@intrinsic
def turn(typing, x, at, step, y, to, width):
    """``y[to + i width + j] = x[at + j step + i]`` for i, j < LANES."""
    i = types.int64

    def write(context, builder, signature, args):
        x, at, step, y, to, width = args
        origin = _start(context, builder, signature.args[0], x, at)
        into = _start(context, builder, signature.args[3], y, to)
        rows = [_load(builder, _row(builder, origin, step, r)) for r in range(LANES)]
        half = LANES // 2
        mixed = [
            ir.Constant(ir.VectorType(_word, LANES), [h + j // 2 + j % 2 * LANES for j in range(LANES)])
            for h in (0, half)
        ]
        # Shuffling two halves of a pack of cards perfectly, log2(LANES) times, turns rows into columns.
        for _ in range(LANES.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[r], rows[r + half], m) for r in range(half) for m in mixed]
        for r, row in enumerate(rows):
            _store(builder, row, _row(builder, into, width, r))
        return context.get_dummy_value()

    return types.void(x, i, i, y, i, i), write


@intrinsic
def clear(typing, y, to, step, count):
    """``y[to + j step] = 0`` for j < count."""
    i = types.int64

    def write(context, builder, signature, args):
        y, to, step, count = args
        into = _start(context, builder, signature.args[0], y, to)
        with cgutils.for_range(builder, count) as loop:
            builder.store(ir.FloatType()(0.0), builder.gep(into, [builder.mul(loop.index, step)]))
        return context.get_dummy_value()

    return types.void(y, i, i, i), write


@intrinsic
def copy(typing, x, at, step, y, to, count):
    """``y[to + j] = x[at + j step]`` for j < count."""
    i = types.int64

    def write(context, builder, signature, args):
        x, at, step, y, to, count = args
        origin = _start(context, builder, signature.args[0], x, at)
        into = _start(context, builder, signature.args[3], y, to)

        def one_by_one(apart: Any) -> None:
            with cgutils.for_range(builder, count) as loop:
                seen = builder.load(builder.gep(origin, [builder.mul(loop.index, apart)]))
                builder.store(seen, builder.gep(into, [loop.index]))

        def move(j: Any, apart: int, lanes: int) -> None:
            kind = ir.VectorType(ir.FloatType(), lanes)

            def load(place: Any) -> Any:
                return builder.load(builder.bitcast(builder.gep(origin, [place]), kind.as_pointer()), align=4)

            seen = load(builder.mul(j, _place(apart)))
            if apart == 2:
                # The second half starts one early, so that nothing after the last element is read.
                more = load(builder.add(builder.mul(j, _place(2)), _place(lanes - 1)))
                every = [2 * n if 2 * n < lanes else 2 * n + 1 for n in range(lanes)]
                seen = builder.shuffle_vector(seen, more, ir.Constant(ir.VectorType(_word, lanes), every))
            builder.store(seen, builder.bitcast(builder.gep(into, [j]), kind.as_pointer()), align=4)

        def by(lanes: int, apart: int) -> None:
            if lanes < 4:
                one_by_one(_place(apart))
                return
            with builder.if_else(builder.icmp_signed(">=", count, _place(lanes))) as (enough, fewer):
                with enough:
                    with cgutils.for_range(builder, builder.udiv(count, _place(lanes))) as loop:
                        move(builder.mul(loop.index, _place(lanes)), apart, lanes)
                    move(builder.sub(count, _place(lanes)), apart, lanes)  # a part of it once more
                with fewer:
                    by(lanes // 2, apart)

        with builder.if_else(builder.icmp_signed("==", step, _place(1))) as (dense, spaced):
            with dense:
                by(LANES, 1)
            with spaced, builder.if_else(builder.icmp_signed("==", step, _place(2))) as (two, more):
                with two:
                    by(LANES, 2)
                with more:
                    one_by_one(step)
        return context.get_dummy_value()

    return types.void(x, i, i, y, i, i), write
