"""launch/: short, clean, and true to what the batch systems are said to do; Slurm for real is in test_slurm.py."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from allgrad.cli.hosts import Host, parse_hostfile
from cli_jobs import SOURCE, environment, launcher, wait_until_gone

LAUNCH = Path(__file__).resolve().parents[1] / "launch"
FILES = sorted(path.name for path in LAUNCH.iterdir())
SCRIPTS = [name for name in FILES if name.endswith((".sh", ".sbatch"))]
LONGEST = 50  # lines: to be read before it is submitted

# Saves on USR1 and TERM as a program with checkpoints does, and says how it was called.
PROGRAM = """
import os, signal, sys, time
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda number, frame: sys.exit(75))
rank = os.environ["RANK"]
open(f"called-{rank}", "w").write(" ".join([os.environ["WORLD_SIZE"], *sys.argv[1:]]))
time.sleep(float(sys.argv[1]))
"""


def tool(name: str) -> str:
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def test_all_are_there() -> None:
    wanted = {"local.sh", "hosts.example", "slurm.sbatch", "slurm-array.sbatch", "pbs.sh", "lsf.sh"}
    assert set(FILES) == wanted | {"kubernetes-mpijob.yaml"}


@pytest.mark.parametrize("name", FILES)
def test_short_and_explained(name: str) -> None:
    lines = (LAUNCH / name).read_text().splitlines()
    assert len(lines) <= LONGEST
    assert sum(line.lstrip().startswith("#") for line in lines) >= 3


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_clean(name: str) -> None:
    assert os.access(LAUNCH / name, os.X_OK)
    assert subprocess.run(["bash", "-n", str(LAUNCH / name)], check=False).returncode == 0
    done = subprocess.run([tool("shellcheck"), "-s", "bash", str(LAUNCH / name)], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "local.sh"])
def test_batch_scripts_share_what_makes_them_safe(name: str) -> None:
    """The launcher in the background, traps for USR1 and TERM, waiting again after a trap, its own exit code."""
    text = (LAUNCH / name).read_text()
    assert re.search(r"allgrad run --max-restarts 3 .* &( #.*)?$", text, re.MULTILINE)
    assert re.search(r"^trap '.*kill -USR1 \$JOB' USR1", text, re.MULTILINE)
    assert re.search(r"^trap 'kill -TERM \$JOB' TERM", text, re.MULTILINE)
    assert "while kill -0 $JOB" in text and text.rstrip().endswith("exit $CODE")


def test_the_example_of_a_hostfile() -> None:
    assert parse_hostfile(str(LAUNCH / "hosts.example")) == (Host("node1", 8), Host("node2", 8), Host("node3", 4))


def prepare(folder: Path) -> dict[str, str]:
    """A shell's environment in which ``allgrad`` is a command, and the program."""
    launcher()
    (folder / "bin").mkdir()
    command = folder / "bin" / "allgrad"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m allgrad "$@"\n')
    command.chmod(0o755)
    (folder / "train.py").write_text(PROGRAM)
    return environment(PATH=f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}", PYTHONPATH=SOURCE)


def start(folder: Path, name: str, *words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(LAUNCH / name), *words],
        cwd=folder,
        env=prepare(folder) | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def batch(folder: Path, system: str, seconds: str) -> dict[str, str]:
    """What the batch system sets for a job of two ranks on this host."""
    program = {"PROGRAM": f"train.py {seconds} --epochs 3"}
    if system == "pbs.sh":
        (folder / "nodes").write_text(f"{os.uname().nodename}\n" * 2)
        more = {"PBS_ENVIRONMENT": "PBS_BATCH", "PBS_JOBID": "7.node1", "PBS_NODEFILE": str(folder / "nodes")}
        return program | more | {"PBS_O_WORKDIR": str(folder)}
    return program | {"LSB_JOBID": "7", "LSB_MCPU_HOSTS": f"{os.uname().nodename} 2"}


@pytest.mark.parametrize("system", ["pbs.sh", "lsf.sh"])
def test_a_batch_job_to_its_end(tmp_path: Path, system: str) -> None:
    job = start(tmp_path, system, **batch(tmp_path, system, "0"))
    said, _ = job.communicate(timeout=40)
    assert job.returncode == 0, said
    assert [(tmp_path / f"called-{rank}").read_text() for rank in range(2)] == ["2 0 --epochs 3"] * 2
    assert "pbs.sh: finished" in said or "lsf.sh: exit code 0" in said


@pytest.mark.parametrize(("system", "number"), [("pbs.sh", signal.SIGUSR1), ("lsf.sh", signal.SIGTERM)])
def test_a_batch_job_is_asked_to_save(tmp_path: Path, system: str, number: signal.Signals) -> None:
    job = start(tmp_path, system, **batch(tmp_path, system, "60"))
    until = time.monotonic() + 30
    while not all((tmp_path / f"called-{rank}").exists() for rank in range(2)):
        assert job.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    job.send_signal(number)
    said, _ = job.communicate(timeout=20)
    assert job.returncode == 75, said
    wait_until_gone(str(tmp_path))


def test_local(tmp_path: Path) -> None:
    job = start(tmp_path, "local.sh", "train.py", "0", RANKS="2")
    said, _ = job.communicate(timeout=60)
    assert job.returncode == 0 and "2 ranks on 1 node" in said, said
    assert (tmp_path / "called-1").read_text() == "2 0"


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_a_program_the_usage_is_shown(tmp_path: Path, name: str) -> None:
    done = subprocess.run(["bash", str(LAUNCH / name)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "usage: " in done.stderr


def test_the_mpijob_has_the_fields_of_its_kind() -> None:
    """The names of kubeflow.org/v2beta1, from the operator's documentation; pods by Kubernetes' own schema."""
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((LAUNCH / "kubernetes-mpijob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v2beta1", "MPIJob")
    known = {"slotsPerWorker", "runLauncherAsWorker", "runPolicy", "mpiReplicaSpecs", "sshAuthMountPath"}
    assert set(job["spec"]) <= known | {"launcherCreationPolicy", "mpiImplementation"}
    policy = {"cleanPodPolicy", "ttlSecondsAfterFinished", "activeDeadlineSeconds", "backoffLimit", "suspend"}
    assert set(job["spec"]["runPolicy"]) <= policy | {"schedulingPolicy", "managedBy"}
    assert job["spec"]["mpiImplementation"] in ("OpenMPI", "Intel", "MPICH")
    replicas = job["spec"]["mpiReplicaSpecs"]
    assert set(replicas) == {"Launcher", "Worker"} and replicas["Launcher"]["replicas"] == 1
    for replica in replicas.values():
        assert set(replica) <= {"replicas", "template", "restartPolicy"}
        containers = replica["template"]["spec"]["containers"]
        mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in replica["template"]["spec"]["volumes"]}
    validate = pytest.importorskip("kubernetes_validate")
    for name, replica in replicas.items():
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name.lower()},
            "spec": replica["template"]["spec"],
        }
        validate.validate(json.loads(json.dumps(pod)), "1.28", strict=True)
