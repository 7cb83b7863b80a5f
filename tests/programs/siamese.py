"""A siamese network: shared encoder, contrastive loss on pairs and a triplet margin loss."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.optim.lr_scheduler import ExponentialLR


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(1, 4, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(4),
            nn.ReflectionPad2d(1),
            nn.Conv2d(4, 8, kernel_size=3),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(8),
            nn.MaxPool2d(2),
        )
        self.fc = nn.Sequential(nn.Linear(8 * 6 * 6, 32), nn.ReLU(inplace=True), nn.Linear(32, 4))
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        output = self.cnn(x)
        output = output.view(output.size()[0], -1)
        return self.fc(output)

    def forward(self, *inputs):
        return tuple(self.forward_once(x) for x in inputs)


class ContrastiveLoss(torch.nn.Module):
    def __init__(self, margin=2.0):
        super().__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        euclidean_distance = F.pairwise_distance(output1, output2, keepdim=True)
        near = (1 - label) * torch.pow(euclidean_distance, 2)
        far = label * torch.pow(torch.clamp(self.margin - euclidean_distance, min=0.0), 2)
        return torch.mean(near + far)


torch.manual_seed(3)
faces = torch.randn(6, 1, 12, 12)


def photos(who):
    return faces[who] + 0.3 * torch.randn(len(who), 1, 12, 12)


net = SiameseNetwork()
contrastive = ContrastiveLoss()
triplet = nn.TripletMarginLoss(margin=1.0, p=2)
optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.9)
scheduler = ExponentialLR(optimizer, 0.95)
for step in range(40):
    one = torch.randint(0, 6, (16,))
    same = torch.rand(16) < 0.5
    two = torch.where(same, one, (one + torch.randint(1, 6, (16,))) % 6)
    label = torch.ne(one, two).float().unsqueeze(1)
    other = (one + 1) % 6
    output1, output2, output3, output4 = net(photos(one), photos(two), photos(one), photos(other))
    loss = contrastive(output1, output2, label) + triplet(output1, output3, output4)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 9:
        scheduler.step()
    print("loss {:.6f}".format(loss.item()))
with torch.no_grad():
    net.eval()
    codes = net.forward_once(faces)
    similar = F.cosine_similarity(codes[0:1], codes)
    print("similarity", similar.numpy().round(2))
