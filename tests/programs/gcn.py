"""Graph convolution on a made-up citation graph: custom Parameters, reset_parameters, dense normalized adjacency."""

import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.nn.modules.module import Module
from torch.nn.parameter import Parameter


class GraphConvolution(Module):
    def __init__(self, in_features, out_features, bias=True):
        super(GraphConvolution, self).__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(torch.FloatTensor(in_features, out_features))
        if bias:
            self.bias = Parameter(torch.FloatTensor(out_features))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self):
        stdv = 1.0 / math.sqrt(self.weight.size(1))
        self.weight.data.uniform_(-stdv, stdv)
        if self.bias is not None:
            self.bias.data.uniform_(-stdv, stdv)

    def forward(self, input, adj):
        support = torch.mm(input, self.weight)
        output = torch.mm(adj, support)
        if self.bias is not None:
            return output + self.bias
        else:
            return output

    def __repr__(self):
        return self.__class__.__name__ + " (" + str(self.in_features) + " -> " + str(self.out_features) + ")"


class GCN(nn.Module):
    def __init__(self, nfeat, nhid, nclass, dropout):
        super(GCN, self).__init__()
        self.gc1 = GraphConvolution(nfeat, nhid)
        self.gc2 = GraphConvolution(nhid, nclass)
        self.dropout = dropout

    def forward(self, x, adj):
        x = F.relu(self.gc1(x, adj))
        x = F.dropout(x, self.dropout, training=self.training)
        x = self.gc2(x, adj)
        return F.log_softmax(x, dim=1)


def load_data(nodes=140, classes=4, features=40):
    labels = np.random.randint(classes, size=nodes)
    same = labels[:, None] == labels[None, :]
    links = np.random.rand(nodes, nodes) < np.where(same, 0.08, 0.01)
    adj = np.maximum(links, links.T).astype(np.float32) + np.eye(nodes, dtype=np.float32)
    adj = adj / adj.sum(1, keepdims=True)
    means = np.random.rand(classes, features) < 0.2
    words = (np.random.rand(nodes, features) < 0.1 + 0.3 * means[labels]).astype(np.float32)
    adj = torch.FloatTensor(np.array(adj))
    features = torch.FloatTensor(np.array(words))
    labels = torch.LongTensor(labels)
    idx_train = torch.LongTensor(range(40))
    idx_test = torch.LongTensor(range(40, nodes))
    return adj, features, labels, idx_train, idx_test


def accuracy(output, labels):
    preds = output.max(1)[1].type_as(labels)
    correct = preds.eq(labels).double()
    correct = correct.sum()
    return correct / len(labels)


np.random.seed(42)
torch.manual_seed(42)
adj, features, labels, idx_train, idx_test = load_data()
model = GCN(nfeat=features.shape[1], nhid=16, nclass=labels.max().item() + 1, dropout=0.5)
optimizer = optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
print(model)


def train(epoch):
    model.train()
    optimizer.zero_grad()
    output = model(features, adj)
    loss_train = F.nll_loss(output[idx_train], labels[idx_train])
    acc_train = accuracy(output[idx_train], labels[idx_train])
    loss_train.backward()
    optimizer.step()
    print("Epoch: {:04d}".format(epoch + 1), "acc_train: {:.4f}".format(acc_train.item()))
    print("loss {:.6f}".format(loss_train.item()))


for epoch in range(100):
    train(epoch)
model.eval()
output = model(features, adj)
print("Test set accuracy= {:.4f}".format(accuracy(output[idx_test], labels[idx_test]).item()))
