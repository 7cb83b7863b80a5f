"""Handwritten digits on several ranks: data-parallel training, from data to checkpoint, in one straight line.

python examples/digits.py                        one process, no MPI
allgrad run -n 2 examples/digits.py              two MPI processes on this machine
allgrad run --virtual 4 examples/digits.py       four ranks in one process, for a debugger
mpirun -n 3 python examples/digits.py            plain MPI
"""

import argparse
import time
from pathlib import Path

from sklearn.datasets import load_digits
from tqdm import tqdm

import allgrad as torch
import allgrad.distributed as dist
from allgrad import nn, optim
from allgrad.nn.parallel import DistributedDataParallel
from allgrad.utils.data import DataLoader, DistributedSampler, TensorDataset

parser = argparse.ArgumentParser(description="Train a small convolutional network on 8×8 handwritten digits.")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--batch-size", type=int, default=64, help="samples per step, over all ranks")
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", type=Path, default=Path("runs/digits"), help="folder for the checkpoint and the picture")
args = parser.parse_args()

# 1. Who takes part? Under mpirun these are the MPI ranks; started by plain python it is one rank and no MPI.
dist.init_process_group()
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(args.seed)  # the same model and the same order of samples on every rank

# 2. Data: 1,797 images. A fifth is kept for the test; every rank sees its own share of the rest.
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
held_out = len(images) // 5
test = TensorDataset(images[order[:held_out]], labels[order[:held_out]])
train = TensorDataset(images[order[held_out:]], labels[order[held_out:]])
sampler = DistributedSampler(train, seed=args.seed)
batches = DataLoader(train, batch_size=max(1, args.batch_size // size), sampler=sampler)

# 3. The model. DistributedDataParallel starts all ranks from rank 0's weights and averages the gradients.
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.25),
    nn.Linear(32 * 4 * 4, 10),
)
model = DistributedDataParallel(model)
optimizer = optim.Adam(model.parameters(), lr=args.lr)
criterion = nn.CrossEntropyLoss()


def count_correct(part: TensorDataset) -> int:
    """How many images of this rank's share are recognized; no image is counted twice."""
    model.eval()
    mine = range(rank, len(part), size)
    with torch.no_grad():
        inputs, targets = part[list(mine)]
        return int((model(inputs).argmax(1) == targets).sum())


# 4. Training: forward, loss, backward (the ranks average their gradients meanwhile), one step; the replicas stay equal.
history = []
started = time.perf_counter()
for epoch in range(args.epochs):
    sampler.set_epoch(epoch)
    model.train()
    total = torch.zeros(2)  # sum of losses, number of samples
    with tqdm(batches, desc=f"epoch {epoch + 1:2d}", leave=False, mininterval=0.3, disable=rank != 0) as progress:
        for inputs, targets in progress:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
            total += torch.tensor([loss.item() * len(inputs), len(inputs)])
            progress.set_postfix(loss=f"{loss.item():.3f}", refresh=False)

    # 5. What every rank saw, together.
    right = torch.tensor([count_correct(test)])
    dist.all_reduce(total)
    dist.all_reduce(right)
    history.append(((total[0] / total[1]).item(), right.item() / len(test)))
    if rank == 0:
        print(f"epoch {epoch + 1:2d}  train loss {history[-1][0]:.4f}  test accuracy {history[-1][1]:.2%}", flush=True)

# 6. Rank 0 keeps the result.
if rank == 0:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    args.out.mkdir(parents=True, exist_ok=True)
    torch.save(
        {"model": model.state_dict(), "epochs": args.epochs, "accuracy": history[-1][1]}, args.out / "digits.ckpt"
    )
    figure, axes = pyplot.subplots()
    axes.semilogy(range(1, args.epochs + 1), [loss for loss, _ in history], marker="o")
    axes.set(xlabel="epoch", ylabel="train loss", title=f"digits on {size} rank{'s' if size > 1 else ''}")
    figure.savefig(args.out / "loss.png", dpi=120)
    print(f"{size} rank(s), {time.perf_counter() - started:.1f} s of training, test accuracy {history[-1][1]:.2%}")
    print(f"checkpoint: {args.out / 'digits.ckpt'}   loss curve: {args.out / 'loss.png'}")
dist.destroy_process_group()
