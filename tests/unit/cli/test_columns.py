"""The processor of a config, its columns and the data's, checked before any row is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from nextrec.cli.check import check_config
from nextrec.errors import ConfigError

DATA = "price,user,item,liked,label\n1.5,1,2,3|4,1\n"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text(DATA)
    monkeypatch.chdir(tmp_path)


def problems(processor: str, after: str = "", target: str = "label") -> list[str]:
    model = f"model: {{name: DeepFM, params: {{target: {target}}}}}\n"
    text = f"data: {{train: train.csv}}\nprocessor:\n{processor}{after}{model}"
    Path("c.yaml").write_text(text)
    try:
        check_config("c.yaml")
    except ConfigError as error:
        return [line.strip() for line in str(error).splitlines()[1:]]
    return []


def test_a_single_column_needs_no_list():
    text = "  sparse: user\n  sequence: {name: liked, separator: '|'}\n  target: label\n"
    assert problems(text) == []
    checked = check_config("c.yaml")
    assert list(checked.processor.transforms) == ["user", "liked", "label"]
    text = "  sequence:\n    name: liked\n    seperator: '|'\n"
    assert problems(text) == [
        "c.yaml:5:5: processor.sequence.0: unknown key `seperator`. Did you mean 'separator'?"
    ]


@pytest.mark.parametrize(
    ("processor", "problem"),
    [
        (
            "  sparse:\n    - {name: user, vocabulary: v}\n"
            "    - {name: item, vocabulary: v, min_frequency: 2}\n",
            "c.yaml:5:7: processor: 'user' and 'item' share the vocabulary 'v', but differ in "
            "min_frequency.",
        ),
        (
            "  numeric: [user]\n  sparse: [user]\n",
            "c.yaml:4:12: processor: 'user' is described already under numeric, on line 3.",
        ),
        (
            "  sparse: [{name: at_hour, column: user}]\n"
            "  datetime: [{name: at, column: price, parts: [weekday, hour]}]\n",
            "c.yaml:4:14: processor: 'at_hour' is described already under sparse, on line 3.",
        ),
        (
            "  sparse: [user]\n  target: [label, {name: buy, column: price}]\n",
            "c.yaml:4:19: processor: 'buy' is no target of the model (label).",
        ),
        (
            "  sparse: [user]\n  target: [{name: y, column: label}]\n",
            "c.yaml:5:40: model: the processor makes the target 'y' of 'label': name that one.",
        ),
        (
            "  sparse: [usr]\n",
            "c.yaml:3:12: processor: the data has no column 'usr'. Did you mean 'user'?",
        ),
        (
            "  sparse: item\n  target: {name: label, target_type: multiclass}\n"
            "  target_encoding: {name: rate, target: label, columns: user}\n",
            "c.yaml:2:1: processor: feature 'rate': `target` must be a binary target or a "
            "regression: classes have no mean; got 'label'.",
        ),
    ],
)
def test_problems_of_the_processor(processor, problem):
    assert problems(processor) == [problem]


def test_a_target_may_have_a_new_name():
    assert problems("  sparse: user\n  target: {name: y, column: label}\n", target="y") == []


def test_a_label_must_be_a_target_of_the_processor():
    features = "features: {sparse: [user]}\n"
    assert problems("  sparse: user\n  numeric: label\n", features) == [
        "c.yaml:6:40: model: 'label' is a column of the processor, but no `target` of it; list it "
        "under `processor.target`."
    ]


def test_every_column_that_the_data_lacks_is_told():
    after = """\
features:
  dense: [prize]
  sparse: [usr, {name: itm, vocab_size: 3}]
fit: {weight_column: weight}
"""
    assert problems("  sparse: {name: usr, column: user}\n", after, "lable, id_columns: [uid]") == [
        "c.yaml:5:11: features: the data has no column 'prize'. Did you mean 'price'?",
        "c.yaml:6:17: features: the data has no column 'itm'. Did you mean 'item'?",
        "c.yaml:7:22: fit: the data has no column 'weight'.",
        "c.yaml:8:40: model: the data has no column 'lable'. Did you mean 'label'?",
        "c.yaml:8:60: model: the data has no column 'uid'.",
    ]


@pytest.mark.parametrize("features", ["", "features: {sparse: [user, item]}\n"])
def test_a_wrong_entry_has_no_other_consequences(features):
    text = "  sparse:\n    - {name: user, min_freq: 2}\n    - {name: item, max_size: 0}\n"
    assert problems(text, features) == [
        "c.yaml:4:20: processor.sparse.0: unknown key `min_freq`. Did you mean 'min_frequency'?",
        "c.yaml:5:30: processor: `sparse.1.max_size` must be at least 1; got 0.",
    ]
