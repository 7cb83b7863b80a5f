"""What each rank runs: ``python -m allgrad.cli.bootstrap [-m] PROGRAM ARGUMENT …``.

It gives the program torchrun's variables, runs it as ``__main__``, and makes sure that a rank which ends badly
ends the job, also before MPI is started: mpi4py alone leaves the other ranks waiting for ever.
"""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

from allgrad.cli.job import DIRECTORY_VARIABLE, Job
from allgrad.cli.program import Program, exit_code, format_failure
from allgrad.comm.arriving import listeners
from allgrad.comm.failure import before_end
from allgrad.comm.launchenv import Launch, detect
from allgrad.errors import LaunchError, RankFailedError

PROMISED_SIZE = "ALLGRAD_PROMISED_SIZE"  # the number of ranks that the launcher asked MPI for
LOG_DIR = "ALLGRAD_LOG_DIR"
TAG_OUTPUT = "ALLGRAD_TAG_OUTPUT"

LEAVE_PATIENCE_S = 1.0  # how long a rank that leaves by sys.exit(code) waits for the others to leave too
DEFER_S = 0.5
DRAIN_S = 0.2  # MPICH ends the job without passing on what was written just before
PR_SET_PDEATHSIG = 1


def main(words: list[str]) -> None:
    """Run the program as one rank; does not return when the program failed."""
    launch = detect()
    job = Job.from_environment(os.environ)
    redirect_output(launch.rank)
    if DIRECTORY_VARIABLE in os.environ:
        die_with_parent()

    def thread_failed(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_value is not None and not isinstance(failure.exc_value, SystemExit):
            end_job(launch, job, 1, format_failure(failure.exc_value))

    def unraisable(failure: sys.UnraisableHookArgs) -> None:
        # Python itself only prints what a function of atexit raises, and leaves with exit code 0.
        at_exit = (failure.err_msg or "").startswith("Exception ignored in atexit callback")
        if at_exit and failure.exc_value is not None:
            end_job(launch, job, 1, format_failure(failure.exc_value))
        sys.__unraisablehook__(failure)

    sys.unraisablehook = unraisable
    # The main thread would go on, or wait for ever for what the other thread should have given it.
    threading.excepthook = thread_failed
    try:
        if job:
            job.register(launch.rank)
            before_end.append(partial(leave_word, job, launch.rank))
            listeners.append(partial(job.arriving, launch.rank))
        elif launch.rank == 0:
            check_directory()
        check_promise(launch)
        set_variables(launch)
        program = Program.parse(words)
        program.enter()
        if job:
            # Registered first, so it runs last, after whatever the program registers; a bad end never comes here.
            atexit.register(job.finish, launch.rank)
        loaded = program.load()
        sys.modules["__main__"] = loaded.namespace()
        loaded.run(sys.modules["__main__"])
    except SystemExit as leaving:
        code, text = exit_code(leaving)
        if code != 0:
            if job:
                job.leave(launch.rank, launch.size, LEAVE_PATIENCE_S)
            end_job(launch, job, code, text)
    except KeyboardInterrupt as interrupt:
        end_job(launch, job, 128 + signal.SIGINT, format_failure(interrupt))
    except BaseException as error:
        if isinstance(error, RankFailedError):
            time.sleep(DEFER_S)  # the rank that failed first shall speak
        end_job(launch, job, 1, format_failure(error))


def check_promise(launch: Launch) -> None:
    """A launcher of another MPI starts N worlds of one rank; say so instead of training N times alone."""
    promised = os.environ.get(PROMISED_SIZE)
    if promised and int(promised) != launch.size:
        raise LaunchError(
            f"{promised} ranks were asked for, but this process sees {launch}: the launcher and the MPI library"
            " do not fit together. `allgrad info` shows both; `allgrad run --mpi openmpi|mpich` chooses the launcher"
        )


def leave_word(job: Job, rank: int, code: int) -> None:
    """Tell the launcher that this rank ends the job; the reason has been printed."""
    try:
        job.record_failure(rank, code, "")
    except OSError as error:  # such as a full disk; the job ends all the same
        sys.stderr.write(f"allgrad: the launcher could not be told of exit code {code}: {error}\n")


def check_directory() -> None:
    """Without the launcher's directory rank 0 could not say that the program came to its end."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory:
        raise LaunchError(
            f"rank 0 on {socket.gethostname()} does not see {directory}, where it should tell `allgrad run` how the job"
            " ends; start it in a folder that all nodes share, or make this node the first of --hosts and start it here"
        )


def set_variables(launch: Launch) -> None:
    """RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE as torchrun sets them."""
    os.environ["RANK"] = str(launch.rank)
    os.environ["WORLD_SIZE"] = str(launch.size)
    os.environ["LOCAL_RANK"] = str(launch.rank if launch.local_rank is None else launch.local_rank)
    os.environ["LOCAL_WORLD_SIZE"] = str(launch.size if launch.local_size is None else launch.local_size)
    # MPI needs neither; programs written for torchrun read them.
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29500")


def redirect_output(rank: int) -> None:
    """Send standard output and error to this rank's file or through its tagger, if the launcher asked for it.

    File descriptors are replaced, so that the output of libraries written in C goes the same way.
    """
    directory = os.environ.get(LOG_DIR)
    if directory:
        os.makedirs(directory, exist_ok=True)
        log = os.open(Path(directory) / f"rank-{rank}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    elif os.environ.get(TAG_OUTPUT):
        # A process of its own: it still writes the last words of a rank that is killed.
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        tagger = [
            sys.executable,
            "-I",
            "-S",
            str(Path(__file__).with_name("tagger.py")),
            f"[{rank}] ",
            str(out),
            str(err),
        ]
        subprocess.Popen(tagger, stdin=subprocess.DEVNULL, pass_fds=(out, err), start_new_session=True)
        for here, there in ((out_end, 1), (err_end, 2)):
            os.dup2(here, there)
            os.close(here)
        os.close(out)
        os.close(err)
    for stream in (sys.stdout, sys.stderr):
        # Behind a launcher these are pipes; without this a line appears when 8 KiB have gathered.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)


def die_with_parent() -> None:
    """Ask Linux to kill this rank when the MPI daemon that started it dies (kill -9 of the launcher)."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os._exit(1)


def end_job(launch: Launch, job: Job | None, code: int, text: str) -> NoReturn:
    """End this rank and with it the job; the first failing rank's ``text`` is shown once, at the end.

    The launcher shows it after everything else was written.  A rank that the launcher cannot see, or whose output
    goes to a file, writes it itself.
    """
    recorded = False
    if job:
        try:
            job.record_failure(launch.rank, code, text)
            recorded = True
        except OSError as error:  # such as a full disk: the text must not get lost with it
            text += f"(and the launcher could not be told: {error})\n"
    if not recorded or os.environ.get(LOG_DIR):
        sys.stderr.write(text)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if not recorded:
        time.sleep(DRAIN_S)
    # Never imported here: a world exists only if the program made one.
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized():
        mpi.COMM_WORLD.Abort(code)
    os._exit(code)


if __name__ == "__main__":
    faulthandler.enable()
    main(sys.argv[1:])
