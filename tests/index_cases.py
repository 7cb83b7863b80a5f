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

SCATTERS = lines("""
    x.scatter(0, I([0, 1], [1, 2]), x[:2, :2])
    x.scatter(1, I([0, 1], [1, 2]), y[0][1:, :2])
    x.scatter(0, I([0, 1], [1, 2]), 5)
    x.scatter(0, I([0, 1]), value=2.5)
    l.scatter(0, I([0, 1], [1, 2]), 5.5)
    x.scatter(0, I([0, 1], [1, 2]), s)
    x.scatter(0, I([0, 1], [1, 2]), x[:1])
    x.scatter(0, I([0, 7], [1, 2]), x)
    x.scatter(0, I([0, -1], [1, 2]), x)
    x.scatter(0, I(0, 1), x)
    x.scatter(0, I([0, 1, 0, 1, 0]), 1)
    x.scatter(0, I([0, 1]).short(), x)
    x.scatter(0, I([0, 1], [1, 2]), 2, reduce="sum")
    l.scatter(0, I([0, 1], [1, 2]), l, reduce="add")
    l.scatter(0, I([0, 1], [1, 2]), 2, reduce="multiply")
    z.scatter(0, t.tensor(0), z * 2)
    z.scatter(0, I(0), v[:1])
    x.scatter(0, t.zeros(0, dtype=t.int64), x.detach())
    x.scatter_add(0, I([0, 1], [1, 1]), x[:2, :2])
    x.scatter_add(1, I([0, 1, 1, 1], [1, 2, 3, 3], [0, 0, 0, 0]), y[0])
    y.scatter_add(2, I([[0, 0, 3], [1, 1, 1]]), y[:1, :2, :3])
    x.t().scatter_add(0, I([0, 1], [1, 1]), x[:2, :2])
    x.scatter_add(0, I([0, 1], [1, 2]), l[:2, :2])
    x.scatter_add(0, I([0], [2], [0]).expand(3, 4), y[0])
    x.scatter_add(0, I([0], [2], [0]).expand(3, 2), y[0][:, :2])
    x.t().scatter_add(0, I([0], [3], [0]).expand(3, 3), y[0][:, :3])
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "sum")
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "sum", include_self=False)
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "mean")
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "mean", include_self=False)
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "amax")
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "amax", include_self=False)
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "amin")
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "amin", include_self=False)
    x.scatter_reduce(0, I([0, 1], [1, 1]), y[0][:2, :2], "prod")
    x.scatter_reduce(1, I([0, 1, 0, 0]), y[0][:1], "prod", include_self=False)
    l.scatter_reduce(0, I([0, 1], [1, 2]), l, "mean")
    l.scatter_reduce(0, I([0, 1], [1, 2]), l, "amax", include_self=False)
    x.scatter_reduce(0, I([0, 1], [1, 2]), x, "foo")
    x.index_add(0, I(0, 2), y[0][:2])
    x.index_add(0, I(0, 0, 1), y[0], alpha=2)
    x.index_add(1, I(0, 0, 3), y[0][:, :3])
    y.index_add(1, I(2, 2), y[:, :2] * 2)
    l.index_add(0, I(0, 0), l[:2])
    x.index_add(0, I(0, 2), x)
    x.index_add(0, I(0, 2), x[:2, :3])
    x.index_add(0, I(0, 5), x[:2])
    x.index_add(0, I(0, 2), s[:2])
    x.index_add(0, I([0, 2]), x[:2])
    x.index_add(0, t.tensor(1), x[:1])
    x.index_add(0, v, x)
    z.index_add(0, I(0), v[:1])
    x.index_copy(0, I(0, 2), y[0][:2])
    x.index_copy(1, I(3), y[0][:, :1])
    x.index_copy(0, I(0, 2), x)
    x.index_copy(0, I(0, 2), s[:2])
    x.index_copy(0, I(0, 5), x[:2])
    x.index_copy(0, I(0, 1), x[:2, :2])
    x.index_fill(0, I(0, 2), 5)
    x.index_fill(1, I(3), z)
    x.detach().index_fill(1, I(-1), 2)
    l.index_fill(0, I(0), 5.7)
    x.index_fill(0, I(5), 5)
    x.index_fill(0, I(0), v)
    x.index_reduce(0, I(0, 0), y[0][:2], "prod")
    x.index_reduce(0, I(0, 0), y[0][:2], "mean", include_self=False)
    x.index_reduce(0, I(0, 0), y[0][:2], "amax")
    x.index_reduce(0, I(0, 2), x[:2], "sum")
    x.index_put((I(0, 1),), y[0][:2])
    x.index_put((I(0, 1), I(2, 2)), v[:2])
    x.index_put((I(0, 0),), y[0][:2], accumulate=True)
    x.index_put((I(0, 0), I(1, 1)), z, accumulate=True)
    x.index_put((b,), z)
    x.index_put((I(0, 5),), y[0][:2])
    x.index_put((I(0, 0),), v)
    x.index_put((I(0, 0),), s[:2])
    x.index_put(I(0, 0), x[0])
    x.put(I(0, 5), v[:2])
    x.t().put(I(0, 5), v[:2])
    x.put(I(0, 0), v[:2], accumulate=True)
    x.put(I(0, 1), v)
    x.put(I(0, 50), v[:2])
    x.masked_fill(b, 5)
    x.masked_fill(b, z)
    x.masked_fill(b[0], -1.5)
    x[0].masked_fill(b, 2)
    l.masked_fill(b, 5.5)
    x.masked_fill(b, float("-inf"))
    x.masked_fill(b, v)
    x.masked_fill(l, 5)
    x.masked_fill(b[:, :3], 5)
    x.masked_scatter(b, y[0])
    x[0].masked_scatter(b, y[0])
    x.masked_scatter(b, v)
    x.masked_scatter(b, s)
    x.masked_scatter(l, x)
    x.select_scatter(x[0] * 2, 0, 1)
    x.select_scatter(v, 1, -1)
    x.select_scatter(v, 0, 1)
    x.slice_scatter(x[:2] * 2, 0, 1)
    x.slice_scatter(x[:, :2], 1, 0, None, 2)
    x.slice_scatter(x, 0, 1)
    x.diagonal_scatter(v)
    x.diagonal_scatter(v[:2], 2)
    x.diagonal_scatter(x[0])
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

VIEWS = lines("""
    x = x * 1; w = x[0]; w.add_(1); x * x
    x = x * 1; w = x.view(-1); w.mul_(2); x * w.view(3, 4)
    x = x * 1; w = x.t()[1:][0]; w.mul_(z); x * x
    x = x * 1; w = x.view(2, 6).t(); w[0].mul_(2); w * w
    x = x * 1; w = x[0]; u = x[:, 0]; w.mul_(2); u * u
    x = x * 1; w = x[0]; x.mul_(2); w * w
    x = x * 1; w = x[0]; u = w * 3; w.add_(1); u.sum() + (x * x).sum()
    x = x * 1; w = x[0]; u = w * w; x.add_(1); u.sum()
    x = x * 1; w = x.diagonal(); w.mul_(3); x * x
    x = x * 1; w = x.diagonal(1); w.copy_(v); x * x
    x = x * 1; w = x.unfold(1, 2, 2); w.mul_(3); x * x
    x = x * 1; w = t.as_strided(x, (2, 2), (1, 4), 1); w.mul_(3); x * x
    x = x * 1; w = x.unsqueeze(0).squeeze(); w.mul_(3); x * x
    x = x * 1; w = x.narrow(1, 1, 2); w.fill_(0); x * x
    x = x * 1; w = x.permute(1, 0).flatten(); w.mul_(3); x * x
    x = x * 1; w = x.expand(2, 3, 4); w.mul_(3); x
    x = x * 1; w = x.expand(3, 4); w.mul_(3); x * x
    x = x * 1; a, c = x.chunk(2, 1); a.mul_(2); x
    x = x * 1; a = x.unbind(0)[0]; a.mul_(2); x
    x = x * 1; a = x.split(1)[0]; a[0] = 1; x
    x = x * 1; a = x.split(1)[0]; x.mul_(2); a * a
    x = x.detach(); a, c = x.chunk(2, 1); a.mul_(2); x
    w = x[0]; w.add_(1); x
    w = x.view(-1); w[0] = 1; x
    x.t_(); x
    x = x * 1; x.t_(); x * x
    x = x * 1; x.mul_(2).t_().mul_(3); x[0] * x[1]
    x = x * 1; w = x[0]; x.t_(); x.mul_(2); x.sum() + (w * w).sum()
    x = x * 1; x.unsqueeze_(0); x.squeeze_(0); x.transpose_(0, 1); x[1].mul_(5); x * x
    y = y * 1; w = y[0]; w.t_(); w.mul_(2); y * y
    x = x * 1; x.index_add_(0, I(0, 0), y[0][:2]); x * x
    x = x * 1; x.index_copy_(1, I(0, 2), y[0][:, :2]); x * x
    x = x * 1; x.index_fill_(0, I(1), z); x * x
    x = x * 1; x.index_put_((I(0, 0),), y[0][:2], accumulate=True); x * x
    x = x * 1; x.index_reduce_(0, I(0, 0), y[0][:2], "amax"); x * x
    x = x * 1; x.put_(I(0, 5), v[:2]); x * x
    x = x * 1; x.masked_fill_(b, z); x * x
    x = x * 1; x[0].masked_fill_(b, z); x
    x = x * 1; x.masked_scatter_(b, y[0]); x * x
    x = x * 1; x.scatter_(0, I([0, 1], [1, 2]), y[0][:2, :2]); x * x
    x = x * 1; x.scatter_(1, I([0, 1], [1, 2]), 3.0); x * x
    x = x * 1; x.scatter_add_(0, I([0, 1], [1, 1]), y[0][:2, :2]); x * x
    x = x * 1; x.t().scatter_add_(0, I([0, 1], [1, 1]), y[0][:2, :2]); x * x
    x = x * 1; x.scatter_reduce_(0, I([0, 1], [1, 1]), y[0][:2, :2], "mean"); x * x
    x = x * 1; x.tril_(); x * x
    y = y * 1; y[0].triu_(1); y * y
    x = x * 1; x.fill_diagonal_(2); x * x
    x = t.zeros(7, 3); x.fill_diagonal_(5, wrap=True); x
    y.detach().fill_diagonal_(5)
    v.detach().fill_diagonal_(5)
    x.masked_fill_(b, 1)
    x.index_add_(0, I(0), y[0][:1])
    x.detach().clone().resize_(2, 2)
    x.detach().clone().resize_(20).shape
    x.resize_(2, 2)
    x = x * 1; w = x[1:]; w[0] = v[0]; w[1] = w[0] * 2; x * x
    x = x * 1; w = x.view(12)[2:8].view(2, 3); w[b[:2, :3]] = 0; x * x
""")
