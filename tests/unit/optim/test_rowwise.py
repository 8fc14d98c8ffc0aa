from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from nextrec.errors import CheckpointError
from nextrec.optim import OPTIMIZERS, RowOptimizer, RowTable
from nextrec.optim.row_adam import Adam, AdamW
from nextrec.optim.row_rules import SGD, Adagrad, LazyAdam
from nextrec.optim.rowwise import untouched_zeros

OPTIONS = {"sgd": {"momentum": 0.9}, "adamw": {"weight_decay": 0.2}}


def make(name: str, tables: int = 1, rows: int = 30) -> tuple[RowOptimizer, list[RowTable]]:
    generator = torch.Generator().manual_seed(3)
    made = [
        RowTable(nn.Parameter(torch.randn(rows, 2 + i, generator=generator))) for i in range(tables)
    ]
    rule = OPTIMIZERS[name].rule
    return RowOptimizer(made, rule({**rule.defaults, "lr": 0.05, **OPTIONS.get(name, {})})), made


def train(optimizer: RowOptimizer, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        touched = torch.randint(0, 25, (2, 2), generator=generator)
        for table in optimizer.tables:
            (table.lookup(touched) - 0.3).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_flush_current_and_read_agree_and_only_flush_writes(name):
    optimizer, (table,) = make(name)
    train(optimizer, 12)
    stored = table.weight.detach().clone()
    saved = {key: each.clone() for key, each in optimizer.tensors().items()}
    current = optimizer.current(table)
    assert torch.equal(table.read(torch.arange(30).view(5, 6)), current.view(5, 6, 2))
    assert torch.equal(table.lookup(torch.arange(30)), current)
    table.clear()
    assert torch.equal(table.weight, stored)
    assert all(torch.equal(each, saved[key]) for key, each in optimizer.tensors().items())
    moves = optimizer.rule.moves_idle_rows
    assert moves == (name in {"adam", "adamw", "sgd"})
    assert torch.equal(stored, current) != moves
    assert optimizer.owes(table) == moves
    optimizer.flush()
    assert torch.equal(table.weight, current)
    assert not optimizer.owes(table)
    assert torch.equal(optimizer.current(table), current)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_flushing_in_between_changes_nothing_but_rounding(name):
    (flushed, (a,)), (plain, (b,)) = make(name), make(name)
    for seed in range(5):
        train(flushed, 3, seed)
        train(plain, 3, seed)
        flushed.flush()
    # Where sqrt(v) is far above eps the catch-up of parts and of the whole are the same sum.
    torch.testing.assert_close(flushed.current(a), plain.current(b), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_restore_continues_with_the_same_bits(name):
    optimizer, tables = make(name, tables=2)
    train(optimizer, 9)
    tensors = {key: each.clone() for key, each in optimizer.tensors().items()}
    resumed, copies = make(name, tables=2)
    for table, copy in zip(tables, copies, strict=True):
        copy.weight.data.copy_(table.weight)
    resumed.restore(tensors, optimizer.now)
    kept = {key: each.clone() for key, each in tensors.items()}
    train(optimizer, 6, seed=1)
    train(resumed, 6, seed=1)
    for table, copy in zip(tables, copies, strict=True):
        assert torch.equal(table.weight, copy.weight)
        assert torch.equal(optimizer.current(table), resumed.current(copy))
    assert all(torch.equal(tensors[key], kept[key]) for key in kept)  # restore made copies


def test_restore_says_what_does_not_fit():
    optimizer, _ = make("adam")
    train(optimizer, 2)
    good = optimizer.tensors()
    for bad, message in (
        ({k: v for k, v in good.items() if k != "0.exp_avg"}, "lacks the tensor '0.exp_avg'"),
        ({**good, "0.exp_avg": torch.zeros(7, 2)}, r"\(7, 2\), not \(30, 2\)"),
        ({**good, "1.exp_avg": torch.zeros(1)}, "1.exp_avg"),
        ({k: v for k, v in good.items() if k != "sums.table"}, "sums.table"),
    ):
        with pytest.raises(CheckpointError, match=message):
            make("adam")[0].restore(bad, optimizer.now)
    with pytest.raises(CheckpointError, match="sums"):
        make("adam")[0].restore(good, optimizer.now + 1)


def test_weights_do_not_depend_on_what_was_read_in_between():
    (read, (a,)), (plain, (b,)) = make("adam"), make("adam")
    for seed in range(6):
        a.lookup(torch.arange(30))  # a forward pass without a step
        a.read(torch.arange(20))
        read.clear()
        train(read, 2, seed)
        train(plain, 2, seed)
    assert torch.equal(a.weight, b.weight)


def test_accumulated_passes_equal_one_pass():
    (parts, (a,)), (whole, (b,)) = make("adam"), make("adam")
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        touched = torch.randint(0, 30, (6,), generator=generator)
        for half in touched.chunk(2):
            a.lookup(half).square().sum().backward()
        parts.step()
        b.lookup(touched).square().sum().backward()
        whole.step()
    torch.testing.assert_close(parts.current(a), whole.current(b), rtol=1e-6, atol=1e-6)


def test_tables_of_one_optimizer_share_the_merge_of_one_tensor():
    optimizer, (a, b) = make("adagrad", tables=2)
    touched = torch.tensor([[4, 4], [1, 2]])
    a.lookup(touched).sum().backward()
    b.lookup(touched).sum().backward()
    assert a._tape[0].merge is b._tape[0].merge
    optimizer.step()
    assert not a._tape
    assert a.merges is b.merges


def test_table_without_a_lookup_takes_a_step_of_zero_gradient():
    optimizer, (a, b) = make("adam", tables=2)
    reference = nn.Parameter(b.weight.detach().clone())
    adam = torch.optim.Adam([reference], lr=0.05)
    for step in range(6):
        a.lookup(torch.tensor([step])).sum().backward()
        reference.grad = torch.zeros_like(reference)
        if step == 1:
            b.lookup(torch.tensor([7])).sum().backward()
            reference.grad[7] = 1
        optimizer.step()
        adam.step()
    torch.testing.assert_close(optimizer.current(b), reference.detach())


def test_frozen_tables_stay_where_they_are():
    optimizer, (a, b) = make("adamw", tables=2)
    b.weight.requires_grad_(False)
    before = b.weight.clone()
    train_one = torch.tensor([1, 2])
    for _ in range(4):
        (a.lookup(train_one).sum() + b.lookup(train_one).sum()).backward()
        optimizer.step()
    optimizer.flush()
    assert torch.equal(b.weight, before)


def test_padding_rows_stay_zero():
    for rule in (Adam, AdamW, SGD, Adagrad, LazyAdam):
        weight = nn.Parameter(torch.ones(6, 2))
        with torch.no_grad():
            weight[[0, 3]] = 0
        table = RowTable(weight, torch.tensor([0, 3]), penalties=[(0, 6, 0.1, 0.1)])
        options = {**rule.defaults, "weight_decay": 0.1}
        optimizer = RowOptimizer([table], rule({**options, **OPTIONS.get("sgd", {})}))
        for _ in range(3):
            table.lookup(torch.tensor([0, 1, 3, 5])).sum().backward()
            optimizer.step()
        optimizer.flush()
        assert not weight[[0, 3]].any()
        assert (weight[[1, 5]] != 1).all()


def test_state_begins_at_a_cache_line_and_follows_the_table():
    zeros = untouched_zeros((7, 3), torch.float32, torch.device("cpu"))
    assert zeros.shape == (7, 3)
    assert not zeros.any()
    assert zeros.data_ptr() % 64 == 0
    optimizer, (table,) = make("adam")
    assert not [key for key in optimizer.tensors() if key.startswith("0.")]
    train(optimizer, 1)
    table.weight = nn.Parameter(table.weight.detach().to("meta"))  # an accelerator's stand-in
    assert {each.device.type for each in optimizer._state(table).values()} == {"meta"}


def test_names_and_step_survive_json():
    optimizer, _ = make("adam")
    train(optimizer, 3)
    assert json.loads(json.dumps(sorted(optimizer.tensors()))) == [
        "0.exp_avg",
        "0.exp_avg_sq",
        "0.last",
        "sums.log_keep",
        "sums.sums",
        "sums.table",
    ]
