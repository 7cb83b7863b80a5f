"""Made-up and mutilated inputs: files, manifests, host lists, environment numbers, command lines.

Whatever comes in, the answer is a value or a typed error, soon, in little memory, and nothing is run: an audit hook counts
unpickled names, executed code, processes and sockets.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import allgrad as torch
from allgrad.checkpoint import CheckpointWarning
from allgrad.checkpoint.folder import Folder
from allgrad.checkpoint.manifest import parse
from allgrad.cli import build_parser
from allgrad.cli.cores import thread_variables
from allgrad.cli.hosts import allocation, parse_hostfile, parse_hosts
from allgrad.cli.program import Program
from allgrad.cli.run import make_plan
from allgrad.comm.launchenv import detect
from allgrad.errors import AllgradError
from checkpoint_disks import MemoryDisk
from mpirun import within
from test_checkpoint_damage import _mutate, two_ranks_in_memory, value_in
from torture.task import Task

SLOW_S = 1.0  # for one input, on a quiet machine
ROOM = 512 << 20  # bytes of address space beyond what there was at the start
WATCHED = ("pickle.", "exec", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.", "socket.",
           "marshal.loads", "ctypes.dlopen", "shutil.", "os.remove", "os.rename", "os.mkdir")  # fmt: skip
TOKENS = (
    b"\0",
    b"\xff" * 8,
    b"{",
    b"}",
    b"[" * 50,
    b'"',
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 40,
    b"../",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"__metadata__",
)
WORDS = ("", "0", "1", "2", "-1", "+3", " 4", "1e3", "0x10", "NaN", "inf", "²", "٣", "９９", "9" * 30, "9" * 5000,
    "1.5", "None", "4294967291",
         "node1", "node1:4", "a:b:c", "node[1-4]", "::1", "-x", "--", "a,b", "a b", "slots=2", "node1 slots=", "#",
    "\n", "\0", "é",
         "\udc80", "../x", "/", "x" * 3000, "$(id)", ";id")  # fmt: skip
NAMES = (
    "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMI_RANK",
    "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_LOCALID", "SLURM_PROCID",
    "SLURM_STEP_NUM_TASKS", "SLURM_SRUN_COMM_HOST", "SLURM_JOB_NUM_NODES", "SLURM_NNODES", "SLURM_NTASKS", "PMIX_RANK",
    "PBS_NODEFILE", "LSB_MCPU_HOSTS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip
OPTIONS = (
    "-n", "--nproc-per-node", "--virtual", "--nnodes", "--hosts", "--hostfile", "--mpi", "--threads", "--bind", "--env",
    "--timeout", "--max-restarts", "--as-torch", "--log-dir", "--tag-output", "--dry-run", "-m", "train.py", "run", "info",
    "doctor", "parity", "--help-me", "--", "-n=2", "--timeout=3",
)  # fmt: skip


class Audit:
    """Counts what must not happen while ``armed``; asking for this host's name may.

    Hooks cannot be removed, so there is one for the process.
    """

    def __init__(self) -> None:
        self.armed, self.events = False, list[str]()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: Any) -> None:
        if self.armed and event.startswith(WATCHED) and event != "socket.gethostname" and not _importing(event):
            self.events.append(f"{event}{args!r}"[:200])


def _importing(event: str) -> bool:
    """Whether this is Python loading one of its own modules, late."""
    frame = sys._getframe(2) if event.startswith(("exec", "marshal")) else None
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


AUDIT: list[Audit] = []


def fuzz(task: Task) -> None:
    """``inputs`` of five kinds."""
    AUDIT or AUDIT.append(Audit())
    audit = AUDIT[0]
    kinds: list[tuple[str, int, Callable[[random.Random], None]]] = [
        ("files", 60_000, of_files()),
        ("manifests", 60_000, of_manifests()),
        ("checkpoints", 6_000, of_checkpoints()),
        ("host lists", 40_000, of_hosts(task.folder)),
        ("environments", 40_000, environments),
        ("command lines", 14_000, of_command_lines(task.folder)),
    ]
    slowest = 0.0
    audit.events.clear()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    for _, _, one in kinds:  # what is imported late is imported now
        for seed in range(20):
            attempt(one, seed)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + ROOM, limits[1]))
    try:
        for name, full, one in kinds:
            for _ in range(task.some(full, 20)):
                seed = task.draw.randrange(2**40)
                began = time.perf_counter()
                audit.armed = True
                odd = attempt(one, seed)
                audit.armed = False
                took = time.perf_counter() - began
                slowest = max(slowest, took)
                if odd or audit.events or took > within(SLOW_S):
                    task.trouble(f"{name}, input {seed}: {odd or audit.events or f'{took:.1f} s'}")
                    audit.events.clear()
                task.done[name] += 1
                task.worst = f"slowest {slowest:.2f} s, 0 audit events"
                task.ok("inputs")
    finally:
        audit.armed = False
        resource.setrlimit(resource.RLIMIT_AS, limits)


def attempt(one: Callable[[random.Random], None], seed: int) -> str:
    """ "" for a value or a typed error."""
    silent = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            warnings.simplefilter("ignore", CheckpointWarning)
            one(random.Random(seed))
    except AllgradError:
        return ""
    except SystemExit as leaving:
        return "" if leaving.code in (0, 2) else f"exit code {leaving.code}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


def address_space() -> int:
    """Bytes of it that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def mangled(raw: bytes, draw: random.Random) -> bytes:
    """Some bytes flipped, cut out, doubled, or something odd put in."""
    found = bytearray(raw)
    for _ in range(draw.choice([1, 1, 2, 5, 20])):
        at = draw.randrange(len(found) + 1)
        how = draw.randrange(6)
        if how == 0 and at < len(found):
            found[at] ^= 1 << draw.randrange(8)
        elif how == 1:
            del found[at : at + draw.choice([1, 8, 200])]
        elif how == 2:
            found[at:at] = draw.choice(TOKENS)
        elif how == 3:
            found[at:at] = found[at : at + draw.choice([1, 8, 200])]
        elif how == 4:
            found[at : at + 8] = draw.choice([0, 1, 2**31, 2**63, 2**64 - 1, 2**40, len(found)]).to_bytes(8, "little")
        else:
            del found[at:]
    return bytes(found)


