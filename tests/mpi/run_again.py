"""Bodies of test_ddp_again.py over MPI: the same bits as on virtual ranks."""

import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from allgrad.comm import run_virtual
from allgrad.comm.mpi import mpi_world
from test_ddp_again import averaged_weights, copied, two_heads, wrapped_again

warnings.simplefilter("ignore")  # heads that no rank used are named
rank = mpi_world().rank
for body, given in ((wrapped_again, (True,)), (two_heads, ()), (copied, ("deepcopy",)), (averaged_weights, ())):
    mine = body(*given)
    virtual = run_virtual(body, 3, *given)[rank]
    for a, b in zip(mine, virtual):
        assert a.tobytes() == b.tobytes(), body.__name__
print("as in the virtual world", flush=True)
