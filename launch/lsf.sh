#!/bin/bash
#BSUB -J allgrad
#BSUB -n 16
#BSUB -R "span[ptile=8]"
#BSUB -W 4:00
#BSUB -o allgrad-%J.log
# Two minutes before the run limit LSF sends USR1 to this script (-wa the action, -wt the time).
#BSUB -wa USR1
#BSUB -wt 2
# Exit code 75 puts the job back into the queue.
#BSUB -Q "75"
#
#   bsub -env "all, PROGRAM=train.py --epochs 90" < launch/lsf.sh
#
# The nodes and the ranks on each are read from LSB_MCPU_HOSTS and reached by ssh: the MPI wheels know nothing of LSF.
# Submit from a folder that all nodes see. Not tested on a real LSF.
set -u

if [ "${PROGRAM:-}" = "" ]; then
    echo 'usage: bsub -env "all, PROGRAM=train.py --epochs 90" < launch/lsf.sh' >&2
    exit 2
fi

read -r -a WORDS <<<"$PROGRAM"
setsid allgrad run --max-restarts 3 "${WORDS[@]}" & # a session of its own: signals come once, from the traps
JOB=$!
trap 'kill -USR1 $JOB' USR1 USR2
trap 'kill -TERM $JOB' TERM INT # bkill

# A signal interrupts wait; the exit code is that of the last one.
wait $JOB
CODE=$?
while kill -0 $JOB 2>/dev/null; do
    wait $JOB
    CODE=$?
done
echo "lsf.sh: exit code $CODE"
exit $CODE
