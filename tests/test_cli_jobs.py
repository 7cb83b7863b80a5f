"""Real jobs through ``allgrad run``: what each rank sees, and where its output goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli_jobs import launcher, run, write

pytestmark = pytest.mark.usefixtures("mpi")


@pytest.fixture
def mpi() -> None:
    """Skips where no mpirun is found."""
    launcher()


SEEN = """
import json, os, sys
rank = int(os.environ["RANK"])
names = ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OPENBLAS_NUM_THREADS", "COLOUR", "ALLGRAD_TIMEOUT")
seen = {name: os.environ.get(name) for name in names}
seen |= {"argv": sys.argv, "name": __name__, "file": __file__, "path": sys.path[0], "main": sys.modules["__main__"].SEEN}
open(f"seen-{rank}.json", "w").write(json.dumps(seen))
"""


@pytest.mark.parametrize("ranks", [1, 3])
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
