# ruff: noqa: E501
"""The cases of ``nn.functional`` but for the losses, and the whole table."""

from __future__ import annotations

import numpy as np

from functional_cases_losses import class_losses, element_losses
from functional_table import Case, Fixed, Table


def convolutions(t: Table) -> None:
    t.add("linear", lambda t: (t.R(2, 3, 4), t.R(5, 4), t.R(5)))
    t.add("linear", lambda t: (t.R(4), t.R(5, 4)))
    t.add("linear", lambda t: (t.R(3, 4), t.R(4)))
    t.add("bilinear", lambda t: (t.R(2, 3, 4), t.R(2, 3, 5), t.R(6, 4, 5), t.R(6)))
    t.add("conv2d", lambda t: (t.R(3, 4, 7, 6), t.R(5, 4, 3, 2), t.R(5)))
    t.add(
        "conv2d", lambda t: (t.R(3, 4, 7, 6), t.R(6, 2, 3, 2), t.R(6)), stride=2, padding=1, dilation=(2, 1), groups=2
    )
    t.add("conv2d", lambda t: (t.R(3, 4, 7, 6), t.R(6, 4, 1, 1), t.R(6)))
    t.add("conv2d", lambda t: (t.R(3, 4, 7, 6), t.R(6, 2, 1, 1)), groups=2, stride=2)
    t.add("conv2d", lambda t: (t.R(2, 4, 7, 6), t.R(8, 1, 3, 3), t.R(8)), groups=4, padding=1)
    t.add("conv2d", lambda t: (t.R(2, 4, 8, 8), t.R(4, 1, 3, 3)), groups=4, padding=2, stride=2, dilation=2)
    t.add("conv2d", lambda t: (t.R(4, 7, 6), t.R(6, 4, 3, 3), t.R(6)), padding="same")
    t.add("conv2d", lambda t: (t.R(2, 4, 7, 6), t.R(6, 4, 3, 3)), padding="same", dilation=2)
    t.add("conv2d", lambda t: (t.R(2, 4, 7, 6), t.R(6, 4, 3, 4)), padding="valid")
    t.add("conv2d", lambda t: (t.R(2, 16, 9, 8), t.R(12, 16, 3, 3), t.R(12)), padding=1)
    t.add("conv2d", lambda t: (t.R(2, 33, 8, 8), t.R(34, 33, 3, 3), t.R(34)), padding=1)
    t.add("conv2d", lambda t: (t.R(2, 8, 9, 8), t.R(12, 8, 3, 3), t.R(12)), padding=1, stride=2)
    t.add("conv2d", lambda t: (t.R(2, 1, 9, 9), t.R(4, 1, 5, 5), t.R(4)))
    t.add("conv1d", lambda t: (t.R(2, 4, 9), t.R(6, 4, 3), t.R(6)), padding=1, stride=3)
    t.add("conv1d", lambda t: (t.R(2, 4, 20), t.R(6, 4, 3), t.R(6)), padding=2, dilation=2)
    t.add("conv1d", lambda t: (t.R(4, 9), t.R(6, 2, 4)), groups=2, padding="same")
    t.add("conv3d", lambda t: (t.R(2, 2, 5, 4, 6), t.R(3, 2, 2, 3, 2), t.R(3)), padding=1, stride=(2, 1, 2))
    t.add("conv_transpose1d", lambda t: (t.R(3, 4, 5), t.R(4, 3, 3), t.R(3)), stride=2)
    t.add("conv_transpose2d", lambda t: (t.R(3, 4, 5, 6), t.R(4, 3, 3, 2), t.R(6)), stride=2, padding=1, output_padding=1, groups=2)  # fmt: skip
    t.add("conv_transpose2d", lambda t: (t.R(3, 4, 5, 6), t.R(4, 3, 3, 2), t.R(3)), dilation=3, output_padding=(2, 1))
    t.add(
        "conv_transpose2d",
        lambda t: (t.R(3, 4, 5, 6), t.R(4, 3, 3, 2), t.R(3)),
        dilation=3,
        output_padding=(2, 1),
        padding=2,
    )
    t.add("conv_transpose2d", lambda t: (t.R(2, 4, 3, 3), t.R(4, 3, 4, 4)), stride=2, padding=1)
    t.add("conv_transpose2d", lambda t: (t.R(4, 3, 3), t.R(4, 3, 1, 1), t.R(3)))
    t.add("conv_transpose3d", lambda t: (t.R(2, 3, 3, 2, 4), t.R(3, 2, 2, 3, 2), t.R(2)), stride=2, padding=(0, 1, 0))
    t.add("unfold", lambda t: (t.R(2, 3, 6, 7), (2, 3)), padding=1, stride=2)
    t.add("unfold", lambda t: (t.R(3, 6, 7), 2), dilation=2)
    t.add("fold", lambda t: (t.R(2, 3 * 4, 9), (4, 4), 2))
    t.add("fold", lambda t: (t.R(3 * 6, 6), (5, 6), (2, 3)), stride=2, padding=(0, 1))
    for r in (2, 3):
        t.add("pixel_shuffle", lambda t, r=r: (t.R(2, 3 * r * r, 2, 4), r))
        t.add("pixel_unshuffle", lambda t, r=r: (t.R(2, 3, 2 * r, 3 * r), r))
    t.add("pixel_shuffle", lambda t: (t.R(4, 2, 3), 2))
    t.add("channel_shuffle", lambda t: (t.R(2, 6, 3, 2), 3))
    t.add("pad", lambda t: (t.R(2, 3, 4, 5), (1, 2, -1, 3)), value=2.5)
    t.add("pad", lambda t: (t.R(3, 4), (0, 0, 2, 1)))
    t.add("pad", lambda t: (t.R(3, 4), (-1, -1)))
    for mode in ("reflect", "replicate", "circular"):
        t.add("pad", lambda t: (t.R(2, 3, 4, 5), (1, 2, 2, 3)), mode=mode)
        t.add("pad", lambda t: (t.R(2, 3, 5), (-1, 2)), mode=mode)
        t.add("pad", lambda t: (t.R(2, 3, 4, 3, 4), (1, 0, 2, 1, 0, 2)), mode=mode)
        if mode != "circular":
            t.add("pad", lambda t: (t.R(2, 3, 4), (-3, 2)), mode=mode)


