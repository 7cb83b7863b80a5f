"""Shared batches change nothing but the time: same bits as one by one, memory stays where it was, changes are noticed."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import allgrad
from allgrad import nn, optim
from allgrad.optim.layout import overlapping

CHOICES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 0.1},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "NAdam": {},
    "RAdam": {"betas": (0.9, 0.8)},
    "Adamax": {},
    "Adagrad": {"lr": 0.1},
    "Adadelta": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Rprop": {},
    "ASGD": {"t0": 1},
}


def parameters(shapes: list[tuple[int, ...]], kinds: list[str], seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [nn.Parameter(allgrad.tensor(rng.standard_normal(s).astype(k))) for s, k in zip(shapes, kinds)]


def bits(optimizer: Any, params: list[Any]) -> list[bytes]:
    found = [p._a.tobytes() for p in params]
    for p in params:
        found += [v._a.tobytes() for v in optimizer.state.get(p, {}).values()]
    return found


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(CHOICES)),
    shapes=st.lists(
        st.sampled_from([(), (1,), (7,), (3, 5), (0, 2), (2, 1, 3), (40, 50), (200, 100), (31, 33, 37)]),
        min_size=1,
        max_size=6,
    ),
    data=st.data(),
)
def test_together_or_one_by_one_the_same_bits(name: str, shapes: list[tuple[int, ...]], data: st.DataObject) -> None:
    kinds = [data.draw(st.sampled_from(["float32", "float32", "float64", "float16"])) for _ in shapes]
    missing = [[data.draw(st.booleans()) and step % 2 == 1 for _ in shapes] for step in range(4)]
    maximize = data.draw(st.booleans())
    a, b = parameters(shapes, kinds, 1), parameters(shapes, kinds, 1)
    together = getattr(optim, name)(a, maximize=maximize, **CHOICES[name])
    alone = getattr(optim, name)(b, maximize=maximize, foreach=False, **CHOICES[name])
    rng = np.random.default_rng(2)
    for step in range(4):
        for i, (p, q) in enumerate(zip(a, b)):
            g = rng.standard_normal(shapes[i]).astype(kinds[i])
            p.grad = None if missing[step][i] else allgrad.tensor(g)
            q.grad = None if missing[step][i] else allgrad.tensor(g)
        together.step()
        alone.step()
        assert bits(together, a) == bits(alone, b)


def step(optimizer: Any, params: list[Any], value: float = 1.0) -> None:
    for p in params:
        p.grad = allgrad.full(p.shape, value, dtype=p.dtype)
    optimizer.step()


def test_parameters_are_changed_where_they_lie() -> None:
    arrays = [np.ones(4, np.float32), np.ones((200, 100), np.float32), np.ones((3, 5), np.float32).T]
    params = [nn.Parameter(allgrad.from_numpy(a)) for a in arrays]
    view = arrays[0][1:3]
    optimizer = optim.SGD(params, lr=0.5)
    step(optimizer, params)
    for p, a in zip(params, arrays):
        assert p._a is a
        np.testing.assert_array_equal(a, np.full(a.shape, 0.5, np.float32))
    np.testing.assert_array_equal(view, [0.5, 0.5])


def test_gradients_are_only_read() -> None:
    params = parameters([(4,), (200, 100)], ["float32"] * 2, 0)
    optimizer = optim.SGD(params, lr=0.5, momentum=0.9, weight_decay=0.1, maximize=True)
    grads = [np.asfortranarray(np.ones(p.shape, np.float32)) for p in params]
    for p, g in zip(params, grads):
        p.grad = allgrad.from_numpy(g)
        g.flags.writeable = False
    before = [p._a.copy() for p in params]
    optimizer.step()
    for p, g, old in zip(params, grads, before):
        np.testing.assert_array_equal(g, np.ones(p.shape, np.float32))
        np.testing.assert_allclose(p._a, old + 0.5 * (1 - 0.1 * old), rtol=1e-6)


def test_versions_rise_so_that_backward_notices() -> None:
    p = nn.Parameter(allgrad.ones(3))
    loss = (p * p).sum()
    p.grad = allgrad.ones(3)
    before = p._version
    optim.SGD([p], lr=0.1).step()
    assert p._version == before + 1
    with pytest.raises(RuntimeError, match="optimizer step"):
        loss.backward()


def test_parameters_without_gradient_have_no_state_and_stay() -> None:
    p, q = nn.Parameter(allgrad.ones(3)), nn.Parameter(allgrad.ones(3))
    optimizer = optim.Adam([p, q], lr=0.1, weight_decay=1.0)
    p.grad = allgrad.ones(3)
    optimizer.step()
    assert list(optimizer.state) == [p]
    np.testing.assert_array_equal(q._a, np.ones(3))


def test_parameters_that_share_memory_are_both_applied() -> None:
    memory = np.zeros(6, np.float32)
    whole, part = (nn.Parameter(allgrad.from_numpy(m)) for m in (memory, memory[2:4]))
    assert overlapping([whole, part]) == {0, 1}
    optimizer = optim.SGD([whole, part], lr=1.0)
    step(optimizer, [whole, part])
    np.testing.assert_array_equal(memory, [-1, -1, -2, -2, -1, -1])


def test_overlap_is_found_past_what_lies_between() -> None:
    memory = np.zeros(20, np.float32)
    spans = [memory[0:10], memory[2:4], memory[6:12], memory[12:14], memory[14:20]]
    assert overlapping([nn.Parameter(allgrad.from_numpy(m)) for m in spans]) == {0, 1, 2}


def twin(name: str = "Adam") -> tuple[Any, list[Any], Any, list[Any]]:
    shapes: list[tuple[int, ...]] = [(3,), (4, 2), (200, 100)]
    a, b = parameters(shapes, ["float32"] * 3, 5), parameters(shapes, ["float32"] * 3, 5)
    return getattr(optim, name)(a, lr=0.1), a, getattr(optim, name)(b, lr=0.1, foreach=False), b


def test_new_memory_behind_a_parameter_is_noticed() -> None:
    mine, a, other, b = twin()
    for _ in range(3):
        step(mine, a)
        step(other, b)
        for p in a:
            p.data = p.data.clone()
    assert bits(mine, a) == bits(other, b)


def test_a_parameter_that_changes_its_dtype_goes_on() -> None:
    p = nn.Parameter(allgrad.ones(3))
    optimizer = optim.Adam([p], lr=0.1)
    step(optimizer, [p])
    p.data = p.data.double()
    step(optimizer, [p])
    assert optimizer.state[p]["exp_avg"].dtype == allgrad.float64
    np.testing.assert_allclose(p._a, 0.8, rtol=1e-6)


def test_replaced_state_is_noticed() -> None:
    mine, a, other, b = twin()
    step(mine, a)
    step(other, b)
    for p, q in zip(a, b):
        mine.state[p]["exp_avg"] = allgrad.zeros_like(p)  # another Tensor
        other.state[q]["exp_avg"].zero_()  # the same Tensor
        mine.state[p]["step"] = 7  # a plain number, as old files have it
        other.state[q]["step"].fill_(7)
    step(mine, a)
    step(other, b)
    assert bits(mine, a) == bits(other, b)
    assert mine.state[a[0]]["step"].item() == 8


def test_one_replaced_tensor_is_noticed() -> None:
    mine, a, other, b = twin()
    step(mine, a)
    step(other, b)
    mine.state[a[1]]["exp_avg"] = allgrad.zeros_like(a[1])
    other.state[b[1]]["exp_avg"].zero_()
    step(mine, a)
    step(other, b)
    assert bits(mine, a) == bits(other, b)


def test_a_count_that_is_written_to_is_noticed() -> None:
    mine, a, other, b = twin()
    for optimizer, params in ((mine, a), (other, b)):
        step(optimizer, params)
        optimizer.state[params[0]]["step"].fill_(50)  # its neighbours in the batch keep theirs
        step(optimizer, params)
    assert bits(mine, a) == bits(other, b)
    assert [mine.state[p]["step"].item() for p in a] == [51, 2, 2]


def test_parameters_that_come_to_share_memory_are_both_applied() -> None:
    p, q = nn.Parameter(allgrad.zeros(3)), nn.Parameter(allgrad.zeros(3))
    optimizer = optim.SGD([p, q], lr=1.0)
    step(optimizer, [p, q])
    q.data = p.data
    step(optimizer, [p, q])
    assert p.tolist() == q.tolist() == [-3, -3, -3]


def test_forgotten_state_starts_anew() -> None:
    mine, a, other, b = twin()
    step(mine, a)
    mine.state.clear()
    for p, q in zip(a, b):
        q._a[...] = p._a
    step(mine, a)
    step(other, b)
    assert bits(mine, a) == bits(other, b)


def test_a_group_that_is_edited_in_place() -> None:
    mine, a, other, b = twin()
    step(mine, a)
    step(other, b)
    new = np.arange(5, dtype=np.float32)
    for optimizer, params in ((mine, a), (other, b)):
        del optimizer.state[params[1]]
        params[1] = nn.Parameter(allgrad.tensor(new))
        optimizer.param_groups[0]["params"][1] = params[1]
        step(optimizer, params)
    assert bits(mine, a) == bits(other, b)


def test_state_of_the_wrong_shape_is_refused() -> None:
    p = nn.Parameter(allgrad.ones(3))
    optimizer = optim.Adam([p])
    optimizer.state[p]["exp_avg"] = allgrad.zeros(4)
    with pytest.raises(ValueError, match=r"'exp_avg' has shape \[4\], but its parameter has \[3\]"):
        step(optimizer, [p])


def test_read_only_parameters_are_refused_only_when_they_would_change() -> None:
    frozen = np.ones(3, np.float32)
    p, q = nn.Parameter(allgrad.from_numpy(frozen)), nn.Parameter(allgrad.ones(2))
    frozen.flags.writeable = False
    optimizer = optim.SGD([p, q], lr=0.1)
    step(optimizer, [q])
    with pytest.raises(ValueError, match="read-only memory"):
        step(optimizer, [p, q])


def test_a_copy_has_state_of_its_own() -> None:
    mine, a, _, _ = twin()
    step(mine, a)
    other, b = copy.deepcopy((mine, a))
    for p, q in zip(a, b):
        assert other.state[q]["exp_avg"] is not mine.state[p]["exp_avg"]
    before = bits(mine, a)
    step(other, b)
    assert bits(mine, a) == before
    step(mine, a)
    assert bits(mine, a) == bits(other, b)


def test_many_small_parameters_are_few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    from allgrad.optim import adam

    calls = []
    monkeypatch.setattr(adam, "adam", lambda *given: calls.append(given[0].size))
    params = parameters([(100,)] * 50 + [(100, 100)], ["float32"] * 51, 0)
    step(optim.Adam(params), params)
    assert calls == [50 * 100 + 100 * 100]