def of_files() -> Callable[[random.Random], None]:
    """``allgrad.load`` of files of ours, foreign safetensors, PyTorch's zip files; digests made right again half the time."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(12.0).reshape(3, 4), "n": [1, {"a": None}, "text"], "k": (2, 3.5)}, buffer)
    ours = buffer.getvalue()
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"by": "x"}}
    ).encode()
    foreign = len(header).to_bytes(8, "little") + header + np.arange(4, dtype="<f4").tobytes()
    sources = [ours, foreign, torch_file(), torch_file(b"cos\nsystem\n(S'true'\ntR.")]

    def one(draw: random.Random) -> None:
        source = draw.choice(sources)
        raw = mangled(source, draw)
        if source is ours and draw.random() < 0.5:
            raw = with_right_digest(changed_header(ours, draw) if draw.random() < 0.7 else raw)
        elif source is foreign and draw.random() < 0.5:
            raw = changed_header(foreign, draw)
        torch.load(io.BytesIO(raw), weights_only=True)

    return one


def torch_file(data: bytes = b"") -> bytes:
    """A file as PyTorch writes it, of a dictionary of numbers; or with other opcodes in it."""
    import pickle
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", data or pickle.dumps({"a": [1, 2.5, None], "b": "text"}, 2))
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/data/0", bytes(16))
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def changed_header(raw: bytes, draw: random.Random) -> bytes:
    """The same file with something else somewhere in its JSON header."""
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    tree = header.get("__metadata__", {}).get("allgrad.tree")
    if tree and draw.random() < 0.6:
        nodes = [json.loads(tree)]
        _mutate(nodes, draw)
        header["__metadata__"]["allgrad.tree"] = json.dumps(nodes[0] if nodes else None)
    else:
        _mutate(header, draw)
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + raw[8 + size :]


def with_right_digest(raw: bytes) -> bytes:
    """Our file format's digest, made to fit the rest."""
    mark = b'"allgrad.sha256":"'
    at = raw.find(mark) + len(mark)
    if at < len(mark) or len(raw) < at + 64:
        return raw
    digest = hashlib.sha256(raw[:at] + b"0" * 64 + raw[at + 64 :]).hexdigest().encode()
    return raw[:at] + digest + raw[at + 64 :]


