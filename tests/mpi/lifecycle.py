"""The world is made once, closed, made again; buffers outlive it; a forked helper process is no rank."""

import os
import sys

import numpy as np

from allgrad.comm import launch_world

world = launch_world()
assert launch_world() is world
buffer = world.allocate(1 << 20)
flat = buffer.array(np.float32)
flat[:] = world.rank + 1
world.start_all_reduce(flat)  # closing waits for it
world.close()
world.close()
assert (flat == world.size * (world.size + 1) / 2).all()
again = launch_world()
assert again is not world
again.timeout_s = 20.0
if again.rank == 0:
    child = os.fork()
    if child == 0:
        sys.exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
again.barrier()
print(f"rank {again.rank} is done")
