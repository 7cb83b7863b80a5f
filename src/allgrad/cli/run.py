"""Start a training program on several ranks.

  allgrad run -n 4 train.py --epochs 3     four ranks of the MPI that is found, on this host
  allgrad run --virtual 4 train.py         four ranks as threads taking turns in one process, no MPI; for debugging
  allgrad run -n 2 -m package.train        a module instead of a script

The program sees RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE as under torchrun.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping

from allgrad.cli.command import Plan, plan_command, plan_environment
from allgrad.cli.cores import thread_variables, usable_cores
from allgrad.cli.hosts import Allocation, Host, allocation, parse_hostfile, parse_hosts
from allgrad.cli.job import DIRECTORY_VARIABLE, Job
from allgrad.cli.mpi_launcher import Launcher, find_launcher
from allgrad.cli.program import AS_TORCH, Program
from allgrad.cli.restart import Outcome, restart_variables, run_with_restarts
from allgrad.cli.signals import Signals
from allgrad.cli.supervise import supervise
from allgrad.cli.torchrun import add_torchrun_arguments, check_torchrun_arguments, spellings
from allgrad.comm.launchenv import detect
from allgrad.errors import ArgumentError, LaunchError, UnsupportedError

SUMMARY = "start a training program on several ranks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, then the program with its own arguments, which are left alone."""
    parser.usage = "allgrad run [options] (PROGRAM | -m MODULE) [argument ...]"
    ranks = parser.add_argument_group("ranks")
    number = positive_int
    ranks.add_argument(
        "-n", *spellings("nproc-per-node"), type=number, metavar="N", help="ranks on each node (default: 1)"
    )
    ranks.add_argument("--virtual", type=number, metavar="N", help="N ranks as threads in one process, without MPI")
    ranks.add_argument("--nnodes", type=number, metavar="N", help="nodes to use (default: all that are given)")
    where = ranks.add_mutually_exclusive_group()
    where.add_argument("--hosts", metavar="A:2,B:2", help="nodes, reached by ssh, with the ranks on each")
    where.add_argument("--hostfile", metavar="FILE", help="the same, one node a line: NAME, NAME:2 or NAME slots=2")
    ranks.add_argument("--mpi", choices=("auto", "openmpi", "mpich"), default="auto", help="which launcher to look for")
    ranks.add_argument("--threads", type=number, metavar="K", help="BLAS threads of a rank (default: cores / ranks)")
    ranks.add_argument("--bind", action="store_true", help="pin each rank to its own cores")
    ranks.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="set or pass on a variable, on all nodes"
    )
    ranks.add_argument("--timeout", type=positive_float, metavar="S", help="seconds until a missing rank ends the job")
    ranks.add_argument(
        *spellings("max-restarts"), type=whole_number, default=0, metavar="K",
        help="start again after a failure, at most K times",
    )  # fmt: skip
    ranks.add_argument("--elastic", action="store_true", help="not available: refused with the reason")
    parser.add_argument("--as-torch", action="store_true", help="run an unmodified PyTorch program: torch is allgrad")
    output = parser.add_argument_group("output").add_mutually_exclusive_group()
    output.add_argument(
        *spellings("log-dir"), metavar="DIR", help="write the output of rank R to DIR/rank-R.log instead"
    )
    output.add_argument("--tag-output", action="store_true", help="put [R] before each line of rank R")
    add_torchrun_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the environment and the command, start nothing")
    parser.add_argument("-m", dest="module", action="store_true", help="PROGRAM is the name of a module")
    parser.add_argument("program", nargs=argparse.REMAINDER, metavar="PROGRAM", help="the program and its arguments")


def positive_int(text: str) -> int:
    """A whole number from 1 on; argparse shows the message."""
    if not (text.isascii() and text.isdigit() and int(text[:9]) >= 1 and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def whole_number(text: str) -> int:
    """0 or more."""
    return 0 if text == "0" else positive_int(text)


def positive_float(text: str) -> float:
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text!r}")
    return value


def execute(arguments: argparse.Namespace) -> int:
    """Start the job and return its exit code."""
    if arguments.elastic:
        raise UnsupportedError(
            "--elastic: survivors cannot go on without a lost rank, because the groups, shared windows and boards of a world"
            " are made for all its ranks and cannot be shrunk; --max-restarts K starts the job again from its last checkpoint"
        )
    check_torchrun_arguments(arguments)
    if arguments.as_torch:
        os.environ[AS_TORCH] = "1"
        arguments.env = [*arguments.env, f"{AS_TORCH}=1"]
    words = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
    program = Program.parse([*(["-m"] if arguments.module else []), *words])
    program.check()
    if arguments.virtual is not None:
        return execute_virtual(arguments, program)
    already = detect()
    if already.size > 1:
        raise LaunchError(f"this process is itself one of several ranks ({already}); start `allgrad run` once, outside")
    plan = make_plan(arguments, program, os.environ)
    launcher = find_launcher(arguments.mpi)
    added = plan_environment(launcher, plan, os.environ, root=os.geteuid() == 0)
    if arguments.dry_run:
        command = plan_command(launcher, plan, added, os.environ)
        threads = added["OPENBLAS_NUM_THREADS"]
        return show(
            f"{launcher.family} {launcher.version}, {plan.ranks} ranks, {threads} BLAS threads each", added, command
        )
    if plan.log_dir is not None:
        os.makedirs(plan.log_dir, exist_ok=True)
        print(f"allgrad: the output of rank R is in {os.path.join(plan.log_dir, 'rank-R.log')}", file=sys.stderr)
    with Signals() as signals:

        def attempt(restarts: int) -> Outcome:
            job = Job.create(shared=plan.spread)
            ours = added | restart_variables(restarts, arguments.max_restarts)
            ours[DIRECTORY_VARIABLE] = str(job.directory)
            try:
                command = plan_command(launcher, plan, ours, os.environ)
                place = session_directory(launcher, plan, job, os.environ)
                return supervise(command, {**os.environ, **ours, **place}, job, launcher.family, signals)
            finally:
                job.remove()

        return run_with_restarts(attempt, arguments.max_restarts, signals)


