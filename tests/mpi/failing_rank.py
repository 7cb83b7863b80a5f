"""One rank goes down in the way named on the command line, while the others wait in a collective."""

import os
import sys
import threading
import time

import numpy as np

from allgrad.comm import launch_world

how = sys.argv[1]
world = launch_world()
world.barrier()
odd = world.rank == 1


def in_thread() -> None:
    raise ValueError("boom in a thread")


def hangs_here() -> None:
    time.sleep(60)


if how == "message":  # both sides agree on nothing but the peer
    if world.rank == 0:
        world.send(np.zeros(5), 1)
    elif odd:
        world.recv(np.zeros(6), 0)
elif how == "long message":
    if world.rank == 0:
        world.send(np.zeros(7), 1)
    elif odd:
        world.recv(np.zeros(6), 0)
elif odd:
    if how == "raise":
        raise ValueError("boom")
    if how == "sys.exit":
        sys.exit(3)
    if how == "exit":
        exit(4)
    if how == "sys.exit text":
        sys.exit("a reason in words")
    if how == "raise SystemExit":
        raise SystemExit(5)
    if how == "caught":
        try:
            sys.exit(3)
        except SystemExit:
            print("went on")
    if how == "finally":
        try:
            sys.exit(6)
        finally:
            print("cleaned up")
    if how == "thread":
        threading.Thread(target=in_thread).start()
        time.sleep(20)
    if how == "os._exit":
        os._exit(7)
    if how == "abort":
        world.abort(8)
    if how == "finished":
        sys.exit()
    if how == "hang":
        hangs_here()
    if how == "other call":
        world.all_reduce(np.zeros(300), "max")
    if how == "other size":
        world.all_reduce(np.zeros(7))

world.all_reduce(np.zeros(300), label="fc1.weight")
if world.rank == 0:
    print("all done")
