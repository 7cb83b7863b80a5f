#!/bin/bash
# One machine: one rank per core (or as many as you name), started again after a crash.
#
#   launch/local.sh examples/resume.py            RANKS=4 launch/local.sh train.py --epochs 3
#
# Needs `allgrad` on the PATH (activate your virtual environment first). Variables that you may set:
#   RANKS       ranks (default: the cores that this process may use)
#   RESTARTS    how often a failed job starts again; the program must resume from its checkpoint (default: 3)
#   ALLGRAD_TIMEOUT  seconds until a rank that does not answer ends the job (default: 600)
set -eu

if [ $# -eq 0 ]; then
    echo "usage: [RANKS=N] [RESTARTS=K] $0 PROGRAM [argument ...]" >&2
    exit 2
fi

# nproc sees the affinity mask; `allgrad doctor` below also sees a container's CPU quota, and says so.
RANKS=${RANKS:-$(nproc)}

# What would make the job slow or wrong is said now, not in an hour. Its findings are advice here, so go on.
allgrad run -n "$RANKS" -m allgrad doctor || echo "local.sh: going on in spite of these findings" >&2

# exec: Ctrl-C, SIGTERM and the exit code are those of the job (75: interrupted and saved, start it again).
exec allgrad run -n "$RANKS" --max-restarts "${RESTARTS:-3}" "$@"
