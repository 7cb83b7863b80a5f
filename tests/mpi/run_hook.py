"""One MPI rank of ``test_ddp_arguments.py``: a communication hook that raises on the last rank."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_ddp_arguments import failing_hook

print(failing_hook("allreduce", 1e-5)[0][:60], flush=True)