def pooling(t: Table) -> None:
    t.add("max_pool2d", lambda t: (t.R(2, 3, 8, 6), 2))
    t.add("max_pool2d", lambda t: (t.R(2, 3, 9, 7), 2))
    t.add("max_pool2d", lambda t: (t.R(2, 3, 9, 7), 3), stride=2, padding=1)
    t.add("max_pool2d", lambda t: (t.R(2, 3, 9, 7), (3, 2)), stride=2, padding=1, dilation=2, ceil_mode=True)
    t.add("max_pool2d", lambda t: (t.R(3, 9, 7), 3), stride=(1, 2), ceil_mode=True)
    t.add("max_pool2d", lambda t: (t.N(3, 2, 3, 8, 6).astype(float), 2))
    t.add("max_pool1d", lambda t: (t.R(2, 3, 9), 2))
    t.add("max_pool1d", lambda t: (t.R(2, 3, 9), 4), stride=2, padding=2)
    t.add("max_pool2d", lambda t: (t.R(2, 3, 3, 11), (1, 2)), stride=(1, 2), dilation=(1, 2))
    t.add("max_pool3d", lambda t: (t.R(2, 3, 6, 4, 4), 2))
    t.add("max_pool3d", lambda t: (t.R(2, 3, 6, 5, 4), (3, 2, 2)), stride=2, padding=1)
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 8, 6), 2))
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 8, 6), (8, 6)))
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 9, 7), 3), stride=2, padding=1)
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 9, 7), 3), stride=2, padding=1, count_include_pad=False, ceil_mode=True)
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 9, 7), 3), stride=2, padding=1, ceil_mode=True)
    t.add("avg_pool2d", lambda t: (t.R(2, 3, 9, 7), 3), divisor_override=5)
    t.add("avg_pool2d", lambda t: (t.R(3, 9, 7), (2, 1)), stride=(3, 2))
    t.add("avg_pool1d", lambda t: (t.R(2, 3, 9), 3), ceil_mode=True, stride=2, padding=1)
    t.add("avg_pool1d", lambda t: (t.R(2, 3, 9), 1))
    t.add("avg_pool3d", lambda t: (t.R(2, 3, 6, 5, 5), 2), ceil_mode=True)
    t.add("avg_pool3d", lambda t: (t.R(2, 3, 6, 5, 5), (1, 2, 3)), padding=(0, 1, 1), count_include_pad=False)
    for d, shape in ((1, (9,)), (2, (9, 8)), (3, (4, 6, 5))):
        for out in (1, 2, 4, 5):
            t.add(f"adaptive_avg_pool{d}d", lambda t, s=shape, o=out: (t.R(2, 3, *s), o))
            t.add(f"adaptive_max_pool{d}d", lambda t, s=shape, o=out: (t.R(2, 3, *s), o))
    t.add("adaptive_avg_pool2d", lambda t: (t.R(3, 7, 9), (None, 3)))
    t.add("adaptive_avg_pool2d", lambda t: (t.R(2, 3, 4, 4), (4, 4)))
    t.add("adaptive_max_pool2d", lambda t: (t.R(3, 7, 9), (None, 12)))
    t.add(
        "max_unpool2d", lambda t: (t.R(2, 3, 2, 2), np.tile(np.array([[0, 3], [9, 14]]), (2, 3, 1, 1)), 2), second=False
    )
    t.add("max_unpool1d", lambda t: (t.R(2, 3, 2), np.tile(np.array([1, 2]), (2, 3, 1)), 2), second=False, output_size=[5])  # fmt: skip
    t.add("lp_pool1d", lambda t: (t.U(2, 3, 9), 3, 2))
    t.add("lp_pool2d", lambda t: (t.U(2, 3, 9, 8), 2.0, 2), stride=1, ceil_mode=True)
    t.add("lp_pool3d", lambda t: (t.U(2, 3, 4, 5, 4), 2, (2, 2, 1)))


