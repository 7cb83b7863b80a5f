"""``init_device_mesh``: the ranks as a grid, with one process group along each of its lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from allgrad.autograd.record import wrap
from allgrad.distributed.group import (
    GroupMember,
    ProcessGroup,
    default_group,
    init_process_group,
    is_initialized,
    new_group,
)
from allgrad.errors import ArgumentError


class DeviceMesh:
    """Ranks in a grid of ``shape``; ``mesh["name"]`` is the line through this rank along that dimension."""

    def __init__(
        self, device_type: str, ranks: np.ndarray[Any, Any], names: Sequence[str] | None, groups: Sequence[ProcessGroup]
    ) -> None:
        self.device_type = device_type
        self.mesh_dim_names = None if names is None else tuple(names)
        self._ranks, self._groups = ranks, list(groups)

    @property
    def mesh(self) -> Any:
        """The numbers of the ranks in the default group, as a Tensor of the grid's shape."""
        return wrap(self._ranks.copy())

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._ranks.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """How many ranks lie along each dimension."""
        return self._ranks.shape

    def size(self, mesh_dim: int | None = None) -> int:
        """How many ranks there are, along ``mesh_dim`` or in all."""
        return int(self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim])

    def _dim(self, mesh_dim: int | str | None) -> int:
        if mesh_dim is None:
            if self.ndim != 1:
                raise ArgumentError(f"the mesh has {self.ndim} dimensions; say which one, by number or name")
            return 0
        if isinstance(mesh_dim, str):
            if mesh_dim not in (self.mesh_dim_names or ()):
                raise ArgumentError(f"no mesh dimension {mesh_dim!r}; found {self.mesh_dim_names}")
            return (self.mesh_dim_names or ()).index(mesh_dim)
        if not -self.ndim <= mesh_dim < self.ndim:
            raise ArgumentError(f"mesh dimension {mesh_dim} of {self.ndim}")
        return mesh_dim % self.ndim

    def get_group(self, mesh_dim: int | str | None = None) -> ProcessGroup:
        """The group of the ranks on this rank's line along ``mesh_dim``."""
        return self._groups[self._dim(mesh_dim)]

    def get_all_groups(self) -> list[ProcessGroup]:
        """This rank's group along each dimension."""
        return list(self._groups)

    def get_rank(self) -> int:
        """This rank's number in the default group."""
        return default_group().comm.rank

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """This rank's place on its line along ``mesh_dim``."""
        return self.get_group(mesh_dim).comm.rank

    def get_coordinate(self) -> list[int] | None:
        """This rank's place in the grid; None if it is not in it."""
        found = np.argwhere(self._ranks == self.get_rank())
        return [int(i) for i in found[0]] if len(found) else None

    def __getitem__(self, name: str) -> DeviceMesh:
        dim = self._dim(name)
        group = self._groups[dim]
        return DeviceMesh(self.device_type, np.array(group.ranks), (name,), [group])

    def __repr__(self) -> str:
        return f"DeviceMesh({self.device_type!r}, {self._ranks.tolist()}, mesh_dim_names={self.mesh_dim_names})"


def init_device_mesh(
    device_type: str, mesh_shape: Sequence[int], *, mesh_dim_names: Sequence[str] | None = None, backend_override: Any = None
) -> DeviceMesh:  # fmt: skip
    """All ranks as a grid of ``mesh_shape``, in rank order, last dimension fastest.  Collective; joins the world if needed."""
    if device_type != "cpu":
        raise ArgumentError(f"device_type={device_type!r}: allgrad runs on the CPU")
    if not is_initialized():
        init_process_group()
    shape = tuple(int(n) for n in mesh_shape)
    world = default_group()
    if math.prod(shape) != world.comm.size or not shape:
        raise ArgumentError(f"a mesh of shape {shape} has {math.prod(shape)} ranks, the world {world.comm.size}")
    if mesh_dim_names is not None and (len(mesh_dim_names) != len(shape) or len(set(mesh_dim_names)) != len(shape)):
        raise ArgumentError(f"mesh_dim_names needs {len(shape)} different names, found {tuple(mesh_dim_names)}")
    ranks = np.arange(world.comm.size).reshape(shape)
    groups: list[ProcessGroup] = []
    for dim in range(len(shape)):
        if len(shape) == 1:
            groups.append(world)
            continue
        for line in np.moveaxis(ranks, dim, -1).reshape(-1, shape[dim]):
            made = new_group([int(r) for r in line])
            if made is not GroupMember.NON_GROUP_MEMBER:
                groups.append(made)
    return DeviceMesh(device_type, ranks, mesh_dim_names, groups)
