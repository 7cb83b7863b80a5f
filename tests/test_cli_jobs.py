"""Real jobs through ``allgrad run``: what each rank sees, and how a job ends in each way a rank can end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_jobs import launcher, run, wait_until_gone

pytestmark = pytest.mark.usefixtures("mpi")

FAST_S = 5.0  # within this a job with a failed rank must be over


@pytest.fixture
def mpi() -> None:
    """Skips where no mpirun is found."""
    launcher()


def write(directory: Path, text: str, name: str = "program.py") -> str:
    (directory / name).write_text(text)
    return name


SEEN = """
import json, os, sys
rank = int(os.environ["RANK"])
names = ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OPENBLAS_NUM_THREADS", "COLOUR", "ALLGRAD_TIMEOUT")
seen = {name: os.environ.get(name) for name in names}
seen |= {"argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path[0], "main": sys.modules["__main__"].SEEN}
open(f"seen-{rank}.json", "w").write(json.dumps(seen))
"""


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_what_a_program_sees(tmp_path: Path, ranks: int) -> None:
    (tmp_path / "code").mkdir()
    program = write(tmp_path / "code", "SEEN = 'yes'\n" + SEEN)
    options = ["-n", str(ranks), "--threads", "3", "--timeout", "45", "--env", "COLOUR=blue sky"]
    job = run(tmp_path, "run", *options, f"code/{program}", "--epochs", "2", "-n", "x y")
    assert job.code == 0, job.err
    for rank in range(ranks):
        assert json.loads((tmp_path / f"seen-{rank}.json").read_text()) == {
            "WORLD_SIZE": str(ranks),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(ranks),
            "OPENBLAS_NUM_THREADS": "3",
            "COLOUR": "blue sky",
            "ALLGRAD_TIMEOUT": "45",
            "argv": [f"code/{program}", "--epochs", "2", "-n", "x y"],
            "name": "__main__",
            "file": str(tmp_path / "code" / program),
            "path": str(tmp_path / "code"),
            "main": "yes",
        }
    assert not (tmp_path / f"seen-{ranks}.json").exists()


def test_a_module(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    write(tmp_path / "package", "", "__init__.py")
    write(tmp_path / "package", "from package import train", "__main__.py")
    write(tmp_path / "package", "import sys, os; print('train', sys.argv[1:], os.environ['RANK'])", "train.py")
    job = run(tmp_path, "run", "-n", "2", "-m", "package", "a")
    assert job.code == 0, job.err
    assert sorted(job.out.split("\n")) == ["", "train ['a'] 0", "train ['a'] 1"]


def test_real_ranks_meet(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "from allgrad.comm import launch_world\n"
        "world = launch_world()\n"
        "print('met', sorted(map(bytes.decode, world.all_gather_bytes(str(world.rank).encode()))), flush=True)\n",
    )
    job = run(tmp_path, "run", "-n", "3", program, timeout_s=30)
    assert job.code == 0, job.err
    assert job.out.count("met ['0', '1', '2']") == 3


# Rank 1 goes wrong while rank 0 is somewhere that it cannot leave by itself.
FAILING = """
import os, sys, time
rank, how, where = int(os.environ["RANK"]), *sys.argv[1:]

def go_wrong():
    if how == "raise": raise ValueError("rank 1 is broken")
    if how == "exit": sys.exit(3)
    if how == "text": sys.exit("rank 1 gives up")
    if how == "thread":
        import threading
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
        time.sleep(60)

if where == "asleep":
    time.sleep(60) if rank == 0 else go_wrong()
if where == "init":
    if rank == 1:
        time.sleep(0.5)
        go_wrong()
from mpi4py import MPI
if where == "barrier" and rank == 1:
    time.sleep(0.2)
    go_wrong()
MPI.COMM_WORLD.Barrier()
"""

ENDS = {
    "raise": (1, "ValueError: rank 1 is broken"),
    "exit": (3, "left with exit code 3"),
    "text": (1, "rank 1 gives up"),
    "thread": (1, "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("where", ["asleep", "init", "barrier"])
@pytest.mark.parametrize("how", list(ENDS))
def test_a_failing_rank_ends_the_job(tmp_path: Path, how: str, where: str) -> None:
    if where == "asleep" and how != "raise":
        pytest.skip("the same path as init")
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, FAILING), how, where)
    code, text = ENDS[how]
    assert job.code == code
    assert job.seconds < FAST_S
    assert (job.out + job.err).count(text) == 1
    last = job.err.strip().splitlines()[-1]
    assert text in last, job.err
    assert "rank 1 on " in job.err
    assert (job.out + job.err).count("Traceback") == (1 if how in ("raise", "thread") else 0)
    assert "allgrad/cli" not in job.err.partition("Traceback")[2]  # as plain Python would have printed it
    wait_until_gone(str(tmp_path))


def test_all_ranks_fail_and_one_speaks(tmp_path: Path) -> None:
    job = run(tmp_path, "run", "-n", "3", write(tmp_path, "import no_such_package"))
    assert job.code == 1 and (job.out + job.err).count("No module named 'no_such_package'") == 1


def test_ranks_that_leave_together_say_their_last_words(tmp_path: Path) -> None:
    slow = "import os, sys, time\ntime.sleep(0.5 * int(os.environ['RANK']))\nprint('bye')\nsys.exit(75)\n"
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, slow))
    assert job.code == 75 and job.out.count("bye") == 2


@pytest.mark.parametrize("program", ["1 +", "x = (\n", "raise MemoryError", "raise KeyboardInterrupt"])
def test_other_ends(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code == (130 if "Keyboard" in program else 1)
    assert job.seconds < FAST_S and "program.py" in job.err
    assert "allgrad/cli" not in job.err


@pytest.mark.parametrize("program", ["import os; os._exit(0)", "from mpi4py import MPI; import os; os._exit(0)"])
def test_exit_code_0_without_the_end_is_no_success(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code != 0 and job.seconds < FAST_S
    assert "allgrad: " in job.err


@pytest.mark.parametrize("program", ["import sys; sys.exit()", "import sys; sys.exit(0)", "raise SystemExit", ""])
def test_normal_ends(tmp_path: Path, program: str) -> None:
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code == 0, job.err


def test_the_mark_comes_after_the_exit_handlers(tmp_path: Path) -> None:
    program = "import atexit, os\natexit.register(lambda: os._exit(0))\n"
    assert run(tmp_path, "run", "-n", "1", write(tmp_path, program)).code == 1


def test_killed_rank(tmp_path: Path) -> None:
    program = "import os, time\nif os.environ['RANK'] == '1': os.kill(os.getpid(), 9)\ntime.sleep(60)\n"
    job = run(tmp_path, "run", "-n", "2", write(tmp_path, program))
    assert job.code in (137, 9) and job.seconds < FAST_S
    assert "no rank reported an exception" in job.err
    wait_until_gone(str(tmp_path))


def test_log_dir(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "import os, sys\nprint('out', os.environ['RANK'])\nprint('err', file=sys.stderr)\nos.write(1, b'from C\\n')\n",
    )
    job = run(tmp_path, "run", "-n", "2", "--log-dir", "logs/first", program)
    assert job.code == 0 and job.out == "" and "logs/first/rank-R.log" in job.err
    for rank in range(2):
        assert (tmp_path / "logs" / "first" / f"rank-{rank}.log").read_text() == f"out {rank}\nerr\nfrom C\n"
    failing = write(tmp_path, "print('before')\nraise ValueError('broken')")
    job = run(tmp_path, "run", "-n", "1", "--log-dir", "second", failing)
    assert job.code == 1 and job.err.strip().endswith("ValueError: broken")
    assert (tmp_path / "second" / "rank-0.log").read_text().endswith("ValueError: broken\n")


def test_tag_output(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "import os, sys\n"
        "print('a\\nb')\n"
        "for i in range(3): sys.stderr.write(f'\\r{i} of 3'); sys.stderr.flush()\n"
        "os.write(1, b'no end of line')\n",
    )
    job = run(tmp_path, "run", "-n", "2", "--tag-output", program)
    assert job.code == 0, job.err
    for rank in range(2):
        mine = [line for line in job.out.splitlines() if line.startswith(f"[{rank}] ")]
        assert mine == [f"[{rank}] a", f"[{rank}] b", f"[{rank}] no end of line"]
        assert f"[{rank}] 2 of 3\n" in job.err and "1 of 3" not in job.err


def test_nothing_stays_in_the_temporary_directory(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for program, code in (("", 0), ("raise ValueError", 1)):
        assert run(tmp_path, "run", "-n", "2", write(tmp_path, program), TMPDIR=str(temporary)).code == code
        assert not list(temporary.glob("allgrad-job-*"))


def test_tagged_words_of_a_killed_rank(tmp_path: Path) -> None:
    program = write(
        tmp_path, "import os, time\nos.write(1, b'last words\\n')\ntime.sleep(0.5)\nos.kill(os.getpid(), 9)\n"
    )
    job = run(tmp_path, "run", "-n", "1", "--tag-output", program)
    assert job.code != 0 and "[0] last words\n" in job.out
