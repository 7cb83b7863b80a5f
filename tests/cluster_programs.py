"""Small programs for several nodes: they meet at every step, save on USR1 or TERM, and resume."""

# argv: steps, seconds per step. Writes the step it has reached into progress, and where it began into starts.
TRAIN = """
import json, os, signal, socket, sys, time
import numpy as np
from allgrad.comm import launch_world

steps, pause = int(sys.argv[1]), float(sys.argv[2])
asked = np.zeros(1)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda *_: asked.fill(1))
world = launch_world()
step = json.load(open("saved.json"))["step"] if os.path.exists("saved.json") else 0
print(f"rank {world.rank} of {world.size} on {socket.gethostname()} starts at step {step}", flush=True)
if world.rank == 0:
    with open("starts", "a") as file:
        file.write(f"{step}\\n")


def save():
    if world.rank == 0:
        with open("saved.tmp", "w") as file:
            json.dump({"step": step}, file)
        os.replace("saved.tmp", "saved.json")
    world.barrier()


while step < steps:
    time.sleep(pause)
    total = np.ones(1000)
    world.all_reduce(total)
    assert total[0] == world.size
    step += 1
    if step % 10 == 0:
        save()
    if world.rank == 0:
        with open("progress", "w") as file:
            file.write(str(step))
    stop = asked.copy()
    world.all_reduce(stop, "max")
    if stop[0]:
        save()
        print(f"rank {world.rank} saved step {step}", flush=True)
        sys.exit(75)
print(f"rank {world.rank} has done all steps", flush=True)
"""
