"""Classify sequences of unequal lengths: packed bidirectional GRU, attention over its outputs, mixed recipes.

Disabled autocast and GradScaler, weight norm, an averaged model, ReduceLROnPlateau, distillation by KLDivLoss.
"""

import torch
from torch import nn
from torch.cuda.amp import GradScaler
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

torch.manual_seed(21)
torch.set_default_dtype(torch.float32)


class Words(Dataset):
    """Sequences of 3 to 9 symbols; the class is the most frequent of the first three symbols."""

    def __init__(self, count):
        self.items = []
        for _ in range(count):
            label = torch.randint(3, ()).item()
            length = torch.randint(3, 10, (1,)).item()
            weights = torch.ones(6)
            weights[label] = 5.0
            self.items.append((torch.multinomial(weights, length, replacement=True), label))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]


def collate(batch):
    sequences, labels = zip(*batch)
    lengths = torch.as_tensor([len(s) for s in sequences])
    return pad_sequence(sequences, batch_first=True), lengths, torch.tensor(labels)


class Classifier(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.embedding = nn.Embedding(6, 12, padding_idx=None)
        self.gru = nn.GRU(12, hidden, batch_first=True, bidirectional=True)
        self.attention = nn.MultiheadAttention(2 * hidden, 2, batch_first=True)
        self.query = nn.Parameter(torch.randn(1, 1, 2 * hidden) / hidden**0.5)
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(2 * hidden, 3))
        self.norm = nn.LayerNorm(2 * hidden)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        output, h_n = self.gru(packed)
        output, _ = pad_packed_sequence(output, batch_first=True)
        padding = torch.arange(output.size(1))[None, :] >= lengths[:, None]
        query = self.query.expand(len(x), -1, -1)
        context, weights = self.attention(query, output, output, key_padding_mask=padding)
        assert weights.masked_select(padding.unsqueeze(1)).sum() == 0
        return self.head(self.norm(context.squeeze(1) + torch.cat((h_n[0], h_n[1]), dim=-1)))


train_set = Words(200)
labels = torch.tensor([label for _, label in train_set.items])
class_weights = 1.0 / torch.bincount(labels, minlength=3).float()
sampler = WeightedRandomSampler(class_weights[labels], num_samples=200)
loader = DataLoader(train_set, batch_size=20, sampler=sampler, collate_fn=collate)
model = Classifier(16)
ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
optimizer = torch.optim.NAdam(model.parameters(), lr=5e-3)
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
scaler = torch.amp.GradScaler("cpu", enabled=False)
criterion = nn.CrossEntropyLoss()
for epoch in range(5):
    total = 0.0
    for x, lengths, y in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", enabled=False):
            loss = criterion(model(x, lengths), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        scaler.step(optimizer)
        scaler.update()
        ema_model.update_parameters(model)
        total += loss.detach()
        print("loss {:.6f}".format(loss.item()))
    scheduler.step(total / len(loader))
    print("epoch", epoch, "lr", optimizer.param_groups[0]["lr"])

teacher = ema_model.eval()
student = Classifier(8)
optimizer = torch.optim.RAdam(student.parameters(), lr=1e-2)
kld = nn.KLDivLoss(reduction="batchmean", log_target=True)
for x, lengths, y in loader:
    with torch.inference_mode():
        wanted = (teacher(x, lengths) / 2).log_softmax(-1)
    loss = kld((student(x, lengths) / 2).log_softmax(-1), wanted.clone()) * 4
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
print("distilled {:.4f}".format(loss.item()))
print(sum(p.numel() for p in student.parameters() if p.requires_grad), GradScaler.__name__)
