"""Training that survives: killed, preempted or out of time, start it again and it goes on with the same bits.

python examples/resume.py                        one process; Ctrl-\\ or kill -9 it, start it again
allgrad run -n 2 examples/resume.py              two MPI processes; kill -USR1 the launcher: it saves and ends with code 75
allgrad run --virtual 4 examples/resume.py       four ranks in one process

The last line is a digest of the trained parameters: the same however often the run was interrupted.
"""

import argparse
import hashlib
import math
import time
from pathlib import Path

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn, optim
from allgrad.checkpoint import CheckpointManager
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.utils.data import DataLoader, DistributedSampler, TensorDataset

parser = argparse.ArgumentParser(description="Tell two spirals apart, and never lose more than a few steps.")
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--every", type=int, default=25, help="steps between two checkpoints")
parser.add_argument("--keep", type=int, default=3, help="how many checkpoints stay")
parser.add_argument("--background", action="store_true", help="write checkpoints while training goes on")
parser.add_argument(
    "--pause", type=float, default=0.0, help="seconds of sleep per step, to have time for an interruption"
)
parser.add_argument(
    "--out", type=Path, default=Path("runs/resume"), help="folder for the checkpoints, on a shared disk"
)
args = parser.parse_args()

# 1. Everything as in any program: the ranks, the data, the model, the optimizer, the schedule.
dist.init_process_group()
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
angle = torch.rand(960).sqrt() * 3 * math.pi
side = torch.arange(960) % 2
radius = angle / (3 * math.pi)
turned = angle + math.pi * side
points = 4 * torch.stack([radius * torch.cos(turned), radius * torch.sin(turned)], 1) + 0.05 * torch.randn(960, 2)
data = TensorDataset(points, side)
loader = DataLoader(data, batch_size=96 // size, sampler=DistributedSampler(data, seed=1))
model = DistributedDataParallel(
    nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Dropout(0.05), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
)
torch.manual_seed(1000 + rank)  # each rank drops other units
optimizer = optim.AdamW(model.parameters(), lr=1e-2)
scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))
criterion = nn.CrossEntropyLoss()

# 2. What is saved: these objects, all random numbers, and what you put into manager.values.
manager = CheckpointManager(args.out, keep=args.keep, every=args.every, background=args.background)
manager.track(model=model, optimizer=optimizer, scheduler=scheduler, loader=loader)
found = manager.resume("auto")  # None where there is nothing yet; a damaged checkpoint is passed over with a warning
if rank == 0:
    print("a new run" if found is None else f"resumed after step {found.step}", flush=True)

# 3. The loop goes on in the epoch and at the sample where it stopped.
for epoch in range(manager.values.get("epoch", 0), args.epochs):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), targets)
        loss.backward()
        optimizer.step()
        scheduler.step()
        time.sleep(args.pause)
        # Saves every `--every` steps.  After USR1, USR2 or TERM on any rank: all ranks save and leave with exit code 75.
        manager.step(loss=loss.item())
    manager.values["epoch"] = epoch + 1

# 4. The end: what is still being written is safe when close() returns.
manager.save(reason="the end")
manager.close()
if rank == 0:
    digest = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()
    print(f"{size} rank(s), {manager.steps} steps, loss {manager.metrics['loss']:.4f}, parameters {digest[:16]}")
dist.destroy_process_group()
