"""Expressions of scatters and of writes through views that both libraries evaluate; see shape_cases."""

from __future__ import annotations

from shape_cases import lines

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
