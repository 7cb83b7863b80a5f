"""What is measured: training programs, each written once for ``t``, which is allgrad or torch.

A workload builds model, optimizer and data, and returns one training step: forward, backward and update, float32.
``way`` holds what PyTorch lets a user choose: the fused optimizer, and channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

Step = Callable[[], Any]
Build = Callable[[Any, "Way"], Step]


class Way(NamedTuple):
    """How a program is set up where PyTorch has a choice."""

    fused: bool | None = None
    channels_last: bool = False


class Workload(NamedTuple):
    """A training step, its goal as a share of PyTorch's time (None: no goal set), and which choices PyTorch has."""

    name: str
    build: Build
    goal: float | None
    fused: bool = True
    images: bool = False

    def ways(self) -> dict[str, Way]:
        """Every way to run it, by name."""
        optimizers = {"default": None, "fused": True} if self.fused else {"default": None}
        layouts = {"": False, ", channels_last": True} if self.images else {"": False}
        return {f + c: Way(fused, last) for f, fused in optimizers.items() for c, last in layouts.items()}


def draws(t: Any, *shape: int, seed: int = 0) -> Any:
    """Standard normal numbers, the same for every ``t``."""
    return t.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def labels(t: Any, count: int, classes: int) -> Any:
    return t.from_numpy(np.random.default_rng(1).integers(0, classes, count))


def training(t: Any, model: Any, optimizer: Any, x: Any, y: Any) -> Step:
    """One step of classification."""
    loss_of = t.nn.CrossEntropyLoss()

    def step() -> Any:
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def placed(t: Any, model: Any, x: Any, way: Way) -> tuple[Any, Any]:
    """Model and images in the memory layout of ``way``."""
    if not way.channels_last:
        return model, x
    return model.to(memory_format=t.channels_last), x.to(memory_format=t.channels_last)


def mlp(*sizes: int, batch: int) -> Build:
    """Linear layers with ReLU between them, Adam."""

    def build(t: Any, way: Way) -> Step:
        model = perceptron(t, *sizes)
        optimizer = t.optim.Adam(model.parameters(), lr=1e-3, fused=way.fused)
        return training(t, model, optimizer, draws(t, batch, sizes[0]), labels(t, batch, sizes[-1]))

    return build


def perceptron(t: Any, *sizes: int) -> Any:
    t.manual_seed(0)
    layers: list[Any] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [t.nn.Linear(fan_in, fan_out), t.nn.ReLU()]
    return t.nn.Sequential(*layers[:-1])


def lenet(t: Any, way: Way) -> Step:
    """Two convolutions with pooling, three linear layers, on 28 x 28, batch 64; SGD with momentum."""
    nn = t.nn
    t.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    model, x = placed(t, model, draws(t, 64, 1, 28, 28), way)
    optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=way.fused)
    return training(t, model, optimizer, x, labels(t, 64, 10))


def basic_block(t: Any, channels: int, wide: int, stride: int) -> Any:
    """The residual block of He et al. 2016: two 3 x 3 convolutions with batch norm and a way around them."""
    nn = t.nn

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(),
                nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide),
            )  # fmt: skip
            self.around = nn.Identity()
            if stride != 1 or channels != wide:
                self.around = nn.Sequential(nn.Conv2d(channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide))

        def forward(self, x: Any) -> Any:
            return nn.functional.relu(self.body(x) + self.around(x))

    return Block()


def resnet20_model(t: Any) -> Any:
    nn = t.nn
    t.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for wide in (16, 32, 64):
        for i in range(3):
            layers.append(basic_block(t, channels, wide, 2 if i == 0 and wide > 16 else 1))
            channels = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def resnet20(t: Any, way: Way) -> Step:
    """ResNet-20 on 32 x 32, batch 32; SGD with momentum and weight decay."""
    model, x = placed(t, resnet20_model(t), draws(t, 32, 3, 32, 32), way)
    optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=way.fused)
    return training(t, model, optimizer, x, labels(t, 32, 10))