def of_manifests() -> Callable[[random.Random], None]:
    """Manifests and ``latest``, with the right digest or not."""
    disk, name = two_ranks_in_memory()
    manifest, latest = bytes(disk.files[f"/run/{name}/manifest.json"]), bytes(disk.files["/run/latest"])
    first, rest = manifest.split(b"\n", 1)
    good = json.loads(rest)

    def one(draw: random.Random) -> None:
        what = draw.randrange(4)
        if what == 0:
            parse(mangled(manifest, draw), "manifest.json")
        elif what == 1:
            body = mangled(rest, draw)
            parse(first[:-64] + hashlib.sha256(body).hexdigest().encode() + b"\n" + body, "manifest.json")
        elif what == 2:
            changed = json.loads(json.dumps(good))
            for _ in range(draw.choice([1, 1, 3])):
                _mutate(changed, draw)
            body = json.dumps(changed).encode()
            parse(first[:-64] + hashlib.sha256(body).hexdigest().encode() + b"\n" + body, "manifest.json")
        else:
            damaged = MemoryDisk()
            damaged.folders, damaged.files = (
                disk.folders,
                {**disk.files, "/run/latest": bytearray(mangled(latest, draw))},
            )
            Folder("/run", damaged).found()

    return one


def of_checkpoints() -> Callable[[random.Random], None]:
    """Whole checkpoints whose digests are right and whose content is made up."""
    source, name = two_ranks_in_memory()
    folder = f"/run/{name}"
    path = f"{folder}/rank-00000.safetensors"
    good = json.loads(bytes(source.files[f"{folder}/manifest.json"]).split(b"\n", 1)[1])

    def one(draw: random.Random) -> None:
        disk = MemoryDisk()
        disk.folders, disk.files = set(source.folders), dict(source.files)
        del disk.files["/run/latest"]
        body = json.loads(json.dumps(good))
        raw = bytes(source.files[path])
        size = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + size])
        trees = json.loads(header["__metadata__"]["allgrad.checkpoint.trees"])
        _mutate(draw.choice([body, trees, trees, header]), draw)
        with contextlib.suppress(KeyError, TypeError):  # the trees may have lost their place
            header["__metadata__"]["allgrad.checkpoint.trees"] = json.dumps(trees)
        text = json.dumps(header).encode()
        content = len(text).to_bytes(8, "little") + text + raw[8 + size :]
        disk.files[path] = bytearray(content)
        with contextlib.suppress(KeyError, TypeError, IndexError, AttributeError):  # the entry of the file, likewise
            body["files"][0].update(
                length=len(content), header=len(text), sha256=hashlib.sha256(content).hexdigest(),
                header_sha256=hashlib.sha256(text).hexdigest(),
            )  # fmt: skip
        rest = json.dumps(body).encode()
        opening = f"allgrad checkpoint, SHA-256 of the rest: {hashlib.sha256(rest).hexdigest()}\n"
        disk.files[f"{folder}/manifest.json"] = bytearray(opening.encode() + rest)
        value_in("/run", disk)

    return one


def of_hosts(folder: Path) -> Callable[[random.Random], None]:
    """``--hosts`` and ``--hostfile``."""
    good = b"# nodes\nnode1 slots=4\nnode2:2\nnode3 slots=1 max_slots=2\n\n"
    path = folder / "hosts"

    def one(draw: random.Random) -> None:
        if draw.random() < 0.5:
            parse_hosts(draw.choice(",: ;").join(draw.choice(WORDS) for _ in range(draw.randint(0, 5))))
        else:
            path.write_bytes(mangled(good, draw))
            parse_hostfile(str(path))

    return one


def environments(draw: random.Random) -> None:
    """What launchers and batch systems leave in the environment."""
    where = {name: draw.choice(WORDS) for name in draw.sample(NAMES, draw.randint(1, 12))}
    where = {name: text.replace("\0", "") for name, text in where.items()}
    str(detect(where))
    thread_variables(draw.randint(1, 8), None, where, draw.randint(1, 64))
    allocation(where)


def of_command_lines(folder: Path) -> Callable[[random.Random], None]:
    """``allgrad …`` as far as the plan of a job; nothing is started."""
    parser = build_parser()
    script = folder / "train.py"
    script.write_text("")

    def one(draw: random.Random) -> None:
        pieces = [
            draw.choice(OPTIONS) if draw.random() < 0.6 else draw.choice((*WORDS, str(script)))
            for _ in range(draw.randint(0, 8))
        ]
        pieces = [piece.replace("\0", "") for piece in pieces]  # which no command line can hold
        arguments = parser.parse_args(["run", *pieces] if draw.random() < 0.8 else pieces)
        if arguments.command == "run":
            words = arguments.program[1:] if arguments.program[:1] == ["--"] else arguments.program
            program = Program.parse([*(["-m"] if arguments.module else []), *words])
            program.check()
            make_plan(arguments, program, {n: draw.choice(WORDS).replace("\0", "") for n in draw.sample(NAMES, 3)})

    return one
