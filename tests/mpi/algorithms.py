"""Settings of rank 0 hold for all; a way that a group cannot go; ranks that ask for different ways."""

import json
import os

import numpy as np

from allgrad.comm import launch_world
from allgrad.errors import ArgumentError, MismatchError

rank = int(os.environ.get("OMPI_COMM_WORLD_RANK") or os.environ["PMI_RANK"])
if rank > 0:  # as on another node, to which the launcher passes no variables
    os.environ |= {"ALLGRAD_ALGORITHM": "auto", "ALLGRAD_CHECK_COLLECTIVES": "0", "ALLGRAD_TIMEOUT": "77"}

world = launch_world()
found = {"algorithm": world.algorithm, "check": world.check_collectives, "timeout": world.timeout_s}
inner = world.split(0)
found["inherited"] = inner.algorithm
found["described"] = world.describe()["algorithm"]
flat = np.full(1000, float(world.rank))
world.all_reduce(flat)  # goes all the same
found["sum"] = flat[0]
try:
    world.algorithm = "fastest"
except ArgumentError as error:
    found["refused"] = str(error)
if world.rank == 1:
    inner.algorithm = "ordered"
try:
    inner.all_reduce(flat)
except MismatchError as error:
    found["mismatch"] = str(error)
everybody = [json.loads(each) for each in world.all_gather_bytes(json.dumps(found).encode())]
if world.rank == 0:
    print(json.dumps(everybody))
