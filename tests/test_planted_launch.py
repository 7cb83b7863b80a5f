"""Bugs planted into launching: each must be caught by the test named beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import cli_jobs
import test_cli_command
import test_cli_ends
import test_cli_matrix
import test_cli_restarts
import test_doctor
from allgrad.cli import cores, findings, hosts, leftovers, restart

Patch = pytest.MonkeyPatch


def restarts_although_asked_to_end(patch: Patch) -> None:
    real = restart.Outcome
    patch.setattr(test_cli_restarts, "Outcome", lambda code, asked=None: real(code))


def endless_restarts(patch: Patch) -> None:
    real = restart.run_with_restarts
    patch.setattr(
        test_cli_restarts, "run_with_restarts", lambda attempt, most, signals: real(attempt, most + 9, signals)
    )


def removes_what_is_mapped(patch: Patch) -> None:
    real = Path.glob
    patch.setattr(Path, "glob", lambda self, pattern: iter(()) if "maps" in pattern else real(self, pattern))


def removes_what_is_old(patch: Patch) -> None:
    patch.setattr(test_cli_restarts, "remove_leftovers", lambda since, folder: leftovers.remove_leftovers(0, folder))


def one_host_twice_counts_once(patch: Patch) -> None:
    patch.setattr(hosts, "merge", lambda listed: tuple({host.name: host for host in listed}.values()))


def outer_groups_do_not_count(patch: Patch) -> None:
    patch.setattr(cores, "_enclosing_groups", lambda c, g, m: [own for _, own in cores._group_directories(c, g, m)])


def the_quota_is_not_seen(patch: Patch) -> None:
    real = findings._cores
    patch.setattr(findings, "_cores", lambda members: real([{**facts, "quota_cores": None} for facts in members]))


def only_the_first_rank_has_versions(patch: Patch) -> None:
    real = findings._versions
    patch.setattr(findings, "_versions", lambda ranks: real(ranks[:1]))


def clocks_are_not_compared(patch: Patch) -> None:
    real = findings._clock
    patch.setattr(findings, "_clock", lambda ranks: real(ranks[:1]))


HERE: list[tuple[Callable[[Patch], None], Callable[[Path], None]]] = [
    (restarts_although_asked_to_end, lambda _: test_cli_restarts.test_the_last_code_counts(Patch())),
    (endless_restarts, lambda _: test_cli_restarts.test_the_last_code_counts(Patch())),
    (removes_what_is_mapped, test_cli_restarts.test_leftovers),
    (removes_what_is_old, test_cli_restarts.test_leftovers),
    (outer_groups_do_not_count, test_cli_command.test_cpu_quota),
    (outer_groups_do_not_count, test_doctor.test_memory_limit),
    (the_quota_is_not_seen, lambda _: test_doctor.test_each_finding_has_its_repair("quota")),
    (only_the_first_rank_has_versions, lambda _: test_doctor.test_each_finding_has_its_repair("numpy")),
    (clocks_are_not_compared, lambda _: test_doctor.test_each_finding_has_its_repair("clock")),
]


@pytest.mark.parametrize(("plant", "test"), HERE, ids=[plant.__name__ for plant, _ in HERE])
def test_planted_here(plant, test, tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(restart, "FIRST_PAUSE_S", 0.01)
    test(tmp_path_of(tmp_path, "sound"))
    plant(monkeypatch)
    with pytest.raises((AssertionError, IndexError)):
        test(tmp_path_of(tmp_path, "planted"))


def test_one_host_twice(tmp_path: Path, monkeypatch: Patch) -> None:
    """PBS names a node once for each rank."""
    (tmp_path / "nodes").write_text("a\na\nb\n")
    find = {"PBS_NODEFILE": str(tmp_path / "nodes")}
    assert hosts.allocation(find) == hosts.Allocation("pbs", 2, 3)
    one_host_twice_counts_once(monkeypatch)
    assert hosts.allocation(find) != hosts.Allocation("pbs", 2, 3)


# Bugs of the launcher and of the ranks, which are processes of their own: Python runs sitecustomize.py at their start.
THERE = {
    "exit codes are believed": (
        "from allgrad.cli.job import Job\nJob.finished = property(lambda self: True)\n",
        lambda folder: test_cli_ends.test_the_mark_comes_after_the_exit_handlers(folder),
    ),
    "exit handlers may fail": (
        "import os\nimport allgrad.cli.program as p\nreal = p.format_failure\n"
        "def quiet(error):\n    if 'at exit' in str(error): os._exit(0)\n    return real(error)\n"
        "p.format_failure = quiet\n",
        lambda folder: test_cli_matrix.test_the_job_is_over_soon_and_says_why(
            folder, "at exit", (1,), "ValueError: broken at exit"
        ),
    ),
}


@pytest.mark.parametrize("name", THERE)
def test_planted_there(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    text, test = THERE[name]
    planted = tmp_path_of(tmp_path, "planted")
    (planted / "sitecustomize.py").write_text(f"import sys\nif sys.flags.isolated == 0:\n{indented(text)}")
    real = cli_jobs.environment
    path = f"{planted}{os.pathsep}{cli_jobs.SOURCE}"
    monkeypatch.setattr(cli_jobs, "environment", lambda **more: real(**more) | {"PYTHONPATH": path})
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test(tmp_path_of(tmp_path, "job"))


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def tmp_path_of(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name
