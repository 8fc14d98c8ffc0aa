"""The instance-guided mask: factors for a layer's numbers that come from the row's embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class InstanceGuidedMask(nn.Module):
    r"""Factors, one for each number of a layer, from the embedding of the whole row.

    .. math::
        m = W_2\, \mathrm{ReLU}(W_1 v + b_1) + b_2

    The factors may have any sign and size: it is the normalisation around a mask that bounds them.

    Source: Z. Wang, She and J. Zhang, "MaskNet: Introducing Feature-Wise Multiplication to CTR
    Ranking Models by Instance-Guided Mask", DLP-KDD 2021.

    Args:
        input_dim: width of the embedding v.
        hidden_dim: width of the layer in between; the paper calls it aggregation and takes it
            wider than ``output_dim``.
        output_dim: numbers to be masked.

    Shape: ``(B, input_dim)`` -> ``(B, output_dim)``.

    >>> InstanceGuidedMask(6, 12, 4)(torch.ones(2, 6)).shape
    torch.Size([2, 4])
    """

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, output_dim)
        self.out_features = output_dim

    def forward(self, v_emb_flat: Tensor) -> Tensor:  # noqa: D102
        return self.fc2(torch.relu(self.fc1(v_emb_flat)))
