"""Expressions of indexing, writing by index, scatters and searches that both libraries evaluate; see shape_cases."""

from __future__ import annotations

from shape_cases import lines

KEYS = lines("""
    x[0]
    x[-1]
    x[3]
    x[-4]
    x[0, 1]
    x[0, 1, 2]
    z[0]
    z[()]
    z[...]
    z[None]
    z[True]
    z[t.tensor(0)]
    x[:]
    x[...]
    x[()]
    x[None]
    x[:, None, 1]
    x[..., 0]
    y[0, ..., 0]
    y[..., None]
    y[..., ...]
    x[1:]
    x[:-1]
    x[::2]
    x[1:3, ::3]
    x[5:]
    x[2:1]
    x[-100:100]
    x[::-1]
    x[::0]
    x[0:1.5]
    x[1.5]
    x["a"]
    x[{}]
    x[t.tensor(1)]
    x[t.tensor(1):]
    x[t.tensor(9)]
    x[I(0, 2)]
    x[I(0, 2, 0, 0)]
    x[I(-1, 0)]
    x[I(3)]
    x[I(-4)]
    x[:, I(1, 1, 3)]
    x[I(0, 1), I(1, 2)]
    x[I([0], [2]), I(1, 3, 3)]
    x[I(0, 1), I(0, 1, 2)]
    x[[0, 2]]
    x[[0, 2], [1, 1]]
    x[[[0, 1], [1, 0]]]
    x[[]]
    x[range(2)]
    x[(0, 1)]
    y[[I(0, 1), I(1, 2)]]
    x[I(0, 2).int()]
    x[I(0, 2).short()]
    x[v]
    x[I(0.5)]
    y[0, :, I(0, 1)]
    y[I(0, 1), :, 0]
    y[I(0, 1), :, I(0, 1)]
    y[:, I(0, 1), I(2, 3)]
    y[:, I(0, 1), :2]
    y[:, :, I(0, 1)]
    y[I(0, 1), None, I(0, 1)]
    y[None, I(0, 1)]
    y[..., I(0, 1)]
    y[1, I(0, 2)]
    y[1:, I(0, 2), ::2]
    y[t.tensor(1), I(0, 2)]
    x[b]
    x[b, None]
    y[0][b]
    y[:, b]
    y[b[:2, :3]]
    y[b[:2, :3], 1]
    y[I(0, 1), b[0, :3].nonzero()[:, 0][:1]]
    x[b[:, 0]]
    x[:, b[0]]
    x[b[:2]]
    x[b[:, :3]]
    x[b[0]]
    y[b]
    x[b[:, 0], 1]
    x[b[:, 0], I(1, 2)]
    x[True]
    x[False]
    x[None, True]
    x[True, I(0, 1)]
    x[t.tensor(True)]
    x[t.tensor(True), 0]
    x[b.byte()]
    x[I(1, 0, 1).byte()]
    x[t.zeros(0, dtype=t.int64)]
    x[t.zeros((0, 2), dtype=t.int64)]
    x[:0][t.zeros(0, dtype=t.int64)]
    l[I(0, 2)]
    b[I(0, 2)]
    x[0][1]
    x[1:][1:][0]
    x.t()[1:, 0]
    x[[0, -1], 1:3]
    x[I(2), :]
    x[l[0] > 1]
    x[l % 2 == 0]
""")

