"""One MPI rank of ``test_mismatch_mpi.py``: runs the cases named on the command line.

With ``catch``, each in a group of its own that is abandoned after it, and rank 0 prints what every rank found, as JSON.
With ``die`` one case, whose error is not caught.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import allgrad.distributed as dist
import mismatch_models  # noqa: F401 - enters its cases
from allgrad.comm import launch_world, stage
from allgrad.comm.mpi import World
from allgrad.context import ctx
from allgrad.distributed.group import _set_default
from allgrad.errors import AllgradError
from mismatch_cases import CASES

how, *names = sys.argv[1:]
stage.STAGE_BYTES = 256 * 1024  # each case leaves the memory of its groups behind
if os.environ.get("TEST_NODES"):  # such as 0,0,1: as far as allgrad can see, ranks 0 and 1 share a node
    homes = [int(home) for home in os.environ["TEST_NODES"].split(",")]
    World._find_node = lambda world: world.comm.Split(homes[world.rank], world.rank)
world = launch_world()
if how == "die":
    dist.init_process_group()
    CASES[names[0]].program(world.rank == world.size - 1)
    dist.barrier()
    print("all done")
    sys.exit(0)
found = {}
for name in names or [name for name, case in CASES.items() if case.mpi == "meets"]:
    ctx.launched = world.split(0)
    dist.init_process_group()
    started, ours, text = time.monotonic(), False, "nothing was found"
    try:
        CASES[name].program(world.rank == world.size - 1)
        dist.barrier()
    except AllgradError as error:
        ours, text = True, str(error)
    except Exception as error:
        text = repr(error)
    mine = [ours, text, time.monotonic() - started]
    _set_default(None)
    ctx.endings.clear()  # models that are given up say no more words
    found[name] = [json.loads(each) for each in world.all_gather_bytes(json.dumps(mine).encode(), "next case")]
if world.rank == 0:
    print(json.dumps(found))
