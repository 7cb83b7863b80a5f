"""Multi-head attention (Vaswani et al. 2017) with learned projections."""

from __future__ import annotations

from typing import Any

from allgrad.absent import on_cpu
from allgrad.errors import ArgumentError
from allgrad.functions.creation import empty
from allgrad.nn import functional as F
from allgrad.nn import init
from allgrad.nn.modules.linear import Linear
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """The output projection, under the name that PyTorch prints."""


class MultiheadAttention(Module):
    """(targets, batch, embed), (sources, batch, kdim), (sources, batch, vdim) -> (targets, batch, embed), weights or None.

    ``in_proj_weight`` (3·embed, embed), or three separate ones if kdim or vdim differ; ``out_proj``.
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        if embed_dim <= 0 or num_heads <= 0:
            raise ArgumentError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            )
        super().__init__()
        self.embed_dim, self.num_heads, self.dropout, self.batch_first = embed_dim, num_heads, dropout, batch_first
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise ArgumentError("embed_dim must be divisible by num_heads")
        self.add_zero_attn = add_zero_attn
        one = self._qkv_same_embed_dim
        shapes = {
            "q_proj_weight": None if one else (embed_dim, embed_dim),
            "k_proj_weight": None if one else (embed_dim, self.kdim),
            "v_proj_weight": None if one else (embed_dim, self.vdim),
            "in_proj_weight": (3 * embed_dim, embed_dim) if one else None,
            "in_proj_bias": (3 * embed_dim,) if bias else None,
        }
        if not one:  # the order in which PyTorch lists them
            shapes = {
                k: shapes[k]
                for k in ("q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_weight", "in_proj_bias")
            }
        else:
            shapes = {
                k: shapes[k]
                for k in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias")
            }
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else Parameter(empty(shape, dtype=dtype)))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, dtype=dtype)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, dtype=dtype)) if add_bias_kv else None)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            for w in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
                init.xavier_uniform_(w)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def forward(
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
        average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Boolean masks say True for keys that are *not* seen; floating ones are added to the scores."""
        turn = self.batch_first and query.dim() == 3
        if turn:
            same_kv, same_q = key is value, query is key
            query = query.transpose(1, 0)
            key = query if same_q else key.transpose(1, 0)
            value = key if same_kv else value.transpose(1, 0)
        separate: dict[str, Any] = {}
        if not self._qkv_same_embed_dim:
            separate = {
                "use_separate_proj_weight": True,
                "q_proj_weight": self.q_proj_weight,
                "k_proj_weight": self.k_proj_weight,
                "v_proj_weight": self.v_proj_weight,
            }
        y, weights = F.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight, self.in_proj_bias, self.bias_k, self.bias_v,
            self.add_zero_attn, self.dropout, self.out_proj.weight, self.out_proj.bias, training=self.training,
            key_padding_mask=key_padding_mask, need_weights=need_weights, attn_mask=attn_mask,
            average_attn_weights=average_attn_weights, is_causal=is_causal, **separate,
        )  # fmt: skip
        return (y.transpose(1, 0) if turn else y), weights