def resampling(t: Table) -> None:
    shapes = {1: (5,), 2: (5, 4), 3: (3, 4, 2)}
    sizes = {1: (8,), 2: (7, 9), 3: (5, 3, 4)}
    for d, shape in shapes.items():
        linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[d]
        for mode in ("nearest", "nearest-exact", "area", linear) + (("bicubic",) if d == 2 else ()):
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), size=sizes[d], mode=mode)
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), scale_factor=1.7, mode=mode)
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), scale_factor=0.6, mode=mode)
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), scale_factor=2, mode=mode)
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), scale_factor=1.7, mode=mode, recompute_scale_factor=True)  # fmt: skip
        for mode in (linear,) + (("bicubic",) if d == 2 else ()):
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), size=sizes[d], mode=mode, align_corners=True)
            t.add("interpolate", lambda t, s=shape: (t.R(2, 3, *s),), scale_factor=1.7, mode=mode, align_corners=True)
    # axes that keep or double their length by a factor that is not quite 1 or 2
    t.add("interpolate", lambda t: (t.R(2, 3, 2, 4),), scale_factor=(2.4, 1.2), mode="nearest")
    t.add("interpolate", lambda t: (t.R(2, 3, 2, 4),), scale_factor=(2.4, 1.2), mode="nearest-exact")
    t.add("interpolate", lambda t: (t.R(2, 3, 2, 4),), scale_factor=(2.4, 1.2), mode="bilinear")
    t.add("interpolate", lambda t: (t.R(2, 3, 3, 2, 2),), scale_factor=(2.3, 0.7, 1.2), mode="trilinear")
    for mode in ("bilinear", "bicubic"):
        for size in ((3, 11), (9, 2)):
            t.add("interpolate", lambda t: (t.R(2, 3, 7, 8),), size=size, mode=mode, antialias=True)
            t.add("interpolate", lambda t: (t.R(2, 3, 7, 8),), size=size, mode=mode, antialias=True, align_corners=True)
    for mode in ("bilinear", "nearest", "bicubic"):
        for padding in ("zeros", "border", "reflection"):
            for align in (False, True):
                settings = {"mode": mode, "padding_mode": padding, "align_corners": align}
                t.add("grid_sample", lambda t: (t.R(2, 3, 4, 5), t.R(2, 6, 3, 2)), second=False, **settings)
                if mode != "bicubic":
                    t.add("grid_sample", lambda t: (t.R(2, 3, 4, 5, 3), t.R(2, 3, 2, 4, 3)), second=False, **settings)
    for align in (False, True):
        t.add("affine_grid", lambda t: (t.R(2, 2, 3), (2, 3, 4, 5)), align_corners=align)
        t.add("affine_grid", lambda t: (t.R(2, 3, 4), (2, 3, 4, 5, 1)), align_corners=align)
    t.add("upsample", lambda t: (t.R(2, 3, 4, 5),), scale_factor=2)
    t.add("upsample_nearest", lambda t: (t.R(2, 3, 4, 5),), scale_factor=2)
    t.add("upsample_bilinear", lambda t: (t.R(2, 3, 4, 5),), scale_factor=2)