WRITES = lines("""
    x = x * 1; x[0] = 5; x
    x = x * 1; x[0] = 5.5; x * x
    x = x * 1; x[0, 1] = z; x * x
    x = x * 1; x[1:] = x[:1]; x * x
    x = x * 1; x[:, 0] = v; x * x
    x = x * 1; x[:, 0] = v.unsqueeze(0); x * x
    x = x * 1; x[:, 0] = v.unsqueeze(1); x
    x = x * 1; x[:, :2] = v; x
    x = x.detach() * 1; x[...] = z; x * x
    x = x * 1; x[()] = 1; x
    x = x * 1; x[None] = x[0] * 2; x * x
    x = x * 1; x[::2, 1] = v[:2]; x * x
    x = x * 1; x[I(0, 2)] = v[:1]; x * x
    x = x * 1; x[I(0, 2)] = x[:1] * 3; x * x
    x = x * 1; x[I(0, 2)] = v; x
    x = x * 1; x[I(0, 2), I(1, 1)] = v[:2]; x * x
    x = x * 1; x[:, I(0, 2)] = 7; x * x
    x = x * 1; x[1, I(0, 2)] = v[1:]; x * x
    y = y * 1; y[0, :, I(0, 2)] = v.unsqueeze(1); y * y
    y = y * 1; y[I(0, 1), :, I(0, 2)] = v; y * y
    y = y * 1; y[:, b] = 2; y * y
    y = y * 1; y[1][b] = 2; y * y
    x = x * 1; x[b] = 0; x * x
    x = x * 1; x[b] = z; x * x
    x = x * 1; x[b] = x[b] * 2; x * x
    x = x * 1; x[b] *= 2; x * x
    x = x * 1; x[b] = v; x
    x = x * 1; x[b[:, 0]] = x[0] * 2; x * x
    x = x * 1; x[b[0]] = 1; x
    x = x * 1; x[1] += v[0]; x * x
    x = x * 1; x[1] *= 2; x * x
    x = x * 1; x[1:][0] *= z; x * x
    x = x * 1; x[0][1] = z; x * x
    x = x * 1; x[:, 1] -= v; x * x
    x = x * 1; x[I(0, 1)] += v[0]; x * x
    x = x * 1; x[I(0, 0)] += 1; x
    x = x * 1; x[0] = l[0]; x
    x = x * 1; x[I(0)] = l[:1]; x
    x = x * 1; x[I(0)] = l[0, 0]; x
    x = x * 1; x[b] = l[0, 0]; x * x
    l = l * 1; l[0] = 2.7; l
    l = l * 1; l[0] = x[0].detach(); l
    l = l * 1; l[0] = True; l
    b = b.clone(); b[0] = 3; b
    s = s * 1; s[0] = x[0]; s
    s = s * 1; s[0] = "a"; s
    s = s * 1; s[0] = [1, 2, 3, 4]; s
    x[0] = 1; x
    x[I(0)] = 1; x
    x[b] = 1; x
    x = x.detach(); x[0] = v[0]; x * x
    x = x.detach(); x[0] = 1; x
    x = x * 1; x[5] = 1; x
    x = x * 1; x[I(5)] = 1; x
    x = x * 1; x[::-1] = 1; x
    x = x * 1; x[True] = 1; x
    x = x * 1; x[False] = 1; x
    x = x * 1; x[None, I(1)] = z; x * x
    x = x * 1; w = x.t(); w[0] = v; x * x
    x = x * 1; w = x.view(-1); w[I(0, 5)] = z; x * x
    x = x * 1; w = x.view(2, 6)[1]; w[b.view(2, 6)[1]] = z; x * w.sum()
    x = x * 1; w = x * x; x[0] = 1; w.sum()
    x = x * 1; w = x + x; x[0] = 1; w.sum() + x.sum()
    z = z * 1; z[()] = 3; z
    z = z * 1; z[...] = v[0]; z * z
    y = y * 1; y[..., 0] = x[:, :1].t(); y * y
    y = y * 1; y[0, 1:, 2] = v[:2]; y[1] = y[0] * 2; y * y
""")

