"""Every case in the MPI world, by the all-reduce and ways of stepping given; rank 0 prints each rank's digest as JSON."""

import hashlib
import json
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from allgrad.comm import launch_world
from sharded_step_bodies import CASES, train

warnings.simplefilter("ignore")
found = {}
launch_world().algorithm = sys.argv[1]
for how in sys.argv[2:]:
    for name, case in CASES.items():
        digest = hashlib.sha256(train(how, **case).tobytes()).hexdigest()
        found[f"{how}: {name}"] = [d.decode() for d in launch_world().all_gather_bytes(digest.encode())]
if launch_world().rank == 0:
    print(json.dumps(found))
