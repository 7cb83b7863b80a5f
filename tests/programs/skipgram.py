"""Word vectors: skip-gram with negative sampling (Embedding, sparse gradients), then a classifier on EmbeddingBag."""

from collections import Counter

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable
from torch.utils.data import DataLoader

torch.manual_seed(1)
topics = [
    "apple pear plum cherry fruit tree orchard sweet".split(),
    "ship sail harbour captain sea wave anchor storm".split(),
    "piano violin song chord concert music drum choir".split(),
]
sentences = []
for i in range(90):
    words = topics[i % 3]
    sentences.append([words[j] for j in torch.randint(len(words), (8,)).tolist()])
counts = Counter(w for s in sentences for w in s)
vocab = sorted(counts)
word_to_ix = {word: i for i, word in enumerate(vocab)}
frequency = torch.tensor([float(counts[w]) for w in vocab]).pow(0.75)


class SkipGramNeg(nn.Module):
    def __init__(self, n_vocab, n_embed):
        super().__init__()
        self.in_embed = nn.Embedding(n_vocab, n_embed)
        self.out_embed = nn.Embedding(n_vocab, n_embed)
        initrange = 0.5 / n_embed
        self.in_embed.weight.data.uniform_(-initrange, initrange)
        self.out_embed.weight.data.uniform_(-0, 0)

    def forward(self, centre, context, negatives):
        emb_u = self.in_embed(centre)
        emb_v = self.out_embed(context)
        score = torch.clamp(torch.mul(emb_u, emb_v).sum(dim=1), max=10, min=-10)
        neg_emb_v = self.out_embed(negatives)
        neg_score = torch.clamp(torch.bmm(neg_emb_v, emb_u.unsqueeze(2)).squeeze(2), max=10, min=-10)
        return -(F.logsigmoid(score) + torch.sum(F.logsigmoid(-neg_score), dim=1)).mean()


pairs = []
for s in sentences:
    ids = [word_to_ix[w] for w in s]
    for i, centre in enumerate(ids):
        pairs += [(centre, ids[j]) for j in range(max(0, i - 2), min(len(ids), i + 3)) if j != i]
model = SkipGramNeg(len(vocab), 16)
optimizer = torch.optim.SGD(model.parameters(), lr=2.0)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)
for epoch in range(4):
    for step, (centre, context) in enumerate(DataLoader(pairs, batch_size=128, shuffle=True, drop_last=True)):
        negatives = torch.multinomial(frequency, 128 * 4, replacement=True).view(128, 4)
        loss = model(centre, context, negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 4 == 0:
            print("loss {:.6f}".format(loss.item()))
vectors = F.normalize(model.in_embed.weight.detach(), dim=1)
near = (vectors @ vectors[word_to_ix["apple"]]).topk(4).indices.tolist()
print("near apple:", sorted(vocab[i] for i in near))


class TextSentiment(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_class):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, sparse=False)
        self.fc = nn.Linear(embed_dim, num_class)
        self.fc.weight.data.uniform_(-0.5, 0.5)
        self.fc.bias.data.zero_()

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


def generate_batch(batch):
    label = torch.tensor([entry[0] for entry in batch])
    text = [torch.tensor([word_to_ix[w] for w in entry[1]]) for entry in batch]
    offsets = [0] + [len(entry) for entry in text]
    offsets = torch.tensor(offsets[:-1]).cumsum(dim=0)
    return torch.cat(text), offsets, label


labelled = [(i % 3, s) for i, s in enumerate(sentences)]
classifier = TextSentiment(len(vocab), 16, 3)
optimizer = torch.optim.SGD(classifier.parameters(), lr=4.0)
for epoch in range(3):
    right = 0
    for text, offsets, cls in DataLoader(labelled, batch_size=10, shuffle=True, collate_fn=generate_batch):
        optimizer.zero_grad()
        output = classifier(Variable(text), offsets)
        loss = nn.CrossEntropyLoss()(output, cls)
        loss.backward()
        optimizer.step()
        right += (output.argmax(1) == cls).sum().item()
    print(f"epoch {epoch}: accuracy {right / len(labelled):.3f}, class loss {loss.item():.5f}")
