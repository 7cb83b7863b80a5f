"""Super-resolution: sub-pixel convolution with PixelShuffle, orthogonal init, PSNR."""

from math import log10

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.nn.init as init
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset, random_split


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super(Net, self).__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 16, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv4 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.relu(self.conv3(x))
        x = self.pixel_shuffle(self.conv4(x))
        return x

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv4.weight)


class Pictures(Dataset):
    def __init__(self, count):
        super().__init__()
        coarse = torch.rand(count, 1, 5, 5)
        self.large = F.interpolate(coarse, size=(16, 16), mode="bicubic", align_corners=False).clamp(0, 1)
        self.small = F.avg_pool2d(self.large, 2)

    def __getitem__(self, index):
        return self.small[index], self.large[index]

    def __len__(self):
        return self.large.shape[0]


torch.manual_seed(123)
train_set, test_set = random_split(Pictures(160), [128, 32])
training_data_loader = DataLoader(dataset=train_set, num_workers=0, batch_size=8, shuffle=True)
testing_data_loader = DataLoader(dataset=test_set, num_workers=0, batch_size=8, shuffle=False)
model = Net(upscale_factor=2)
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=2e-3)


def train(epoch):
    epoch_loss = 0
    for iteration, batch in enumerate(training_data_loader, 1):
        input, target = batch[0], batch[1]
        optimizer.zero_grad()
        loss = criterion(model(input), target)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
        print("loss {:.8f}".format(loss.item()))
    print("===> Epoch {} Complete: Avg. Loss: {:.4f}".format(epoch, epoch_loss / len(training_data_loader)))


def test():
    avg_psnr = 0
    with torch.no_grad():
        for batch in testing_data_loader:
            input, target = batch[0], batch[1]
            prediction = model(input)
            mse = criterion(prediction, target)
            avg_psnr += 10 * log10(1 / mse.item())
    print("===> Avg. PSNR: {:.2f} dB".format(avg_psnr / len(testing_data_loader)))


for epoch in range(1, 5):
    train(epoch)
    test()
