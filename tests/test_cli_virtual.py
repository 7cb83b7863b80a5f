"""``allgrad run --virtual N``: a program on N ranks in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allgrad.cli.virtual import RankEnviron
from cli_jobs import environment, run


def write(directory: Path, text: str) -> str:
    (directory / "program.py").write_text(text)
    return "program.py"


def test_each_rank_has_its_own_environment_and_namespace(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "import os, sys\n"
        "from allgrad.comm import launch_world\n"
        "world = launch_world()\n"
        "mine = [os.environ['RANK']]\n"
        "os.environ['MY_OWN'] = os.environ['RANK']\n"
        "world.barrier()\n"  # the turn passes: what is shared would be overwritten now
        "assert mine == [str(world.rank)] and os.environ['RANK'] == str(world.rank) == os.getenv('MY_OWN')\n"
        "assert os.environ['WORLD_SIZE'] == str(world.size) and 'HOME' not in os.environ or os.environ['HOME']\n"
        "del os.environ['MY_OWN']\n"
        "assert 'MY_OWN' not in os.environ and 'MY_OWN' not in dict(os.environ)\n"
        "print(__name__, os.environ['LOCAL_RANK'], os.environ['LOCAL_WORLD_SIZE'], sys.argv[1:])\n",
    )
    job = run(tmp_path, "run", "--virtual", "3", program, "--lr", "1")
    assert job.code == 0, job.err
    assert sorted(job.out.splitlines()) == [f"__main__ {rank} 3 ['--lr', '1']" for rank in range(3)]


def test_threads_are_those_of_real_ranks(tmp_path: Path) -> None:
    """The last bits of a product depend on the number of BLAS threads, which NumPy reads when it is loaded."""
    program = write(tmp_path, "import os; print(os.environ['OPENBLAS_NUM_THREADS'])")
    assert run(tmp_path, "run", "--virtual", "2", "--threads", "3", program).out == "3\n3\n"


@pytest.mark.parametrize(
    ("end", "code", "text"),
    [
        ("raise ValueError('broken')", 1, "ValueError: broken"),
        ("sys.exit(7)", 7, ""),
        ("sys.exit('gives up')", 1, "gives up"),
        ("1 +", 1, "SyntaxError: invalid syntax"),
        ("sys.exit(0)", 0, ""),
    ],
)
def test_ends(tmp_path: Path, end: str, code: int, text: str) -> None:
    program = write(
        tmp_path,
        f"import os, sys\nif os.environ['RANK'] == '1':\n    {end}\n"
        "from allgrad.comm import launch_world\n"
        f"{'' if 'exit(0)' in end else 'launch_world().barrier()'}\n",
    )
    job = run(tmp_path, "run", "--virtual", "3", program)
    assert job.code == code, job.err
    assert job.err.count("Traceback") == (1 if "raise" in end else 0)
    assert job.err.count(text) >= 1 and "allgrad/c" not in job.err
    if "raise" in end:
        assert "rank 1 of 3 virtual ranks failed" in job.err


def test_debugger(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        "import os\nfrom allgrad.comm import launch_world\nrank = launch_world().rank\n"
        "if rank == 0:\n    breakpoint()\nlaunch_world().barrier()\nprint('end of', rank)\n",
    )
    done = subprocess.run(
        [sys.executable, "-m", "allgrad", "run", "--virtual", "2", program],
        cwd=tmp_path,
        env=environment(),
        input="p 'rank is', rank\ncontinue\n",
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "('rank is', 0)" in done.stdout
    assert "end of 0" in done.stdout and "end of 1" in done.stdout


def test_dry_run(tmp_path: Path) -> None:
    job = run(tmp_path, "run", "--virtual", "2", "--dry-run", write(tmp_path, "raise ValueError"))
    assert job.code == 0 and "allgrad.cli.virtual 2 program.py" in job.out


def test_environ_of_threads_that_are_no_ranks() -> None:
    process = {"A": "1"}
    view = RankEnviron(process)
    view.enter({"RANK": "0"})
    view["B"] = "2"
    assert dict(view) == {"A": "1", "B": "2", "RANK": "0"} == view.copy() == view | {} == {} | view
    assert len(view) == 3 and process == {"A": "1"}
    with pytest.raises(TypeError, match="str expected"):
        view["C"] = 3  # type: ignore[assignment]
    with pytest.raises(KeyError):
        view["C"]
    view.leave()
    assert dict(view) == {"A": "1"}
    assert set(dir(os.environ)) >= {"copy", "__or__", "__ror__"}  # what the real one has, ours has
