"""Ranks that do not do the same: found on every rank, by an error that says who, where, what was expected and found."""

from __future__ import annotations

import time

import pytest

import allgrad.distributed as dist
import mismatch_models  # noqa: F401 - enters its cases
from allgrad.comm import run_virtual
from allgrad.context import ctx
from allgrad.errors import AllgradError, MismatchError
from mismatch_cases import CASES


def errors_of(name: str, size: int) -> list[BaseException | None]:
    def program() -> BaseException | None:
        dist.init_process_group()
        try:
            CASES[name].program(dist.get_rank() == size - 1)
            dist.barrier()
        except Exception as error:
            ctx.endings.clear()  # models that are given up say no more words
            return error
        return None

    return run_virtual(program, size)


def judge(name: str, size: int, found: list[tuple[bool, str]]) -> None:
    """``found`` of each rank: whether the error is one of ours, and its text."""
    case = CASES[name]
    words = [word.format(odd=size - 1) for word in case.words]
    assert all(ours for ours, _ in found), found
    for rank, (_, text) in enumerate(found):
        lacking = [word for word in words if word not in text]
        if case.every:
            assert not lacking, f"rank {rank} does not say {lacking}: {text}"
    assert any(all(word in text for word in words) for _, text in found), found


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("name", CASES)
def test_every_rank_says_what_is_wrong(name: str, size: int) -> None:
    started = time.monotonic()
    errors = errors_of(name, size)
    assert time.monotonic() - started < 2
    judge(name, size, [(isinstance(e, AllgradError), str(e)) for e in errors])
    assert any(isinstance(e, MismatchError) for e in errors)


def test_there_are_enough() -> None:
    assert len(CASES) >= 60
