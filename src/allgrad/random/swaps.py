"""A sequence of swaps as one permutation, without a Python loop."""

from __future__ import annotations

import numpy as np


def order(targets: np.ndarray) -> np.ndarray:
    """What ``for i, j in enumerate(targets): a[i], a[j] = a[j], a[i]`` makes of a = 0, 1, ...: (n - 1,) -> (n,) int64.

    Each target must be ``>= i``.  Then position i is final after step i and holds what its target held before.  A
    position that no earlier step aimed at holds its own number; else it holds what the last such step took away
    from its own position.  So every answer lies at the end of a chain of steps; doubling the links reaches the ends
    in log2(longest chain) passes, and random chains are short.
    """
    n = len(targets) + 1
    steps = np.arange(n)
    aims = np.append(targets, n - 1)  # the last position aims at itself
    # Steps sorted by (target, step): the one before in the same group is the last earlier step with that target.
    ranked = np.sort(aims * n + steps)
    target, step = np.divmod(ranked, n)
    same = target[1:] == target[:-1]
    before = np.full(n, -1)  # before[i]: the last step before i that aimed where i aims
    before[step[1:][same]] = step[:-1][same]
    # link[k]: the last step before k that aimed at position k, or k itself where there is none.
    link = steps.copy()
    ahead = np.flatnonzero(target != step)
    last = np.append(target[ahead][1:] != target[ahead][:-1], True)[: len(ahead)]
    link[target[ahead][last]] = step[ahead][last]
    while True:
        further = link[link]
        if np.array_equal(further, link):
            break
        link = further
    return np.where(before >= 0, link[before], aims)
