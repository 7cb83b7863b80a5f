# ruff: noqa: E501
"""The cases of the losses."""

from __future__ import annotations

import numpy as np

from functional_table import Fixed, Table


def class_losses(t: Table) -> None:
    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.2):
            # weights, labels that do not count, more dimensions, probabilities
            t.add("cross_entropy", lambda t: (t.R(7, 5), t.N(5, 7)), reduction=reduction, label_smoothing=smoothing)
            t.add("cross_entropy", lambda t: (t.R(7, 5), t.N(5, 7)), reduction=reduction, label_smoothing=smoothing, ignore_index=2)  # fmt: skip
            t.add("cross_entropy", lambda t: (t.R(7, 5), t.N(5, 7), Fixed(t.U(5))), reduction=reduction, label_smoothing=smoothing, ignore_index=2)  # fmt: skip
            t.add("cross_entropy", lambda t: (t.R(7, 5), t.P(7, 5), Fixed(t.U(5))), reduction=reduction, label_smoothing=smoothing)  # fmt: skip
            t.add("cross_entropy", lambda t: (t.R(7, 5), np.array([0, 1, -100, 4, 2, -100, 3])), reduction=reduction, label_smoothing=smoothing)  # fmt: skip
            t.add("cross_entropy", lambda t: (t.R(4, 5, 2, 3), t.N(5, 4, 2, 3)), reduction=reduction, label_smoothing=smoothing)  # fmt: skip
            t.add("cross_entropy", lambda t: (t.R(7, 5), t.P(7, 5)), reduction=reduction, label_smoothing=smoothing)
            t.add("cross_entropy", lambda t: (t.R(4, 5, 3), t.P(4, 5, 3)), reduction=reduction, label_smoothing=smoothing)  # fmt: skip
        t.add("nll_loss", lambda t: (t.R(7, 5), t.N(5, 7)), reduction=reduction)
        t.add("nll_loss", lambda t: (t.R(7, 5, 3), t.N(5, 7, 3)), reduction=reduction, ignore_index=2)
        t.add("nll_loss", lambda t: (t.R(7, 5, 3), t.N(5, 7, 3), Fixed(t.U(5))), reduction=reduction)
        t.add("nll_loss", lambda t: (t.R(7, 5, 3, 2), t.N(5, 7, 3, 2)), reduction=reduction)
        t.add("multi_margin_loss", lambda t: (t.R(7, 5), t.N(5, 7)), second=False, reduction=reduction)
        t.add("multi_margin_loss", lambda t: (t.R(7, 5), t.N(5, 7)), second=False, reduction=reduction, p=2, margin=0.5)
        t.add("multi_margin_loss", lambda t: (t.R(7, 5), t.N(5, 7), 1, 1.0, Fixed(t.U(5))), second=False, reduction=reduction)  # fmt: skip
        t.add("multilabel_margin_loss", lambda t: (t.R(3, 4), np.array([[3, 0, -1, 1], [-1, 2, 1, 0], [0, 1, 2, 3]])), second=False, reduction=reduction)  # fmt: skip
        t.add("multilabel_soft_margin_loss", lambda t: (t.R(3, 4), t.N(2, 3, 4)), reduction=reduction)
        for zero in (False, True):
            ctc = {"reduction": reduction, "zero_infinity": zero, "second": False}
            t.add(
                "ctc_loss", lambda t: (t.R(7, 3, 5), 1 + t.N(4, 3, 4), np.array([7, 5, 6]), np.array([3, 0, 2])), **ctc
            )
            t.add("ctc_loss", lambda t: (t.R(7, 3, 5), np.array([1, 1, 2, 3, 3]), (7, 7, 6), (2, 1, 2)), blank=4, **ctc)
    t.add("ctc_loss", lambda t: (t.R(3, 2, 5), np.array([[1, 1, 1], [2, 3, 4]]), (3, 3), (3, 3)), second=False, zero_infinity=True)  # fmt: skip
    t.add("ctc_loss", lambda t: (t.R(7, 5), np.array([1, 2, 2]), np.array([7]), np.array([3])), second=False)
    t.add("cross_entropy", lambda t: (t.R(5), np.array(2)))
    t.add("cross_entropy", lambda t: (t.R(3, 5), np.full(3, -100)), second=False)
    t.add("nll_loss", lambda t: (t.R(3, 5), np.full(3, -100)), second=False)
    t.add("cross_entropy", lambda t: (t.R(5), t.P(1, 5)[0]))
    t.add("cross_entropy", lambda t: (t.R(0, 5), t.N(5, 0)), reduction="sum")
    t.add("cross_entropy", lambda t: (t.R(3, 5) * 1000, t.N(5, 3)))
    t.add("nll_loss", lambda t: (t.R(5), np.array(2)))
    t.add("multi_margin_loss", lambda t: (t.R(5), np.array([2])), second=False)
    t.add("multilabel_margin_loss", lambda t: (t.R(4), np.array([3, 0, -1, 1])), second=False)


