"""Programs with an autograd.Function, for either library."""

from __future__ import annotations

from typing import Any


def function(t: Any, forward: Any, backward: Any, **more: Any) -> Any:
    """A Function class of library ``t``."""
    return type("Made", (t.autograd.Function,), {
        "forward": staticmethod(forward), "backward": staticmethod(backward), **{k: staticmethod(f) for k, f in more.items()}
    })  # fmt: skip


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=True)


def cube(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * 3 * x * x

    return function(t, forward, backward)


def program_cube_to_third_order(t: Any) -> Any:
    x = leaf(t, 1.0, -2.0)
    found, y = [], cube(t).apply(x)
    for _ in range(3):
        (y,) = t.autograd.grad(y.sum(), x, create_graph=True)
        found.append(y)
    return found


def program_saved_output(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    def backward(ctx: Any, g: Any) -> Any:
        return g * ctx.saved_tensors[0]

    x = leaf(t, 0.5, 1.5)
    (g,) = t.autograd.grad(function(t, forward, backward).apply(x).sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


def program_setup_context(t: Any) -> Any:
    def forward(x: Any, factor: Any = 4.0) -> Any:
        return x * factor, x.sum()

    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.factor = inputs[1]
        ctx.save_for_backward(output[0])

    def backward(ctx: Any, g: Any, s: Any) -> Any:
        return g * ctx.factor + s, None

    made = function(t, forward, backward, setup_context=setup_context)
    x = leaf(t, 1.0, 2.0)
    a, b = made.apply(x)
    (a * a).sum().backward(retain_graph=True)
    b.backward()
    return a, b, x.grad


def program_needs_input_grad(t: Any) -> Any:
    seen = []

    def forward(ctx: Any, a: Any, k: Any, b: Any, c: Any) -> Any:
        return a * k + b * c

    def backward(ctx: Any, g: Any) -> Any:
        seen.append(list(ctx.needs_input_grad))
        return g, None, g, None

    made = function(t, forward, backward)
    a, b = leaf(t, 1.0), leaf(t, 2.0)
    made.apply(a, 3.0, b.detach(), t.ones(1, dtype=t.float64)).sum().backward()
    made.apply(a.detach(), 3.0, b, b).sum().backward()
    with t.no_grad():
        y = made.apply(a, 3.0, b, b)
    return seen, y, a.grad, b.grad


def program_several_outputs(t: Any) -> Any:
    seen = []

    def forward(ctx: Any, x: Any) -> Any:
        return x * 2, x * 3, x.sum()

    def backward(ctx: Any, a: Any, b: Any, c: Any) -> Any:
        seen.append([g if g is None else g.clone() for g in (a, b, c)])
        return a * 2 + b * 3 + c

    made = function(t, forward, backward)
    x = leaf(t, 1.0, 2.0)
    _, b, _ = made.apply(x)
    (b * b).sum().backward()
    return seen, x.grad, b.output_nr


def program_unmaterialized(t: Any) -> Any:
    seen = []

    def forward(ctx: Any, x: Any) -> Any:
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    def backward(ctx: Any, a: Any, b: Any) -> Any:
        seen.append([a is None, b is None])
        return b

    x = leaf(t, 1.0, 2.0)
    y = function(t, forward, backward).apply(x)
    y[1].sum().backward(retain_graph=True)
    y[0].sum().backward()
    return seen, x.grad


def program_not_differentiable(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        order = x.argsort()
        top = x.max()
        ctx.mark_non_differentiable(order, top)
        return x * 2, order, top

    def backward(ctx: Any, g: Any, a: Any, b: Any) -> Any:
        return g * 2

    x = leaf(t, 3.0, 1.0, 2.0)
    y, order, top = function(t, forward, backward).apply(x)
    y.sum().backward()
    return y, order.tolist(), top, x.grad


def dirty(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        x.mul_(5)
        return x

    def backward(ctx: Any, g: Any) -> Any:
        return g * 5

    return function(t, forward, backward)


def program_dirty(t: Any) -> Any:
    w = leaf(t, 1.0, 2.0)
    x = w * 2
    y = dirty(t).apply(x)
    (x * x).sum().backward()
    return y is x, x, w.grad


def program_dirty_view(t: Any) -> Any:
    w = leaf(t, 1.0, 2.0, 3.0)
    x = w * 2
    dirty(t).apply(x[1:])
    (x * x).sum().backward()
    return x, w.grad


def program_dirty_leaf(t: Any) -> Any:
    return dirty(t).apply(leaf(t, 1.0))


def program_dirty_leaf_under_no_grad(t: Any) -> Any:
    x = leaf(t, 1.0)
    with t.no_grad():
        y = dirty(t).apply(x)
    return y is x, x


def program_dirty_not_returned(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        return x * 2

    return function(t, forward, lambda ctx, g: g).apply(leaf(t, 1.0) * 1)


def program_dirty_after_save(t: Any) -> Any:
    w = leaf(t, 1.0, 2.0)
    x = w * 2
    y = x * x
    dirty(t).apply(x)
    y.sum().backward()


def identity(t: Any) -> Any:
    return function(t, lambda ctx, x: x, lambda ctx, g: g * 7)


def program_input_returned(t: Any) -> Any:
    w = leaf(t, 1.0, 2.0)
    y = identity(t).apply(w)
    y.sum().backward()
    return y is w, y, w.grad


def program_input_returned_then_changed(t: Any) -> Any:
    return identity(t).apply(leaf(t, 1.0) * 1).mul_(2)


def program_view_returned_then_changed(t: Any) -> Any:
    return function(t, lambda ctx, x: x.view(-1), lambda ctx, g: g).apply(leaf(t, 1.0, 2.0) * 1).mul_(2)


def program_none_gradient(t: Any) -> Any:
    x, y = leaf(t, 1.0), leaf(t, 2.0)
    function(t, lambda ctx, a, b: a * b, lambda ctx, g: (g, None)).apply(x, y).sum().backward()
    return x.grad, y.grad


def program_too_few(t: Any) -> Any:
    function(t, lambda ctx, a, b: a * b, lambda ctx, g: g).apply(leaf(t, 1.0), leaf(t, 1.0)).sum().backward()


def program_too_many(t: Any) -> Any:
    function(t, lambda ctx, a: a * 2, lambda ctx, g: (g, g)).apply(leaf(t, 1.0)).sum().backward()


def program_trailing_none(t: Any) -> Any:
    x = leaf(t, 1.0)
    function(t, lambda ctx, a: a * 2, lambda ctx, g: (g, None, None)).apply(x).sum().backward()
    return x.grad


def program_gradient_of_a_number(t: Any) -> Any:
    function(t, lambda ctx, a, k: a * k, lambda ctx, g: (g, g)).apply(leaf(t, 1.0), 2).sum().backward()


def program_wrong_shape(t: Any) -> Any:
    function(t, lambda ctx, a: a * 2, lambda ctx, g: t.ones(5, dtype=t.float64)).apply(
        leaf(t, 1.0, 2.0)
    ).sum().backward()


def program_broadcast_gradient(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    function(t, lambda ctx, a: a * 2, lambda ctx, g: t.ones(3, 2, dtype=t.float64)).apply(x).sum().backward()
    return x.grad


def program_other_dtype(t: Any) -> Any:
    x = t.ones(2, requires_grad=True)
    function(t, lambda ctx, a: a * 2, lambda ctx, g: g.double()).apply(x * 1).sum().backward()
    return x.grad


def program_not_a_tensor(t: Any) -> Any:
    function(t, lambda ctx, a: a * 2, lambda ctx, g: 3.0).apply(leaf(t, 1.0)).sum().backward()


def program_no_backward(t: Any) -> Any:
    made = type("Made", (t.autograd.Function,), {"forward": staticmethod(lambda ctx, a: a * 2)})
    made.apply(leaf(t, 1.0)).sum().backward()


def program_other_results(t: Any) -> Any:
    made = function(t, lambda ctx, a: (a * 2, 3, "text", None), lambda ctx, g, *rest: (g,))
    x = leaf(t, 1.0)
    y = made.apply(x)
    y[0].sum().backward()
    return list(y[1:]), x.grad


def program_save_a_number(t: Any) -> Any:
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(3)
        return x

    function(t, forward, lambda ctx, g: g).apply(leaf(t, 1.0))


def program_instance(t: Any) -> Any:
    cube(t)()(leaf(t, 1.0))


def once(t: Any) -> Any:
    return function(t, lambda ctx, x: x * 2, t.autograd.function.once_differentiable(lambda ctx, g: g * 2))


def program_once(t: Any) -> Any:
    x = leaf(t, 1.0)
    once(t).apply(x).sum().backward()
    return x.grad


def program_once_differentiated_twice(t: Any) -> Any:
    x = leaf(t, 1.0)
    (g,) = t.autograd.grad((once(t).apply(x) ** 2).sum(), x, create_graph=True)
    g.sum().backward()


def program_grad_mode_inside(t: Any) -> Any:
    seen = []

    def forward(ctx: Any, x: Any) -> Any:
        seen.append([t.is_grad_enabled(), x.requires_grad, (x * 2).requires_grad])
        return x * 2

    def backward(ctx: Any, g: Any) -> Any:
        seen.append([t.is_grad_enabled(), g.requires_grad])
        return g * 2

    x = leaf(t, 1.0)
    made = function(t, forward, backward)
    made.apply(x).sum().backward()
    t.autograd.grad(made.apply(x).sum(), x, create_graph=True)
    return seen


def program_changed_after_save(t: Any) -> Any:
    x = leaf(t, 1.0) * 1
    y = cube(t).apply(x)
    x.add_(1)
    y.sum().backward()


def program_saved_after_backward(t: Any) -> Any:
    kept = []

    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        kept.append(ctx)
        return x * 1

    y = function(t, forward, lambda ctx, g: g).apply(leaf(t, 1.0))
    y.sum().backward()
    return kept[0].saved_tensors


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}
