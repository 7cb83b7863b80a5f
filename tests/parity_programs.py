"""Training programs, each with one planted bug that shows only at several ranks, and clean ones.

A program is the text below with some of its parts replaced.  ``python tests/parity_programs.py FOLDER N NAME …`` writes and
compares them all in one process and prints [exit code, text] of each as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

TEMPLATE = """
import torch, torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel as DDP
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.distributed import DistributedSampler

dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed({seed})
g = torch.Generator().manual_seed(1)
data = TensorDataset(torch.randn({samples}, 5, generator=g), torch.randn({samples}, 2, generator=g))
{make}
model = {wrap}
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
{loader}
for x, y in loader:
    optimizer.zero_grad()
    {body}
    optimizer.step()
dist.destroy_process_group()
"""

PARTS = {
    "seed": "0",
    "samples": "36",
    "make": "net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))",
    "wrap": "DDP(net)",
    "loader": "loader = DataLoader(data, batch_size=12 // size, sampler=DistributedSampler(data))",
    "body": "F.mse_loss(model(x), y).backward()",
}
BY_HAND = """F.mse_loss(model(x), y).backward()
    {before}
    for p in model.parameters():
        dist.all_reduce(p.grad)
        p.grad /= {divisor}
"""
NOISE = """class Noise(nn.Module):
    def forward(self, x):
        return x * (torch.rand(x.shape) > 0.3)
net = nn.Sequential(nn.Linear(5, 7), Noise(), nn.Linear(7, 2))
torch.manual_seed(rank)
"""
NORM = "net = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 2))"
DROP = "net = nn.Sequential(nn.Linear(5, 7), nn.Dropout(0.4), nn.Linear(7, 2))\ntorch.manual_seed(rank)"
MIX = """class Mix(nn.Module):
    def forward(self, x):
        return x - x.mean(0)
net = nn.Sequential(nn.Linear(5, 7), Mix(), nn.Linear(7, 2))"""

# name -> (parts, exit code, what must be said, options)
PROGRAMS: dict[str, tuple[dict[str, str], int, str, list[str]]] = {
    "clean": ({}, 0, "equal at 1 and", []),
    "clean, cut by hand": (
        {"loader": "loader = DataLoader(data, batch_size=12)",
         "body": "F.mse_loss(model(x[rank::size]), y[rank::size]).backward()"},
        0, "equal at 1 and", [],
    ),
    "clean, two micro-batches": (
        {"body": "h = len(x) // 2\n    with model.no_sync():\n        (F.mse_loss(model(x[:h]), y[:h]) / 2).backward()\n"
                 "    (F.mse_loss(model(x[h:]), y[h:]) / 2).backward()", "loader": PARTS["loader"].replace("12 //", "24 //"),
         "samples": "72"},
        0, "equal at 1 and", [],
    ),
    "clean, averaged by hand": ({"wrap": "net", "body": BY_HAND.format(before="", divisor="size")}, 0, "equal at 1 and", []),
    "clean, SyncBatchNorm": ({"make": NORM + "\nnet = nn.SyncBatchNorm.convert_sync_batchnorm(net)"}, 0, "equal at 1 and", []),
    "clean, dropout": ({"make": DROP}, 0, "was given the masks", []),
    "clean, clipped after the mean": (
        {"body": PARTS["body"] + "\n    nn.utils.clip_grad_norm_(model.parameters(), 0.01)"}, 0, "equal at 1 and", []
    ),
    "clean, exact weights": (
        {"samples": "35", "loader": PARTS["loader"].replace("(data))", "(data, exact=True))"),
         "body": "with model.sync(weight=len(x)):\n        F.mse_loss(model(x), y).backward()"}, 0, "equal at 1 and", [],
    ),
    "local statistics": ({"make": NORM}, 1, "the output of 1 (BatchNorm1d) differs", []),
    "local statistics, said": ({"make": NORM}, 1, "local BatchNorm statistics", []),
    "dropout of each rank": ({"make": DROP}, 1, "rank-dependent dropout", ["--no-replay"]),
    "noise of each rank": ({"make": NOISE}, 1, "the output of 1 (Noise) differs", []),
    "padding": ({"samples": "35"}, 1, "padding. The sampler repeats", []),
    "mean of means": (
        {"loader": "loader = DataLoader(data, batch_size=12)",
         "body": "part = slice(2 * rank, 12 if rank == size - 1 else 2 * rank + 2)\n"
                 "    F.mse_loss(model(x[part]), y[part]).backward()"},
        1, "mean of means", [],
    ),
    "double averaging": ({"body": "(F.mse_loss(model(x), y) / size).backward()"}, 1, "double averaging", []),
    "sum for a mean": ({"wrap": "net", "body": BY_HAND.format(before="", divisor="1")}, 1, "a sum in place of a mean", []),
    "missed sync": ({"wrap": "net"}, 1, "missed sync", []),
    "clipping before the mean": (
        {"wrap": "net", "body": BY_HAND.format(before="nn.utils.clip_grad_norm_(model.parameters(), 0.01)", divisor="size")},
        1, "clipping before the mean", [],
    ),
    "different weights": ({"seed": "rank", "wrap": "net"}, 1, "different initial weights: parameter '0.weight' is not the", []),
    "weights by size": ({"seed": "size"}, 1, "Does the seed or the model depend on the number of ranks?", []),
    "a module that mixes samples": ({"make": MIX}, 1, "so it mixes the samples of a batch", []),
    "data of its own": (
        {"loader": "loader = [(torch.randn(4, 5) + rank + size, torch.randn(4, 2)) for _ in range(4)]"}, 2, "other samples", []
    ),
    "no training": ({"body": "break"}, 2, "no training step was seen", []),
    "fails": ({"body": "raise ValueError('bad batch')"}, 2, "ValueError: bad batch", []),
}  # fmt: skip


def main(folder: str, n: str, names: list[str]) -> None:
    from allgrad.cli import main as command

    found = {}
    for name in names or list(PROGRAMS):
        parts, _, _, options = PROGRAMS[name]
        path = Path(folder) / "program.py"
        path.write_text(TEMPLATE.format(**{**PARTS, **parts}))
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command(["parity", "--as-torch", "-n", n, *options, str(path)])
        found[name] = [code, said.getvalue()]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
