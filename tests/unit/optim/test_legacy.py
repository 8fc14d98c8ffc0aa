from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from nextrec.errors import ConfigError
from nextrec.optim import get_optimizer, get_scheduler


def weights() -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2))]


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("adam", torch.optim.Adam),
        ("SGD", torch.optim.SGD),
        ("adamw", torch.optim.AdamW),
        ("adagrad", torch.optim.Adagrad),
        ("RMSprop", torch.optim.RMSprop),
        (torch.optim.NAdam, torch.optim.NAdam),
    ],
)
def test_plain_torch_optimizers(name, cls):
    optimizer = get_optimizer(name, weights(), weight_decay=0.1)
    assert type(optimizer) is cls
    assert optimizer.param_groups[0]["lr"] == 1e-3
    assert optimizer.param_groups[0]["weight_decay"] == 0.1
    assert get_optimizer(name, weights(), lr=0.5).param_groups[0]["lr"] == 0.5


def test_torchs_own_options_and_instances():
    assert get_optimizer("adam", weights(), amsgrad=True).param_groups[0]["amsgrad"]
    own = torch.optim.SGD(weights(), lr=0.1)
    assert get_optimizer(own) is own
    assert type(get_optimizer(params=weights())) is torch.optim.Adam


@pytest.mark.parametrize(
    ("optimizer", "params", "options", "message"),
    [
        ("adma", weights(), {}, "Did you mean 'adam'"),
        ("adam", None, {}, "params"),
        ("adam", weights(), {"momentum": 0.9}, "momentum"),
        (3, weights(), {}, "optimizer"),
    ],
)
def test_wrong_optimizers(optimizer, params, options, message):
    with pytest.raises(ConfigError, match=message):
        get_optimizer(optimizer, params, **options)


def test_schedulers():
    optimizer = torch.optim.SGD(weights(), lr=0.1)
    found = get_scheduler("step", optimizer, step_size=3)
    assert isinstance(found, lr_scheduler.StepLR)
    assert isinstance(get_scheduler("Cosine", optimizer, T_max=3), lr_scheduler.CosineAnnealingLR)
    assert isinstance(get_scheduler("plateau", optimizer), lr_scheduler.ReduceLROnPlateau)
    own = get_scheduler(lr_scheduler.StepLR, optimizer, step_size=3)
    assert isinstance(own, lr_scheduler.StepLR)
    assert get_scheduler(own, optimizer) is own


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("stap", {}, "Did you mean 'step'"),
        ("step", {"size": 3}, "step_size"),
        ("cosine", {}, "T_max"),
        (lr_scheduler.StepLR, {}, "step_size"),
    ],
)
def test_wrong_schedulers(name, options, message):
    with pytest.raises(ConfigError, match=message):
        get_scheduler(name, torch.optim.SGD(weights(), lr=0.1), **options)
