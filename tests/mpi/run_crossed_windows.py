"""Shared windows of several groups, some freed and made anew, the others left to the end of the program."""

import allgrad as torch
import allgrad.distributed as dist
from allgrad.nn.parallel import DistributedDataParallel

dist.init_process_group()
rank = dist.get_rank()
groups = [dist.new_group(ranks) for ranks in ([0, 1], [1, 2], [0, 2])]
mine = [g for g in groups if g is not dist.GroupMember.NON_GROUP_MEMBER]
kept = []
for turn in range(3):
    for g in [None, *mine, None]:
        model = DistributedDataParallel(torch.nn.Linear(400, 300), process_group=g)
        model(torch.ones(1, 400)).sum().backward()
        if turn == 2 or g is not None:
            kept.append(model)
    if turn == 1:
        kept = kept[1::2]
dist.barrier()
print("done", rank, flush=True)
