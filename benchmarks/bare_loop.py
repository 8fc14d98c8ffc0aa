"""What a loop written by hand for one network reaches: the yardstick of ``fit()``.

Packed ids, one gather, row-wise Adagrad on the rows touched, Adam for the dense part; the network
is DeepFM, with first-order tables and the second-order term.
"""

from __future__ import annotations

import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BareDeepFM:
    def __init__(self, fields: int, dense: int, vocab: int, width: int, dims: list[int]) -> None:
        self.offsets = torch.arange(fields) * vocab
        self.vectors = torch.randn(fields * vocab, width) * 1e-4
        self.weights = torch.zeros(fields * vocab, 1)
        self.sums = [torch.zeros(fields * vocab), torch.zeros(fields * vocab)]
        layers: list[nn.Module] = []
        size = fields * width + dense
        for dim in dims:
            layers += [nn.Linear(size, dim), nn.ReLU(inplace=True)]
            size = dim
        self.mlp = nn.Sequential(*layers, nn.Linear(size, 1))
        self.linear = nn.Linear(dense, 1)
        parameters = [*self.mlp.parameters(), *self.linear.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def step(self, ids: Tensor, numbers: Tensor, labels: Tensor, bf16: bool) -> Tensor:
        rows = (ids + self.offsets).reshape(-1)
        fields = self.vectors[rows].requires_grad_()
        first = self.weights[rows].requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            e = fields.view(len(ids), -1, fields.shape[1])
            second = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1, keepdim=True)
            deep = self.mlp(torch.cat([e.flatten(1), numbers], 1))
            logit = second + deep + self.linear(numbers) + first.view(len(ids), -1).sum(1, True)
        loss = F.binary_cross_entropy_with_logits(logit.float().squeeze(1), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        unique, inverse = torch.unique(rows, return_inverse=True)
        tables = ((self.vectors, fields), (self.weights, first))
        for (table, leaf), sums in zip(tables, self.sums, strict=True):
            merged = torch.zeros(len(unique), leaf.shape[1]).index_add_(0, inverse, leaf.grad)
            sums[unique] += merged.square().mean(1)
            table[unique] -= 0.01 * merged / (sums[unique].sqrt().unsqueeze(1) + 1e-10)
        return loss.detach()


def run(
    columns: dict[str, np.ndarray], vocab: int, batch: int, bf16: bool = False
) -> tuple[list[float], float]:
    """One epoch; when each step ended, and the mean loss."""
    ids = torch.from_numpy(np.stack([v for k, v in columns.items() if k[0] == "C"], 1))
    numbers = torch.from_numpy(np.stack([v for k, v in columns.items() if k[0] == "I"], 1))
    labels = torch.from_numpy(columns["label"])
    model = BareDeepFM(ids.shape[1], numbers.shape[1], vocab, 16, [400, 400, 400])
    order = torch.randperm(len(ids))
    losses = []
    times = [time.perf_counter()]
    for start in range(0, len(ids), batch):
        index = order[start : start + batch]
        losses.append(model.step(ids[index], numbers[index], labels[index], bf16))
        times.append(time.perf_counter())
    return times, float(torch.stack(losses).mean())
