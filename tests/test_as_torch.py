"""``import torch`` gives allgrad: the same modules under PyTorch's names, and one clear error for what is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src"


def run(code: str, *arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """``allgrad run --as-torch --virtual 1 program.py``."""
    path = tmp_path / "program.py"
    path.write_text(code)
    env = {**os.environ, "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "allgrad", "run", "--as-torch", "--virtual", "1", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)


def printed(code: str, tmp_path: Path) -> str:
    done = run(code, tmp_path=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout


SAME = """
import sys
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torch.optim.lr_scheduler import StepLR
import allgrad
assert torch is allgrad and F is allgrad.nn.functional and nn is allgrad.nn
assert DataLoader is allgrad.utils.data.DataLoader and StepLR is allgrad.optim.lr_scheduler.StepLR
assert sys.modules["torch.nn.functional"] is sys.modules["allgrad.nn.functional"]
assert isinstance(nn.Linear(1, 1).weight, torch.Tensor)
assert allgrad.__name__ == "allgrad" and allgrad.__spec__.name == "allgrad"
assert callable(torch.multiprocessing.spawn)
print(sys.argv[1:])
"""


def test_torch_and_its_submodules_are_allgrads_own(tmp_path: Path) -> None:
    done = run(SAME, "--lr", "0.1", tmp_path=tmp_path)
    assert (done.returncode, done.stdout) == (0, "['--lr', '0.1']\n"), done.stderr


MODULES = [
    "torch.amp",
    "torch.autograd",
    "torch.autograd.function",
    "torch.autograd.functional",
    "torch.autograd.variable",
    "torch.backends",
    "torch.backends.cuda",
    "torch.backends.cudnn",
    "torch.backends.mkldnn",
    "torch.backends.mps",
    "torch.cuda",
    "torch.cuda.amp",
    "torch.distributed",
    "torch.distributions",
    "torch.distributions.categorical",
    "torch.distributions.kl",
    "torch.distributions.normal",
    "torch.func",
    "torch.hub",
    "torch.jit",
    "torch.linalg",
    "torch.multiprocessing",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.modules",
    "torch.nn.modules.batchnorm",
    "torch.nn.modules.conv",
    "torch.nn.modules.loss",
    "torch.nn.modules.module",
    "torch.nn.modules.padding",
    "torch.nn.modules.utils",
    "torch.nn.parallel",
    "torch.nn.parallel.distributed",
    "torch.nn.parameter",
    "torch.nn.utils",
    "torch.nn.utils.clip_grad",
    "torch.nn.utils.rnn",
    "torch.onnx",
    "torch.optim",
    "torch.optim.adam",
    "torch.optim.adamw",
    "torch.optim.lr_scheduler",
    "torch.optim.optimizer",
    "torch.optim.sgd",
    "torch.optim.swa_utils",
    "torch.random",
    "torch.serialization",
    "torch.special",
    "torch.utils",
    "torch.utils.checkpoint",
    "torch.utils.data",
    "torch.utils.data.dataloader",
    "torch.utils.data.dataset",
    "torch.utils.data.distributed",
    "torch.utils.data.sampler",
    "torch.utils.tensorboard",
    "torch.version",
]


def test_the_modules_that_programs_import_are_there(tmp_path: Path) -> None:
    code = f"import importlib\nfor name in {MODULES}:\n    importlib.import_module(name)\nprint('all')\n"
    assert printed(code, tmp_path) == "all\n"


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_the_modules_of_this_list_are_pytorchs() -> None:
    for name in MODULES:
        if name != "torch.utils.tensorboard":  # importing it needs the tensorboard package
            assert name in sys.modules or importlib.util.find_spec(name) is not None, name


FROM_DOORS = """
from torch.backends import cudnn
import torch.backends.cudnn
from torch.distributions.categorical import Categorical
from torch.nn.modules.padding import ReflectionPad2d
from torch.nn.modules.utils import _pair, _triple
from torch.nn.parallel.distributed import DistributedDataParallel
from torch.optim.adamw import AdamW
from torch.utils.data.distributed import DistributedSampler
import torch
assert torch.backends.cudnn is cudnn
cudnn.benchmark = True
assert torch.backends.cudnn.benchmark and not cudnn.is_available()
with cudnn.flags(enabled=False):
    pass
torch.backends.cuda.matmul.allow_tf32 = True
assert not torch.backends.mps.is_available()
assert Categorical is torch.distributions.Categorical and AdamW is torch.optim.AdamW
assert DistributedSampler is torch.utils.data.DistributedSampler
assert DistributedDataParallel is torch.nn.parallel.DistributedDataParallel
assert (_pair(3), _pair((1, 2)), _triple(0)) == ((3, 3), (1, 2), (0, 0, 0))
"""


def test_names_reached_through_pytorchs_small_modules(tmp_path: Path) -> None:
    assert printed(FROM_DOORS, tmp_path) == ""


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import torch\ntorch.fbgemm_pack_quantized_matrix(1)", "torch.fbgemm_pack_quantized_matrix"),
        ("import torch\ntorch.ones(2).as_strided_scatter_of_mine()", "torch.Tensor.as_strided_scatter_of_mine"),
        ("from torch.nn import QuantumLinear", "torch.nn.QuantumLinear"),
        ("import torch.quantum", "torch.quantum"),
        ("import torchvision", "torchvision"),
    ],
)
def test_what_is_missing_is_named_in_one_error_with_the_line(line: str, name: str, tmp_path: Path) -> None:
    done = run(f"print('before')\n{line}\n", tmp_path=tmp_path)
    assert done.returncode != 0
    assert done.stdout == "before\n"
    assert f"MissingInAllgradError: {'the module ' if name == 'torch.quantum' else ''}{name} is not" in done.stderr
    assert "program.py" in done.stderr


def test_the_programs_own_attribute_errors_stay_as_they_are(tmp_path: Path) -> None:
    done = run("import torch\nclass Net(torch.nn.Module):\n    pass\nNet().encoder\n", tmp_path=tmp_path)
    assert "AttributeError: 'Net' object has no attribute 'encoder'" in done.stderr
    assert "MissingInAllgradError" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_a_process_that_has_the_real_torch_is_refused(tmp_path: Path) -> None:
    done = run("", tmp_path=tmp_path)
    assert done.returncode == 0
    code = "import torch\nimport allgrad.as_torch\nallgrad.as_torch.install()\n"
    env = {**os.environ, "PYTHONPATH": str(SOURCE)}
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=env)
    assert "the real torch is already imported" in refused.stderr


OLD = """
import torch
from torch.autograd import Variable
x = torch.rand(4, 3)
for kind in (torch.FloatTensor, torch.DoubleTensor, torch.LongTensor, torch.ByteTensor, torch.HalfTensor):
    y = x.type(kind)
    assert isinstance(y, kind) and y.type() == "torch." + kind.__name__, (kind, y.type())
assert x.type("torch.DoubleTensor").dtype is torch.float64 and x.type(torch.int16).dtype is torch.int16
"""


def test_type_takes_the_old_classes(tmp_path: Path) -> None:
    assert printed(OLD, tmp_path) == ""
