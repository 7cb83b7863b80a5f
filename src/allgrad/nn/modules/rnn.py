"""Recurrent layers: RNN, LSTM, GRU over sequences, packed or not, and their cells."""

from __future__ import annotations

import math
import warnings
from typing import Any

from allgrad.absent import on_cpu
from allgrad.autograd.record import apply
from allgrad.context import ctx
from allgrad.errors import ArgumentError, ShapeError
from allgrad.functions.creation import empty, zeros
from allgrad.functions.joining import cat, stack
from allgrad.nn import functional as F
from allgrad.nn import init
from allgrad.nn.modules.module import Module
from allgrad.nn.parameter import Parameter
from allgrad.nn.utils.rnn import PackedSequence, repacked, unpacked
from allgrad.ops import recurrent


class RNNBase(Module):
    """Layers over layers, each forward or in both directions; all parameters uniform on ±1/sqrt(hidden_size).

    ``weight_ih_l0`` (gates·hidden, in), ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``; with ``proj_size``
    ``weight_hr_l0``; ``_reverse`` for the backward direction.
    """

    gates = 1

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        on_cpu(device)
        super().__init__()
        if not 0 <= dropout <= 1 or isinstance(dropout, bool):
            raise ArgumentError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if hidden_size <= 0:
            raise ArgumentError("hidden_size must be greater than zero")
        if num_layers <= 0:
            raise ArgumentError("num_layers must be greater than zero")
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError("proj_size has to be a positive integer, smaller than hidden_size, or zero")
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        directions = 2 if bidirectional else 1
        state = proj_size or hidden_size
        rows = self.gates * hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for d in range(directions):
                width = input_size if layer == 0 else state * directions
                end = f"_l{layer}" + ("_reverse" if d else "")
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, width), "weight_hh": (rows, state)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    self.register_parameter(name + end, Parameter(empty(*shape, dtype=dtype)))
                self._all_weights.append([name + end for name in shapes])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    @property
    def all_weights(self) -> list[list[Any]]:
        """The parameters, layer by layer, direction by direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing to do: there is no cuDNN."""

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size:
            text += f", proj_size={self.proj_size}"
        for name, default in (("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text + (", bidirectional=True" if self.bidirectional else "")

    def forward(self, input: Any, hx: Any = None) -> Any:
        """(steps, batch, in) or packed -> outputs (steps, batch, directions·hidden), last states (layers·directions, batch, ·)."""
        if isinstance(input, PackedSequence):
            sizes = tuple(int(n) for n in input.batch_sizes._a)
            x = unpacked(input.data, sizes)
            hx = self._sorted(hx, input.sorted_indices)
            y, last = self._run(x, self._initial(hx, x, False), None if sizes[-1] == sizes[0] else sizes)
            out = PackedSequence(repacked(y, sizes), *input[1:])
            return out, self._sorted(last, input.unsorted_indices)
        if input.dim() not in (2, 3):
            raise ShapeError(f"{self._get_name()}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        if input.shape[-1] != self.input_size:
            raise ShapeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        single = input.dim() == 2
        if single:
            input = input.unsqueeze(1)
        elif self.batch_first:
            input = input.transpose(0, 1)
        y, last = self._run(input, self._initial(hx, input, single), None)
        if single:
            return y.squeeze(1), tuple(s.squeeze(1) for s in last) if isinstance(last, tuple) else last.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y, last

    def _sorted(self, states: Any, order: Any) -> Any:
        if states is None or order is None:
            return states
        if isinstance(states, tuple):
            return tuple(s[:, order._a] for s in states)
        return states[:, order._a]

    def _initial(self, hx: Any, x: Any, single: bool) -> tuple[Any, ...]:
        """The initial states, one (layers·directions, batch, width) each; zeros if none are given."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        widths = (self.proj_size or self.hidden_size, self.hidden_size)[: 2 if self.mode == "LSTM" else 1]
        if hx is None:
            return tuple(zeros(count, x.shape[1], w, dtype=x.dtype) for w in widths)
        given = tuple(hx) if self.mode == "LSTM" else (hx,)
        if single:
            given = tuple(h.unsqueeze(1) for h in given)
        for h, w in zip(given, widths):
            if tuple(h.shape) != (count, x.shape[1], w):
                raise ShapeError(f"Expected hidden size {(count, x.shape[1], w)}, got {list(h.shape)}")
        return given

    def _run(self, x: Any, states: tuple[Any, ...], sizes: Any) -> tuple[Any, Any]:
        lasts: list[list[Any]] = [[] for _ in states]
        directions = 2 if self.bidirectional else 1
        for layer in range(self.num_layers):
            outs = []
            for d in range(directions):
                k = layer * directions + d
                y, *last = self._direction(x, tuple(s[k] for s in states), self._all_weights[k], sizes, bool(d))
                outs.append(y)
                for kept, state in zip(lasts, last):
                    kept.append(state)
            x = outs[0] if directions == 1 else cat(outs, 2)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        stacked = tuple(stack(kept, 0) for kept in lasts)
        return x, stacked if self.mode == "LSTM" else stacked[0]

    def _direction(
        self, x: Any, start: tuple[Any, ...], names: list[str], sizes: Any, reverse: bool
    ) -> tuple[Any, ...]:
        raise ArgumentError(f"{type(self).__name__} must define _direction")

    def _products(self, x: Any, names: list[str], both: bool) -> Any:
        """The inputs' product with their weight for all steps at once, with the biases (``both`` of them)."""
        bias = None
        if self.bias:
            bias = getattr(self, names[2])
            if both:
                bias = bias + getattr(self, names[3])
        return F.linear(x, getattr(self, names[0]), bias)


class RNN(RNNBase):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``; ``nonlinearity="relu"`` for relu."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if len(args) > 3:
            self_nonlinearity, args = args[3], args[:3] + args[4:]
        else:
            self_nonlinearity = kwargs.pop("nonlinearity", "tanh")
        if self_nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"Unknown nonlinearity '{self_nonlinearity}'. Select from 'tanh' or 'relu'.")
        if "proj_size" in kwargs:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("RNN_" + self_nonlinearity.upper(), *args, **kwargs)
        self.nonlinearity = self_nonlinearity

    def _direction(
        self, x: Any, start: tuple[Any, ...], names: list[str], sizes: Any, reverse: bool
    ) -> tuple[Any, ...]:
        meta = {"kind": self.nonlinearity, "sizes": sizes, "reverse": reverse}
        return apply(recurrent.rnn, (self._products(x, names, True), start[0], getattr(self, names[1])), meta)


class LSTM(RNNBase):
    """Long short-term memory; states are the pair (h, c).  Gates in the order input, forget, cell, output."""

    gates = 4

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _direction(
        self, x: Any, start: tuple[Any, ...], names: list[str], sizes: Any, reverse: bool
    ) -> tuple[Any, ...]:
        products = self._products(x, names, True)
        if self.proj_size:
            return self._projected(products, start, getattr(self, names[1]), getattr(self, names[-1]), sizes, reverse)
        meta = {"sizes": sizes, "reverse": reverse, "tape": {} if ctx.grad_enabled else None}
        return apply(recurrent.lstm, (products, *start, getattr(self, names[1])), meta)

    def _projected(
        self, x: Any, start: Any, weight: Any, projection: Any, sizes: Any, reverse: bool
    ) -> tuple[Any, ...]:
        """Step by step: the state that goes on is a projection of the hidden one (Sak et al. 2014)."""
        h, c = start
        batch = x.shape[1]
        outs: list[Any] = [None] * x.shape[0]
        for t in recurrent.order(x.shape[0], reverse):
            n = recurrent.active(sizes, t, batch)
            i, f, g, o = (x[t, :n] + F.linear(h[:n], weight)).chunk(4, 1)
            cell = f.sigmoid() * c[:n] + i.sigmoid() * g.tanh()
            new = F.linear(o.sigmoid() * cell.tanh(), projection)
            outs[t] = new if n == batch else cat([new, zeros(batch - n, new.shape[1], dtype=new.dtype)], 0)
            h = new if n == batch else cat([new, h[n:]], 0)
            c = cell if n == batch else cat([cell, c[n:]], 0)
        return stack(outs, 0), h, c


class GRU(RNNBase):
    """Gated recurrent unit.  Gates in the order reset, update, new."""

    gates = 3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "proj_size" in kwargs:
            raise ArgumentError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)

    def _direction(
        self, x: Any, start: tuple[Any, ...], names: list[str], sizes: Any, reverse: bool
    ) -> tuple[Any, ...]:
        inner = getattr(self, names[3]) if self.bias else zeros(3 * self.hidden_size, dtype=x.dtype)
        meta = {"sizes": sizes, "reverse": reverse, "tape": {} if ctx.grad_enabled else None}
        return apply(recurrent.gru, (self._products(x, names, False), start[0], getattr(self, names[1]), inner), meta)


class RNNCellBase(Module):
    """One step: weight_ih (gates·hidden, in), weight_hh (gates·hidden, hidden), bias_ih, bias_hh."""

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        on_cpu(device)
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype))
        self.register_parameter("bias_ih", Parameter(empty(rows, dtype=dtype)) if bias else None)
        self.register_parameter("bias_hh", Parameter(empty(rows, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")

    def _batched(self, input: Any, *states: Any) -> tuple[bool, list[Any]]:
        if input.dim() not in (1, 2):
            raise ShapeError(f"{self._get_name()}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if input.shape[-1] != self.input_size:
            raise ShapeError(f"input has inconsistent input_size: got {input.shape[-1]} expected {self.input_size}")
        single = input.dim() == 1
        x = input.unsqueeze(0) if single else input
        full = [
            zeros(x.shape[0], self.hidden_size, dtype=x.dtype) if s is None else s.unsqueeze(0) if single else s
            for s in states
        ]
        for s in full:
            if tuple(s.shape) != (x.shape[0], self.hidden_size):
                raise ShapeError(f"hidden has shape {list(s.shape)}, expected {[x.shape[0], self.hidden_size]}")
        return single, [x, *full]


class RNNCell(RNNCellBase):
    """``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``: (batch, in), (batch, hidden) -> (batch, hidden)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ArgumentError(f"Unknown nonlinearity: {nonlinearity}")
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        single, (x, h) = self._batched(input, hx)
        a = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        y = a.tanh() if self.nonlinearity == "tanh" else a.relu()
        return y.squeeze(0) if single else y


class LSTMCell(RNNCellBase):
    """(batch, in), ((batch, hidden), (batch, hidden)) -> the next pair (h, c)."""

    gates = 4

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        single, (x, h, c) = self._batched(input, *(hx if hx is not None else (None, None)))
        a = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        i, f, g, o = a.chunk(4, 1)
        cell = f.sigmoid() * c + i.sigmoid() * g.tanh()
        new = o.sigmoid() * cell.tanh()
        return (new.squeeze(0), cell.squeeze(0)) if single else (new, cell)


class GRUCell(RNNCellBase):
    """(batch, in), (batch, hidden) -> (batch, hidden)."""

    gates = 3

    def forward(self, input: Any, hx: Any = None) -> Any:
        single, (x, h) = self._batched(input, hx)
        xr, xz, xn = F.linear(x, self.weight_ih, self.bias_ih).chunk(3, 1)
        hr, hz, hn = F.linear(h, self.weight_hh, self.bias_hh).chunk(3, 1)
        r, z = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        new = (xn + r * hn).tanh()
        y = (1 - z) * new + z * h
        return y.squeeze(0) if single else y
