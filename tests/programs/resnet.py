"""ResNet-20 as for CIFAR: BasicBlock, BatchNorm, SGD with Nesterov momentum, MultiStepLR, label smoothing."""

import torch
import torch.backends.cudnn as cudnn
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
from torch.utils.data import DataLoader, Dataset


def _weights_init(m):
    if isinstance(m, nn.Linear) or isinstance(m, nn.Conv2d):
        init.kaiming_normal_(m.weight)


class LambdaLayer(nn.Module):
    def __init__(self, lambd):
        super(LambdaLayer, self).__init__()
        self.lambd = lambd

    def forward(self, x):
        return self.lambd(x)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super(BasicBlock, self).__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            extra = planes // 4
            self.shortcut = LambdaLayer(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra, extra), "constant", 0))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        out = F.relu(out)
        return out


class ResNet(nn.Module):
    def __init__(self, block, num_blocks, num_classes=4, width=4):
        super(ResNet, self).__init__()
        self.in_planes = width
        self.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._make_layer(block, width, num_blocks[0], stride=1)
        self.layer2 = self._make_layer(block, 2 * width, num_blocks[1], stride=2)
        self.layer3 = self._make_layer(block, 4 * width, num_blocks[2], stride=2)
        self.linear = nn.Linear(4 * width, num_classes)
        self.apply(_weights_init)

    def _make_layer(self, block, planes, num_blocks, stride):
        strides = [stride] + [1] * (num_blocks - 1)
        layers = []
        for stride in strides:
            layers.append(block(self.in_planes, planes, stride))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        out = F.avg_pool2d(out, out.size()[3])
        out = out.view(out.size(0), -1)
        return self.linear(out)


class Textures(Dataset):
    """Four kinds of stripes with colour noise, flipped at random."""

    def __init__(self, count):
        self.labels = torch.randint(4, (count,))
        grid = torch.stack(torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij"))
        directions = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.7, 0.7], [0.7, -0.7]])
        waves = torch.sin(torch.einsum("kd,dhw->khw", directions, grid) * 1.2)
        self.images = waves[self.labels].unsqueeze(1).repeat(1, 3, 1, 1) + 0.4 * torch.randn(count, 3, 16, 16)

    def __len__(self):
        return self.labels.size(0)

    def __getitem__(self, index):
        image = self.images[index]
        if torch.rand(1) < 0.5:
            image = torch.flip(image, [1, 2])
        return image, int(self.labels[index])


torch.manual_seed(5)
cudnn.benchmark = True
train_loader = DataLoader(Textures(256), batch_size=16, shuffle=True, num_workers=0, pin_memory=False)
model = ResNet(BasicBlock, [3, 3, 3])
print("Total layers", len([p for p in model.parameters() if p.requires_grad and len(p.data.size()) > 1]))
criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
lr_scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 3], gamma=0.2)
for epoch in range(3):
    model.train()
    right = total = 0
    for i, (input, target) in enumerate(train_loader):
        output = model(input)
        loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        prec = output.data.topk(2, 1, True, True)[1].t().eq(target.view(1, -1))
        right += prec[:1].reshape(-1).float().sum(0).item()
        total += target.size(0)
        print("loss {:.6f}".format(loss.item()))
    lr_scheduler.step()
    print("current lr {:.5e} accuracy {:.3f}".format(optimizer.param_groups[0]["lr"], right / total))
