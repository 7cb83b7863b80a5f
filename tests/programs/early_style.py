"""A program as they were written at the start: Variable, .data, volatile, legacy constructors, F.tanh, size_average."""

from __future__ import print_function

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torch.utils.data as data_utils
from torch.autograd import Variable

torch.manual_seed(4)
use_cuda = torch.cuda.is_available()
dtype = torch.cuda.FloatTensor if use_cuda else torch.FloatTensor

X = torch.rand(400, 2).type(dtype) * 2 - 1
inside = (X * X).sum(1) < 0.5
Y = inside.type(torch.LongTensor)
train_set = data_utils.TensorDataset(X, Y)
train_loader = data_utils.DataLoader(train_set, batch_size=20, shuffle=True, num_workers=0)


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()
        self.fc1 = nn.Linear(2, 20)
        self.fc2 = nn.Linear(20, 20)
        self.fc3 = nn.Linear(20, 2)

    def forward(self, x):
        x = F.tanh(self.fc1(x))
        x = F.sigmoid(self.fc2(x))
        return F.log_softmax(self.fc3(x), dim=1)

    def num_flat_features(self, x):
        num_features = 1
        for s in x.size()[1:]:
            num_features *= s
        return num_features


net = Net()
if use_cuda:
    net.cuda()
for m in net.modules():
    if isinstance(m, nn.Linear):
        nn.init.xavier_normal_(m.weight.data)
        m.bias.data.zero_()
criterion = nn.NLLLoss(size_average=True)
optimizer = optim.Adam(net.parameters(), lr=0.02)


def adjust_learning_rate(optimizer, epoch):
    lr = 0.02 * (0.5 ** (epoch // 4))
    for param_group in optimizer.param_groups:
        param_group["lr"] = lr


for epoch in range(10):
    adjust_learning_rate(optimizer, epoch)
    net.train()
    running_loss = 0.0
    for i, data in enumerate(train_loader, 0):
        inputs, labels = data
        inputs, labels = Variable(inputs), Variable(labels)
        optimizer.zero_grad()
        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.data.item()
        if i % 10 == 9:
            print("[%d, %5d]" % (epoch + 1, i + 1))
            print("loss %.6f" % (running_loss / 10))
            running_loss = 0.0

net.eval()
correct = 0
total = 0
for images, labels in data_utils.DataLoader(train_set, batch_size=50):
    outputs = net(Variable(images, volatile=True))
    _, predicted = torch.max(outputs.data, 1)
    total += labels.size(0)
    correct += (predicted == labels).sum()
print("Accuracy: %d %%" % (100 * correct / total))

# A two-layer net by hand on legacy tensors.
N, D_in, H, D_out = 16, 10, 8, 2
x = Variable(torch.randn(N, D_in).type(dtype), requires_grad=False)
y = Variable(torch.randn(N, D_out).type(dtype), requires_grad=False)
w1 = Variable(torch.randn(D_in, H).type(dtype), requires_grad=True)
w2 = Variable(torch.randn(H, D_out).type(dtype), requires_grad=True)
for t in range(50):
    y_pred = x.mm(w1).clamp(min=0).mm(w2)
    mse = (y_pred - y).pow(2).sum()
    mse.backward()
    w1.data -= 1e-3 * w1.grad.data
    w2.data -= 1e-3 * w2.grad.data
    w1.grad.data.zero_()
    w2.grad.data.zero_()
print("by hand", "%.5f" % mse.data.item())
z = torch.Tensor(2, 3).zero_()
z[0] = torch.Tensor([1, 2, 3])
one_hot = torch.zeros(3, 4).scatter_(1, torch.LongTensor([[0], [3], [1]]), 1)
print(z.numpy().tolist(), one_hot.sum(0).tolist(), torch.cat((z, z), 0).size())
