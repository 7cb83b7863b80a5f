"""The base of optimizers: groups, hooks, closures, gradients to zero, state dicts, and what is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn, optim
from allgrad.optim.optimizer import required


def weight(value: float = 1.0, count: int = 2) -> Any:
    p = nn.Parameter(allgrad.full((count,), value))
    p.grad = allgrad.ones(count)
    return p


def test_groups_have_settings_of_their_own() -> None:
    a, b, c = weight(), weight(), weight()
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": (p for p in [c]), "weight_decay": 1.0})
    optimizer.step()
    np.testing.assert_allclose([a._a[0], b._a[0], c._a[0]], [0.9, 0.5, 0.8], rtol=1e-6)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.step()
    assert a._a[0] == np.float32(0.9)


def test_named_parameters_keep_their_names() -> None:
    model = nn.Linear(2, 3)
    optimizer = optim.AdamW(model.named_parameters())
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]
    assert optimizer.param_groups[0]["params"][0] is model.weight
    with pytest.raises(ValueError, match="cannot add param group without names"):
        optimizer.add_param_group({"params": [weight()]})
    with pytest.raises(ValueError, match="Some param names are missing"):
        optim.SGD([("a", weight()), weight()])


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: optim.SGD([]), ValueError, "empty parameter list"),
        (lambda: optim.SGD(weight()), TypeError, "should be an iterable of Tensors or dicts"),
        (lambda: optim.SGD([np.ones(2)]), TypeError, "can only optimize Tensors, but one of the params is ndarray"),
        (lambda: optim.SGD([weight() * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([{"params": {weight()}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([weight()]).add_param_group([weight()]), TypeError, "param_group must be a dict"),
        (lambda: optim.Optimizer([weight()], {"lr": required}), ValueError, "didn't specify a value of required.* lr"),
        (lambda: optim.Adam([weight()], lr=allgrad.ones(2)), ValueError, "Tensor lr must be 1-element"),
        (lambda: optim.Adam([weight()], betas=(0.9,)), ValueError, "betas must be two numbers"),
        (lambda: optim.Adam([weight()], differentiable=True), NotImplementedError, "create_graph=True"),
        (lambda: optim.LBFGS([{"params": [weight()]}, {"params": [weight()]}]), ValueError, "parameter groups"),
    ],
)
def test_refused(make: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        make()


def test_a_parameter_in_two_groups_is_refused_and_twice_in_one_counts_once() -> None:
    p = weight()
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": [p]}, {"params": [p]}])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = optim.SGD([p, p], lr=0.1)
    optimizer.step()
    np.testing.assert_allclose(p._a, 0.9, rtol=1e-6)


def test_zero_grad() -> None:
    p, q = weight(), nn.Parameter(allgrad.ones(2))
    optimizer = optim.SGD([p, q], lr=0.1)
    grad = p.grad
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is grad and grad.tolist() == [0, 0] and q.grad is None
    optimizer.zero_grad()
    assert p.grad is None
    (p * p).sum().backward(create_graph=True)
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0, 0] and not p.grad.requires_grad


def test_closure_runs_with_gradients_and_its_loss_is_returned() -> None:
    p = nn.Parameter(allgrad.tensor([3.0]))
    optimizer = optim.SGD([p], lr=0.25)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with allgrad.no_grad():
        assert optimizer.step(closure).item() == 9.0
    assert p.tolist() == [1.5]


class Signs(optim.Optimizer):
    """A user's own optimizer."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @allgrad.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.state[p]["count"] = self.state[p].get("count", 0) + 1
                    p.sub_(group["lr"])


class MoreSigns(Signs):
    def step(self, closure: Any = None) -> None:
        super().step(closure)


@pytest.mark.parametrize("kind", [optim.Adam, Signs, MoreSigns])
def test_hooks_run_once_around_every_step(kind: Any) -> None:
    p = weight()
    optimizer = kind([p], lr=0.5)
    seen: list[Any] = []
    handles = [
        optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("pre", o is args[0], p.tolist()))),
        optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(("post", o is args[0], p.tolist()))),
        optim.register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append("all pre")),
        optim.register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("all post")),
    ]
    optimizer.step()
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == ["all pre", ("pre", True, [1.0, 1.0]), ("post", True, pytest.approx([0.5, 0.5])), "all post"]


def test_a_pre_hook_may_replace_the_closure() -> None:
    optimizer = optim.SGD([weight()], lr=0.1)
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 5), {}))
    assert optimizer.step() == 5
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="tuple of"):
        optimizer.step()


def test_a_step_that_fails_leaves_hooks_working() -> None:
    optimizer, seen = optim.SGD([weight()], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *given: seen.append(1))

    def broken() -> Any:
        raise KeyError("broken")

    with pytest.raises(KeyError):
        optimizer.step(broken)
    optimizer.step()
    assert seen == [1, 1]


def test_the_base_has_no_step() -> None:
    with pytest.raises(NotImplementedError):
        optim.Optimizer([weight()], {}).step()


def test_state_dict_round_trip_is_exact_and_independent() -> None:
    params = [weight(1.0), weight(2.0, 3)]
    optimizer = optim.Adam(params, lr=0.1)
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    assert saved["param_groups"][0]["params"] == [0, 1]
    assert list(saved["state"][1]) == ["step", "exp_avg", "exp_avg_sq"]
    others = [nn.Parameter(p.detach().clone()) for p in params]
    other = optim.Adam(others, lr=9.0)
    other.load_state_dict(saved)
    for _ in range(3):
        for p, q in zip(params, others):
            p.grad = q.grad = allgrad.full(p.shape, 0.3)
        optimizer.step()
        other.step()
    for p, q in zip(params, others):
        assert p._a.tobytes() == q._a.tobytes()
    assert saved["state"][0]["step"].item() == 1  # what was loaded is a copy


def test_load_state_dict_refuses_another_model() -> None:
    one, two = optim.SGD([weight()]), optim.SGD([{"params": [weight()]}, {"params": [weight()]}])
    with pytest.raises(ValueError, match=r"different number of parameter groups: 2, expected 1"):
        one.load_state_dict(two.state_dict())
    with pytest.raises(ValueError, match=r"group 0 has 2 parameters, expected 1"):
        one.load_state_dict(optim.SGD([weight(), weight()]).state_dict())


def test_settings_that_an_old_file_lacks_come_from_the_defaults() -> None:
    optimizer = optim.Adam([weight()], lr=0.1)
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["amsgrad"]
    saved["param_groups"][0]["lr"] = 0.5
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["amsgrad"] is False and optimizer.param_groups[0]["lr"] == 0.5
    optimizer.step()


def test_loaded_moments_take_the_dtype_of_the_parameter_but_counts_keep_theirs() -> None:
    wide = nn.Parameter(allgrad.ones(2, dtype=allgrad.float64))
    wide.grad = allgrad.ones(2, dtype=allgrad.float64)
    source = optim.NAdam([wide])
    source.step()
    half = nn.Parameter(allgrad.ones(2, dtype=allgrad.float16))
    optimizer = optim.NAdam([half])
    optimizer.load_state_dict(source.state_dict())
    state = optimizer.state[half]
    assert [str(state[k].dtype) for k in ("step", "mu_product", "exp_avg")] == [
        "torch.float32", "torch.float32", "torch.float16",
    ]  # fmt: skip


def test_state_dict_hooks() -> None:
    optimizer = optim.SGD([weight()], lr=0.1)
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("b"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("a"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "extra"})
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    saved = optimizer.state_dict()
    assert saved["extra"] == 1
    optimizer.load_state_dict(saved)
    assert seen == ["a", "b", "loaded"]
