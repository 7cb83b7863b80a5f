#!/bin/bash
#PBS -N allgrad
#PBS -l select=2:ncpus=8:mpiprocs=8
#PBS -l walltime=04:00:00
#PBS -j oe
#PBS -r y
#
#   qsub -v PROGRAM="train.py --epochs 90" launch/pbs.sh
#
# PBS gives no arguments to a script, hence the variable; it is split at spaces. The nodes and the ranks on each are
# read from PBS_NODEFILE (mpiprocs above). Submit from a folder that all nodes see.
# To save and stop:  qsig -s USR1 JOBID     (qdel sends TERM, which saves too, and KILL after the server's kill_delay)
# To go on later:    qrerun JOBID, or qsub again. PBS may report exit status 0 for a job that was signalled: look for
# the line "pbs.sh: finished", or at the checkpoint.
set -u

if [ "${PROGRAM:-}" = "" ]; then
    echo 'usage: qsub -v PROGRAM="train.py --epochs 90" launch/pbs.sh' >&2
    exit 2
fi
cd "$PBS_O_WORKDIR" || exit 2

# In a session of its own (setsid), or PBS's signals would reach the launcher twice: from PBS and from the traps.
read -r -a WORDS <<<"$PROGRAM"
setsid allgrad run --max-restarts 3 "${WORDS[@]}" &
JOB=$!
trap 'kill -USR1 $JOB' USR1
trap 'kill -TERM $JOB' TERM

# A signal interrupts wait; the exit code is that of the last one.
wait $JOB
CODE=$?
while kill -0 $JOB 2>/dev/null; do
    wait $JOB
    CODE=$?
done
case $CODE in
0) echo "pbs.sh: finished" ;;
75) echo "pbs.sh: saved; submit again, or qrerun, to go on" ;;
*) echo "pbs.sh: failed with exit code $CODE" ;;
esac
exit $CODE
