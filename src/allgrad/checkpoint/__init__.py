"""Checkpoints that survive: written by all ranks, whole or not at all, checked to the last bit, resumed exactly."""

from allgrad.checkpoint.disk import Disk
from allgrad.checkpoint.guards import GradientNormGuard, GradientSpikeWarning
from allgrad.checkpoint.loading import CheckpointWarning
from allgrad.checkpoint.manager import CheckpointManager
from allgrad.checkpoint.manifest import Manifest
from allgrad.checkpoint.preemption import EXIT_PREEMPTED
from allgrad.checkpoint.replay import ReplayCheck

__all__ = [
    "EXIT_PREEMPTED",
    "CheckpointManager",
    "CheckpointWarning",
    "Disk",
    "GradientNormGuard",
    "GradientSpikeWarning",
    "Manifest",
    "ReplayCheck",
]
