"""One MPI rank of ``test_comm_worlds.py``: runs every body, rank 0 prints the digests of all ranks as JSON."""

import hashlib
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from allgrad.comm import launch_world
from allgrad.comm.mpicomm import MpiCommunicator
from comm_bodies import BODIES

if os.environ.get("TEST_CHUNK_BYTES"):
    MpiCommunicator.chunk_bytes = int(os.environ["TEST_CHUNK_BYTES"])
world = launch_world()
found = {}
for name, body in BODIES.items():
    digest = hashlib.sha256(body(world)).hexdigest()
    found[name] = [each.decode() for each in world.all_gather_bytes(digest.encode())]
facts = world.describe()
world.close()
if world.rank == 0:
    print(json.dumps({"digests": found, "facts": facts}))
