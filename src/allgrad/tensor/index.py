"""Indexing: ``x[key]``, ``x[key] = value``, elements picked and written by position."""

from __future__ import annotations

from typing import Any

from allgrad.autograd.record import Variable
from allgrad.functions import index as f
from allgrad.functions import index_dim as pick
from allgrad.functions import index_search as search
from allgrad.functions import scatter as s
from allgrad.functions import scatter_dim as d
from allgrad.functions import scatter_view as v
from allgrad.ops import index_dim as dim_ops
from allgrad.ops import scatter as scatter_ops


class IndexMethods(Variable):
    """Methods that pick or write elements by position; those that end in ``_`` change the Tensor itself."""

    def __getitem__(self, key: Any) -> Any:
        return f.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        f.setitem(self, key, value)

    argwhere = pick.argwhere
    gather = pick.gather
    index_select = pick.index_select
    masked_select = pick.masked_select
    narrow = pick.narrow
    narrow_copy = pick.narrow_copy
    nonzero = pick.nonzero
    select = pick.select
    take = pick.take
    take_along_dim = pick.take_along_dim
    unique = search.unique
    unique_consecutive = search.unique_consecutive

    scatter = s.scatter
    scatter_add = s.scatter_add
    scatter_reduce = s.scatter_reduce

    diagonal_scatter = v.diagonal_scatter
    index_add = d.index_add
    index_copy = d.index_copy
    index_fill = d.index_fill
    index_put = d.index_put
    index_reduce = d.index_reduce
    masked_fill = d.masked_fill
    masked_scatter = d.masked_scatter
    put = d.put
    select_scatter = v.select_scatter
    slice_scatter = v.slice_scatter

    def scatter_(self, dim: int, index: Any, src: Any = None, *, value: Any = None, reduce: str | None = None) -> Any:
        """``src`` (a Tensor or a number) written at ``index`` along ``dim``."""
        return s.scatter_set(self, dim, index, value if src is None else src, reduce, True)

    def scatter_add_(self, dim: int, index: Any, src: Any) -> Any:
        """``src`` added at ``index`` along ``dim``."""
        return s.scattered(scatter_ops.scatter_add, self, dim, index, src, True, "scatter")

    def scatter_reduce_(self, dim: int, index: Any, src: Any, reduce: str, *, include_self: bool = True) -> Any:
        """``src`` combined with what is at ``index`` along ``dim``."""
        return self.copy_(s.scatter_reduce(self.clone(), dim, index, src, reduce, include_self=include_self))  # type: ignore[attr-defined]

    def index_add_(self, dim: int, index: Any, source: Any, *, alpha: Any = 1) -> Any:
        """``alpha`` times slice i of ``source`` added to slice ``index[i]``."""
        return d.by_index(dim_ops.index_add, self, dim, index, d.scaled(source, alpha), True)

    def index_copy_(self, dim: int, index: Any, source: Any) -> Any:
        """Slice i of ``source`` written to slice ``index[i]``."""
        return d.by_index(dim_ops.index_copy, self, dim, index, source, True)

    def index_fill_(self, dim: int, index: Any, value: Any) -> Any:
        """One value written to the slices that ``index`` names."""
        return d.filled_by_index(self, dim, index, value, True)

    def index_reduce_(self, dim: int, index: Any, source: Any, reduce: str, *, include_self: bool = True) -> Any:
        """Slices of ``source`` combined with the slices that ``index`` names."""
        return self.copy_(d.index_reduce(self.clone(), dim, index, source, reduce, include_self=include_self))  # type: ignore[attr-defined]

    def index_put_(self, indices: Any, values: Any, accumulate: bool = False) -> Any:
        """``values`` written, or added, at a tuple of index tensors or masks."""
        return d.put_by_key(self, indices, values, accumulate, True)

    def put_(self, index: Any, source: Any, accumulate: bool = False) -> Any:
        """``source`` written, or added, at places of the flattened Tensor."""
        return d.put_flat(self, index, source, accumulate, True)

    def masked_fill_(self, mask: Any, value: Any) -> Any:
        """One value written where ``mask`` is true."""
        return d.filled_by_mask(self, mask, value, True)

    def masked_scatter_(self, mask: Any, source: Any) -> Any:
        """The elements of ``source``, in order, written where ``mask`` is true."""
        return d.scattered_by_mask(self, mask, source, True)

    def fill_diagonal_(self, fill_value: Any, wrap: bool = False) -> Any:
        """One number on the main diagonal; ``wrap`` goes on below a tall matrix after a gap of one row."""
        return v.fill_diagonal(self, fill_value, wrap)
