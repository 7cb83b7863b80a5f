"""The demo's network from the same weights and batches follows PyTorch's losses; wrong input is a typed error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import allgrad
from allgrad import nn
from allgrad.errors import AllgradError
from allgrad.nn import functional as F
from mpirun import SOURCE

ROOT = Path(__file__).parents[1]


def demo_network(nn: Any) -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )


def losses(library: Any, state: Any, steps: int = 50) -> list[float]:
    """Adam on the same 50 batches."""
    model = demo_network(library.nn)
    if state is not None:
        model.load_state_dict({k: library.tensor(v) for k, v in state.items()})
    optimizer = library.optim.Adam(model.parameters(), lr=2e-3)
    source = np.random.default_rng(7)
    found = []
    for _ in range(steps):
        labels = source.integers(0, 10, 32)
        images = source.random((32, 1, 8, 8), np.float32)
        images.reshape(32, 64)[np.arange(32), 6 * labels] += 2  # one bright pixel for each class
        optimizer.zero_grad()
        loss = library.nn.functional.cross_entropy(model(library.tensor(images)), library.tensor(labels))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_fifty_steps_as_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    state = {k: v.numpy().copy() for k, v in demo_network(torch.nn).state_dict().items()}
    ours, theirs = losses(allgrad, state), losses(torch, state)
    assert theirs[-1] < 0.5 * theirs[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_same_seed_same_run_as_in_pytorch() -> None:
    """Not even the weights have to be carried over: the generators agree."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    allgrad.manual_seed(3)
    np.testing.assert_allclose(losses(allgrad, None, 10), losses(torch, None, 10), rtol=1e-5, atol=1e-5)


MISTAKES: dict[str, tuple[Any, type[Exception], str]] = {
    "inner size": (lambda: nn.Linear(4, 3)(allgrad.ones(2, 5)), RuntimeError, "2x5 and 4x3"),
    "channels": (lambda: nn.Conv2d(3, 4, 3)(allgrad.ones(2, 1, 8, 8)), RuntimeError, "3 channels"),
    "class too large": (
        lambda: F.cross_entropy(allgrad.ones(2, 3), allgrad.tensor([0, 3])),
        IndexError,
        "Target 3 is out of bounds",
    ),
    "labels as floats of the wrong shape": (
        lambda: F.cross_entropy(allgrad.ones(2, 3), allgrad.tensor([float("nan"), 1.0])),
        RuntimeError,
        "Long",
    ),
    "batch sizes differ": (
        lambda: F.cross_entropy(allgrad.ones(2, 3), allgrad.tensor([0, 1, 2])),
        ValueError,
        r"\(2\).*\(3\)",
    ),
    "broadcast": (lambda: allgrad.ones(2, 3) + allgrad.ones(2, 4), RuntimeError, r"\(3\).*\(4\)"),
    "unknown keyword": (lambda: nn.Linear(4, 3, bais=True), TypeError, "bais"),
    "text as data": (lambda: allgrad.tensor(["a"]), TypeError, "'a'"),
    "gradient of integers": (lambda: allgrad.tensor([1, 2], requires_grad=True), RuntimeError, "floating point"),
    "backward without graph": (lambda: allgrad.ones(1).backward(), RuntimeError, "does not require grad"),
    "backward of a vector": (lambda: allgrad.ones(2, requires_grad=True).mul(2).backward(), RuntimeError, "scalar"),
    "negative learning rate": (
        lambda: allgrad.optim.Adam(nn.Linear(1, 1).parameters(), lr=-1.0),
        ValueError,
        "Invalid learning rate: -1",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_typed_errors(name: str) -> None:
    mistake, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words) as found:
        mistake()
    assert isinstance(found.value, (AllgradError, TypeError))


def test_an_empty_batch_passes_through() -> None:
    """As in PyTorch: outputs of no rows, a mean loss of nan, zero gradients for the weights."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    y = model(allgrad.ones(0, 1, 8, 8))
    assert tuple(y.shape) == (0, 3)
    y.sum().backward()
    assert all(p.grad.abs().sum().item() == 0 for p in model.parameters())


def test_a_second_backward_says_what_to_do() -> None:
    x = allgrad.ones(3, requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loss.backward()


def test_the_tutorial_in_seven_steps() -> None:
    """Inputs, model, forward, loss, backward, step, repeat: with the old Variable too."""
    allgrad.manual_seed(0)
    x = allgrad.autograd.Variable(allgrad.randn(64, 3), requires_grad=True)
    y = x.detach() @ allgrad.tensor([[1.0], [-2.0], [0.5]])
    model, criterion = nn.Linear(3, 1), nn.MSELoss()
    optimizer = allgrad.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(200):
        loss = criterion(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 1e-6
    assert x.grad.shape == x.shape
    np.testing.assert_allclose(model.weight.detach().numpy(), [[1, -2, 0.5]], atol=1e-3)


def test_import_is_light_and_starts_no_mpi() -> None:
    program = (
        "import sys, time, numpy\n"
        "start = time.process_time()\n"
        "import allgrad\n"
        "assert 'mpi4py.MPI' not in sys.modules and 'mpi4py' not in sys.modules\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'numba', 'matplotlib', 'tqdm', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "print(time.process_time() - start)\n"
    )
    job = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": SOURCE, "PATH": "/usr/bin:/bin"},
    )
    assert job.returncode == 0, job.stderr


def test_the_example_runs_in_one_process(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    job = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "digits.py"), "--epochs", "2", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PYTHONPATH": SOURCE, "PATH": "/usr/bin:/bin", "OPENBLAS_NUM_THREADS": "1", "HOME": str(tmp_path)},
    )
    assert job.returncode == 0, job.stderr
    assert "test accuracy" in job.stdout
    saved = allgrad.load(tmp_path / "digits.ckpt")
    assert saved["epochs"] == 2 and "0.weight" in saved["model"]
    assert (tmp_path / "loss.png").stat().st_size > 1000
