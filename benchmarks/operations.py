"""Single operations, forward and backward, at three sizes: where the next thing to improve is to be found.

An operation is an expression of ``t`` (allgrad or torch), ``F`` (its ``nn.functional``) and the inputs of ``Inputs``.
``tests/test_bench.py`` demands that every op of allgrad's table is run by one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import allgrad

Call = Callable[[], Any]


class Size(NamedTuple):
    """Rows and columns of plain operations, images (n, c, side), sides of square matrices."""

    name: str
    rows: int
    columns: int
    images: tuple[int, int, int]
    side: int


SIZES = (
    Size("small", 4, 16, (2, 4, 8), 4),
    Size("medium", 128, 256, (4, 16, 32), 24),
    Size("large", 1024, 1024, (16, 32, 48), 96),
)


def _words(text: str) -> list[str]:
    return text.split()


POINTWISE = _words("""abs sign angle floor ceil trunc round frac nan_to_num square reciprocal rsqrt exp exp2 expm1 log log1p log2
log10 sqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh sinc logit erf erfc erfinv lgamma digamma sigmoid tanh
relu neg clone isnan isinf isfinite isposinf isneginf signbit logical_not softmax_1 log_softmax_1 cumsum_1 cumprod_1
logcumsumexp_1 cummax_1 cummin_1 sort_1 argsort_1 median_1 nanmedian_1 mode_1 sum mean var any all count_nonzero prod_1 amax_1
amin_1 argmax argmin max_1 min_1 logsumexp_1 sum_0 sum_1 mean_0 var_1 median amax norm tril triu""")

BINARY = _words("""add sub mul div floor_divide remainder fmod atan2 hypot logaddexp logaddexp2 copysign xlogy nextafter
heaviside maximum minimum fmax fmin eq ne lt le gt ge logical_and logical_or logical_xor matmul_T""")

ACTIVATIONS = _words("""gelu silu mish softplus logsigmoid elu softsign tanhshrink hardtanh leaky_relu softshrink hardshrink
hardsigmoid hardswish selu celu relu6""")

# Everything that is not one function of one or two arrays; by the name under which it is listed.
OTHERS = {
    "gelu tanh": "F.gelu(x, approximate='tanh')",
    "threshold": "F.threshold(x, 0.1, 0.0)",
    "prelu": "F.prelu(x, w1)",
    "special.ndtri": "t.special.ndtri(p)",
    "special.erfcx": "t.special.erfcx(p)",
    "special.entr": "t.special.entr(p)",
    "special.zeta": "t.special.zeta(3.0 + p.detach(), 1.0 + p.detach())",
    "polygamma": "t.polygamma(1, p)",
    "xlog1py": "t.special.xlog1py(x, p)",
    "gammainc's derivative": "t.distributions.Gamma(p[:4] + 1, p[:4] + 1).rsample()",
    "bernoulli": "t.bernoulli(p.detach())",
    "trunc_divide": "t.div(x, p, rounding_mode='trunc')",
    "lerp": "t.lerp(x, y, 0.3)",
    "ldexp": "t.ldexp(x, k)",
    "pow scalar": "x ** 3",
    "pow": "t.pow(p, y)",
    "where": "t.where(b, x, y)",
    "clamp": "t.clamp(x, -0.5, 0.5)",
    "clamp below": "t.clamp(x, min=-0.5)",
    "clamp above": "t.clamp(x, max=0.5)",
    "clamp between": "t.clamp(x, y - 1, y + 1)",
    "masked_fill": "x.masked_fill(b, 0.0)",
    "masked_select": "t.masked_select(x, b)",
    "masked_scatter": "x.masked_scatter(b, y)",
    "bitwise": "((k & 3) | (k ^ 5)) + ~k",
    "shifts": "(k << 2) >> 1",
    "gcd": "t.gcd(k, k + 6)",
    "lcm": "t.lcm(k, k + 6)",
    "isin": "t.isin(k, k[0])",
    "broadcast row": "x + row",
    "broadcast column": "x * column",
    "cast": "x.double()",
    "expand": "row.expand(x.shape) * x",
    "reshape": "x.reshape(-1)",
    "permute": "x.permute(1, 0).contiguous()",
    "transpose": "(x.t() * y.t())",
    "slice": "x[1:, ::2]",
    "cat": "t.cat((x, y), 1)",
    "stack": "t.stack((x, y))",
    "split": "sum(t.split(x, x.shape[1] // 4, 1))",
    "unbind": "sum(t.unbind(x, 0)[:4])",
    "flip": "t.flip(x, (1,))",
    "roll": "t.roll(x, 3, 1)",
    "tile": "x.repeat(2, 2)",
    "repeat_interleave": "t.repeat_interleave(x, 2, 1)",
    "diagonal": "t.diagonal(m).sum() * m",
    "diag_embed": "t.diag_embed(m)",
    "as_strided": "t.as_strided(x.contiguous(), (8,), (2,))",
    "unfold windows": "x.unfold(1, 4, 2)",
    "view dtype": "x.detach().view(t.int32)",
    "index row": "x[at]",
    "index both": "x[at, at % x.shape[1]]",
    "index_put": "x.index_put((at,), y[at])",
    "index_put add": "x.index_put((at,), y[at], accumulate=True)",
    "index_select": "t.index_select(x, 1, at % x.shape[1])",
    "index_add": "t.index_add(x, 0, at, y)",
    "index_copy": "t.index_copy(x, 0, order, y)",
    "index_fill": "t.index_fill(x, 0, at, 1.0)",
    "gather": "t.gather(x, 1, places)",
    "scatter": "t.scatter(x, 1, places, y)",
    "scatter_add": "t.scatter_add(x, 1, places, y)",
    "scatter prod": "t.scatter_reduce(x, 1, places, p, 'prod')",
    "scatter amax": "t.scatter_reduce(x, 1, places, y, 'amax')",
    "scatter amin": "t.scatter_reduce(x, 1, places, y, 'amin')",
    "take_along_dim": "t.take_along_dim(x, places, 1)",
    "put rows": "put(x, y)",
    "slice_scatter": "t.slice_scatter(x, y[:2], 0, 0, 2)",
    "select": "x.select(0, 1) * row",
    "topk": "t.topk(x, 3, 1)",
    "kthvalue": "t.kthvalue(x, 3, 1)",
    "vector norm 3": "t.linalg.vector_norm(x, 3, 1)",
    "norm rows": "t.linalg.vector_norm(x, dim=1)",
    "cdist": "t.cdist(m, m)",
    "embedding": "F.embedding(at, x)",
    "linear": "F.linear(x, y, row1)",
    "addmm": "t.addmm(row1, x, y.t())",
    "bmm": "t.bmm(stacked, stacked)",
    "einsum": "t.einsum('ij,kj->ik', x, y)",
    "outer": "t.outer(x[0], y[0])",
    "attention": "F.scaled_dot_product_attention(q, q, q)",
    "causal attention": "F.scaled_dot_product_attention(q, q, q, is_causal=True)",
    "layer_norm": "F.layer_norm(x, (x.shape[1],), gain, row)",
    "rms_norm": "F.rms_norm(x, (x.shape[1],), gain)",
    "batch_norm": "F.batch_norm(image, None, None, c1, c2, True)",
    "batch_norm columns": "F.batch_norm(x, None, None, gain, row, True)",
    "group_norm": "F.group_norm(image, 4, c1, c2)",
    "instance_norm": "F.instance_norm(image)",
    "local_response_norm": "F.local_response_norm(image, 3)",
    "conv 3x3": "F.conv2d(image, k3, c1, padding=1)",
    "conv 1x1": "F.conv2d(image, k1)",
    "conv 3x3 stride 2": "F.conv2d(image, k3, None, 2, 1)",
    "conv depthwise": "F.conv2d(image, kd, None, 1, 1, 1, kd.shape[0])",
    "conv 5x5 of 1 channel": "F.conv2d(image[:, :1], k5, None, 1, 2)",
    "conv 1d": "F.conv1d(image.flatten(2), k3[:, :, 0], None, 1, 1)",
    "conv transposed": "F.conv_transpose2d(image, k3, None, 2, 1)",
    "max_pool 2": "F.max_pool2d(image, 2)",
    "max_pool 3 stride 2": "F.max_pool2d(image, 3, 2, 1)",
    "avg_pool 2": "F.avg_pool2d(image, 2)",
    "avg_pool 3": "F.avg_pool2d(image, 3, 1, 1)",
    "adaptive_avg_pool": "F.adaptive_avg_pool2d(image, 1)",
    "adaptive_avg_pool 3": "F.adaptive_avg_pool2d(image, 3)",
    "adaptive_max_pool": "F.adaptive_max_pool2d(image, 3)",
    "max_unpool": "F.max_unpool2d(*F.max_pool2d(image, 2, return_indices=True), 2)",
    "pad": "F.pad(image, (1, 1, 1, 1))",
    "pad reflect": "F.pad(image, (1, 1, 1, 1), mode='reflect')",
    "interpolate nearest": "F.interpolate(image, scale_factor=2)",
    "interpolate bilinear": "F.interpolate(image, scale_factor=2, mode='bilinear')",
    "grid_sample": "F.grid_sample(image, grid, align_corners=False)",
    "unfold": "F.unfold(image, 3, padding=1)",
    "fold": "F.fold(F.unfold(image, 2, stride=2), image.shape[2:], 2, stride=2)",
    "pixel_shuffle": "F.pixel_shuffle(image, 2)",
    "cross_entropy": "F.cross_entropy(x, classes)",
    "nll_loss": "F.nll_loss(x, classes)",
    "mse_loss": "F.mse_loss(x, y)",
    "l1_loss": "F.l1_loss(x, y)",
    "huber_loss": "F.huber_loss(x, y)",
    "smooth_l1": "F.smooth_l1_loss(x, y)",
    "bce": "F.binary_cross_entropy(p, p2)",
    "bce logits": "F.binary_cross_entropy_with_logits(x, p2)",
    "soft_margin": "F.soft_margin_loss(x, x.detach().sign())",
    "ctc": "F.ctc_loss(F.log_softmax(stacked3, 2), words, lengths, wordlengths)",
    "kl_div": "F.kl_div(x, p2)",
    "dropout": "F.dropout(x, 0.5)",
    "inverse": "t.linalg.inv(m)",
    "solve": "t.linalg.solve(m, m)",
    "cholesky": "t.linalg.cholesky(s)",
    "triangular": "t.linalg.solve_triangular(m.tril(), m, upper=False)",
    "det": "t.linalg.det(small)",
    "slogdet": "t.linalg.slogdet(m)[1]",
    "qr": "t.linalg.qr(m)[0]",
    "svd": "t.linalg.svd(m)[1]",
    "svdvals": "t.linalg.svdvals(m)",
    "eigh": "t.linalg.eigh(s)[0]",
    "eigvalsh": "t.linalg.eigvalsh(s)",
    "pinv": "t.linalg.pinv(m)",
    "lstsq": "t.linalg.lstsq(m, m)[0]",
    "matrix_exp": "t.linalg.matrix_exp(m * 0.1)",
    "lstm": "recurrent(t.nn.LSTM, stacked3)",
    "gru": "recurrent(t.nn.GRU, stacked3)",
    "rnn": "recurrent(t.nn.RNN, stacked3)",
}


def expression(name: str) -> str:
    """The text of a case."""
    if name in OTHERS:
        return OTHERS[name]
    stem, _, dim = name.partition("_") if name[-2:] in ("_0", "_1") else (name, "", "")
    if dim or name[-2:] in ("_0", "_1"):
        stem, dim = name[:-2], name[-1]
        return f"t.{stem}({'x' if stem != 'logcumsumexp' else 'u'}, dim={dim})"
    if name == "matmul_T":
        return "t.matmul(x, y.t())"
    if name in ("floor_divide", "heaviside"):
        return f"t.{name}(x.detach(), p.detach())"
    if name in BINARY:
        return f"t.{name}(x, {'p' if name in ('div', 'floor_divide', 'remainder', 'fmod', 'xlogy') else 'y'})"
    if name in ACTIVATIONS:
        return f"F.{name}(x)"
    argument = "u" if name in ("asin", "acos", "atanh", "erfinv") else "p" if name in POSITIVE else "x"
    return f"t.{name}({argument + ' + 1' if name == 'acosh' else argument})"


NOT_ALONE = {
    "alias": "detach and views of whole tensors: no arithmetic",
    "pick": "part of ops with several outputs",
    "copy": "an assignment between dtypes",
    "overwrite": "in-place calls",
    "view_scatter": "in-place calls on views",
    "diagonal_put": "in-place calls on diagonals",
    "clamp_above": "clamp with Tensor bounds whose derivative is asked for",
    "clamp_below": "clamp with Tensor bounds whose derivative is asked for",
    "step_inside": "a second derivative",
    "cofactor": "a determinant of a singular matrix",
    "cofactor_grad": "a determinant of a singular matrix",
    "embedding_rows": "a second derivative",
    "max_pool_grad": "a second derivative",
    "max_pool_pick": "a second derivative",
    "root": "part of std's second derivative",
}
"""Ops of the table that no case runs, and why."""

POSITIVE = (
    "log",
    "log1p",
    "log2",
    "log10",
    "sqrt",
    "rsqrt",
    "logit",
    "lgamma",
    "digamma",
    "acosh",
    "reciprocal",
    "tan",
)
# Taken up as soon as allgrad has them: PyTorch has few of their derivatives.
SPECIAL = {
    "i0": "t.special.i0(x)",
    "i0e": "t.special.i0e(x)",
    "i1": "t.special.i1(x)",
    "i1e": "t.special.i1e(x)",
    "bessel_j0": "t.special.bessel_j0(x.detach())",
    "bessel_y0": "t.special.bessel_y0(p.detach())",
    "modified_bessel_k0": "t.special.modified_bessel_k0(p.detach())",
    "gammainc": "t.special.gammainc(p.detach() + 1, p)",
    "gammaincc": "t.special.gammaincc(p.detach() + 1, p)",
    "chebyshev_polynomial_t": "t.special.chebyshev_polynomial_t(u.detach(), 5)",
}
OTHERS |= {name: text for name, text in SPECIAL.items() if hasattr(allgrad.special, name)}
NAMES = (*POINTWISE, *BINARY, *ACTIVATIONS, *OTHERS)


def inputs(t: Any, size: Size) -> dict[str, Any]:
    """What expressions may name; the same numbers for every ``t``.  Floating ones want gradients."""
    rng = np.random.default_rng(0)
    r, c = size.rows, size.columns
    n, channels, side = size.images

    def real(*shape: int) -> Any:
        return t.from_numpy(rng.standard_normal(shape, dtype=np.float32)).requires_grad_()

    def share(*shape: int) -> Any:
        return t.from_numpy(rng.uniform(0.1, 0.9, shape).astype(np.float32)).requires_grad_()

    def whole(high: int, *shape: int) -> Any:
        return t.from_numpy(rng.integers(0, high, shape))

    matrix = rng.standard_normal((size.side, size.side), dtype=np.float32)
    matrix += np.float32(size.side) * np.eye(size.side, dtype=np.float32)
    short = max(2, r // 16)
    return {
        "t": t,
        "F": t.nn.functional,
        "x": real(r, c),
        "y": real(r, c),
        "p": share(r, c),
        "p2": share(r, c).detach(),
        "u": t.from_numpy(rng.uniform(-0.9, 0.9, (r, c)).astype(np.float32)).requires_grad_(),
        "row": real(c),
        "gain": real(c),
        "row1": real(r),
        "column": real(r, 1),
        "w1": real(1),
        "b": t.from_numpy(rng.random((r, c)) < 0.5),
        "k": whole(16, r, c),
        "at": whole(r, r),
        "order": t.from_numpy(rng.permutation(r)),
        "places": whole(min(r, c), r, c),
        "classes": whole(c, r),
        "m": t.from_numpy(matrix).requires_grad_(),
        "s": t.from_numpy(matrix @ matrix.T).requires_grad_(),
        "small": t.from_numpy(matrix[:4, :4] / size.side).requires_grad_(),
        "stacked": real(4, size.side, size.side),
        "stacked3": real(short, 4, 16),
        "words": whole(15, 4, 1) + 1,
        "lengths": t.full((4,), short, dtype=t.int64),
        "wordlengths": t.ones(4, dtype=t.int64),
        "q": real(2, 4, r, 32),
        "image": real(n, channels, side, side),
        "c1": real(channels),
        "c2": real(channels),
        "k3": real(channels, channels, 3, 3),
        "k1": real(channels, channels, 1, 1),
        "kd": real(channels, 1, 3, 3),
        "k5": real(channels, 1, 5, 5),
        "grid": t.from_numpy(rng.uniform(-1, 1, (n, side, side, 2)).astype(np.float32)),
        "put": _put,
        "recurrent": lambda kind, x: kind(16, 32)(x)[0],
    }


def _put(x: Any, y: Any) -> Any:
    z = x * 1
    z[:2] = y[:2]
    return z


def case(t: Any, name: str, size: Size, given: dict[str, Any]) -> Call:
    """A call that runs the case once, with its backward where it has one."""
    code = compile(expression(name), name, "eval")
    wants = [given[n] for n in code.co_names if getattr(given.get(n), "requires_grad", False)]

    def call() -> None:
        y = eval(code, given)
        y = y[0] if isinstance(y, tuple) else y
        if y.requires_grad:
            (y if y.dim() == 0 else y.sum()).backward()
            for leaf in wants:
                leaf.grad = None

    return call
