"""The parts of the layer between ranks that need no rank: folds, spans, texts, the launcher's promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allgrad.comm.agreement import Call, disagreement, mismatch_message, name_ranks
from allgrad.comm.launchenv import PLAIN, detect
from allgrad.comm.reduction import BLOCK_BYTES, LINE_BYTES, check_op, fold, spans
from allgrad.comm.work import plain_buffer
from allgrad.errors import ArgumentError, DtypeError


@given(st.integers(0, 5000), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]))
def test_spans_cover_everything_once(count: int, size: int, itemsize: int) -> None:
    cut = spans(count, size, itemsize)
    assert len(cut) == size and cut[0][0] == 0 and cut[-1][1] == count
    for (_, stop), (start, end) in itertools.pairwise(cut):
        assert stop == start <= end
        assert stop == count or stop * itemsize % LINE_BYTES == 0, "two ranks would write into one cache line"


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 300), st.integers(0, 2**32 - 1), st.sampled_from([None, 0.3]))
def test_fold_is_the_left_fold(size: int, count: int, seed: int, scale: float | None) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.standard_normal(count).astype(np.float32) for _ in range(size)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    if scale is not None:
        total = total * np.float32(scale)
    out = np.empty_like(total)
    fold("sum", parts, [out], scale)
    assert out.tobytes() == total.tobytes()
    inside = [part.copy() for part in parts]  # as in a window: every part is an out
    fold("sum", inside, inside, scale)
    assert all(each.tobytes() == total.tobytes() for each in inside)
    last = [part.copy() for part in parts]  # the out is a part that is read late
    fold("sum", last, [last[-1]], scale)
    assert last[-1].tobytes() == total.tobytes()


def test_the_order_of_ranks_matters_and_is_kept() -> None:
    parts = [np.array([x], np.float32) for x in (1e8, 1.0, -1e8)]
    out = np.empty(1, np.float32)
    fold("sum", parts, [out])
    assert out[0] == 0.0  # (1e8 + 1) - 1e8 in float32; any other order gives 1


def test_folds_longer_than_a_block() -> None:
    count = BLOCK_BYTES // 8 * 2 + 13
    parts = [np.arange(count) * 1.0, np.arange(count) * 2.0, np.ones(count)]
    out = np.empty(count)
    fold("sum", parts, [out])
    np.testing.assert_array_equal(out, np.arange(count) * 3.0 + 1)


def test_half_precision_is_summed_in_single() -> None:
    parts = [np.full(3, 0.0004, np.float16)] * 40 + [np.full(3, 1.0, np.float16)]
    out = np.empty(3, np.float16)
    fold("sum", parts[::-1], [out])  # in float16 every 0.0004 would vanish beside the 1
    assert out[0] == np.float16(1 + 40 * float(np.float16(0.0004)))


@pytest.mark.parametrize(
    ("op", "dtype", "scaled", "error"),
    [
        ("avg", np.float32, False, ArgumentError),
        ("band", np.float32, False, DtypeError),
        ("sum", np.int64, True, DtypeError),
        ("sum", np.complex64, False, DtypeError),
    ],
)
def test_impossible_reductions_are_refused(op: str, dtype: type, scaled: bool, error: type[Exception]) -> None:
    with pytest.raises(error):
        check_op(op, np.dtype(dtype), scaled)


def test_ranks_are_named_in_runs() -> None:
    assert name_ranks([3]) == "rank 3"
    assert name_ranks([1, 0]) == "ranks 0, 1"
    assert name_ranks([*range(62), 63]) == "ranks 0-61, 63"


def test_the_odd_rank_is_named() -> None:
    assert disagreement(["a"] * 5) is None
    assert disagreement(["a", "a", "b"]) == "rank 2 is in b; expected a as on ranks 0, 1"
    assert disagreement(["b", "a"]) == "rank 1 is in a; expected b as on rank 0"
    texts = [Call(5, "all_reduce", ("sum", "float32", n), "fc1").signature() for n in (10, 10, 12, 10)]
    message = mismatch_message(texts, 5)
    assert message is not None
    assert 'rank 2 is in #5 all_reduce(sum, float32, 12) for "fc1"; expected #5 all_reduce(sum, float32, 10)' in message


def test_buffers_refuse_what_does_not_fit() -> None:
    buffer = plain_buffer(64)
    assert buffer.array(np.float32).size == 16 and buffer.address % 64 == 0
    buffer.array(np.float64, 8, 2)[:] = 7
    assert buffer.array(np.float64).tolist() == [0, 7, 7, 0, 0, 0, 0, 0]
    for start, count in ((0, 9), (4, 1), (-8, 1), (8, -1)):
        with pytest.raises(ArgumentError):
            buffer.array(np.float64, start, count)
    buffer.free()
    with pytest.raises(ArgumentError, match="freed"):
        buffer.array(np.float32)


# As seen in real jobs of these launchers.
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_RANK": "1",
}
SLURM_STEP = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, PLAIN),
        (OPENMPI, ("openmpi", 1, 4, 1, 2)),
        (OPENMPI | SLURM_STEP, ("openmpi", 1, 4, 1, 2)),  # the step is prted's, not the rank's
        (
            {"PMI_RANK": "2", "PMI_SIZE": "3", "MPI_LOCALRANKID": "2", "MPI_LOCALNRANKS": "3", "PMI_FD": "7"},
            ("hydra", 2, 3, 2, 3),
        ),
        (
            SLURM_STEP | {"PMI_RANK": "2", "PMI_SIZE": "3", "MPI_LOCALRANKID": "2", "MPI_LOCALNRANKS": "3"},
            ("hydra", 2, 3, 2, 3),
        ),
        (SLURM_STEP | {"PMI_RANK": "3", "PMI_SIZE": "4"}, ("srun-pmi2", 3, 4, 0, None)),
        (SLURM_STEP | {"PMIX_RANK": "3"}, ("srun-pmix", 3, 4, 0, None)),
        (SLURM_STEP | {"SLURM_SRUN_COMM_HOST": "10.0.0.1"}, ("srun-none", 0, 4, 0, None)),
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, PLAIN),  # the shell of a batch job
        (SLURM_STEP | {"SLURM_STEP_ID": "4294967291", "SLURM_SRUN_COMM_HOST": "10.0.0.1"}, PLAIN),
    ],
)
def test_launchers_are_told_apart(env: dict[str, str], found: tuple[object, ...]) -> None:
    assert detect(env) == found
