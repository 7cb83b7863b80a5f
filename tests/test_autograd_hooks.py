"""Hooks of every kind, in both libraries: order, replacement, removal, and what they see."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad as ag
from allgrad.autograd import graph
from allgrad.errors import GradientError, InplaceError
from twins import both


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=True)


def program_order_and_replacement(t: Any) -> Any:
    log = []
    x = leaf(t, 1.0, 2.0)
    y = x * 3
    y.register_hook(lambda g: log.append(["first", g.tolist()]))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: log.append(["third", g.tolist()]))
    x.register_hook(lambda g: log.append(["leaf", g.tolist()]) or g + 1)
    (y * y).sum().backward()
    return log, x.grad


def program_removal(t: Any) -> Any:
    x = leaf(t, 1.0)
    handle = x.register_hook(lambda g: g * 2)
    other = x.register_hook(lambda g: g + 1)
    y = x * 1
    with y.register_hook(lambda g: g * 100):
        pass
    handle.remove()
    handle.remove()
    y.sum().backward()
    other.remove()
    (x * 1).sum().backward()
    return x.grad


def program_leaf_hook_fires_once(t: Any) -> Any:
    log = []
    x = leaf(t, 2.0)
    x.register_hook(lambda g: log.append(g.tolist()))
    (x * x + x * 3 + x).sum().backward()
    return log


def program_non_leaf_fan_out(t: Any) -> Any:
    log = []
    x = leaf(t, 2.0)
    y = x * 2
    y.register_hook(lambda g: log.append(g.tolist()))
    (y * y + y * 3 + y).sum().backward()
    return log


def program_post_accumulate(t: Any) -> Any:
    log = []
    x = leaf(t, 1.0, 2.0)
    x.register_hook(lambda g: log.append(["gradient", g.tolist()]))
    x.register_post_accumulate_grad_hook(lambda p: log.append(["after", p.grad.tolist()]))
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    t.autograd.grad((x * 2).sum(), x)
    return log


def program_post_accumulate_frees(t: Any) -> Any:
    x = leaf(t, 1.0)

    def step(p: Any) -> None:
        with t.no_grad():
            p.sub_(p.grad)
        p.grad = None

    x.register_post_accumulate_grad_hook(step)
    (x * 4).sum().backward()
    return x, x.grad


def program_post_accumulate_on_non_leaf(t: Any) -> Any:
    (leaf(t, 1.0) * 2).register_post_accumulate_grad_hook(lambda p: None)


def program_hook_on_plain(t: Any) -> Any:
    t.ones(2).register_hook(lambda g: g)


def program_hook_returns_nonsense(t: Any) -> Any:
    x = leaf(t, 1.0)
    x.register_hook(lambda g: 3)
    (x * 2).sum().backward()


def program_hook_changes_shape(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    x.register_hook(lambda g: g[:1])
    (x * 2).sum().backward()


def program_hooks_in_grad(t: Any) -> Any:
    x = leaf(t, 1.0)
    y = x * 2
    y.register_hook(lambda g: g * 3)
    x.register_hook(lambda g: g * 5)
    # One at a time: asked for both at once, PyTorch 2.13 gives y's gradient from before its hook.
    return t.autograd.grad((y * y).sum(), x, retain_graph=True), t.autograd.grad((y * y).sum(), y)


def program_hooks_are_recorded(t: Any) -> Any:
    x = leaf(t, 3.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


def program_node_hooks(t: Any) -> Any:
    log = []
    x, z = leaf(t, 1.0, 2.0), leaf(t, 3.0, 4.0)
    y = x * z
    y.grad_fn.register_prehook(lambda outs: log.append(["pre", outs[0].tolist()]) or (outs[0] * 10,))
    y.grad_fn.register_hook(lambda ins, outs: log.append(["post", [i.tolist() for i in ins], outs[0].tolist()]))
    y.grad_fn.register_hook(lambda ins, outs: (ins[0] + 1, ins[1]))
    y.register_hook(lambda g: log.append(["tensor", g.tolist()]))
    y.sum().backward()
    return log, x.grad, z.grad


def program_node_hook_of_several(t: Any) -> Any:
    log = []
    x = leaf(t, 1.0, 2.0, 3.0)
    a, b, c = x.unbind()
    a.grad_fn.register_prehook(lambda outs: log.append([None if g is None else g.tolist() for g in outs]))
    b.register_hook(lambda g: g * 10)
    (b * 2 + c).backward()
    return log, x.grad, a.grad_fn is b.grad_fn, [a.output_nr, c.output_nr]


def program_hooks_on_the_node_of_a_leaf(t: Any) -> Any:
    log = []
    x = leaf(t, 1.0, 2.0)
    node = x.view_as(x).grad_fn.next_functions[0][0]
    handle = node.register_prehook(lambda grads: (grads[0] * 10,))
    node.register_hook(lambda *unused: log.append(x.grad.tolist()))
    (x * 2).sum().backward()
    handle.remove()
    (x * 2).sum().backward()
    return log, node.variable is x


def program_retain_grad(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    z = (y * y).sum()
    z.backward(retain_graph=True)
    z.backward()
    return y.grad, x.grad, y.retains_grad, x.retains_grad


def program_retain_grad_of_a_view_of_a_changed_base(t: Any) -> Any:
    x = leaf(t, 1.0, 2.0)
    y = x * 3
    y.retain_grad()
    y[0].mul_(5)
    (y * y).sum().backward()
    return y.grad, x.grad


def program_retain_grad_of_plain(t: Any) -> Any:
    t.ones(1).retain_grad()


def program_multi_grad_hook(t: Any) -> Any:
    log = []
    a, b = leaf(t, 1.0), leaf(t, 2.0)
    c, d = a * b, b * 3
    t.autograd.graph.register_multi_grad_hook(
        [a, c, d, b], lambda gs: log.append([None if g is None else g.tolist() for g in gs])
    )
    (c * 2).sum().backward(retain_graph=True)
    (c + d).sum().backward(retain_graph=True)
    t.autograd.grad((c + d).sum(), [c], retain_graph=True)
    handle = t.autograd.graph.register_multi_grad_hook([c, d], lambda g: log.append(["any", g.tolist()]), mode="any")
    (c + d).sum().backward(retain_graph=True)
    handle.remove()
    (c + d).sum().backward()
    return log


def program_saved_hooks_see_what_is_saved(t: Any) -> Any:
    packed, unpacked = [], []

    def pack(x: Any) -> Any:
        packed.append(x.tolist())
        return x.tolist()

    def unpack(values: Any) -> Any:
        unpacked.append(values)
        return t.tensor(values, dtype=t.float64)

    x = leaf(t, 1.0, 2.0)
    with t.autograd.graph.saved_tensors_hooks(pack, unpack):
        y = x * x
        z = y.exp()
    z.sum().backward()
    return packed, sorted(unpacked), x.grad


def program_saved_hooks_nest(t: Any) -> Any:
    log = []
    x = leaf(t, 2.0)
    hooks = t.autograd.graph.saved_tensors_hooks
    with hooks(lambda s: log.append("outer") or s, lambda s: s):
        y = x.exp()
        with hooks(lambda s: log.append("inner") or s, lambda s: s):
            z = y.exp()
    (y + z).sum().backward()
    return log


def program_saved_hooks_and_second_order(t: Any) -> Any:
    x = leaf(t, 2.0)
    with t.autograd.graph.saved_tensors_hooks(lambda s: s.numpy().copy() if not s.requires_grad else s.detach().numpy().copy(),
                                              lambda a: t.from_numpy(a)):  # fmt: skip
        y = x.tanh() * x * x
        (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    return g, t.autograd.grad(g.sum(), x)


def program_mutation_allowed(t: Any) -> Any:
    x = leaf(t, 3.0)
    with t.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = y * y
        y.add_(100)
        z.sum().backward()
    return x.grad


def program_disabled_saved_hooks(t: Any) -> Any:
    hooks = t.autograd.graph.saved_tensors_hooks(lambda s: s, lambda s: s)
    with t.autograd.graph.disable_saved_tensors_hooks("not here"), hooks:
        pass


def program_pack_hook_changes_its_input(t: Any) -> Any:
    with t.autograd.graph.saved_tensors_hooks(lambda s: s.add_(1), lambda s: s):
        leaf(t, 1.0).exp()


def program_unpack_returns_nonsense(t: Any) -> Any:
    x = leaf(t, 1.0)
    with t.autograd.graph.saved_tensors_hooks(lambda s: s, lambda s: 3):
        y = x.exp()
    y.sum().backward()


def program_increment_version(t: Any) -> Any:
    x = leaf(t, 1.0) * 1
    y = x * x
    t.autograd.graph.increment_version(x)
    y.sum().backward()


def program_gradient_edge(t: Any) -> Any:
    x = leaf(t, 2.0, 3.0)
    y = x * 2
    parts = x.unbind()
    edges = [t.autograd.graph.get_gradient_edge(v) for v in (y, parts[1])]
    found = t.autograd.grad((y * y).sum() + parts[1] * 7, edges, allow_unused=True)
    return found, edges[1].output_nr


PROGRAMS = {name: f for name, f in globals().items() if name.startswith("program_")}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_pytorch(name: str) -> None:
    both(PROGRAMS[name])


def test_a_leaf_hook_sees_the_final_gradient() -> None:
    log, grad = program_order_and_replacement(ag)
    assert log == [["first", [6.0, 12.0]], ["third", [60.0, 120.0]], ["leaf", [180.0, 360.0]]]
    assert grad.tolist() == [181.0, 361.0]
    assert program_leaf_hook_fires_once(ag) == [[8.0]]
    assert program_non_leaf_fan_out(ag) == [[12.0]]


def test_saving_to_disk(tmp_path: Path) -> None:
    """The example of the documentation: activations live in files between forward and backward."""
    written = []

    def to_disk(x: Any) -> Path:
        path = tmp_path / f"{len(written)}.npy"
        np.save(path, x.numpy())
        written.append(path)
        return path

    def from_disk(path: Path) -> Any:
        return ag.from_numpy(np.load(path))

    x = leaf(ag, 0.5, -1.0)
    with graph.saved_tensors_hooks(to_disk, from_disk):
        y = (x.tanh() * x).exp().sum()
    assert len(written) >= 3
    y.backward()
    v = x.detach().numpy()
    u = np.tanh(v) * v
    np.testing.assert_allclose(x.grad.numpy(), np.exp(u) * (np.tanh(v) + v * (1 - np.tanh(v) ** 2)))


def test_what_a_hook_hands_through_is_still_watched() -> None:
    x = leaf(ag, 1.0) * 1
    with graph.saved_tensors_hooks(lambda s: s, lambda s: s):
        y = x * x
    x.add_(1)
    with pytest.raises(InplaceError):
        y.sum().backward()


def test_save_on_cpu_keeps_copies() -> None:
    """PyTorch copies nothing that is on the CPU already, and gives the gradient 206 here without a word."""
    x = leaf(ag, 3.0)
    y = x * 1
    with graph.save_on_cpu():
        z = y * y
    y.add_(100)
    z.sum().backward()
    assert x.grad.tolist() == [6.0]


def test_prepended_handle_comes_first() -> None:
    from allgrad.autograd.node import RemovableHandle

    hooks: dict[int, Any] = {}
    RemovableHandle(hooks, "a")
    RemovableHandle(hooks, "b")
    RemovableHandle(hooks, "c", prepend=True)
    assert list(hooks.values()) == ["c", "a", "b"]


def test_gradient_of_a_non_leaf_warns() -> None:
    y = leaf(ag, 1.0) * 2
    with pytest.warns(UserWarning, match="not a leaf"):
        assert y.grad is None
    y.retain_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert y.grad is None


# -- anomaly mode --------------------------------------------------------------------------------------


def test_anomaly_mode_names_the_line_that_made_nan() -> None:
    x = leaf(ag, 0.0, 1.0)
    with ag.autograd.detect_anomaly(), pytest.warns(UserWarning) as said:
        bad = x.sqrt() * 0  # the derivative of sqrt at 0 is infinite, times 0
        y = bad.sum()
        with pytest.raises(GradientError, match=r"'SqrtBackward0' returned nan") as caught:
            y.backward()
    assert "bad = x.sqrt() * 0" in str(caught.value)
    assert Path(__file__).name in str(caught.value)
    assert any("bad = x.sqrt() * 0" in str(w.message) for w in said)


def test_anomaly_mode_names_the_line_behind_an_in_place_error() -> None:
    x = leaf(ag, 1.0)
    with ag.autograd.set_detect_anomaly(True), pytest.warns(UserWarning) as said:
        e = x.exp()
        e.add_(1)
        with pytest.raises(InplaceError):
            e.sum().backward()
    assert any("e = x.exp()" in str(w.message) for w in said)
    assert not ag.is_anomaly_enabled()


def test_anomaly_mode_can_let_nan_pass() -> None:
    x = leaf(ag, 0.0)
    with ag.autograd.detect_anomaly(check_nan=False):
        (x.sqrt() * 0).sum().backward()
    assert np.isnan(x.grad.item())
    assert not ag.is_anomaly_enabled()
