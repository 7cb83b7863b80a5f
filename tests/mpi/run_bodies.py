"""One MPI rank of ``test_comm_worlds.py``: runs every body, rank 0 prints the digests of all ranks as JSON."""

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from allgrad.comm import chain, exchange, launch_world
from allgrad.comm.mpi import World
from comm_bodies import BODIES

if os.environ.get("TEST_CHUNK_BYTES"):
    exchange.CHUNK_BYTES = chain.CHUNK_BYTES = int(os.environ["TEST_CHUNK_BYTES"])
if os.environ.get("TEST_NODES"):  # such as 0,0,1: ranks 0 and 1 share a node, as far as allgrad can see
    homes = [int(home) for home in os.environ["TEST_NODES"].split(",")]
    World._find_node = lambda world: world.comm.Split(homes[world.rank], world.rank)
world = launch_world()
found = {}
for name, body in BODIES.items():
    digest = hashlib.sha256(body(world)).hexdigest()
    found[name] = [each.decode() for each in world.all_gather_bytes(digest.encode())]
facts = world.describe()
buffer = world.allocate(80_000)
facts["ways"] = [world._reducer.way(a) for a in (buffer.array("float64"), np.zeros(100_000), np.zeros(8))]
world.close()
if world.rank == 0:
    print(json.dumps({"digests": found, "facts": facts}))
