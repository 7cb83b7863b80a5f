"""What was measured, as tables for people: on the terminal, in RESULTS.md, as a picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Rows = dict[str, Any]
Table = tuple[list[str], list[list[str]]]

TITLES = {
    "training": "Training steps: forward, backward, update; float32, one thread",
    "memory": "Memory of training: growth of the process from a first tiny step to its peak, MB",
    "start": "Before the first step",
    "operations": "Operations, forward and backward, slowest ratios first",
    "ranks": "Ranks",
    "network": "Network: three nodes at 1 Gbit/s",
}
NOTES = {
    "training": "Ratio: allgrad's time as a share of PyTorch's fastest way, from turns taken in one run: median "
    "(lowest to highest). `numpy`: NumPy alone; `fast`: with the kernels of `allgrad[fast]`.",
    "operations": "The worst forty of each size; all are in `results.json`.",
    "ranks": "Wall time of the slowest rank. Hidden: the share of the exchange's own time by which a step is not longer than "
    "one without exchange. Efficiency: one rank alone, the others asleep, over all ranks with as large a batch each; more ranks "
    "than cores cannot reach 1. All-reduce in the window: of gradients in memory that the ranks of a node share, where the "
    "buckets of a wrapped model lie, against MPI's all-reduce of ordinary memory.",
    "network": "All-reduce between network namespaces, one rank each. The bound: the time for which a rank must send, "
    "2 (n - 1) / n of its bytes at 10⁹ bit/s; headers take 4 % more.",
}


def milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.3g}" if seconds < 0.1 else f"{seconds * 1e3:.0f}"


def spread(found: Any) -> str:
    return f"{found[1]:.2f} ({found[0]:.2f} to {found[2]:.2f})" if found else ""


def _training(rows: Rows) -> Iterator[Table]:
    head = ["work", "goal", "numpy", "fast", "numpy ms", "fast ms", "PyTorch ms", "PyTorch's fastest way"]
    lines = []
    for name, row in rows.items():
        s = row["seconds"]
        way = "stored" if row.get("stored") else row.get("way") or "not measured"
        goal = "" if row.get("goal") is None else f"{row['goal']:.2f}"
        times = [milliseconds(s.get(k)) for k in ("numpy", "fast", "torch")]
        lines.append([name, goal, spread(row.get("numpy")), spread(row.get("fast")), *times, way])
    yield head, lines


def _beside(rows: Rows) -> Iterator[Table]:
    lines = []
    for name, row in rows.items():
        mine, theirs = row["allgrad"], row.get("torch")
        share = f"{mine / theirs:.2f}" if theirs else ""
        lines.append([name, f"{mine:.3g}", f"{theirs:.4g}" if theirs else "", share])
    yield ["", "allgrad", "PyTorch", "ratio"], lines


def _operations(rows: Rows) -> Iterator[Table]:
    for size in ("large", "medium", "small"):
        chosen = [(name, row) for name, row in rows.items() if name.endswith(f", {size}") and "numpy" in row]
        chosen.sort(key=lambda item: -min(item[1][k][1] for k in ("numpy", "fast") if k in item[1]))
        lines = []
        for name, row in chosen[:40]:
            s = row["seconds"]
            ratios = [f"{row[k][1]:.2f}" if k in row else "" for k in ("numpy", "fast")]
            lines.append([name, *ratios, *[f"{s[k] * 1e6:.4g}" if k in s else "" for k in ("numpy", "fast", "torch")]])
        if chosen:
            middle = statistics.median(row["numpy"][1] for _, row in chosen)
            lines.append([f"median of {len(chosen)}, {size}", f"{middle:.2f}", "", "", "", ""])
        yield ["operation", "numpy", "fast", "numpy µs", "fast µs", "PyTorch µs"], lines


def _ranks(rows: Rows) -> Iterator[Table]:
    for name, row in rows.items():
        lines = []
        for model, found in row["training"].items():
            times = found["times"]
            middle = {k: statistics.median(v) for k, v in times.items()}
            shares = [
                [a / b for a, b in zip(times.get(k, []), times.get("torch", []))] for k in ("allgrad", "allgrad, fast")
            ]
            lines.append([
                f"{model}, {name}", *[f"{statistics.median(s):.2f}" if s else "" for s in shares],
                *[milliseconds(middle.get(k)) for k in ("allgrad", "torch", "allgrad, no exchange", "exchange alone")],
                f"{min(1.0, max(0.0, found['hidden'])):.0%}", f"{found['bytes of gradients'] / 2**20:.1f}",
                f"{row['scaling'][model]:.2f}",
            ])  # fmt: skip
        head = [
            "training",
            "of gloo's DDP",
            "with fast",
            "step ms",
            "PyTorch ms",
            "no exchange ms",
            "exchange ms",
            "hidden",
        ]
        yield [*head, "gradients MiB", "efficiency"], lines
        lines = []
        for size, found in row["all_reduce"].items():
            middle = {k: statistics.median(v) for k, v in found.items()}
            mine = middle["allgrad"]
            against = [f"{mine / middle[k]:.3g}" if k in middle else "" for k in ("MPI", "gloo", "copy")]
            lines.append([f"{int(size) // 1024} KiB, {name}", f"{mine * 1e6:.0f}", *against])
        yield ["all-reduce", "µs", "of MPI's time", "of gloo's", "of a copy's"], lines
        lines = []
        for size, found in row.get("in_window", {}).items():
            mine, theirs = statistics.median(found["allgrad"]), statistics.median(found["MPI"])
            lines.append([f"{int(size) // 2**20} MiB, {name}", "0.25", f"{mine * 1e6:.0f}", f"{mine / theirs:.2f}"])
        if lines:
            yield ["all-reduce in the window", "goal", "µs", "of MPI's time"], lines


def _network(rows: Rows) -> Iterator[Table]:
    lines = []
    for name, row in rows.items():
        s = row["seconds"]
        lines.append([
            name, f"{row['goal']:.2f}", milliseconds(s["allgrad"]), milliseconds(s["MPI"]), milliseconds(row["bound"]),
            f"{s['allgrad'] / row['bound']:.2f}", f"{s['MPI'] / row['bound']:.2f}", f"{s['allgrad'] / s['MPI']:.2f}",
        ])  # fmt: skip
    yield (
        ["all-reduce", "goal", "ms", "MPI ms", "bound ms", "of the bound", "MPI's of the bound", "of MPI's time"],
        lines,
    )


TABLES = {
    "training": _training, "memory": _beside, "start": _beside, "operations": _operations, "ranks": _ranks,
    "network": _network,
}  # fmt: skip


def print_part(part: str, where: dict[str, Any], rows: Rows) -> None:
    """One part as aligned columns."""
    print(f"\n== {TITLES[part]}\n   {machine(where)}")
    for head, lines in TABLES[part](rows):
        widths = [max(len(line[i]) for line in [head, *lines]) for i in range(len(head))]
        for line in [head, *lines]:
            first, *rest = [cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))]
            print("  ".join([first, *rest]).rstrip())
        print(flush=True)


def machine(where: dict[str, Any]) -> str:
    versions = " · ".join(f"{k} {where[k]}" for k in ("python", "numpy", "torch", "numba", "openmpi") if k in where)
    return (
        f"{where['date']} · commit {where['commit']} · {where['processor']}, {where['cores']} cores, load {where['load']} · "
        f"{versions}"
    )


def write_report(results: dict[str, Any], path: Path) -> None:
    """RESULTS.md."""
    text = ["# Measured", "", "Written by `make bench`; absolute times depend on the machine, ratios less so.", ""]
    for part, title in TITLES.items():
        if part not in results:
            continue
        text += [f"## {title}", "", machine(results[part]["facts"]), ""]
        if part in NOTES:
            text += [NOTES[part], ""]
        for head, lines in TABLES[part](results[part]["rows"]):
            text += ["| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *lines]] + [""]
    path.write_text("\n".join(text).rstrip() + "\n")


def write_picture(results: dict[str, Any], path: Path) -> None:
    """Bars of the training ratios, with the spread of their turns, and marks where the goals are."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = {n: r for n, r in results.get("training", {}).get("rows", {}).items() if "numpy" in r}
    if not rows:
        return
    figure, axes = pyplot.subplots(figsize=(9, 0.55 * len(rows) + 1.2))
    for offset, column, color in ((-0.19, "numpy", "#4477aa"), (0.19, "fast", "#66ccee")):
        for i, row in enumerate(rows.values()):
            if column in row:
                low, middle, high = row[column]
                axes.barh(i + offset, middle, 0.36, color=color, label=column if not i else None)
                axes.plot([low, min(high, 3)], [i + offset] * 2, color="#333333", linewidth=0.8)
    for i, row in enumerate(rows.values()):
        if row.get("goal") is not None:
            axes.plot(
                [row["goal"]] * 2, [i - 0.4, i + 0.4], color="#cc3311", linewidth=2, label="goal" if not i else None
            )
    axes.axvline(1, color="#999999", linewidth=0.8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("time of a training step, as a share of PyTorch's")
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
