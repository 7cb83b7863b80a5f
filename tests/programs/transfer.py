"""Transfer learning: pretrain, replace the head, freeze, then fine-tune all; best weights kept by deepcopy."""

import copy
import time

import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, Subset, TensorDataset

torch.manual_seed(11)


def make_cnn(classes):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d((2, 2)),
        nn.Flatten(),
        nn.Linear(64, classes),
    )


def shapes(count, kinds):
    patterns = torch.randn(6, 1, 10, 10)[kinds]
    labels = torch.randint(len(kinds), (count,))
    return TensorDataset(patterns[labels] + 0.4 * torch.randn(count, 1, 10, 10), labels)


def train_model(model, dataloaders, criterion, optimizer, scheduler, num_epochs):
    since = time.time()
    best_model_wts = copy.deepcopy(model.state_dict())
    best_acc = 0.0
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss = 0.0
            running_corrects = 0
            for inputs, labels in dataloaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    _, preds = torch.max(outputs, 1)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
                running_corrects += torch.sum(preds == labels.data)
            if phase == "train":
                scheduler.step()
            count = len(dataloaders[phase].dataset)
            epoch_acc = running_corrects.double() / count
            print(f"{phase} Acc: {epoch_acc:.4f}")
            print(f"loss {running_loss / count:.6f}")
            if phase == "val" and epoch_acc > best_acc:
                best_acc = epoch_acc
                best_model_wts = copy.deepcopy(model.state_dict())
    assert time.time() >= since
    model.load_state_dict(best_model_wts)
    return model


def loaders(kinds):
    data = shapes(160, kinds)
    parts = {"train": Subset(data, range(128)), "val": Subset(data, range(128, 160))}
    return {name: DataLoader(part, batch_size=16, shuffle=name == "train") for name, part in parts.items()}


criterion = nn.CrossEntropyLoss()
model = make_cnn(3)
optimizer = optim.Adam(model.parameters(), lr=3e-3)
model = train_model(
    model, loaders([0, 1, 2]), criterion, optimizer, lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5), 3
)

model_conv = copy.deepcopy(model)
for param in model_conv.parameters():
    param.requires_grad = False
num_ftrs = model_conv[-1].in_features
model_conv[-1] = nn.Linear(num_ftrs, 3)
frozen = model_conv[0].weight.clone()
data = loaders([3, 4, 5])
optimizer_conv = optim.SGD(model_conv[-1].parameters(), lr=0.05, momentum=0.9)
scheduler = lr_scheduler.OneCycleLR(optimizer_conv, max_lr=0.1, total_steps=3)
model_conv = train_model(model_conv, data, criterion, optimizer_conv, scheduler, 3)
assert torch.equal(frozen, model_conv[0].weight) and model_conv[0].weight.grad is None

for param in model_conv.parameters():
    param.requires_grad_(True)
optimizer_ft = optim.AdamW(
    [
        {"params": [p for n, p in model_conv.named_parameters() if not n.startswith("9.")], "lr": 1e-3},
        {"params": model_conv[-1].parameters()},
    ],
    lr=3e-3,
)
model_ft = train_model(
    model_conv, data, criterion, optimizer_ft, lr_scheduler.CosineAnnealingWarmRestarts(optimizer_ft, 2), 4
)
assert not torch.equal(frozen, model_ft[0].weight)
