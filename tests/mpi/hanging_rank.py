"""One rank stops taking part in the way named on the command line, in the middle of training."""

import os
import signal
import sys
import time

import numpy as np

import allgrad as torch
import allgrad.distributed as dist
from allgrad.nn.parallel import DistributedDataParallel

how, odd = sys.argv[1], int(sys.argv[2])
dist.init_process_group()
model = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(40, 40), torch.nn.Linear(40, 3)))


def hangs_here() -> None:
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "sleeping":
        time.sleep(1000)
    large = np.ones((1500, 1500))
    while True:
        if how == "in a library":
            large @ large


for step in range(3):
    if step == 1 and dist.get_rank() == odd:
        hangs_here()
    model(torch.ones(2, 40)).sum().backward()
print("all done")
