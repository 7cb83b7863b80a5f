"""Names that public PyTorch programs use: pruning, fusing, lazy norms, attention kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn
from allgrad.nn.attention import SDPBackend, sdpa_kernel
from allgrad.nn.utils import prune

WEIGHT = np.array([[0.1, -2.0, 0.3], [-0.4, 0.5, 6.0]], np.float32)


def layer(library: Any = allgrad) -> Any:
    made = library.nn.Linear(3, 2)
    with library.no_grad():
        made.weight.copy_(library.tensor(WEIGHT))
    return made


def test_pruned_entries_get_no_gradient_and_stay_zero() -> None:
    pruned = prune.l1_unstructured(layer(), "weight", 2)
    assert prune.is_pruned(pruned)
    np.testing.assert_array_equal(pruned.weight_mask.numpy(), [[0, 1, 0], [1, 1, 1]])
    assert sorted(pruned.state_dict()) == ["bias", "weight_mask", "weight_orig"]
    optimizer = allgrad.optim.SGD(pruned.parameters(), lr=0.1)
    pruned(allgrad.ones(4, 3)).sum().backward()
    np.testing.assert_array_equal(pruned.weight_orig.grad.numpy(), 4 * pruned.weight_mask.numpy())
    optimizer.step()
    pruned(allgrad.ones(4, 3))
    expected = (WEIGHT - 0.4) * pruned.weight_mask.numpy()
    np.testing.assert_allclose(pruned.weight.detach().numpy(), expected, rtol=1e-6)
    prune.remove(pruned, "weight")
    assert not prune.is_pruned(pruned) and isinstance(pruned.weight, nn.Parameter)
    np.testing.assert_allclose(pruned.weight.detach().numpy(), expected, rtol=1e-6)


def test_pruning_again_takes_what_is_left() -> None:
    pruned = prune.l1_unstructured(layer(), "weight", 2)
    prune.l1_unstructured(pruned, "weight", 0.5)
    np.testing.assert_array_equal(pruned.weight_mask.numpy(), [[0, 1, 0], [0, 0, 1]])
    assert isinstance(next(iter(pruned._forward_pre_hooks.values())), prune.PruningContainer)
    prune.ln_structured(pruned, "weight", 1, n=2, dim=1)
    # The first column is gone already; of the other two the second is the shorter.
    np.testing.assert_array_equal(pruned.weight_mask.numpy(), [[0, 0, 0], [0, 0, 1]])


def test_structured_random_and_custom() -> None:
    rows = prune.random_structured(layer(), "weight", 1, dim=0)
    assert sorted(rows.weight_mask.sum(1).tolist()) == [0, 3]
    assert int(prune.random_unstructured(layer(), "weight", 0.5).weight_mask.sum()) == 3
    mask = allgrad.tensor([[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(prune.custom_from_mask(layer(), "weight", mask).weight_mask.numpy(), mask.numpy())
    two = [layer(), layer()]
    with allgrad.no_grad():
        two[1].weight.mul_(10)
    prune.global_unstructured([(m, "weight") for m in two], prune.L1Unstructured, amount=6)
    assert [int(m.weight_mask.sum()) for m in two] == [1, 5]


def test_what_cannot_be_pruned() -> None:
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(layer(), "weight")
    with pytest.raises(ValueError, match="amount=9"):
        prune.l1_unstructured(layer(), "weight", 9)
    with pytest.raises(ValueError, match=r"amount=1\.5"):
        prune.l1_unstructured(layer(), "weight", 1.5)


def test_pruning_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from torch.nn.utils import prune as theirs

    found = []
    for library, module in ((allgrad, prune), (torch, theirs)):
        m = layer(library)
        module.l1_unstructured(m, "weight", 0.3)
        module.ln_structured(m, "weight", 0.5, n=1, dim=1)
        module.l1_unstructured(m, "weight", 1)
        found.append((m.weight_mask.numpy(), sorted(m.state_dict()), m.weight.detach().numpy()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]
    np.testing.assert_array_equal(found[0][2], found[1][2])


@pytest.mark.parametrize("transposed", [False, True])
def test_fused_convolution(transposed: bool) -> None:
    allgrad.manual_seed(0)
    conv: Any = (nn.ConvTranspose2d if transposed else nn.Conv2d)(3, 4, 3, bias=not transposed)
    norm = nn.BatchNorm2d(4)
    x = allgrad.randn(2, 3, 6, 6)
    norm(conv(allgrad.randn(8, 3, 6, 6) * 2 + 1))
    with allgrad.no_grad():
        norm.weight.uniform_(0.5, 2.0)
        norm.bias.normal_()
    with pytest.raises(ValueError, match="eval"):
        nn.utils.fuse_conv_bn_eval(conv, norm, transposed)
    expected = norm.eval()(conv.eval()(x))
    fused = nn.utils.fuse_conv_bn_eval(conv, norm, transposed)
    np.testing.assert_allclose(fused(x).detach().numpy(), expected.detach().numpy(), atol=2e-5)


def test_fused_linear() -> None:
    linear, norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
    norm(linear(allgrad.randn(16, 3)))
    x = allgrad.randn(5, 3)
    expected = norm.eval()(linear.eval()(x))
    np.testing.assert_allclose(
        nn.utils.fuse_linear_bn_eval(linear, norm)(x).detach().numpy(), expected.detach().numpy(), atol=1e-5
    )


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_lazy_instance_norm(dims: int) -> None:
    x = allgrad.randn(2, 5, *[3] * dims)
    for batch in (x, x[0]):
        lazy = getattr(nn, f"LazyInstanceNorm{dims}d")()
        y = lazy(batch)
        assert type(lazy).__name__ == f"InstanceNorm{dims}d" and lazy.num_features == 5
        plain = getattr(nn, f"InstanceNorm{dims}d")(5, affine=True, track_running_stats=True)
        np.testing.assert_allclose(y.detach().numpy(), plain(batch).detach().numpy(), atol=1e-6)


def test_attention_kernels_compute_the_same() -> None:
    q = allgrad.randn(2, 3, 4)
    plain = nn.functional.scaled_dot_product_attention(q, q, q)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        chosen = nn.functional.scaled_dot_product_attention(q, q, q)
    np.testing.assert_array_equal(chosen.numpy(), plain.numpy())
    with pytest.raises(TypeError, match="SDPBackend"), sdpa_kernel("flash"):
        raise AssertionError("an unknown kernel was accepted")
