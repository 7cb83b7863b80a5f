"""Products and einsum: a generated sweep against PyTorch."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sweep import Case, compare

R = np.random.default_rng(2)


def real(*shape: int, dtype: str = "float64") -> Any:
    return R.normal(size=shape).astype(dtype)


def _products() -> list[Case]:
    c: list[Case] = []

    def add(name: str, call: Any, *arrays: Any, **settings: Any) -> None:
        c.append(Case(name, call, arrays, **settings))

    shapes = [
        (),
        (3,),
        (4,),
        (2, 3),
        (3, 2),
        (3, 3),
        (4, 2, 3),
        (4, 3, 2),
        (1, 3, 2),
        (5, 1, 2, 3),
        (4, 3, 5),
        (2, 0),
        (0, 3),
    ]
    for a, b in itertools.product(shapes, shapes):
        add(f"matmul {a} {b}", lambda t, x, y: x @ y, real(*a), real(*b))
    for name in ("mm", "bmm", "mv", "dot", "inner", "outer", "vdot", "kron", "tensordot"):
        for a, b in itertools.product(((3,), (2, 3), (3, 2), (4, 2, 3), (4, 3, 2)), repeat=2):
            add(f"{name} {a} {b}", lambda t, x, y, n=name: getattr(t, n)(x, y), real(*a), real(*b))
            if name != "tensordot":
                add(f"x.{name} {a} {b}", lambda t, x, y, n=name: getattr(x, n)(y), real(*a), real(*b))
    for name in ("matmul", "mm", "bmm", "dot", "inner", "mv", "outer", "kron"):
        add(f"{name} dtypes", lambda t, x, y, n=name: getattr(t, n)(x, y), real(3, 3, dtype="float32"), real(3, 3))
        add(f"{name} dtypes 1-d", lambda t, x, y, n=name: getattr(t, n)(x, y), real(3, dtype="float32"), real(3))
        add(f"{name} list", lambda t, x, n=name: getattr(t, n)(x, [1.0]), real(3, 3))
        for dtype in ("int64", "int32", "uint8", "float32", "float16"):
            data = np.arange(9).reshape(3, 3).astype(dtype)
            add(f"{name} {dtype}", lambda t, x, n=name: getattr(t, n)(x, x), data, order=0, rtol=1e-3)
            add(f"{name} {dtype} 1-d", lambda t, x, n=name: getattr(t, n)(x[0], x[1]), data, order=0, rtol=1e-3)
    for beta, alpha in ((1, 1), (0, 1), (2, 0.5), (1, 0), (0.5, -1)):
        s = {"beta": beta, "alpha": alpha}
        label = f"beta={beta} alpha={alpha}"
        for shape in ((2, 4), (4,), (1, 4), (2, 1), (), (3, 4)):
            add(
                f"addmm {shape} {label}",
                lambda t, x, a, b, s=s: t.addmm(x, a, b, **s),
                real(*shape),
                real(2, 3),
                real(3, 4),
            )
            add(
                f"baddbmm {shape} {label}",
                lambda t, x, a, b, s=s: t.baddbmm(x, a, b, **s),
                real(*shape), real(5, 2, 3), real(5, 3, 4),
            )  # fmt: skip
            add(
                f"addbmm {shape} {label}",
                lambda t, x, a, b, s=s: t.addbmm(x, a, b, **s),
                real(*shape), real(5, 2, 3), real(5, 3, 4),
            )  # fmt: skip
        for shape in ((2,), (1,), (), (3,)):
            add(
                f"addmv {shape} {label}",
                lambda t, x, a, b, s=s: t.addmv(x, a, b, **s),
                real(*shape),
                real(2, 3),
                real(3),
            )
        for shape in ((2, 3), (3,), (1, 3), ()):
            add(f"addr {shape} {label}", lambda t, x, a, b, s=s: t.addr(x, a, b, **s), real(*shape), real(2), real(3))
        for name, shapes3 in (("addmm_", ((2, 4), (2, 3), (3, 4))), ("addmv_", ((2,), (2, 3), (3,))),
                              ("addr_", ((2, 3), (2,), (3,))), ("baddbmm_", ((5, 2, 4), (5, 2, 3), (5, 3, 4))),
                              ("addbmm_", ((2, 4), (5, 2, 3), (5, 3, 4)))):  # fmt: skip
            add(
                f"{name} {label}",
                lambda t, x, a, b, n=name, s=s: getattr(x.clone(), n)(a, b, **s),
                *(real(*q) for q in shapes3),
            )
    for bad in (lambda t, x: t.addmm(x, x, x), lambda t, x: t.addmm(x, x[0], x.T), lambda t, x: t.addmv(x, x, x),
                lambda t, x: t.addr(x, x, x), lambda t, x: t.mm(x, x),
                lambda t, x: t.bmm(x, x), lambda t, x: t.mv(x, x), lambda t, x: t.addmm(x, x, x.T.float())):  # fmt: skip
        add("product error", bad, real(2, 3))
    add(
        "addmm nan beta 0",
        lambda t, x, a, b: t.addmm(x * float("nan"), a, b, beta=0).detach(),
        real(2, 2),
        real(2, 2),
        real(2, 2),
    )
    for dims in (0, 1, 2, 3, ([1], [0]), ([0, 1], [0, 1]), ([2, 0], [1, 2]), ([0], [0, 1]), ([5], [0]), -1):
        add(f"tensordot {dims}", lambda t, x, y, d=dims: t.tensordot(x, y, dims=d), real(3, 4, 3), real(4, 3, 3))
        add(f"tensordot b {dims}", lambda t, x, y, d=dims: t.tensordot(x, y, dims=d), real(3, 4, 5), real(4, 5, 3))
    for dim in (None, -1, 0, 1):
        add(
            f"cross {dim}",
            lambda t, x, y, d=dim: t.linalg.cross(x, y, dim=-1 if d is None else d),
            real(3, 3),
            real(3, 3),
        )
        add(f"torch.cross {dim}", lambda t, x, y, d=dim: t.cross(x, y, d), real(2, 3), real(2, 3))
    add("cross broadcast", lambda t, x, y: t.linalg.cross(x, y), real(4, 3), real(1, 3))
    add("cross error", lambda t, x, y: t.linalg.cross(x, y), real(4, 2), real(4, 2))
    add("trace", lambda t, x: t.trace(x), real(3, 4))
    add("trace error", lambda t, x: t.trace(x), real(3))
    add("trace int", lambda t, x: t.trace(x), np.arange(4).reshape(2, 2).astype("int32"))
    add("chain_matmul", lambda t, *x: t.chain_matmul(*x), real(2, 3), real(3, 4), real(4, 5))
    add("multi_dot", lambda t, *x: t.linalg.multi_dot(x), real(2, 3), real(3, 40), real(40, 5), real(5, 2))
    add("multi_dot vectors", lambda t, *x: t.linalg.multi_dot(x), real(3), real(3, 4), real(4))
    add("multi_dot first", lambda t, *x: t.linalg.multi_dot(x), real(3), real(3, 4), real(4, 2))
    add("multi_dot last", lambda t, *x: t.linalg.multi_dot(x), real(2, 3), real(3, 4), real(4))
    add("multi_dot one", lambda t, *x: t.linalg.multi_dot(x), real(2, 3))
    add("multi_dot misfit", lambda t, *x: t.linalg.multi_dot(x), real(2, 3), real(2, 3))
    add("multi_dot 3-d", lambda t, *x: t.linalg.multi_dot(x), real(2, 3), real(3, 3, 3), real(3, 2))
    add("vecdot", lambda t, x, y: t.linalg.vecdot(x, y), real(3, 4), real(4))
    add("vecdot dim", lambda t, x, y: t.linalg.vecdot(x, y, dim=0), real(3, 4), real(3, 4))
    add("vander", lambda t, x: t.linalg.vander(x), real(4))
    add("vander N", lambda t, x: t.linalg.vander(x, N=3), real(2, 4))
    add("linalg.diagonal", lambda t, x: t.linalg.diagonal(x), real(2, 3, 4))
    add("linalg.diagonal offset", lambda t, x: t.linalg.diagonal(x, offset=1, dim1=0, dim2=2), real(2, 3, 4))
    return c


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,kj->ik", (2, 3), (4, 3)), ("ji,jk->ik", (3, 2), (3, 4)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)), ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)), ("ii->", (3, 3)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->ji", (3, 3, 2)), ("i,i->", (4,), (4,)), ("i,j->ij", (4,), (3,)),
    ("i,j->ji", (4,), (3,)), ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("ij", (2, 3)), ("ba", (2, 3)),
    ("...ij,...jk->...ik", (5, 2, 3), (5, 3, 4)), ("...ij,jk->...ik", (5, 6, 2, 3), (3, 4)), ("...", (2, 3)),
    ("...ij->...ji", (5, 2, 3)), ("i...,i...->...", (3, 2), (3, 4, 2)), ("...i,...i", (3, 2), (4, 1, 2)),
    ("ij,ij->ij", (2, 3), (2, 3)), ("ij,ij", (2, 3), (2, 3)), ("ijk,ijk->k", (2, 3, 4), (2, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)), ("i,j,k->ijk", (2,), (3,), (4,)), ("ij,j,i->", (2, 3), (3,), (2,)),
    ("abc,cd,be->ade", (2, 3, 4), (4, 5), (3, 6)), ("bn,anm,bm->ba", (2, 3), (5, 3, 4), (2, 4)), ("i,->i", (3,), ()),
    (",", (), ()), ("->", ()), ("ab,ab,ab->a", (2, 3), (2, 3), (2, 3)), ("iji->j", (3, 2, 3)),
    ("aab,bcc->ac", (2, 2, 3), (3, 4, 4)),
    ("ij,jk->ik", (2, 1), (3, 4)), ("ij,jk->ik", (1, 3), (3, 1)), ("i j, j k -> i k", (2, 3), (3, 4)),
    ("bi,bj->bij", (4, 2), (4, 3)), ("Ab,bA->A", (2, 3), (3, 2)), ("aB", (2, 3)), ("ijk,jil->kl", (2, 3, 4), (3, 2, 5)),
    ("ij,jk->ik", (0, 3), (3, 4)), ("ij,jk->ik", (2, 0), (0, 4)), ("bij->bj", (2, 3, 4)),
    ("nctkv,kvw->nctw", (2, 3, 4, 2, 5), (2, 5, 5)),
    # errors
    ("ij,jk->ik", (2, 3), (4, 5)), ("ij->ijk", (2, 3)), ("ij", (2, 3, 4)), ("ijk", (2, 3)), ("i.j->ij", (2, 3)), ("ij,jk", (2, 3)),
    ("ij->iij", (2, 3)), ("i1->i", (2, 3)), ("...i...->i", (2, 3)), ("ij", (2, 3), (2, 3)), ("ii->i", (2, 3)), ("ij->i->j", (2, 3)),
]  # fmt: skip


def _einsums() -> list[Case]:
    c = []
    for equation, *shapes in EINSUMS:
        arrays = tuple(real(*s) for s in shapes)
        c.append(Case(f"einsum {equation} {shapes}", lambda t, *x, e=equation: t.einsum(e, *x), arrays))
    x, y = real(2, 3), real(3, 4)
    c.append(Case("einsum sublist", lambda t, x, y: t.einsum(x, [0, 1], y, [1, 2], [0, 2]), (x, y)))
    c.append(Case("einsum sublist implicit", lambda t, x, y: t.einsum(x, [3, 1], y, [1, 2]), (x, y)))
    c.append(Case("einsum sublist dots", lambda t, x, y: t.einsum(x, [..., 1], y, [1, 2], [..., 2]), (x, y)))
    c.append(Case("einsum sublist range", lambda t, x, y: t.einsum(x, [0, 99], y, [99, 2]), (x, y)))
    c.append(Case("einsum list", lambda t, x, y: t.einsum("ij,jk", [x, y]), (x, y)))
    c.append(Case("einsum int", lambda t, x: t.einsum("ij,jk", x, x), (np.arange(9).reshape(3, 3),)))
    return c


CASES = _products() + _einsums()


@pytest.mark.parametrize("group", range(8))
def test_sweep_against_pytorch(group: int) -> None:
    """Values, dtypes, shapes, gradients, second gradients and error types."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    wrong = []
    for case in CASES[group::8]:
        try:
            compare(case, torch)
        except Exception as error:
            wrong.append(f"{case.name}: {type(error).__name__}: {str(error).strip()[:400]}")
    assert not wrong, f"{len(wrong)} of {len(CASES[group::8])} differ:\n" + "\n".join(wrong)
