"""MAML on sine regression: inner steps by autograd.grad with create_graph, outer Adam; then Reptile on the same net."""

import copy
import math
from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(
                [
                    ("l1", nn.Linear(1, 40)),
                    ("relu1", nn.ReLU()),
                    ("l2", nn.Linear(40, 40)),
                    ("relu2", nn.ReLU()),
                    ("l3", nn.Linear(40, 1)),
                ]
            )
        )

    def forward(self, x):
        return self.net(x)

    def parameterised(self, x, weights):
        x = F.relu(F.linear(x, weights[0], weights[1]))
        x = F.relu(F.linear(x, weights[2], weights[3]))
        return F.linear(x, weights[4], weights[5])


class SineTask:
    def __init__(self):
        self.a = torch.empty(()).uniform_(0.1, 5.0).item()
        self.b = torch.empty(()).uniform_(0, 2 * math.pi).item()

    def sample_data(self, size=10):
        x = torch.empty(size, 1).uniform_(-5, 5)
        return x, self.a * torch.sin(x + self.b)


torch.manual_seed(7)
model = Model()
weights = list(model.parameters())
criterion = nn.MSELoss()
meta_optimiser = torch.optim.Adam(weights, 2e-3)
inner_lr, K, tasks = 0.01, 10, 5


def inner_loop(task):
    temp_weights = [w.clone() for w in weights]
    for step in range(1):
        X, y = task.sample_data(K)
        loss = criterion(model.parameterised(X, temp_weights), y) / K
        grad = torch.autograd.grad(loss, temp_weights, create_graph=True)
        temp_weights = [w - inner_lr * g for w, g in zip(temp_weights, grad)]
    X, y = task.sample_data(K)
    return criterion(model.parameterised(X, temp_weights), y) / K


fixed = [SineTask() for _ in range(tasks)]
for iteration in range(150):
    meta_loss = 0
    for task in fixed:
        meta_loss += inner_loop(task)
    meta_grads = torch.autograd.grad(meta_loss, weights)
    for w, g in zip(weights, meta_grads):
        w.grad = g
    meta_optimiser.step()
    if iteration % 5 == 0:
        print("loss {:.6f}".format(meta_loss.item() / tasks))

for iteration in range(10):
    weights_before = copy.deepcopy(model.state_dict())
    task = SineTask()
    for _ in range(3):
        X, y = task.sample_data(K)
        model.zero_grad()
        criterion(model(X), y).backward()
        for param in model.parameters():
            param.data -= 0.02 * param.grad.data
    weights_after = model.state_dict()
    outer = 0.1 * (1 - iteration / 10)
    model.load_state_dict(
        {name: weights_before[name] + (weights_after[name] - weights_before[name]) * outer for name in weights_before}
    )
print("reptile %.5f" % sum(float(p.abs().sum()) for p in model.parameters()))
