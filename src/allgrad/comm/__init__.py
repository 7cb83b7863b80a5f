"""Communicators: what ranks say to each other, in three worlds under one protocol."""

from allgrad.comm.launchenv import Launch, detect
from allgrad.comm.protocol import Communicator
from allgrad.comm.single import SingleCommunicator
from allgrad.comm.virtual import VirtualCommunicator, run_virtual
from allgrad.comm.work import Buffer, Work
from allgrad.comm.world import launch_world

__all__ = [
    "Buffer",
    "Communicator",
    "Launch",
    "SingleCommunicator",
    "VirtualCommunicator",
    "Work",
    "detect",
    "launch_world",
    "run_virtual",
]