def element_losses(t: Table) -> None:
    for reduction in ("mean", "sum", "none"):
        t.add("mse_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction)
        t.add("mse_loss", lambda t: (t.R(7, 1), t.R(5)), reduction=reduction)
        t.add("l1_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction)
        t.add("smooth_l1_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction)
        t.add("smooth_l1_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction, beta=0.3)
        t.add("smooth_l1_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction, beta=0.0)
        t.add("huber_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction)
        t.add("huber_loss", lambda t: (t.R(7, 5), t.R(7, 5)), reduction=reduction, delta=0.4)
        t.add("binary_cross_entropy", lambda t: (t.U(7, 5), t.U(7, 5)), reduction=reduction)
        t.add("binary_cross_entropy", lambda t: (t.U(7, 5), t.U(7, 5), Fixed(t.U(7, 5))), reduction=reduction)
        t.add("binary_cross_entropy_with_logits", lambda t: (t.R(7, 5) * 3, t.U(7, 5)), reduction=reduction)
        t.add("binary_cross_entropy_with_logits", lambda t: (t.R(7, 5), t.U(7, 5)), reduction=reduction, pos_weight=lambda t: Fixed(t.U(5) * 3))  # fmt: skip
        t.add("binary_cross_entropy_with_logits", lambda t: (t.R(7, 5), t.U(7, 5), Fixed(t.U(7, 1))), reduction=reduction)  # fmt: skip
        for log_target in (False, True):
            t.add("kl_div", lambda t: (np.log(t.P(4, 5)), t.P(4, 5)), reduction=reduction, log_target=log_target)
        for full in (False, True):
            t.add(
                "poisson_nll_loss",
                lambda t: (t.R(4, 5), Fixed(t.N(6, 4, 5).astype(float))),
                reduction=reduction,
                full=full,
            )
            t.add("poisson_nll_loss", lambda t: (t.U(4, 5), Fixed(t.N(6, 4, 5).astype(float))), reduction=reduction, full=full, log_input=False)  # fmt: skip
            t.add("gaussian_nll_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.U(4, 5)), reduction=reduction, full=full)
        t.add("gaussian_nll_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.U(4)), reduction=reduction, eps=0.5)
        t.add("gaussian_nll_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.U(4, 1)), reduction=reduction)
        t.add("gaussian_nll_loss", lambda t: (t.R(4, 5), t.R(4, 5), 0.7), reduction=reduction)
        t.add("soft_margin_loss", lambda t: (t.R(4, 5), t.S(4, 5)), reduction=reduction)
        t.add("hinge_embedding_loss", lambda t: (t.R(4, 5), t.S(4, 5)), reduction=reduction, margin=0.7)
        t.add("margin_ranking_loss", lambda t: (t.R(4), t.R(4), t.S(4)), reduction=reduction, margin=0.3)
        t.add("cosine_embedding_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.S(4)), reduction=reduction, margin=0.1)
        t.add("triplet_margin_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.R(4, 5)), reduction=reduction)
        t.add("triplet_margin_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.R(4, 5)), reduction=reduction, p=1, swap=True)
        t.add("triplet_margin_with_distance_loss", lambda t: (t.R(4, 5), t.R(4, 5), t.R(4, 5)), reduction=reduction, swap=True)  # fmt: skip
    t.add("kl_div", lambda t: (np.log(t.P(4, 5)), t.P(4, 5)), reduction="batchmean")
    t.add("cosine_embedding_loss", lambda t: (t.R(5), t.R(5), np.array(1)))
    for legacy in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}):
        t.add("mse_loss", lambda t: (t.R(4, 5), t.R(4, 5)), **legacy)
        t.add("nll_loss", lambda t: (t.R(7, 5), t.N(5, 7)), **legacy)
