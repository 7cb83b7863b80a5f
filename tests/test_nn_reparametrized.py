"""SyncBatchNorm over ranks, weight and spectral norm, clipping, legacy constructors, process switches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.distributed as dist
from allgrad import nn
from allgrad.comm import run_virtual
from allgrad.nn.parallel import DistributedDataParallel

ROWS = np.random.default_rng(8).standard_normal((12, 3, 4, 4))


def network() -> Any:
    allgrad.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).double()


def trained(model: Any, rows: Any, wrapped: Any = None, share: float = 1.0) -> np.ndarray[Any, Any]:
    """Three steps; the loss is a sum over rows divided by the whole batch's size."""
    for _ in range(3):
        model.zero_grad()
        ((wrapped or model)(allgrad.tensor(rows)).square().sum() * share / len(ROWS)).backward()
        with allgrad.no_grad():
            for p in model.parameters():
                p.sub_(p.grad * 0.1)
    return np.concatenate([t.detach().numpy().astype(float).reshape(-1) for t in model.state_dict().values()])


@pytest.mark.parametrize("cuts", [(6,), (4, 8), (1, 3, 8)], ids=str)
def test_sync_batchnorm_is_batchnorm_of_the_whole_batch(cuts: tuple[int, ...]) -> None:
    """Ranks hold different numbers of rows."""
    expected = trained(network(), ROWS)

    def program() -> Any:
        dist.init_process_group()
        rank, size = dist.get_rank(), dist.get_world_size()
        model = nn.SyncBatchNorm.convert_sync_batchnorm(network())
        assert isinstance(model[1], nn.SyncBatchNorm)
        rows = np.split(ROWS, cuts)[rank]
        return trained(model, rows, DistributedDataParallel(model, broadcast_buffers=False), size)

    for found in run_virtual(program, len(cuts) + 1):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_sync_batchnorm_alone_is_batchnorm() -> None:
    model = nn.SyncBatchNorm.convert_sync_batchnorm(network())
    np.testing.assert_allclose(trained(model, ROWS), trained(network(), ROWS), rtol=0, atol=1e-12)


def test_weight_norm_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Conv2d(2, 3, 3).double()
    ours = nn.Conv2d(2, 3, 3).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    with pytest.warns(FutureWarning):
        theirs = torch.nn.utils.weight_norm(theirs)
    ours = nn.utils.weight_norm(ours)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = ROWS[:2, :2]
    theirs(torch.tensor(x)).square().sum().backward()
    ours(allgrad.tensor(x)).square().sum().backward()
    for p, q in zip(ours.parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-9)
    y = ours(allgrad.tensor(x))
    np.testing.assert_allclose(
        nn.utils.remove_weight_norm(ours)(allgrad.tensor(x)).detach().numpy(), y.detach().numpy()
    )
    assert sorted(ours.state_dict()) == ["bias", "weight"]


def test_spectral_norm_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    outputs = []
    for library in (torch, allgrad):
        library.manual_seed(2)
        layer = library.nn.utils.spectral_norm(library.nn.Linear(5, 4))
        x = library.ones(2, 5)
        for _ in range(3):
            y = layer(x)
        y.square().sum().backward()
        outputs.append((y.detach().numpy(), layer.weight_orig.grad.numpy()))
    for a, b in zip(*outputs):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [1.0, 2.0, 3.0, float("inf")])
def test_clip_grad_norm_against_pytorch(kind: float) -> None:
    torch = pytest.importorskip("torch")
    found = []
    for library in (torch, allgrad):
        params = [library.nn.Parameter(library.zeros(*s)) for s in ((3, 2), (4,))]
        for i, p in enumerate(params):
            p.grad = library.full(tuple(p.shape), 3.0 * (i + 1))
        total = library.nn.utils.clip_grad_norm_(params, 1.5, kind)
        found.append([total.numpy(), *[p.grad.numpy() for p in params]])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_clipping_shows_what_is_not_finite() -> None:
    p = nn.Parameter(allgrad.zeros(2))
    p.grad = allgrad.tensor([1.0, float("nan")])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    nn.utils.clip_grad_norm_([p], 1.0)
    assert np.isnan(p.grad.numpy()).all()
    p.grad = allgrad.tensor([1.0, -5.0])
    nn.utils.clip_grad_value_([p], 2.0)
    assert p.grad.tolist() == [1.0, -2.0]


def test_parameters_as_a_vector_and_back() -> None:
    model = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(model.parameters())
    assert tuple(vector.shape) == (9,)
    nn.utils.vector_to_parameters(vector.detach() * 0 + 2, model.parameters())
    assert model.weight.tolist() == [[2.0, 2.0]] * 3


def test_legacy_constructors() -> None:
    assert allgrad.FloatTensor(2, 3).shape == (2, 3) and allgrad.FloatTensor([1, 2]).dtype == allgrad.float32
    assert allgrad.LongTensor([1, 2]).dtype == allgrad.int64 and allgrad.ByteTensor([1]).dtype == allgrad.uint8
    assert isinstance(allgrad.ones(1), allgrad.FloatTensor) and not isinstance(allgrad.ones(1), allgrad.LongTensor)
    x = allgrad.ones(2, dtype=allgrad.float64)
    assert x.new_zeros(3).dtype == x.new_tensor([1, 2]).dtype == x.new_full((2,), 3).dtype == allgrad.float64
    assert x.new(2, 2).shape == (2, 2) and x.new([1.0]).tolist() == [1.0]


def test_threads_can_be_set_and_asked() -> None:
    before = allgrad.get_num_threads()
    allgrad.set_num_threads(1)
    assert allgrad.get_num_threads() == 1
    allgrad.set_num_threads(before)
    with pytest.raises(ValueError, match="positive"):
        allgrad.set_num_threads(0)


def test_compile_returns_what_it_was_given() -> None:
    def double(x: Any) -> Any:
        return x * 2

    assert allgrad.compile(double) is double and allgrad.compile(mode="max-autotune")(double) is double


def test_what_a_cpu_has_not_is_refused_in_words() -> None:
    assert not allgrad.cuda.is_available() and allgrad.cuda.device_count() == 0
    assert not allgrad.backends.mps.is_available()
    allgrad.backends.cudnn.benchmark = True
    for call in (
        lambda: allgrad.device("cuda"),
        lambda: allgrad.hub.load("a", "b"),
        lambda: allgrad.onnx.export(None),
        lambda: nn.Linear(1, 1).cuda(),
        lambda: allgrad.amp.autocast("cpu"),
        lambda: allgrad.ones(1).to_sparse(),
    ):
        with pytest.raises(RuntimeError, match=r"CPU|sparse|CUDA"):
            call()


@pytest.mark.parametrize("where", ["cuda", "cuda:0", "mps", "xpu"])
def test_another_device_is_never_silently_the_cpu(where: str) -> None:
    for call in (
        lambda: allgrad.zeros(2, device=where),
        lambda: allgrad.tensor([1.0], device=where),
        lambda: allgrad.randn(2, device=where),
        lambda: allgrad.ones(1).new_zeros(2, device=where),
        lambda: nn.Linear(2, 3, device=where),
        lambda: nn.LSTM(2, 3, device=where),
        lambda: allgrad.ones(1).to(where),
        lambda: nn.Linear(1, 1).to(where),
    ):
        with pytest.raises(RuntimeError, match="CPU"):
            call()
    assert allgrad.zeros(2, device="cpu").shape == (2,)