def resnet18_block(t: Any, way: Way) -> Step:
    """One block 64 -> 64 of ResNet-18 on 56 x 56, batch 8; SGD with momentum."""
    t.manual_seed(0)
    model, x = placed(t, basic_block(t, 64, 64, 1), draws(t, 8, 64, 56, 56), way)
    x.requires_grad_()
    optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=way.fused)

    def step() -> Any:
        optimizer.zero_grad()
        x.grad = None
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def lstm(t: Any, way: Way) -> Step:
    """LSTM 64 -> 128 over 50 steps, batch 32, and a linear layer on its last output; Adam."""
    nn = t.nn
    t.manual_seed(0)

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = nn.LSTM(64, 128, batch_first=True)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.recurrent(x)[0][:, -1])

    model = Model()
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3, fused=way.fused)
    return training(t, model, optimizer, draws(t, 32, 50, 64), labels(t, 32, 10))


def gpt_model(t: Any, width: int = 128, layers: int = 4, heads: int = 4, length: int = 128, words: int = 65) -> Any:
    """A decoder of transformer blocks with layer norm first, GELU and causal attention; 65 characters."""
    nn, F = t.nn, t.nn.functional
    t.manual_seed(0)

    class Block(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            b, n, _ = x.shape
            q, k, v = (
                p.view(b, n, heads, width // heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).split(width, 2)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, n, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Model(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

        def forward(self, x: Any) -> Any:
            h = self.words(x) + self.places(t.arange(x.shape[1]))
            return self.head(self.norm(self.blocks(h))).flatten(0, 1)

    return Model()


def gpt(t: Any, way: Way) -> Step:
    """GPT of width 128, 4 layers, 4 heads on 128 characters, batch 16; AdamW."""
    model = gpt_model(t)
    optimizer = t.optim.AdamW(model.parameters(), lr=1e-3, fused=way.fused)
    return training(t, model, optimizer, labels(t, 16 * 128, 65).view(16, 128), labels(t, 16 * 128, 65))


def optimizer_alone(make: Callable[[Any, Any, Way], Any]) -> Build:
    """The update of 10 million parameters: eight of a million and a quarter."""

    def build(t: Any, way: Way) -> Step:
        params = [t.nn.Parameter(draws(t, 1250, 1000, seed=i)) for i in range(8)]
        for i, p in enumerate(params):
            p.grad = draws(t, 1250, 1000, seed=100 + i)
        optimizer = make(t, params, way)

        def step() -> Any:
            optimizer.step()
            return params[0][0, 0].detach()

        return step

    return build


def double_backward(t: Any, way: Way) -> Step:
    """A gradient penalty: the gradients of an MLP's loss are part of the loss."""
    model = perceptron(t, 784, 256, 256, 10)
    smooth = t.nn.Sequential(*[t.nn.Tanh() if isinstance(m, t.nn.ReLU) else m for m in model])
    params = list(smooth.parameters())
    optimizer = t.optim.SGD(params, lr=0.01, fused=way.fused)
    x, y = draws(t, 64, 784), labels(t, 64, 10)

    def step() -> Any:
        optimizer.zero_grad()
        loss = t.nn.functional.cross_entropy(smooth(x), y)
        grads = t.autograd.grad(loss, params, create_graph=True)
        loss = loss + 0.1 * sum((g * g).sum() for g in grads)
        loss.backward()
        optimizer.step()
        return loss

    return step


WORKLOADS = (
    Workload("tiny MLP 2-16-16-2 b32", mlp(2, 16, 16, 2, batch=32), 0.25),
    Workload("MLP 784-512-512-10 b64", mlp(784, 512, 512, 10, batch=64), 0.80),
    Workload("MLP 784-2048-2048-10 b256", mlp(784, 2048, 2048, 10, batch=256), 0.85),
    Workload("LeNet-like CNN 28x28 b64", lenet, 0.85, images=True),
    Workload("ResNet-20 32x32 b32", resnet20, 1.0, images=True),
    Workload("ResNet-18 block 64 on 56x56 b8", resnet18_block, None, images=True),
    Workload("LSTM 64-128 T=50 b32", lstm, 0.80),
    Workload("GPT d128 l4 h4 T=128 b16", gpt, 0.75),
    Workload("Adam, 10 M parameters", optimizer_alone(lambda t, p, w: t.optim.Adam(p, fused=w.fused)), 0.9),
    Workload("AdamW, 10 M parameters", optimizer_alone(lambda t, p, w: t.optim.AdamW(p, fused=w.fused)), 0.9),
    Workload(
        "SGD with momentum, 10 M parameters",
        optimizer_alone(lambda t, p, w: t.optim.SGD(p, lr=0.01, momentum=0.9, fused=w.fused)),
        None,
    ),
    Workload("double backward, MLP 784-256-256-10 b64", double_backward, 0.6),
)
