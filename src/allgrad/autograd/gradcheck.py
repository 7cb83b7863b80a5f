"""``gradcheck``: derivatives against central differences, in double precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from allgrad.autograd.differentiate import grad
from allgrad.autograd.value import Variable, wrap
from allgrad.errors import ArgumentError, GradientError, UnsupportedError

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]

Array = np.ndarray[Any, Any]


class GradcheckError(GradientError):
    """A derivative is not what differences say."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Whether the gradients of ``func`` at ``inputs`` are within ``atol + rtol * |numerical|`` of the differences.

    Give float64 inputs.  GradcheckError (a RuntimeError) says which output and input differ, or, with
    ``raise_exception=False``, the answer is False.  ``fast_mode`` checks one random projection of each Jacobian.

    >>> import allgrad as torch
    >>> torch.autograd.gradcheck(torch.tanh, torch.ones(2, dtype=torch.float64, requires_grad=True))
    True
    """
    if check_forward_ad or check_batched_forward_grad:
        raise UnsupportedError("there is no forward-mode AD; use func.jvp, which runs on two backward passes")
    if not check_backward_ad:
        raise ArgumentError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    try:
        _check(
            func, _tuple(inputs), eps, atol, rtol, nondet_tol, check_undefined_grad, check_grad_dtypes,
            check_batched_grad, fast_mode,
        )  # fmt: skip
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _check(
    func: Any, inputs: tuple[Any, ...], eps: float, atol: float, rtol: float, nondet_tol: float, undefined: bool,
    dtypes: bool, batched: bool, fast: bool,
) -> None:  # fmt: skip
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Variable) and x.requires_grad]  # type: ignore[attr-defined]
    if not wanted:
        raise ArgumentError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True."
        )
    for i in wanted:
        if inputs[i]._a.dtype != np.float64:
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point. This check will likely "
                "fail if all the inputs are not of double precision floating point.",
                stacklevel=3,
            )
    outputs = _outputs(func, inputs)
    if not outputs:
        raise GradcheckError("gradcheck: no output of the function requires grad")
    rng = np.random.default_rng(0)
    asked = [inputs[i] for i in wanted]
    for o, out in enumerate(outputs):
        probes = _probes(out._a, fast, rng)
        analytical = _analytical(out, asked, probes, dtypes)
        again = _analytical(out, asked, probes, False)
        if any(np.abs(a - b).max(initial=0.0) > nondet_tol for a, b in zip(analytical, again)):
            raise GradcheckError(
                "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                f"gives different values, although analytical gradient matches numerical gradient. The tolerance for "
                f"nondeterminism was {nondet_tol}."
            )
        for k, i in enumerate(wanted):
            numerical = _numerical(func, inputs, i, o, probes, eps)
            if not np.allclose(analytical[k], numerical, rtol, atol, equal_nan=True):
                raise GradcheckError(
                    f"Jacobian mismatch for output {o} with respect to input {i},\nnumerical:{numerical}\n"
                    f"analytical:{analytical[k]}\nlargest difference: {np.nanmax(np.abs(analytical[k] - numerical)):g}"
                )
        if batched:
            _check_batched(out, asked, probes, analytical)
    if undefined and len(outputs) > 1:
        grad(outputs[0], asked, wrap(np.ones_like(outputs[0]._a)), retain_graph=True, allow_unused=True)


def _outputs(func: Any, inputs: tuple[Any, ...]) -> list[Any]:
    return [o for o in _tuple(func(*inputs)) if isinstance(o, Variable) and o.requires_grad]  # type: ignore[attr-defined]


def _probes(out: Array, fast: bool, rng: np.random.Generator) -> list[Array]:
    """The output gradients to try: each unit vector, or one random vector."""
    if fast:
        return [np.asarray(rng.standard_normal(out.shape), out.dtype)]
    return [e.reshape(out.shape) for e in np.eye(out.size, dtype=out.dtype)]


def _analytical(out: Any, asked: Sequence[Any], probes: Sequence[Array], dtypes: bool) -> list[Array]:
    """For each input, one row per probe."""
    rows: list[list[Array]] = [[] for _ in asked]
    for probe in probes:
        found = grad(out, asked, wrap(probe.copy()), retain_graph=True, allow_unused=True)
        for k, (g, x) in enumerate(zip(found, asked)):
            if dtypes and g is not None and g._a.dtype != x._a.dtype:
                raise GradcheckError(f"Gradient has dtype {g._a.dtype}, its input {x._a.dtype}")
            rows[k].append(np.zeros(x._a.size) if g is None else np.array(g._a).reshape(-1))
    return [np.array(r).reshape(len(probes), x._a.size) for r, x in zip(rows, asked)]


def _numerical(func: Any, inputs: tuple[Any, ...], i: int, o: int, probes: Sequence[Array], eps: float) -> Array:
    """Central differences of output ``o`` by input ``i``, seen through the probes."""
    x = inputs[i]._a
    columns = []
    for at in np.ndindex(x.shape):
        kept = x[at].copy()
        x[at] = kept + eps
        above = _values(func, inputs, o)
        x[at] = kept - eps
        below = _values(func, inputs, o)
        x[at] = kept
        columns.append((above - below) / (2 * eps))
    table = np.array(columns).reshape(len(columns), -1)
    seen = np.array([p.reshape(-1) for p in probes]).reshape(len(probes), -1)
    return seen @ table.T if len(columns) else np.zeros((len(probes), 0))


def _values(func: Any, inputs: tuple[Any, ...], o: int) -> Array:
    return np.array(_outputs(func, inputs)[o]._a)


def _check_batched(out: Any, asked: Sequence[Any], probes: Sequence[Array], expected: Sequence[Array]) -> None:
    found = grad(out, asked, wrap(np.array(probes)), retain_graph=True, allow_unused=True, is_grads_batched=True)
    for g, want in zip(found, expected):
        if g is not None and not np.allclose(np.array(g._a).reshape(want.shape), want):
            raise GradcheckError("a batch of gradients gives other values than one after another")


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """``gradcheck`` of the gradients of ``func``: its second derivatives, in inputs and output gradients."""
    if check_fwd_over_rev:
        raise UnsupportedError("there is no forward-mode AD; use check_rev_over_rev")
    if not check_rev_over_rev:
        raise ArgumentError("Expected at least one of check_fwd_over_rev or check_rev_over_rev to be True")
    given = _tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(1)
        seeds = []
        for out in _outputs(func, given):
            v = np.asarray(rng.standard_normal(out._a.shape), out._a.dtype)
            if gen_non_contig_grad_outputs:
                v = np.repeat(np.asarray(v)[..., None], 2, -1)[..., 0]
            seeds.append(wrap(v).requires_grad_())
        grad_outputs = tuple(seeds)
    else:
        grad_outputs = _tuple(grad_outputs)
    count = len(grad_outputs)

    def gradients(*args: Any) -> Any:
        xs, vs = args[:-count], args[-count:]
        asked = [x for x in xs if isinstance(x, Variable) and x.requires_grad]  # type: ignore[attr-defined]
        found = grad(_outputs(func, xs), asked, vs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None)

    return gradcheck(
        gradients, given + grad_outputs, eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
        nondet_tol=nondet_tol, check_undefined_grad=check_undefined_grad, check_grad_dtypes=check_grad_dtypes,
        check_batched_grad=check_batched_grad, fast_mode=fast_mode, masked=masked,
    )  # fmt: skip


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)