def session_directory(launcher: Launcher, plan: Plan, job: Job, environment: Mapping[str, str]) -> dict[str, str]:
    """Where Open MPI's ``mpirun`` keeps its files: with those of the job, which are removed however it ends.

    By itself it takes /tmp/ompi.<its number>, and fails at once when a killed one of the same number has left that behind.
    """
    names = ("PRTE_MCA_prte_tmpdir_base", "OMPI_MCA_orte_tmpdir_base")  # of Open MPI 5 and 4
    if launcher.family != "openmpi" or plan.spread or any(name in environment for name in names):
        return {}
    return dict.fromkeys(names, str(job.directory))


def execute_virtual(arguments: argparse.Namespace, program: Program) -> int:
    """``--virtual N``: become a fresh interpreter, whose BLAS reads its thread number when it is loaded.

    Each virtual rank gets the threads that a real one would get, because the last bits of a product depend on them.
    """
    for name in ("nproc_per_node", "nnodes", "hosts", "hostfile", "bind", "log_dir", "tag_output"):
        if getattr(arguments, name):
            raise ArgumentError(f"--{name.replace('_', '-')} has no meaning with --virtual, which runs in one process")
    added = thread_variables(arguments.virtual, arguments.threads, os.environ, usable_cores())
    added |= given_variables(arguments.env, os.environ)
    if arguments.timeout is not None:
        added["ALLGRAD_TIMEOUT"] = f"{arguments.timeout:g}"
    command = [sys.executable, "-m", "allgrad.cli.virtual", str(arguments.virtual), *program.command_line()]
    if arguments.dry_run:
        return show(f"{arguments.virtual} virtual ranks in one process", added, command)
    sys.stdout.flush()
    return os.execve(command[0], command, {**os.environ, **added})


def show(title: str, added: Mapping[str, str], command: list[str]) -> int:
    """``--dry-run``: a command that can be pasted into a shell."""
    print(f"# {title}")
    variables = [f"{name}={shlex.quote(value)}" for name, value in added.items()]
    print("env", *variables, shlex.join(command), sep=" \\\n  ")
    return 0


def make_plan(arguments: argparse.Namespace, program: Program, environment: Mapping[str, str]) -> Plan:
    """Settle how many ranks run on which nodes."""
    hosts: tuple[Host, ...] = ()
    batch: Allocation | None = None
    if arguments.hosts is not None:
        hosts = parse_hosts(arguments.hosts)
    elif arguments.hostfile is not None:
        hosts = parse_hostfile(arguments.hostfile)
    else:
        batch = allocation(environment)
        hosts = batch.hosts if batch else ()
    given = len(hosts) or (batch.nodes if batch else 1)
    nodes = arguments.nnodes or given
    if nodes > given:
        raise LaunchError(
            f"--nnodes {nodes} was asked for, but there {'is 1 node' if given == 1 else f'are {given} nodes'}; name"
            " them with --hosts or --hostfile, or start inside a job of the batch system"
        )
    each = arguments.nproc_per_node
    if hosts:
        hosts = tuple(Host(host.name, each or host.slots or 1) for host in hosts[:nodes])
        ranks, fullest = sum(host.slots or 1 for host in hosts), max(host.slots or 1 for host in hosts)
    elif each is None and batch is not None and batch.ranks is not None and nodes == given:
        ranks, fullest = batch.ranks, -(-batch.ranks // nodes)
    else:
        ranks, fullest = (each or 1) * nodes, each or 1
    return Plan(
        program=program,
        ranks=ranks,
        ranks_per_node=fullest,
        nodes=nodes,
        hosts=hosts,
        cores=usable_cores(),
        threads=arguments.threads,
        bind=arguments.bind,
        variables=given_variables(arguments.env, environment),
        timeout_s=arguments.timeout,
        log_dir=arguments.log_dir,
        tag_output=arguments.tag_output,
    )


def given_variables(words: list[str], environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """``NAME=VALUE`` as it stands; ``NAME`` with the value it has here."""
    found = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name.isidentifier():
            raise ArgumentError(f"--env {word}: expected NAME or NAME=VALUE")
        if not equals and name not in environment:
            raise ArgumentError(f"--env {name}: there is no such variable here; give it a value: --env {name}=…")
        found.append((name, value if equals else environment[name]))
    return tuple(found)