def normalization(t: Table) -> None:
    t.add("batch_norm", lambda t: (t.R(4, 6, 5), None, None, t.R(6), t.R(6), True))
    t.add("batch_norm", lambda t: (t.R(4, 6), None, None, t.R(6), None, True))
    t.add("batch_norm", lambda t: (t.R(4, 6, 3, 2), None, None, None, None, True))
    t.add("batch_norm", lambda t: (t.R(4, 6, 3, 2) + 100, None, None, t.R(6), t.R(6), True), eps=1e-3)
    t.add("batch_norm", lambda t: (t.R(4, 6, 3, 2), None, None, None, t.R(6), True), second=False)
    t.add("instance_norm", lambda t: (t.R(4, 6, 5),))
    t.add("instance_norm", lambda t: (t.R(4, 6, 5, 2),), weight=lambda t: t.R(6), bias=lambda t: t.R(6), eps=1e-3)
    t.add("layer_norm", lambda t: (t.R(4, 3, 5), (3, 5), t.R(3, 5), t.R(3, 5)))
    t.add("layer_norm", lambda t: (t.R(4, 3, 5), (5,)))
    t.add("layer_norm", lambda t: (t.R(4, 5), [5], t.R(5)), eps=1e-2)
    t.add("rms_norm", lambda t: (t.R(4, 3, 5), (3, 5), t.R(3, 5)))
    t.add("rms_norm", lambda t: (t.R(4, 3, 5), (5,)), eps=0.1)
    t.add("group_norm", lambda t: (t.R(4, 6, 5), 3, t.R(6), t.R(6)))
    t.add("group_norm", lambda t: (t.R(4, 6, 5, 2), 2), eps=1e-3)
    t.add("group_norm", lambda t: (t.R(4, 6), 2, t.R(6)))
    t.add("local_response_norm", lambda t: (t.R(2, 6, 4, 3), 3))
    t.add("local_response_norm", lambda t: (t.R(2, 6, 4), 4), alpha=0.3, beta=0.6, k=2.0)
    for p in (1.0, 2.0, 3.0):
        t.add("normalize", lambda t: (t.R(3, 4, 2),), p=p)
    t.add("normalize", lambda t: (t.R(3, 4),), dim=0)
    t.add("normalize", lambda t: (t.R(3, 4),), dim=(0, 1), second=False)


def distances(t: Table) -> None:
    t.add("cosine_similarity", lambda t: (t.R(4, 5), t.R(4, 5)))
    t.add("cosine_similarity", lambda t: (t.R(4, 5), t.R(5)), dim=-1)
    t.add("cosine_similarity", lambda t: (t.R(4, 5, 2), t.R(1, 5, 2)), dim=1, eps=0.3)
    for p in (1.0, 2.0, 3.0, float("inf")):
        t.add("pairwise_distance", lambda t: (t.R(4, 5), t.R(4, 5)), p=p)
        t.add("pdist", lambda t: (t.R(4, 3),), second=False, p=p)
    t.add("pairwise_distance", lambda t: (t.R(4, 5), t.R(5)), keepdim=True)
    t.add("pairwise_distance", lambda t: (t.R(5), t.R(5)), eps=0.1)


