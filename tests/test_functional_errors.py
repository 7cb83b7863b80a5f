# ruff: noqa: E501
"""Wrong calls of ``nn.functional``: the same kind of error as PyTorch, and a message that says what was wrong."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import allgrad
import allgrad.nn.functional as F
from allgrad.errors import AllgradError


def f(*shape: int) -> Any:
    return np.ones(shape, np.float32)


def i(*shape: int) -> Any:
    return np.ones(shape, np.int64)


# name, arguments, settings, the kinds of error that fit (the first is PyTorch's), words of the message
WRONG: list[tuple[str, tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
    ("linear", (f(2, 3), f(4, 5)), {}, RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 5x4)"),
    ("linear", (f(2, 3), f(4, 3).astype(np.float64)), {}, RuntimeError, "float"),
    ("linear", (f(2, 3), f(4, 3), f(5)), {}, RuntimeError, "4"),
    ("bilinear", (f(2, 3), f(3, 4), f(5, 3, 4)), {}, RuntimeError, "batch dimensions do not match"),
    ("conv2d", (f(1, 1, 28, 28), f(8, 3, 3, 3)), {}, RuntimeError, "Given groups=1, weight of size [8, 3, 3, 3], expected input[1, 1, 28, 28] to have 3 channels, but got 1 channels instead"),
    ("conv2d", (f(2, 3), f(8, 3, 3, 3)), {}, RuntimeError, "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [2, 3]"),
    ("conv2d", (f(1, 3, 2, 2), f(8, 3, 3, 3)), {}, RuntimeError, "Kernel size can't be greater than actual input size"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3), f(7)), {}, RuntimeError, "bias"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"stride": 0}, RuntimeError, "non-positive stride is not supported"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"padding": -1}, RuntimeError, "negative padding is not supported"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"stride": (1, 1, 1)}, RuntimeError, "expected stride to be a single integer value or a list of 2 values"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"padding": "same", "stride": 2}, RuntimeError, "padding='same' is not supported for strided convolutions"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"padding": "all"}, RuntimeError, "Invalid padding string"),
    ("conv2d", (f(1, 4, 5, 5), f(7, 2, 3, 3)), {"groups": 2}, RuntimeError, "groups=2"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3).astype(np.float64)), {}, RuntimeError, "should be the same"),
    ("conv2d", (f(1, 3, 5, 5), f(8, 3, 3, 3)), {"stride": 1.5}, TypeError, "stride"),
    ("conv1d", (f(1, 3, 5, 5), f(8, 3, 3)), {}, RuntimeError, "Expected 2D (unbatched) or 3D (batched)"),
    ("conv_transpose2d", (f(1, 3, 5, 5), f(4, 8, 3, 3)), {}, RuntimeError, "to have 4 channels"),
    ("conv_transpose2d", (f(1, 4, 5, 5), f(4, 8, 3, 3)), {"output_padding": 1}, RuntimeError, "output padding must be smaller"),
    ("max_pool2d", (f(2, 3), 2), {}, RuntimeError, "Expected 3D or 4D"),
    ("max_pool2d", (f(1, 2, 3, 3), 5), {}, RuntimeError, "Output size is too small"),
    ("max_pool2d", (f(1, 2, 3, 3), 2), {"padding": 2}, RuntimeError, "pad should be at most half"),
    ("max_pool2d", (f(1, 2, 3, 3), 0), {}, RuntimeError, "greater than zero"),
    ("avg_pool2d", (f(1, 2, 3, 3), 2), {"stride": 0}, RuntimeError, "stride"),
    ("avg_pool2d", (f(1, 2, 3, 3), 2), {"divisor_override": 0}, RuntimeError, "divisor must be not zero"),
    ("adaptive_avg_pool2d", (f(2, 3), 2), {}, RuntimeError, "Expected 3D or 4D"),
    ("adaptive_max_pool2d", (f(1, 2, 3, 3), (2, 2, 2)), {}, RuntimeError, "output_size"),
    ("max_unpool2d", (f(1, 1, 2, 2), i(1, 1, 2, 2) * 99, 2), {}, RuntimeError, "invalid max index"),
    ("unfold", (f(1, 2, 3, 3), 5), {}, RuntimeError, "sliding blocks"),
    ("fold", (f(1, 5, 4), (4, 4), 2), {}, RuntimeError, "divisible by the product of kernel_size"),
    ("pad", (f(2, 3), (1,)), {}, RuntimeError, "divisible by 2"),
    ("pad", (f(2, 3), (1, 1, 1, 1, 1, 1)), {}, RuntimeError, "two times the input dimension"),
    ("pad", (f(2, 3, 4), (4, 0)), {"mode": "reflect"}, RuntimeError, "Padding size should be less than"),
    ("pad", (f(2, 3, 4), (5, 0)), {"mode": "circular"}, RuntimeError, "wrapping around more than once"),
    ("pad", (f(2, 3, 4), (1, 0)), {"mode": "mirror"}, NotImplementedError, "mirror"),
    ("pad", (f(2, 3, 4), (-5, 0)), {}, RuntimeError, "negative"),
    ("interpolate", (f(1, 2, 3, 3),), {}, ValueError, "either size or scale_factor should be defined"),
    ("interpolate", (f(1, 2, 3, 3),), {"size": 2, "scale_factor": 2}, ValueError, "only one of size or scale_factor"),
    ("interpolate", (f(1, 2, 3),), {"size": 2, "mode": "bilinear"}, NotImplementedError, "needs 4D input"),
    ("interpolate", (f(1, 2, 3, 3),), {"size": 2, "align_corners": True}, ValueError, "align_corners"),
    ("interpolate", (f(1, 2, 3, 3),), {"size": (2, 2, 2)}, ValueError, "spatial dimensions"),
    ("interpolate", (f(1, 2, 3, 3),), {"size": 0}, RuntimeError, "greater than 0"),
    ("pixel_shuffle", (f(1, 5, 3, 3), 2), {}, RuntimeError, "divisible by the square of upscale_factor"),
    ("pixel_unshuffle", (f(1, 5, 3, 4), 2), {}, RuntimeError, "3 is not divisible by 2"),
    ("channel_shuffle", (f(1, 5, 3, 3), 2), {}, RuntimeError, "divisible by groups"),
    ("batch_norm", (f(1, 3), f(3), f(3)), {"training": True}, ValueError, "Expected more than 1 value per channel when training"),
    ("batch_norm", (f(4, 3), f(2), f(3)), {"training": True}, RuntimeError, "running_mean should contain 3 elements not 2"),
    ("layer_norm", (f(4, 3), (4,)), {}, RuntimeError, "Given normalized_shape=[4], expected input with shape [*, 4]"),
    ("group_norm", (f(4, 5), 2), {}, RuntimeError, "divisible by num_groups"),
    ("group_norm", (f(1, 2, 1), 2), {}, ValueError, "Expected more than 1 value per channel when training"),
    ("instance_norm", (f(4, 5, 1),), {}, ValueError, "Expected more than 1 spatial element"),
    ("dropout", (f(3), 1.5), {}, ValueError, "dropout probability has to be between 0 and 1, but got 1.5"),
    ("dropout2d", (f(3, 2, 2, 2), -0.5), {}, ValueError, "dropout probability"),
    ("embedding", (i(3) * 7, f(5, 2)), {}, IndexError, "index out of range in self"),
    ("embedding", (f(3), f(5, 2)), {}, RuntimeError, "Long, Int"),
    ("embedding", (i(3), f(5)), {}, RuntimeError, "'weight' must be 2-D"),
    ("embedding_bag", (i(3), f(5, 2)), {}, ValueError, "offsets"),
    ("embedding_bag", (i(3), f(5, 2), np.array([1])), {}, RuntimeError, "offsets[0] has to be 0"),
    ("one_hot", (i(3) * 7, 3), {}, RuntimeError, "smaller than num_classes"),
    ("one_hot", (f(3),), {}, RuntimeError, "index tensor"),
    ("softmax", (i(3), 0), {}, RuntimeError, "not implemented"),
    ("softmax", (f(3), 4), {}, IndexError, "Dimension out of range"),
    ("glu", (f(3, 5),), {}, RuntimeError, "Halving dimension must be even, but dimension 1 is size 5"),
    ("prelu", (f(2, 3), f(2)), {}, RuntimeError, "Found parameter numbers = 2 and channel size = 3."),
    ("cross_entropy", (f(3, 5), i(3) * 10), {}, IndexError, "Target 10 is out of bounds."),
    ("cross_entropy", (f(3, 5), i(3) * -1), {}, IndexError, "Target -1 is out of bounds."),
    ("cross_entropy", (f(3, 5), i(4)), {}, ValueError, "Expected input batch_size (3) to match target batch_size (4)."),
    ("cross_entropy", (f(3, 5), f(3)), {}, RuntimeError, "expected scalar type Long but found Float"),
    ("cross_entropy", (f(3, 5), i(3, 5)), {}, RuntimeError, "3"),
    ("cross_entropy", (f(3, 5), i(3), f(4)), {}, RuntimeError, "weight tensor should be defined either for all 5 classes"),
    ("cross_entropy", (f(3, 5), i(3)), {"label_smoothing": 1.5}, RuntimeError, "label_smoothing must be between 0.0 and 1.0"),
    ("cross_entropy", (f(3, 5), i(3)), {"reduction": "average"}, ValueError, "average is not a valid value for reduction"),
    ("nll_loss", (f(3, 5), i(3) * 5), {}, IndexError, "Target 5 is out of bounds."),
    ("nll_loss", (f(3, 5, 2), i(3, 4)), {}, RuntimeError, "size"),
    ("mse_loss", (f(3, 5), f(3, 4)), {}, RuntimeError, "must match"),
    ("binary_cross_entropy", (f(3) * 2, f(3)), {}, RuntimeError, "between 0 and 1"),
    ("binary_cross_entropy", (f(3) * np.nan, f(3)), {}, RuntimeError, "between 0 and 1"),
    ("binary_cross_entropy", (f(3), f(3, 1)), {}, ValueError, "ensure they have the same size"),
    ("binary_cross_entropy", (f(3), i(3)), {}, RuntimeError, "Long"),
    ("binary_cross_entropy_with_logits", (f(3), f(3, 1)), {}, ValueError, "must be the same as input size"),
    ("huber_loss", (f(3), f(3)), {"delta": 0.0}, RuntimeError, "non-positive values for delta"),
    ("smooth_l1_loss", (f(3), f(3)), {"beta": -1.0}, RuntimeError, "negative values for beta"),
    ("gaussian_nll_loss", (f(3, 2), f(3, 2), -f(3, 2)), {}, ValueError, "negative"),
    ("gaussian_nll_loss", (f(3, 2), f(3, 2), f(4)), {}, ValueError, "incorrect size"),
    ("triplet_margin_loss", (f(3, 2), f(3, 2), f(3, 2)), {"margin": -1.0}, ValueError, "margin must be greater than 0"),
    ("multi_margin_loss", (f(3, 2), i(3)), {"p": 3}, ValueError, "only p == 1 and p == 2 supported"),
    ("multi_margin_loss", (f(3, 2), i(4)), {}, RuntimeError, "inconsistent target size"),
    ("multilabel_margin_loss", (f(3, 2), i(3, 3)), {}, RuntimeError, "inconsistent target size"),
    ("cosine_embedding_loss", (f(3, 2), f(3, 2), f(3, 2)), {}, RuntimeError, "1D target"),
    ("margin_ranking_loss", (f(3), f(3, 1), f(3)), {}, RuntimeError, "same dimension"),
    ("ctc_loss", (f(4, 2, 3), i(2, 2), (5, 4), (1, 1)), {}, RuntimeError, "Expected input_lengths to have value at most 4"),
    ("ctc_loss", (f(4, 2, 3), i(2, 2), (4, 4), (1, 1)), {"blank": 3}, RuntimeError, "blank must be in label range"),
    ("scaled_dot_product_attention", (f(2, 3), f(2, 3), f(2, 3), f(2, 2)), {"is_causal": True}, RuntimeError, "is_causal"),
    ("scaled_dot_product_attention", (f(3), f(2, 3), f(2, 3)), {}, RuntimeError, "at least 2 dimensional"),
    ("scaled_dot_product_attention", (f(2, 3), f(2, 3).astype(np.float64), f(2, 3)), {}, RuntimeError, "same dtype"),
    ("scaled_dot_product_attention", (f(4, 2, 3), f(3, 2, 3), f(3, 2, 3)), {}, RuntimeError, "broadcast"),
    ("grid_sample", (f(1, 1, 3, 3), f(1, 2, 2, 3)), {"align_corners": False}, RuntimeError, "grid"),
    ("grid_sample", (f(1, 1, 3, 3), f(1, 2, 2, 2)), {"mode": "area", "align_corners": False}, ValueError, "area"),
    ("affine_grid", (f(1, 2, 2), (1, 1, 2, 2)), {"align_corners": False}, ValueError, "Nx2x3"),
    ("pdist", (f(3),), {}, RuntimeError, "2D"),
    ("relu", ("text",), {}, TypeError, "Tensor"),
    ("conv2d", (f(1, 3, 5, 5), None), {}, TypeError, "weight"),
]  # fmt: skip


def _made(make: Any, args: tuple[Any, ...]) -> list[Any]:
    return [make(a) if isinstance(a, np.ndarray) else a for a in args]


def _id(case: Any) -> str:
    return f"{case[0]}-{case[4][:30]}"


@pytest.mark.parametrize("case", WRONG, ids=_id)
def test_error(case: Any) -> None:
    name, args, kwargs, kind, words = case
    with warnings.catch_warnings(), pytest.raises(kind) as caught:
        warnings.simplefilter("ignore")
        getattr(F, name)(*_made(allgrad.tensor, args), **kwargs)
    assert isinstance(caught.value, AllgradError), f"{name}: {type(caught.value).__name__} is no error of our own"
    assert words in str(caught.value)


@pytest.mark.parametrize("case", WRONG, ids=_id)
def test_pytorch_raises_that_kind_too(case: Any) -> None:
    torch = pytest.importorskip("torch")
    name, args, kwargs, kind, _ = case
    with warnings.catch_warnings(), pytest.raises(kind):
        warnings.simplefilter("ignore")
        getattr(torch.nn.functional, name)(*_made(torch.tensor, args), **kwargs)
