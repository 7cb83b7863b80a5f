"""A real Slurm on the nodes of ``cluster_nodes.py``: a controller on the first, a worker daemon on each, one munge for all."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from cluster_nodes import Nodes, find

SLURM_TOOLS = ("slurmctld", "slurmd", "munged", "sbatch", "scontrol", "squeue", "sinfo")
CPUS = 2

CONFIGURATION = """
ClusterName=test
SlurmctldHost=node1
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={own}/munge.sock
CredType=cred/munge
StateSaveLocation={own}/state
SlurmdSpoolDir={own}/spool.%n
SlurmctldPidFile={own}/slurmctld.pid
SlurmdPidFile={own}/slurmd.%n.pid
SlurmctldLogFile={own}/slurmctld.log
SlurmdLogFile={own}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=3
SlurmctldTimeout=20
SlurmdTimeout=20
JobRequeue=1
JobCompType=jobcomp/filetxt
JobCompLoc={own}/jobcomp.txt
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
NodeName=node[1-{count}] CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 RealMemory=2000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Slurm:
    """``with Slurm(nodes) as slurm:`` all nodes are idle; the daemons end with the block."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes, self.own = nodes, nodes.shared / ".slurm"
        self.daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Slurm:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for daemon in reversed(self.daemons):
            daemon.terminate()
        for daemon in reversed(self.daemons):
            try:
                daemon.wait(timeout=3)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def _start(self) -> None:
        self.nodes.over_ssh = False
        (self.own / "state").mkdir(parents=True)
        self.own.chmod(0o755)
        key = self.own / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        text = CONFIGURATION.format(own=self.own, count=len(self.nodes.names), cpus=CPUS)
        (self.own / "slurm.conf").write_text(text)
        options = [f"--{name}={self.own}/munge.{end}" for name, end in (("socket", "sock"), ("pid-file", "pid"))]
        options += [f"--{name}={self.own}/munge.{end}" for name, end in (("log-file", "log"), ("seed-file", "seed"))]
        self._daemon([find("munged") or "munged", "--force", "-F", f"--key-file={key}", *options])
        until = time.monotonic() + 10
        while not (self.own / "munge.sock").exists():
            assert time.monotonic() < until, "munged does not start"
            time.sleep(0.05)
        first = self.nodes.names[0]
        self._daemon(self.nodes.command(first, [find("slurmctld") or "", "-D", "-c"], **self.variables()))
        for name in self.nodes.names:
            (self.own / f"spool.{name}").mkdir()
            self._daemon(self.nodes.command(name, [find("slurmd") or "", "-D"], **self.variables()))
        until = time.monotonic() + 30
        while self.ask("sinfo", "-h", "-t", "idle", "-o", "%D", check=False) != str(len(self.nodes.names)):
            assert time.monotonic() < until, self.log()
            time.sleep(0.2)

    def _daemon(self, words: list[str]) -> None:
        with open(self.own / "daemons.log", "ab") as log:
            self.daemons.append(
                subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            )

    def variables(self) -> dict[str, str]:
        """What Slurm's commands need."""
        return {"SLURM_CONF": str(self.own / "slurm.conf")}

    def ask(self, *words: str, check: bool = True, **variables: str) -> str:
        """Run a command of Slurm on the first node; its output."""
        command = self.nodes.command(self.nodes.names[0], words, **self.variables(), **variables)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, *words: str, **variables: str) -> str:
        """``sbatch``; the number of the job."""
        return self.ask("sbatch", "--parsable", *words, **variables).splitlines()[-1]

    def state(self, job: str) -> str:
        """Such as PENDING, RUNNING, COMPLETED, FAILED, NODE_FAIL."""
        shown = self.ask("scontrol", "show", "job", job)
        return shown.partition("JobState=")[2].split()[0]

    def await_state(self, job: str, *wanted: str, timeout_s: float = 40) -> str:
        """Wait until the job is in one of the ``wanted`` states; a requeued job would wait two minutes, so it is pushed."""
        started = time.monotonic()
        while (state := self.state(job)) not in wanted:
            waited = time.monotonic() - started
            assert waited < timeout_s, f"job {job} is {state}, not {wanted}\n{self.log()}"
            # Not at once: a worker daemon refuses a job that it killed within the same second or so.
            if state == "PENDING" and waited > 3:
                self.ask("scontrol", "update", f"jobid={job}", "starttime=now", check=False)
            time.sleep(0.2)
        return state

    def log(self) -> str:
        """The last lines of the daemons, for the report of a failure."""
        logs = [self.own / "daemons.log", *Path(self.own).glob("slurm*.log")]
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in logs if path.exists()
        )


def require_slurm() -> None:
    """Skip where Slurm is not installed."""
    missing = [tool for tool in SLURM_TOOLS if find(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (packages slurm-wlm and munge)")