def activations(t: Table) -> None:
    for name in ("relu", "tanh", "sigmoid", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"):
        t.add(name, lambda t: (t.R(4, 5) * 2,))
    t.add("hardsigmoid", lambda t: (t.R(4, 5) * 4,), second=False, tolerance=1e-7)
    for name in ("hardswish", "hardtanh", "softplus", "softsign", "tanhshrink", "softshrink"):
        t.add(name, lambda t: (t.R(4, 5) * 4,))
    for name in ("hardshrink", "logsigmoid", "rrelu", "softmax", "log_softmax", "softmin", "glu"):
        t.add(name, lambda t: (t.R(4, 6) * 2,))
    t.add("gelu", lambda t: (t.R(4, 5),), approximate="tanh")
    t.add("celu", lambda t: (t.R(4, 5),), tolerance=1e-7, alpha=0.4)
    t.add("elu", lambda t: (t.R(4, 5),), alpha=0.4)
    t.add("leaky_relu", lambda t: (t.R(4, 5),), negative_slope=0.3)
    t.add("hardtanh", lambda t: (t.R(4, 5),), min_val=-0.3, max_val=0.6)
    t.add("softplus", lambda t: (t.R(4, 5) * 4,), beta=2.0, threshold=3.0)
    t.add("softshrink", lambda t: (t.R(4, 5),), lambd=0.2)
    t.add("hardshrink", lambda t: (t.R(4, 5),), lambd=0.2)
    t.add("threshold", lambda t: (t.R(4, 5), 0.3, -7.0))
    t.add("softmax", lambda t: (t.R(2, 4, 3),), dim=1)
    t.add("log_softmax", lambda t: (t.R(2, 4, 3),), dim=-2)
    t.add("softmin", lambda t: (t.R(2, 4, 3),), dim=0)
    t.add("glu", lambda t: (t.R(2, 4, 3),), dim=1)
    t.add("prelu", lambda t: (t.R(2, 4, 3), t.R(4)))
    t.add("prelu", lambda t: (t.R(2, 4, 3), t.R(1)))
    t.add("prelu", lambda t: (t.R(5), t.R(1)))


def lookups(t: Table) -> None:
    t.add("embedding", lambda t: (t.N(6, 3, 4), t.R(6, 3)))
    t.add("embedding", lambda t: (t.N(6, 3, 4), t.R(6, 3)), padding_idx=2)
    t.add("embedding", lambda t: (t.N(6, 9), t.R(6, 3)), scale_grad_by_freq=True, second=False)
    t.add("embedding", lambda t: (t.N(600, 900), t.R(600, 3)), padding_idx=-1)
    t.add("one_hot", lambda t: (t.N(6, 3, 4),), num_classes=7)
    t.add("one_hot", lambda t: (t.N(6, 3, 4),))
    for mode in ("sum", "mean", "max"):
        t.add("embedding_bag", lambda t: (t.N(6, 3, 4), t.R(6, 3)), mode=mode, second=False)
        t.add("embedding_bag", lambda t: (t.N(6, 9), t.R(6, 3), np.array([0, 2, 2, 7])), mode=mode, second=False)
        t.add("embedding_bag", lambda t: (t.N(6, 9), t.R(6, 3), np.array([0, 2, 2, 7])), mode=mode, second=False, padding_idx=3)  # fmt: skip
        t.add("embedding_bag", lambda t: (t.N(6, 9), t.R(6, 3), np.array([0, 2, 7, 9])), mode=mode, second=False, include_last_offset=True)  # fmt: skip
    t.add("embedding_bag", lambda t: (t.N(6, 3, 4), t.R(6, 3)), mode="sum", second=False, per_sample_weights=lambda t: t.R(3, 4))  # fmt: skip
    t.add("embedding_bag", lambda t: (t.N(6, 9), t.R(6, 3), np.array([0, 4])), mode="sum", second=False, scale_grad_by_freq=True)  # fmt: skip


def attention(t: Table) -> None:
    name = "scaled_dot_product_attention"
    t.add(name, lambda t: (t.R(2, 3, 5, 4), t.R(2, 3, 6, 4), t.R(2, 3, 6, 7)))
    t.add(name, lambda t: (t.R(5, 4), t.R(6, 4), t.R(6, 4)), scale=0.3)
    t.add(name, lambda t: (t.R(2, 5, 4), t.R(2, 5, 4), t.R(2, 5, 4)), is_causal=True)
    t.add(name, lambda t: (t.R(2, 7, 4), t.R(2, 5, 4), t.R(2, 5, 4)), is_causal=True)
    t.add(name, lambda t: (t.R(2, 5, 4), t.R(2, 7, 4), t.R(2, 7, 4)), is_causal=True)
    t.add(name, lambda t: (t.R(1, 2, 150, 4), t.R(1, 2, 150, 4), t.R(1, 2, 150, 4)), is_causal=True)
    t.add(name, lambda t: (t.R(2, 3, 5, 4), t.R(2, 3, 6, 4), t.R(2, 3, 6, 4), t.U(5, 6) > 0.5))
    t.add(name, lambda t: (t.R(2, 3, 5, 4), t.R(2, 3, 6, 4), t.R(2, 3, 6, 4), t.U(2, 1, 1, 6) > 0.3))
    t.add(name, lambda t: (t.R(2, 3, 5, 4), t.R(2, 3, 6, 4), t.R(2, 3, 6, 4), Fixed(t.R(2, 3, 5, 6))))
    t.add(name, lambda t: (t.R(2, 3, 5, 4), t.R(2, 3, 6, 4), t.R(2, 3, 6, 4), t.R(5, 6)))
    t.add(name, lambda t: (t.R(2, 6, 5, 4), t.R(2, 3, 5, 4), t.R(2, 3, 5, 4)), enable_gqa=True, is_causal=True)


def all_cases() -> list[Case]:
    """The whole table."""
    table = Table()
    for group in GROUPS:
        group(table)
    return table.cases


GROUPS = [
    convolutions,
    pooling,
    resampling,
    normalization,
    class_losses,
    element_losses,
    distances,
    activations,
    lookups,
    attention,
]
