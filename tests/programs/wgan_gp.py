"""WGAN with gradient penalty on 8 Gaussians: autograd.grad with create_graph, frozen critic, ones and Variable."""

import torch
import torch.autograd as autograd
import torch.nn as nn
import torch.optim as optim
from torch.autograd import Variable

torch.manual_seed(1)
DIM, BATCH, LAMBDA, CRITIC_ITERS = 32, 64, 0.1, 3
one = torch.tensor(1, dtype=torch.float)
mone = one * -1


def weights_init(m):
    if m.__class__.__name__.find("Linear") != -1:
        m.weight.data.normal_(0.0, 0.2)
        m.bias.data.fill_(0)


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()
        self.main = nn.Sequential(
            nn.Linear(2, DIM), nn.ReLU(True), nn.Linear(DIM, DIM), nn.ReLU(True), nn.Linear(DIM, 2)
        )

    def forward(self, noise):
        return self.main(noise)


class Discriminator(nn.Module):
    def __init__(self):
        super(Discriminator, self).__init__()
        self.main = nn.Sequential(
            nn.Linear(2, DIM), nn.ReLU(True), nn.Linear(DIM, DIM), nn.ReLU(True), nn.Linear(DIM, 1)
        )

    def forward(self, inputs):
        return self.main(inputs).view(-1)


def inf_train_gen():
    angles = torch.arange(8) * (2 * 3.141592653589793 / 8)
    centers = 2 * torch.stack((angles.cos(), angles.sin()), 1)
    while True:
        yield centers[torch.randint(8, (BATCH,))] + 0.02 * torch.randn(BATCH, 2)


def calc_gradient_penalty(netD, real_data, fake_data):
    alpha = torch.rand(BATCH, 1)
    alpha = alpha.expand(real_data.size())
    interpolates = alpha * real_data + ((1 - alpha) * fake_data)
    interpolates = autograd.Variable(interpolates, requires_grad=True)
    disc_interpolates = netD(interpolates)
    gradients = autograd.grad(
        outputs=disc_interpolates,
        inputs=interpolates,
        grad_outputs=torch.ones(disc_interpolates.size()),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean() * LAMBDA


netG = Generator()
netD = Discriminator()
netD.apply(weights_init)
netG.apply(weights_init)
optimizerD = optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.9))
optimizerG = optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.9))
data = inf_train_gen()
for iteration in range(60):
    for p in netD.parameters():
        p.requires_grad = True
    for iter_d in range(CRITIC_ITERS):
        real_data_v = autograd.Variable(next(data))
        netD.zero_grad()
        D_real = netD(real_data_v).mean()
        D_real.backward(mone)
        noisev = Variable(torch.randn(BATCH, 2))
        with torch.no_grad():
            fake = netG(noisev).data
        D_fake = netD(fake).mean()
        D_fake.backward(one)
        gradient_penalty = calc_gradient_penalty(netD, real_data_v.data, fake.data)
        gradient_penalty.backward()
        D_cost = D_fake - D_real + gradient_penalty
        Wasserstein_D = D_real - D_fake
        optimizerD.step()
    for p in netD.parameters():
        p.requires_grad = False
    netG.zero_grad()
    G = netD(netG(autograd.Variable(torch.randn(BATCH, 2)))).mean()
    G.backward(mone)
    optimizerG.step()
    print("iter", iteration, "D cost %.5f" % D_cost.item(), "G cost %.5f" % -G.item())
    print("loss %.6f" % Wasserstein_D.item())
