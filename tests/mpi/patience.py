"""Long waits in which every rank waits for something else, and which all end well: nobody may be declared stuck."""

import time

import numpy as np

from allgrad.comm import launch_world

world = launch_world()
rank, size = world.rank, world.size
low, high = world.subgroup([0, 1]), world.subgroup([2, 3])
flat = np.full(10, float(rank))
if rank == 0:
    time.sleep(2)  # the others wait meanwhile: 1 for 0 in a group, 2 for 1 in a message, 3 for 2 in another group
    low.all_reduce(flat)
elif rank == 1:
    low.all_reduce(flat)
    time.sleep(1.6)  # now 0 waits in the barrier, 2 still for the message
    world.send(flat, 2)
elif rank == 2:
    world.recv(flat, 1)
    high.all_reduce(flat)
else:
    high.all_reduce(flat)
# A relay: one rank after the other passes large messages on, more ranks than cores.
large = np.full(2_000_000, 1.0)  # 16 MB
for _ in range(3):
    if rank > 0:
        world.recv(large, rank - 1)
    large += 1
    if rank < size - 1:
        world.send(large, rank + 1)
world.barrier("the relay is through")
assert flat[0] == (1 if rank < 2 else 4), flat
assert large[0] == (4 if rank == 0 else large[-1])
print(f"rank {rank} is through")
