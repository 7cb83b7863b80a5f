"""autograd.functional, func and gradcheck: in both libraries, and by closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.autograd import gradcheck, gradgradcheck
from allgrad.errors import ArgumentError, GradientError
from twins import both


def vector(t: Any, *values: float, requires_grad: bool = False) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=requires_grad)


def two(a: Any, b: Any) -> Any:
    return (a * a).sum(), b.reshape(3) * a.exp()


def scalar(a: Any, b: Any) -> Any:
    return (a**3).sum() * (b * b).sum()


def inputs(t: Any, requires_grad: bool = False) -> Any:
    a = vector(t, 1.0, 2.0, 3.0, requires_grad=requires_grad)
    return a, vector(t, 0.5, -1.0, 2.0, requires_grad=requires_grad).reshape(3, 1)


def functional_programs(create_graph: bool) -> dict[str, Any]:
    f = "functional"

    def of(name: str, *call: Any, **settings: Any) -> Any:
        def program(t: Any) -> Any:
            a, b = inputs(t, create_graph)
            places = {"a": a, "b": b, "ab": (a, b), "one": vector(t, 2.0).sum()}
            args = [places.get(c, c) if isinstance(c, str) else tuple(places[x] for x in c) if isinstance(c, tuple) else c
                    for c in call]  # fmt: skip
            return getattr(getattr(t.autograd, f), name)(*args, create_graph=create_graph, **settings)

        return program

    square = lambda x: x.exp() * x
    linear = lambda x: x.sum() * 3
    return {
        "jacobian": of("jacobian", square, "a"),
        "jacobian of two by two": of("jacobian", two, "ab"),
        "jacobian without dependence": of("jacobian", lambda x, y: x * 2, "ab"),
        "jacobian strict": of("jacobian", lambda x, y: x * 2, "ab", strict=True),
        "jacobian of a constant": of("jacobian", lambda x: x.detach()[:2], "a"),
        "hessian": of("hessian", scalar, "ab"),
        "hessian of one": of("hessian", lambda x: (x**3).sum(), "a"),
        "hessian of a linear function": of("hessian", linear, "a"),
        "hessian of a vector": of("hessian", square, "a"),
        "vjp": of("vjp", square, "a", "a"),
        "vjp of two by two": of("vjp", two, "ab", ("one", "a")),
        "vjp of a scalar": of("vjp", linear, "a"),
        "vjp without v": of("vjp", square, "a"),
        "vjp with v of another length": of("vjp", two, "ab", ("a",)),
        "vjp with v of another shape": of("vjp", square, "a", "b"),
        "jvp": of("jvp", two, "ab", "ab"),
        "jvp without v": of("jvp", square, "a"),
        "hvp": of("hvp", scalar, "ab", "ab"),
        "hvp of a linear function": of("hvp", linear, "a", "a"),
        "hvp of a linear function, strict": of("hvp", linear, "a", "a", strict=True),
        "hvp of a vector": of("hvp", square, "a", "a"),
        "vhp": of("vhp", scalar, "ab", "ab"),
        "vhp of a linear function": of("vhp", linear, "a", "a"),
    }


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", functional_programs(False))
def test_functional_as_in_pytorch(name: str, create_graph: bool) -> None:
    both(functional_programs(create_graph)[name])


FUNC: dict[str, Any] = {
    "grad": lambda t: t.func.grad(scalar)(*inputs(t)),
    "grad by the second": lambda t: t.func.grad(scalar, argnums=1)(*inputs(t)),
    "grad by both": lambda t: t.func.grad(scalar, argnums=(0, 1))(*inputs(t)),
    "grad by the last": lambda t: t.func.grad(scalar, argnums=-1)(*inputs(t)),
    "grad by one too many": lambda t: t.func.grad(scalar, argnums=2)(*inputs(t)),
    "grad of a vector": lambda t: t.func.grad(lambda x: x * 2)(inputs(t)[0]),
    "grad and value": lambda t: t.func.grad_and_value(scalar)(*inputs(t)),
    "grad and value with aux": lambda t: t.func.grad_and_value(lambda x: ((x * x).sum(), x * 2), has_aux=True)(inputs(t)[0]),
    "grad with aux": lambda t: t.func.grad(lambda x: ((x * x).sum(), {"u": x * 2}), has_aux=True)(inputs(t)[0]),
    "grad of a tree": lambda t: t.func.grad(lambda p: (p["a"] * p["b"][0]).sum())({"a": inputs(t)[0], "b": [inputs(t)[0] * 2]}),
    "grad of grad": lambda t: t.func.grad(lambda z: t.func.grad(lambda q: q**3 * z)(z))(vector(t, 2.0).sum()),
    "grad of what requires grad": lambda t: t.func.grad(lambda x: (x**3).sum())(vector(t, 1.0, 2.0, requires_grad=True)),
    "vjp": lambda t: [(r, f(vector(t, 1.0).sum())) for r, f in [t.func.vjp(scalar, *inputs(t))]],
    "vjp of one": lambda t: t.func.vjp(lambda x: x * x, inputs(t)[0])[1](inputs(t)[0]),
    "vjp of two outputs": lambda t: t.func.vjp(lambda x: (x * x, x.sum()), inputs(t)[0])[1]((inputs(t)[0], vector(t, 1.0).sum())),
    "vjp with aux": lambda t: t.func.vjp(lambda x: (x * x, x.sum()), inputs(t)[0], has_aux=True)[2],
    "jvp": lambda t: t.func.jvp(lambda a, b: a * b * a, inputs(t), inputs(t)),
    "jvp of two outputs": lambda t: t.func.jvp(lambda a: (a * a, a.sum()), inputs(t)[:1], inputs(t)[:1]),
    "jacrev": lambda t: t.func.jacrev(lambda a, b: a * b * a, argnums=(0, 1))(*inputs(t)),
    "jacrev of a tree": lambda t: t.func.jacrev(lambda a: {"u": a * a, "v": a.sum()})(inputs(t)[0]),
    "jacfwd": lambda t: t.func.jacfwd(lambda a, b: a * b * a)(*inputs(t)),
    "jacrev of jacfwd": lambda t: t.func.jacrev(t.func.jacfwd(lambda a: a.exp() * a))(inputs(t)[0]),
    "hessian": lambda t: t.func.hessian(scalar)(*inputs(t)),
    "hessian by both": lambda t: t.func.hessian(scalar, argnums=(0, 1))(*inputs(t)),
    "linearize": lambda t: [(y, f(inputs(t)[0])) for y, f in [t.func.linearize(lambda a: a**3, inputs(t)[0])]],
    "vmap": lambda t: t.func.vmap(lambda a: a * a.sum())(t.stack([inputs(t)[0], inputs(t)[0] * 2])),
    "vmap by other dims": lambda t: t.func.vmap(lambda a, b: (a * b, a.sum()), in_dims=(1, None), out_dims=(1, 0))(
        t.stack([inputs(t)[0], inputs(t)[0] * 2]), vector(t, 1.0, 2.0)),
    "vmap of grad": lambda t: t.func.vmap(t.func.grad(lambda a, b: (a * a * b).sum()), in_dims=(0, None))(
        t.stack([inputs(t)[0], inputs(t)[0] * 2]), inputs(t)[0]),
    "vmap in vmap": lambda t: t.func.vmap(t.func.vmap(lambda a, b: a * b, in_dims=(None, 0)), in_dims=(0, None))(
        inputs(t)[0], inputs(t)[0]),
    "vmap of a dict": lambda t: t.func.vmap(lambda d: {"v": d["a"] * 2})({"a": inputs(t)[0]}),
    "vmap over different sizes": lambda t: t.func.vmap(lambda a, b: a * b)(t.ones(2), t.ones(3)),
    "vmap with wrong dims": lambda t: t.func.vmap(lambda a, b: a * b, in_dims=(0,))(t.ones(2), t.ones(2)),
    "vmap over nothing": lambda t: t.func.vmap(lambda a: a, in_dims=None)(t.ones(2)),
    "vmap drawing": lambda t: t.func.vmap(lambda a: a * t.rand(1))(t.ones(2)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNC)
def test_func_as_in_pytorch(name: str) -> None:
    both(FUNC[name])


def test_closures_and_modes() -> None:
    w = vector(ag, 1.0, 1.0, requires_grad=True)
    x = vector(ag, 2.0, 3.0)
    inside = ag.func.grad(lambda a: (a * a * w).sum())(x)
    assert inside.requires_grad  # as in PyTorch: the closure brings w
    (inside.sum()).backward()
    np.testing.assert_allclose(w.grad.numpy(), [4.0, 6.0])
    assert not ag.func.grad(lambda a: (a * a).sum())(x).requires_grad
    with ag.no_grad():
        found = ag.func.grad(lambda a: (a**3).sum())(w)
    assert not found.requires_grad
    np.testing.assert_allclose(found.numpy(), [3.0, 3.0])
    assert x.grad is None


def test_vmap_randomness() -> None:
    ones = ag.ones(3)
    ag.manual_seed(0)
    different = ag.func.vmap(lambda a: a * ag.rand(()), randomness="different")(ones)
    same = ag.func.vmap(lambda a: a * ag.rand(()), randomness="same")(ones)
    assert len(set(different.tolist())) == 3
    assert len(set(same.tolist())) == 1
    with pytest.raises(ArgumentError):
        ag.func.vmap(lambda a: a, randomness="never")


def _network(t: Any) -> Any:
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))


def test_functional_call() -> None:
    net = _network(ag)
    x = ag.ones(5, 3)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    other = {name: (p.detach() * 2).requires_grad_() for name, p in net.named_parameters()}
    y = ag.func.functional_call(net, other, (x,))
    y.sum().backward()
    assert all(p.grad is not None for p in other.values())
    assert all(p.grad is None for p in net.parameters())
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(p.detach().numpy(), before[name].numpy())
    twin = _network(ag)
    twin.load_state_dict({k: v.detach() for k, v in other.items()})
    np.testing.assert_allclose(y.detach().numpy(), twin(x).detach().numpy())
    with pytest.raises(ArgumentError, match="missing names"):
        ag.func.functional_call(net, {"0.weight": other["0.weight"]}, (x,), strict=True)
    with pytest.raises(RuntimeError):
        ag.func.functional_call(net, other, (ag.ones(5, 7),))
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), before["0.weight"].numpy())


def test_tied_weights_are_replaced_together() -> None:
    net = ag.nn.Sequential(ag.nn.Linear(3, 3, bias=False), ag.nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    x = ag.ones(1, 3)
    eye = {"0.weight": ag.eye(3) * 2}
    np.testing.assert_allclose(ag.func.functional_call(net, eye, x).numpy(), [[4.0, 4.0, 4.0]])
    untied = ag.func.functional_call(net, eye, x, tie_weights=False)
    np.testing.assert_allclose(
        untied.detach().numpy(), (net[0].weight.detach() @ (ag.ones(3) * 2)).numpy()[None], rtol=1e-6
    )


def test_ensembles() -> None:
    nets = [_network(ag) for _ in range(3)]
    params, buffers = ag.func.stack_module_state(nets)
    assert params["0.weight"].shape == (3, 4, 3) and params["0.weight"].requires_grad and not buffers
    x = ag.ones(2, 3)
    ys = ag.func.vmap(lambda p: ag.func.functional_call(nets[0], p, (x,)))(params)
    for k, net in enumerate(nets):
        np.testing.assert_allclose(ys[k].detach().numpy(), net(x).detach().numpy(), rtol=1e-6)


# -- closed forms --------------------------------------------------------------------------------------


def test_fifth_power_to_sixth_order() -> None:
    x = ag.tensor(1.5, dtype=ag.float64, requires_grad=True)
    y = x**5
    for k in range(1, 6):
        (y,) = ag.autograd.grad(y, x, create_graph=True)
        factor = np.prod(np.arange(5, 5 - k, -1))
        np.testing.assert_allclose(y.item(), factor * 1.5 ** (5 - k), rtol=1e-12)
    (sixth,) = ag.autograd.grad(y, x, allow_unused=True, materialize_grads=True)
    assert sixth.item() == 0.0


def test_fifth_power_to_sixth_order_by_products() -> None:
    f: Any = lambda x: x * x * x * x * x
    for k in range(7):
        expected = np.prod(np.arange(5, 5 - k, -1)) * (1.5 ** (5 - k) if k <= 5 else 0.0)
        np.testing.assert_allclose(f(ag.tensor(1.5, dtype=ag.float64)).item(), expected, rtol=1e-12, atol=1e-12)
        f = ag.func.grad(f)


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def test_hessian_of_rosenbrock() -> None:
    v = np.array([-1.2, 1.0, 0.7])
    h = np.zeros((3, 3))
    for i in range(2):
        h[i, i] += 1200 * v[i] ** 2 - 400 * v[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * v[i]
    for hessian in (
        ag.autograd.functional.hessian(rosenbrock, ag.tensor(v)),
        ag.func.hessian(rosenbrock)(ag.tensor(v)),
    ):
        np.testing.assert_allclose(hessian.numpy(), h, rtol=1e-12)
    u = np.array([1.0, -2.0, 3.0])
    for product in (ag.autograd.functional.hvp, ag.autograd.functional.vhp):
        np.testing.assert_allclose(product(rosenbrock, ag.tensor(v), ag.tensor(u))[1].numpy(), h @ u, rtol=1e-12)


def test_gradient_penalty() -> None:
    """The penalty of a linear critic: d/dw (|w| - 1)^2 = 2 (1 - 1/|w|) w, whatever the input."""
    w = ag.tensor([3.0, 4.0], dtype=ag.float64, requires_grad=True)
    x = ag.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=ag.float64, requires_grad=True)
    (g,) = ag.autograd.grad((x @ w).sum(), x, create_graph=True)
    penalty = ((g * g).sum(1).sqrt() - 1).pow(2).mean()
    penalty.backward()
    np.testing.assert_allclose(penalty.item(), 16.0)
    np.testing.assert_allclose(w.grad.numpy(), 2 * (1 - 1 / 5) * np.array([3.0, 4.0]))
    assert x.grad is None or not x.grad.numpy().any()


def program_gradient_penalty_of_a_network(t: Any) -> Any:
    rng = np.random.default_rng(5)
    w1, w2 = (t.tensor(rng.standard_normal(s), requires_grad=True) for s in ((4, 8), (8, 1)))
    x = t.tensor(rng.standard_normal((6, 4)), requires_grad=True)
    (g,) = t.autograd.grad((((x @ w1).tanh()) @ w2).sum(), x, create_graph=True)
    ((g.pow(2).sum(1).sqrt() - 1) ** 2).mean().backward()
    return w1.grad, w2.grad


def program_maml(t: Any) -> Any:
    """Two inner steps of gradient descent, differentiated through."""
    rng = np.random.default_rng(6)
    w = t.tensor(rng.standard_normal((3, 1)), requires_grad=True)
    b = t.tensor(np.zeros(1), requires_grad=True)
    xs, ys = (t.tensor(rng.standard_normal((2, 5, n))) for n in (3, 1))
    outer = 0
    for x, y in zip(xs, ys):
        fast = [w, b]
        for _ in range(2):
            loss = ((x @ fast[0] + fast[1]).tanh() - y).pow(2).mean()
            grads = t.autograd.grad(loss, fast, create_graph=True)
            fast = [p - 0.1 * g for p, g in zip(fast, grads)]
        outer = outer + ((x @ fast[0] + fast[1]).tanh() - y).pow(2).mean()
    outer.backward()
    return outer, w.grad, b.grad


def test_maml_on_a_quadratic() -> None:
    """Inner loss (w - c)^2 / 2 with step r: w' = w - r (w - c); outer (w' - d)^2 / 2 has gradient (1 - r)(w' - d)."""
    w = ag.tensor(2.0, dtype=ag.float64, requires_grad=True)
    c, d, r = 0.5, -1.0, 0.3
    (g,) = ag.autograd.grad((w - c) ** 2 / 2, w, create_graph=True)
    ((w - r * g - d) ** 2 / 2).backward()
    np.testing.assert_allclose(w.grad.item(), (1 - r) * (2.0 - r * 1.5 - d))


@pytest.mark.parametrize("program", [program_gradient_penalty_of_a_network, program_maml])
def test_second_order_programs_as_in_pytorch(program: Any) -> None:
    both(program)


def _cnn(t: Any, x: Any) -> Any:
    """A small network of convolution, pooling and a linear layer as a function of one flat parameter vector."""
    f = t.nn.functional

    def loss(flat: Any) -> Any:
        kernel, weight = flat[:36].reshape(4, 1, 3, 3), flat[36:].reshape(3, 36)
        h = f.max_pool2d(f.conv2d(x, kernel, padding=1).tanh(), 2)
        return f.cross_entropy(h.reshape(2, -1) @ weight.t(), t.tensor([0, 2]))

    return loss


def test_hessian_vector_product_through_a_cnn() -> None:
    rng = np.random.default_rng(8)
    x = ag.tensor(rng.standard_normal((2, 1, 6, 6)))
    flat, v = (rng.standard_normal(36 + 108) * 0.3 for _ in range(2))
    loss = _cnn(ag, x)
    _, product = ag.autograd.functional.hvp(loss, ag.tensor(flat), ag.tensor(v))
    gradient = ag.func.grad(loss)
    h = 1e-5
    expected = (gradient(ag.tensor(flat + h * v)).numpy() - gradient(ag.tensor(flat - h * v)).numpy()) / (2 * h)
    np.testing.assert_allclose(product.numpy(), expected, rtol=1e-5, atol=1e-7)


# -- gradcheck -----------------------------------------------------------------------------------------


def wrong(t: Any, factor: float) -> Any:
    return type("Wrong", (t.autograd.Function,), {
        "forward": staticmethod(lambda ctx, x: x * x.detach()), "backward": staticmethod(lambda ctx, g: g * factor)
    }).apply  # fmt: skip


def test_gradcheck_finds_a_wrong_derivative() -> None:
    x = vector(ag, 1.0, 2.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        gradcheck(wrong(ag, 2.0), (x,))
    assert not gradcheck(wrong(ag, 2.0), (x,), raise_exception=False)
    with pytest.raises(RuntimeError, match="mismatch"):
        gradcheck(wrong(ag, 2.0), (x,), fast_mode=True)


def test_gradcheck_accepts_what_is_right() -> None:
    a, b = inputs(ag, True)
    a, b = (v.detach().requires_grad_() for v in (a, b))
    assert gradcheck(two, (a, b))
    assert gradcheck(two, (a, b), fast_mode=True, check_batched_grad=True, check_grad_dtypes=True)
    assert gradgradcheck(scalar, (a, b))
    assert gradgradcheck(lambda x: x.exp() * x, (a,), gen_non_contig_grad_outputs=True)
    assert gradcheck(lambda x, n: x**n, (a, 3))
    assert gradcheck(lambda x: x.t()[0], (ag.ones(2, 3, dtype=ag.float64, requires_grad=True),))


def test_gradgradcheck_finds_a_rule_that_is_wrong_in_second_order() -> None:
    class Cube(ag.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3 * ctx.saved_tensors[0].detach() ** 2  # right in value, cut off from x

    x = vector(ag, 1.0, 2.0, requires_grad=True)
    assert gradcheck(Cube.apply, (x,))
    with pytest.raises(GradientError, match="mismatch"):
        gradgradcheck(Cube.apply, (x,))


def test_gradcheck_of_what_needs_no_gradient() -> None:
    with pytest.raises(ValueError, match="requires_grad=True"):
        gradcheck(lambda x: x, (ag.ones(2),))
    with pytest.warns(UserWarning, match="double precision"):
        gradcheck(lambda x: x * 2, (ag.ones(2, requires_grad=True),), eps=1e-2, atol=1e-2)
