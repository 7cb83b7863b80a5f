"""``SummaryWriter``: PyTorch's class, writing TensorBoard's event files without TensorBoard."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from allgrad.errors import DtypeError
from allgrad.utils.tensorboard import summaries, wire
from allgrad.utils.tensorboard.records import EventFile


class SummaryWriter:
    """Writes to ``log_dir``, or to ``runs/<date>_<host><comment>``; read it with ``tensorboard --logdir runs``.

    Values are numbers, arrays or tensors.  ``global_step`` counts whatever the user counts; ``walltime`` is in
    seconds since 1970, now unless given.  ``purge_step`` tells TensorBoard to forget what an earlier, killed run
    wrote from that step on.  In a distributed run let rank 0 write.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
    ...     writer.add_scalar("loss", 0.5, global_step=1)
    """

    def __init__(
        self,
        log_dir: str | Path | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        if not log_dir:
            log_dir = Path("runs") / f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}"
        self.log_dir = str(log_dir)
        self._open_options = (max_queue, flush_secs, filename_suffix)
        self._files: dict[str, EventFile] = {}  # by folder: our own, and one for each line of add_scalars
        first = self._file(self.log_dir)
        if purge_step is not None:
            first.add(wire.block(7, wire.integer(1, 1)), purge_step)  # SessionLog { status: START }

    def _file(self, folder: str) -> EventFile:
        if folder not in self._files:
            self._files[folder] = EventFile(Path(folder), *self._open_options)
        return self._files[folder]

    def _add(self, what: bytes, step: Any, walltime: float | None) -> None:
        self._file(self.log_dir).add(what, _step(step), walltime)

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """A number under ``tag``; float32 unless ``new_style`` and ``double_precision``."""
        self._add(summaries.scalar(tag, scalar_value, new_style, double_precision), global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Several lines in one chart; as in PyTorch each line is a run of its own in a folder of its own."""
        walltime = time.time() if walltime is None else walltime
        for tag, value in tag_scalar_dict.items():
            folder = f"{self.log_dir}/{main_tag.replace('/', '_')}_{tag}"
            self._file(folder).add(summaries.scalar(main_tag, value), _step(global_step), walltime)

    def add_histogram(
        self,
        tag: str,
        values: Any,
        global_step: int | None = None,
        bins: str | int | Sequence[float] = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """The distribution of all elements of ``values``, any shape but empty."""
        self._add(summaries.histogram(tag, values, bins, max_bins), global_step, walltime)

    def add_image(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
    ) -> None:
        """A picture of 1, 3 or 4 channels: floats from 0 to 1, or uint8."""
        self._add(summaries.image(tag, img_tensor, dataformats), global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
    ) -> None:
        """A batch of pictures as a grid of up to eight columns."""
        self.add_image(tag, img_tensor, global_step, walltime, dataformats)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Markdown under ``tag``."""
        self._add(summaries.text(tag, text_string), global_step, walltime)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, Sequence[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """A run's settings and results, for the table of runs; written to the folder ``run_name``, the time if None."""
        for name, given in (("hparam_dict", hparam_dict), ("metric_dict", metric_dict)):
            if not isinstance(given, Mapping):
                raise DtypeError(f"{name} must be a dictionary, found {type(given).__name__}")
        parts = summaries.hparams(hparam_dict, metric_dict, hparam_domain_discrete or {})
        scalars = [summaries.scalar(tag, value) for tag, value in metric_dict.items()]
        file = EventFile(Path(self.log_dir) / (run_name or str(time.time())), *self._open_options)
        try:
            for part in (*parts, *scalars):
                file.add(part, _step(global_step))
        finally:
            file.close()

    def add_graph(
        self, model: Any, input_to_model: Any = None, verbose: bool = False, use_strict_trace: bool = True
    ) -> None:
        """Writes nothing and warns: models here are not traced into a graph."""
        warnings.warn("add_graph wrote nothing: allgrad does not trace models; print(model) shows it", stacklevel=2)

    def get_logdir(self) -> str:
        """Where the files are."""
        return self.log_dir

    def flush(self) -> None:
        """Make everything added so far visible to TensorBoard."""
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        """Flush and close all files; whatever is added afterwards opens new ones, as in PyTorch."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _step(step: Any) -> int | None:
    return None if step is None else int(step)
