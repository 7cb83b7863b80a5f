"""The house keeps its floors: imports only go down, MPI is in one room, and no file outgrows its idea."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "src" / "allgrad"

# docs/design.md has the same table with its reasons.
FLOORS = (
    ("errors", "absent", "dtypes", "context", "random", "printing", "threads", "version"),
    ("ops", "comm", "fast"),
    ("autograd",),
    ("functions", "tensor", "linalg", "special"),
    (
        "nn",
        "optim",
        "utils",
        "func",
        "distributions",
        "amp",
        "accelerator",
        "backends",
        "cpu",
        "cuda",
        "futures",
        "hub",
        "jit",
        "mps",
        "onnx",
        "switches",
        "profiler",
        "testing",
        "types",
        "xpu",
    ),
    # nn.parallel is where PyTorch users look for what lives in distributed: a door, which nn itself does not open.
    ("distributed", "checkpoint", "serialization", "nn.parallel", "multiprocessing"),
    ("cli", "parity", "as_torch", "__init__", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MPI_ROOM = Path("comm/mpi.py")
UNSAFE = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
READS_PICKLES = (Path("serialization/whole.py"),)  # whole modules, only where the user says weights_only=False
LONGEST_FILE = 400  # lines

SOURCES = sorted(PACKAGE.rglob("*.py"))
EVERYTHING = sorted(
    path for folder in ("src", "tests", "examples", "benchmarks") for path in (REPOSITORY / folder).rglob("*.py")
)


def room_of(path: Path) -> str:
    """The file or folder directly in the package, or a folder in it that has a floor of its own."""
    return room_named(path.relative_to(PACKAGE).with_suffix("").parts)


def room_named(parts: tuple[str, ...]) -> str:
    """The room of a dotted name below ``allgrad``; a name that is no room, such as ``zeros``, comes from the top."""
    inner = ".".join(parts[:2])
    return inner if inner in FLOOR else parts[0] if parts[0] in FLOOR else "__init__"


def imports(path: Path, tree: ast.AST | None = None) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of everything that a file imports, inside functions too.

    What stands under ``if TYPE_CHECKING:`` is not there at run time and does not count.
    """
    if tree is None:
        tree = ast.parse(path.read_text(), str(path))
    if isinstance(tree, ast.Import):
        yield from ((tree.lineno, alias.name) for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        base = tree.module or ""
        if tree.level:
            package = ("allgrad", *path.relative_to(PACKAGE).parts[:-1])
            base = ".".join((*package[: len(package) - tree.level + 1], *filter(None, [base])))
        # "from allgrad import nn" imports allgrad.nn; "from allgrad.errors import ShapeError" a name of it.
        yield from ((tree.lineno, f"{base}.{alias.name}") for alias in tree.names)
    elif isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        for other in tree.orelse:
            yield from imports(path, other)
    else:
        for node in ast.iter_child_nodes(tree):
            yield from imports(path, node)


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line}"


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, room) for each import of another room of the package."""
    for line, name in imports(path):
        top, *parts = name.split(".")
        if top == "allgrad" and parts and room_named(tuple(parts)) != room_of(path):
            yield line, room_named(tuple(parts))


def test_every_room_has_a_floor() -> None:
    tops = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in SOURCES}
    homeless = sorted(tops - FLOOR.keys())
    assert not homeless, f"put {homeless} on a floor, here and in docs/design.md"


def test_imports_only_go_down() -> None:
    offenders = [
        f"{where(path, line)}: {room_of(path)} (floor {FLOOR[room_of(path)]}) imports {room} (floor {FLOOR[room]})"
        for path in SOURCES
        for line, room in rooms_imported(path)
        if FLOOR[room] > FLOOR[room_of(path)]
    ]
    assert not offenders, "\n".join(offenders)


def test_rooms_of_one_floor_form_no_circle() -> None:
    neighbours: dict[str, dict[str, str]] = {room: {} for room in FLOOR}
    for path in SOURCES:
        for line, room in rooms_imported(path):
            if FLOOR[room] == FLOOR[room_of(path)]:
                neighbours[room_of(path)].setdefault(room, where(path, line))
    # Walk down from each room; a circle would come back to it.
    for start in neighbours:
        reached, waiting = set(), [start]
        while waiting:
            for room, place in neighbours[waiting.pop()].items():
                assert room != start, f"{place}: {start} is imported by a room that it imports itself"
                if room not in reached:
                    reached.add(room)
                    waiting.append(room)


def test_mpi4py_has_one_room() -> None:
    offenders = [
        where(path, line)
        for path in SOURCES
        for line, name in imports(path)
        if name.split(".")[0] == "mpi4py" and path.relative_to(PACKAGE) != MPI_ROOM
    ]
    assert not offenders, f"mpi4py is imported outside {MPI_ROOM}: {offenders}"


def test_no_code_is_read_from_files() -> None:
    offenders = []
    for path in SOURCES:
        if path.relative_to(PACKAGE) in READS_PICKLES:
            continue
        offenders += [where(path, line) for line, name in imports(path) if name.split(".")[0] in UNSAFE]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                offenders.append(where(path, node.value.lineno))
    assert not offenders, f"a pickle executes code when it is read: {offenders}"


def test_no_star_imports() -> None:
    offenders = [
        where(path, node.lineno)
        for path in EVERYTHING
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names)
    ]
    assert not offenders, f"say what is imported: {offenders}"


def length(path: Path) -> int:
    """Lines of a file without its imports and its list of public names: those are tables, long in ``__init__``."""
    text = path.read_text()
    tables = [
        node.end_lineno - node.lineno + 1
        for node in ast.parse(text).body
        if node.end_lineno
        and (
            isinstance(node, ast.Import | ast.ImportFrom)
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__")
        )
    ]
    return len(text.splitlines()) - sum(tables)


def test_no_file_is_longer_than_its_idea() -> None:
    lengths = {path: length(path) for path in EVERYTHING}
    offenders = [where(path, lines) for path, lines in lengths.items() if lines > LONGEST_FILE]
    assert not offenders, f"above {LONGEST_FILE} lines a file holds two ideas: {offenders}"


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("allgrad", "mpi4py"),
        ("allgrad.cli", "mpi4py"),
        ("allgrad", "tqdm"),
        ("allgrad", "scipy"),
        ("allgrad", "numba"),
        ("allgrad", "torch"),
    ],
)
def test_importing_stays_light(module: str, unwanted: str) -> None:
    program = f"import sys, {module}; sys.exit(any(name.split('.')[0] == {unwanted!r} for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0


def test_the_reader_of_imports_reads(tmp_path: Path) -> None:
    """The tests above can fail: each kind of import is seen."""
    path = PACKAGE / "nn" / "invented" / "room.py"
    text = (
        "import os, numpy.random\nfrom allgrad.errors import ShapeError\nfrom allgrad import distributed, zeros\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mpi4py\nelse:\n    import abc\n"
        "def f():\n    from ..functional import relu\n    from . import near\n    from ... import optim\n"
    )
    assert list(imports(path, ast.parse(text))) == [
        (1, "os"),
        (1, "numpy.random"),
        (2, "allgrad.errors.ShapeError"),
        (3, "allgrad.distributed"),
        (3, "allgrad.zeros"),
        (4, "typing.TYPE_CHECKING"),
        (8, "abc"),
        (10, "allgrad.nn.functional.relu"),
        (11, "allgrad.nn.invented.near"),
        (12, "allgrad.optim"),
    ]