PICKS = lines("""
    t.gather(x, 0, I([0, 1], [1, 2]))
    t.gather(x, 1, I([0, 1], [1, 2]))
    x.gather(1, I([0, 0, 0], [1, 1, 1], [3, 3, 0]))
    y.gather(1, I([[0, 2, 1]], [[1, 1, 1]]))
    y.gather(-1, I([[0, 2, 1]], [[1, 1, 1]]))
    x.t().gather(0, I([0, 1], [1, 2]))
    t.gather(x, 0, I([0, 1], [1, 2]).int())
    t.gather(x, 0, I([0, 1]).short())
    t.gather(x, 0, I(0, 1))
    t.gather(x, 0, I([0, 5], [1, 2]))
    t.gather(x, 0, I([0, -1], [1, 2]))
    t.gather(x, 0, t.zeros(2, 9, dtype=t.int64))
    t.gather(z, 0, I(0, 0))
    t.gather(z, 0, t.tensor(0))
    t.gather(v, 0, t.tensor(1))
    t.gather(x, 0, t.tensor(0))
    t.gather(x, 5, I([0]))
    t.gather(x, 0, t.zeros(0, dtype=t.int64))
    t.gather(l, 1, I([0, 1]))
    x.index_select(0, I(0, 2, 0))
    x.index_select(1, I(3, 0))
    y.index_select(-2, I(1, 1))
    x.index_select(0, I(1, 2).int())
    x.index_select(0, I(5))
    x.index_select(0, I(-1))
    x.index_select(0, I([0, 1]))
    x.index_select(0, v)
    x.index_select(0, t.tensor(1))
    x.index_select(0, t.zeros(0, dtype=t.int64))
    z.index_select(0, I(0))
    z.index_select(0, I(0, 0))
    x.index_select(3, I(0))
    t.take(x, I(0, 5, 5))
    t.take(x, I(0, -1))
    t.take(x.t(), I([0, 1], [2, 3]))
    t.take(x, I(50))
    t.take(x, v)
    t.take(z, I(0, 0))
    t.take_along_dim(x, I([0, 1], [2, 2]), 0)
    t.take_along_dim(x, I([0, 1, 2, 0]), 0)
    t.take_along_dim(x, I([0], [1], [3]), 1)
    t.take_along_dim(x, I(0, 1, 2))
    t.take_along_dim(x, I([0, -1, 2, 0]), 0)
    t.take_along_dim(x, I(0, 1), 0)
    t.take_along_dim(x, v)
    x.select(0, 1)
    y.select(-1, -1)
    x.select(0, 7)
    x.select(5, 0)
    z.select(0, 0)
    x.narrow(0, 1, 2)
    x.narrow(1, -2, 2)
    x.narrow(0, t.tensor(1), 1)
    x.narrow(0, 3, 0)
    x.narrow(0, 1, 5)
    x.narrow(0, 1, -1)
    x.narrow(0, -5, 1)
    z.narrow(0, 0, 0)
    t.narrow_copy(x, 0, 1, 1)
    x.masked_select(b)
    x.masked_select(b[0])
    v.masked_select(b.t())
    t.masked_select(z, b)
    x.masked_select(l)
    x.masked_select(b[:, :3])
    t.nonzero(b)
    t.nonzero(l, as_tuple=True)
    b.nonzero(as_tuple=True)
    t.nonzero(z)
    t.nonzero(z, as_tuple=True)
    t.argwhere(b)
    t.argwhere(z)
    t.unravel_index(I(5, 7), (3, 4))
""")

SEARCHES = lines("""
    t.unique(l % 5)
    t.unique(l % 5, return_inverse=True)
    t.unique(l % 5, return_inverse=True, return_counts=True)
    t.unique(I([3, 1], [3, 1], [2, 1]), dim=0)
    t.unique(I([3, 1], [3, 1], [2, 1]), dim=0, return_inverse=True, return_counts=True)
    t.unique(I([3, 1], [3, 1], [2, 1]), dim=1, return_counts=True)
    t.unique(b)
    t.unique(z.detach())
    t.unique(l, dim=5)
    (l % 5).unique(return_counts=True)
    t.unique_consecutive(I(1, 1, 2, 1))
    t.unique_consecutive(I(1, 1, 2, 1), return_inverse=True, return_counts=True)
    t.unique_consecutive(I([1, 1], [1, 1], [2, 1]), dim=0, return_inverse=True, return_counts=True)
    t.unique_consecutive(I([1, 1], [1, 1], [2, 1]), return_inverse=True)
    t.unique_consecutive(l[:0])
    t.searchsorted(I(1, 3, 3, 7), 3)
    t.searchsorted(I(1, 3, 3, 7), I([3, 0], [9, 3]))
    t.searchsorted(I(1, 3, 3, 7), I(3), right=True)
    t.searchsorted(I(1, 3, 3, 7), I(3), side="right")
    t.searchsorted(I(1, 3, 3, 7), I(3), side="foo")
    t.searchsorted(I(1, 3, 3, 7), I(3), right=True, side="left")
    t.searchsorted(l, I([1, 9], [5, 6], [0, 99]))
    t.searchsorted(l, l[:2])
    t.searchsorted(l, 1)
    t.searchsorted(I(1, 3, 3, 7), l, out_int32=True)
    t.searchsorted(I(2, 1, 3), I(2, 3), sorter=I(1, 0, 2))
    t.searchsorted(I(2, 1, 3), I(2), sorter=I(1, 0))
    t.bucketize(l, I(1, 4, 6))
    t.bucketize(l, I(1, 4, 6), right=True)
    t.bucketize(2, I(1, 4, 6))
    t.bucketize(l, l)
    t.nn.functional.one_hot(I(0, 2))
    t.nn.functional.one_hot(I([0, 2], [1, 1]), 4)
    t.nn.functional.one_hot(I(0, 2), 2)
    t.nn.functional.one_hot(I(0, -1), 2)
    t.nn.functional.one_hot(v, 2)
""")
