"""Three ranks, of which rank 1 sleeps in one place; rank 0 prints what each rank's report says, and what it should say."""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn
from allgrad.autograd import Function
from allgrad.comm import launch_world
from allgrad.nn.parallel import DistributedDataParallel

NAP_S = 0.03
dist.init_process_group()
rank = dist.get_rank()


class Nap(Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        time.sleep(NAP_S)
        return g


class Slow(nn.Module):
    def __init__(self, forward, backward):
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.forward_nap, self.backward_nap = forward, backward
        self.wait = Wait(forward)

    def forward(self, x):
        y = self.norm(self.wait(self.inner(x)))
        return Nap.apply(y) if self.backward_nap and rank == 1 else y


class Wait(nn.Module):
    def __init__(self, naps):
        super().__init__()
        self.naps = naps

    def forward(self, x):
        if self.naps and rank == 1:
            time.sleep(NAP_S)
        return x


found = {}
for place in ("forward of 1.wait", "backward of 1.norm", "outside"):
    model = nn.Sequential(
        nn.Linear(4, 8), Slow(place.startswith("forward"), place.startswith("backward")), nn.Linear(8, 2)
    )
    model = DistributedDataParallel(model, bucket_cap_mb=1e-4)
    model.measure_lateness()
    for _ in range(6):
        if place == "outside" and rank == 1:
            time.sleep(NAP_S)
        model(torch.ones(4, 4)).sum().backward()
    report = model.lateness()
    said = {"late": report.late_rank, "part": report.part, "lost": report.lost_s, "text": str(report)}
    said["least wait"] = min(range(len(report.rows)), key=lambda r: report.rows[r]["wait"])
    found[place] = [json.loads(t) for t in launch_world().all_gather_bytes(json.dumps(said).encode())]
if rank == 0:
    print(json.dumps(found))
dist.destroy_process_group()
