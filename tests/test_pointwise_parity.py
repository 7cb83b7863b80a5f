"""The pointwise sweep against PyTorch is clean, and every difference on purpose is still one."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from pointwise_parity import ON_PURPOSE, groups, sweep

EXCUSED: set[tuple[str, str]] = set()


@pytest.mark.parametrize("title", groups())
def test_group_agrees_with_torch(title: str) -> None:
    counts, wrong = sweep(groups()[title](), EXCUSED)
    assert sum(counts.values()) > 200
    assert not wrong, "\n".join(wrong[:20])


def test_every_excuse_is_needed() -> None:
    for cases in groups().values():
        sweep(cases(), EXCUSED) if not ON_PURPOSE.keys() <= EXCUSED else None
    assert not ON_PURPOSE.keys() - EXCUSED
