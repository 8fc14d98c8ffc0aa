"""One error lists every problem of a config, each at its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nextrec.cli.check import check_config
from nextrec.errors import ConfigError

GOOD = """\
data:
  train: train.csv
features:
  dense: [price]
  sparse:
    - {name: user, vocab_size: 10}
    - {name: item, vocab_size: 20}
  sequence:
    - {name: liked, vocab_size: 20, embedding_name: item}
model:
  name: DeepFM
  params:
    mlp_params: {dims: [8]}
compile:
  optimizer: adam
fit:
  metrics: [auc]
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    for name in ("train.csv", "valid.csv"):
        columns = "price,user,item,liked,label,click,stay"
        (tmp_path / name).write_text(f"{columns}\n1.5,1,2,3|4,1,0,2.5\n")
    monkeypatch.chdir(tmp_path)


def problems(text: str, *overrides: str) -> list[str]:
    """Problems of a config; [] when it is good."""
    Path("c.yaml").write_text(text, encoding="utf-8")
    try:
        check_config("c.yaml", overrides)
    except ConfigError as error:
        first, *rest = str(error).splitlines()
        count = f"{len(rest)} problem{'s' if len(rest) > 1 else ''}"
        assert first == f"c.yaml has {count}:"
        return [line.strip() for line in rest]
    return []


def only(text: str, *overrides: str) -> str:
    (problem,) = problems(text, *overrides)
    return problem


def test_a_good_config(tmp_path):
    Path("c.yaml").write_text(GOOD, encoding="utf-8")
    checked = check_config("c.yaml", ["fit.epochs=2"])
    assert checked.config.fit.epochs == 2
    assert checked.config.data.train == str(tmp_path / "train.csv")
    assert checked.model.__name__ == "DeepFM"
    assert [each.feature.name for each in checked.features] == ["price", "user", "item", "liked"]


def test_every_problem_is_told_at_once_in_the_order_of_the_file():
    text = """\
data:
  train: trian.csv
  validation_split: 1.5
  splitby: group
features:
  dense: [price, price, label]
  sparse:
    - {name: user, vocab_size: 50}
    - item
    - {name: shop, vocab_size: 10, embedding_name: user, embedding_dim: 8}
    - name: town
      vocab_size: 10
      padding_idx: 10
  sequence:
    - {name: liked, vocab_size: 200, combiner: avg}
  groups: {main: [user, itm]}
model:
  name: DeepFN
compile:
  optimizer: adm
  optimizer_params: [1]
  scheduler: stepp
  loss: [bce, focl]
fit:
  metrics: {label: [auc, guac], labl: auc}
  epochs: three
  epochs: 4
  resume: x
output: {predictions: p.txt}
"""
    found = problems(text, "fit.batch_sise=4")
    expected = [
        "c.yaml:2:10: data: `train`: no such file or folder: .* Did you mean 'train.csv'?",
        "c.yaml:3:21: data: `validation_split` must be below 1.0; got 1.5.",
        "c.yaml:4:3: data: unknown key `splitby`. Did you mean 'split_by'?",
        "c.yaml:6:18: features: 'price' is listed already as a dense feature, on line 6.",
        "c.yaml:6:25: features: 'label' is a target: the model would see its label.",
        "c.yaml:9:7: features.sparse.1: `vocab_size` is missing. .*",
        "c.yaml:10:7: features: table 'user' is shared by 'user' with embedding_dim=4 and .*",
        "c.yaml:11:7: features: SparseFeature 'town': `padding_idx` must be .*; got 10.",
        "c.yaml:15:48: features: `sequence.0.combiner` must be one of mean, .*; got 'avg'.",
        "c.yaml:16:25: features: `groups.main` must be one of .*; got 'itm'. Did you mean 'item'?",
        "c.yaml:18:9: model: `name` must be one of .*; got 'DeepFN'. Did you mean 'DeepFM'?",
        "c.yaml:20:14: compile: `optimizer` must be .*; got 'adm'. Did you mean 'adam'?",
        "c.yaml:21:21: compile: `optimizer_params` must be a mapping; got \\[1\\].",
        "c.yaml:22:14: compile: `scheduler` must be .*; got 'stepp'. Did you mean 'step'?",
        "c.yaml:23:15: compile: `loss` must be .*; got 'focl'. Did you mean 'focal'?",
        "c.yaml:25:26: fit: .*'guac'.* Did you mean 'gauc'?",
        "c.yaml:25:33: fit: `metrics` must be one of label; got 'labl'. Did you mean 'label'?",
        "c.yaml:26:11: fit: `epochs` must be an integer; got 'three'.",
        "c.yaml:27:3: `epochs` stands here twice, first on line 26.",
        "c.yaml:28:3: fit: unknown key `resume`. A run is continued by `nextrec train --resume`.",
        "c.yaml:29:23: output: `predictions` must end in .csv or .parquet; got '.*p.txt'.",
        "c.yaml:29:23: output: `predictions` needs `data.test`.",
        "--set fit.batch_sise=4: fit: unknown key `batch_sise`. Did you mean 'batch_size'?",
    ]
    for line, pattern in zip(found, expected, strict=True):
        assert re.fullmatch(pattern.replace("?", r"\?"), line), f"{line!r} is not {pattern!r}"


# -- files ---------------------------------------------------------------------------------------


def test_no_such_file():
    Path("config.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no config file 'confg.yaml'. Did you mean 'config"):
        check_config("confg.yaml")


def test_what_is_no_yaml_is_the_only_problem():
    assert only("data: [1", "fit.x=1") == (
        "c.yaml:1:9: not YAML: while parsing a flow sequence, "
        "expected ',' or ']', but got '<stream end>'."
    )


def test_an_empty_file_lacks_all_that_is_needed():
    assert problems("") == [
        "c.yaml:1:1: config: `data` is missing.",
        "c.yaml:1:1: config: `features` is missing.",
        "c.yaml:1:1: config: `model` is missing.",
    ]


def test_a_list_is_no_config():
    assert only("- 1") == "c.yaml:1:1: config: `file` must be a mapping of sections; got [1]."


# -- keys and types ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("fit:\n", "fti:\n", "c.yaml:16:1: config: unknown key `fti`. Did you mean 'fit'?"),
        (
            "  metrics: [auc]",
            "  optimizer: sgd",
            "c.yaml:17:3: fit: unknown key `optimizer`. It belongs under `compile`.",
        ),
        (
            "  name: DeepFM\n",
            "  name: DeepFM\n  mlp_params: {}\n",
            "c.yaml:12:3: model: unknown key `mlp_params`. Did you mean 'params'? Arguments of the "
            "model stand under `model.params`.",
        ),
        (
            "dense: [price]",
            "dense: [{name: price, vocab_size: 3}]",
            "c.yaml:4:25: features.dense.0: unknown key `vocab_size`. "
            "It is an argument of sparse and sequence features.",
        ),
        (
            "  metrics: [auc]",
            "  callbacks: []",
            "c.yaml:17:3: fit: unknown key `callbacks`. "
            "Callbacks are objects: give them in Python.",
        ),
        ("  name: DeepFM\n", "", "c.yaml:10:1: model: `name` is missing."),
        ("[price]", "price", "c.yaml:4:10: features: `dense` must be a list; got 'price'."),
        ("[price]", "[3]", "c.yaml:4:11: features: `dense.0` must be a mapping; got 3."),
        (
            "vocab_size: 10",
            "vocab_size: true",
            "c.yaml:6:32: features: `sparse.0.vocab_size` must be an integer; got True.",
        ),
        (
            "vocab_size: 10",
            "vocab_size: '10'",
            "c.yaml:6:32: features: `sparse.0.vocab_size` must be an integer; got '10'.",
        ),
        (
            "[auc]",
            "{label: 3}",
            "c.yaml:17:20: fit: `metrics.label` must be text or a list; got 3.",
        ),
        ("[auc]", "3", "c.yaml:17:12: fit: `metrics` must be text or a list or a mapping; got 3."),
        (
            "  metrics: [auc]",
            "  precision: bf61",
            "c.yaml:17:14: fit: `precision` must be one of fp32, bf16; got 'bf61'. "
            "Did you mean 'bf16'?",
        ),
        (
            "  metrics: [auc]",
            "  shuffle: yes",
            "c.yaml:17:12: fit: `shuffle` must be true or false; got 'yes'.",
        ),
        (
            "  metrics: [auc]",
            "  epochs: 0",
            "c.yaml:17:11: fit: `epochs` must be at least 1; got 0.",
        ),
        (
            "  metrics: [auc]",
            "  max_grad_norm: 0",
            "c.yaml:17:18: fit: `max_grad_norm` must be above 0.0; got 0.",
        ),
    ],
)
def test_keys_and_types(old, new, problem):
    assert old in GOOD
    assert only(GOOD.replace(old, new)) == problem


# -- features ------------------------------------------------------------------------------------


def test_a_name_may_stand_in_one_list_only():
    text = GOOD.replace("[price]", "[price, item]")
    assert only(text) == (
        "c.yaml:7:7: features: 'item' is listed already as a dense feature, on line 4."
    )


def test_at_least_one_feature():
    text = re.sub(r"features:\n(  .*\n)+", "features:\n", GOOD)
    assert only(text) == "c.yaml:3:1: config: `features` is empty."
    text = text.replace("features:\n", "features: {dense: []}\n")
    assert only(text) == "c.yaml:3:1: features: at least one feature is needed."


# -- groups --------------------------------------------------------------------------------------

POSO = GOOD.replace("DeepFM", "POSO").replace(
    "    mlp_params: {dims: [8]}\n", "    tower_params_list: [{dims: [8]}]\n"
)


def with_groups(groups: str) -> str:
    return POSO.replace("model:\n", f"  groups: {groups}\nmodel:\n")


def test_groups_of_a_model():
    assert problems(with_groups("{main: [price, item, liked], pc: [user, item]}")) == []


@pytest.mark.parametrize(
    ("groups", "problem"),
    [
        (
            "{mian: [price, item, liked], pc: [user]}",
            "c.yaml:10:12: features: `groups` must be one of main, pc; got 'mian'. "
            "Did you mean 'main'?",
        ),
        (
            "{main: [price, item], pc: [user]}",
            "c.yaml:9:7: features: 'liked' is in no group: POSO reads the groups main, pc; "
            "list it under `features.groups`.",
        ),
        (
            "{main: [price, item, liked, item], pc: [user]}",
            "c.yaml:10:39: features: group 'main' lists 'item' twice.",
        ),
    ],
)
def test_problems_of_groups(groups, problem):
    assert only(with_groups(groups)) == problem


def test_a_model_without_groups():
    text = GOOD.replace("model:\n", "  groups: {main: [user]}\nmodel:\n")
    assert only(text) == "c.yaml:10:12: features: DeepFM has no groups of features."


# -- data and outputs ----------------------------------------------------------------------------


def test_several_files_and_patterns():
    assert problems(GOOD.replace("train: train.csv", "train: [train.csv, 'v*.csv']")) == []


def test_paths_are_relative_to_the_config_and_those_of_set_to_the_working_directory(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "c.yaml").write_text(GOOD.replace("train: train.csv", "train: ../train.csv"))
    checked = check_config(folder / "c.yaml", ["data.valid=valid.csv"])
    assert checked.config.data.train == str(tmp_path / "train.csv")
    assert checked.config.data.valid == str(tmp_path / "valid.csv")


def test_each_missing_file_of_a_list():
    found = problems(GOOD.replace("train: train.csv", "train: [train.csv, a.csv, b.csv]"))
    assert [line.split(": ")[0] for line in found] == ["c.yaml:2:22", "c.yaml:2:29"]


def test_a_folder_in_the_way_of_the_bundle(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    found = only(GOOD + "output: {bundle: out}\n")
    assert re.fullmatch(r"c.yaml:18:18: output: '.*out' exists and is no bundle.", found)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (
            "valid: valid.csv\n  validation_split: 0.1",
            "c.yaml:4:3: data: give `valid` or `validation_split`, not both.",
        ),
        ("split_by: group", "c.yaml:3:3: data: `split_by` needs `validation_split`."),
        (
            "validation_split: 0.1\n  split_by: time",
            "c.yaml:4:13: data: `split_by` 'time' needs `split_column`, the column of times.",
        ),
        (
            "validation_split: 0.1\n  split_column: t",
            "c.yaml:4:3: data: `split_column` needs `split_by`: group, time or user_time.",
        ),
    ],
)
def test_settings_of_a_split(data, problem):
    assert only(GOOD.replace("train.csv", f"train.csv\n  {data}")) == problem


def test_a_monitor_needs_validation_data():
    text = GOOD + "  monitor: auc\n"
    assert only(text) == (
        "c.yaml:18:3: fit: `monitor` needs validation data: "
        "`data.valid` or `data.validation_split`."
    )
    assert problems(text, "data.validation_split=0.1") == []


# -- names and arguments -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "place", "text"),
    [
        (
            ["model.params.mlp_parms={}"],
            "--set model.params.mlp_parms={}",
            "model: DeepFM does not take `mlp_parms`. Did you mean 'mlp_params'?",
        ),
        (
            ["model.params.mlp_params=[64]"],
            "--set model.params.mlp_params=[64]",
            "model: `params.mlp_params` must be a mapping; got [64].",
        ),
        (
            ["model.params.seed=1.5"],
            "--set model.params.seed=1.5",
            "model: `params.seed` must be an integer; got 1.5.",
        ),
        (
            ["model.params.dense_features=[]"],
            "--set model.params.dense_features=[]",
            "model: features stand under `features.dense`, not `params.dense_features`.",
        ),
        (
            ["model.params.main_dense_features=[]"],
            "--set model.params.main_dense_features=[]",
            "model: features stand under `features.groups.main`, not `params.main_dense_features`.",
        ),
        (
            ["model.params.optimizer=sgd"],
            "--set model.params.optimizer=sgd",
            "model: `optimizer` is given by `compile.optimizer` too.",
        ),
        (
            ["model.params.session_id=a", "output.session=b"],
            "--set model.params.session_id=a",
            "model: `session_id` is given by `output.session` too.",
        ),
        (
            ["compile.scheduler_params={gamma: 1}"],
            "--set compile.scheduler_params={gamma: 1}",
            "compile: `scheduler_params` needs `scheduler`.",
        ),
    ],
)
def test_arguments_of_the_model(overrides, place, text):
    assert only(GOOD, *overrides) == f"{place}: {text}"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.params.task=binry", ["model: `task`", "'binry'", "Did you mean 'binary'?"]),
        ("model.params.task=multiclass", ["model: `num_classes`"]),
        ("model.params.device=gpu", ["model: `device`", "'gpu'"]),
        ("compile.optimizer_params.lrr=1", ["'adam'", "'lrr'", "Did you mean 'lr'?"]),
        ("compile.optimizer_params.lr=-1", ["`lr`", "-1"]),
        ("compile.loss=triplet", ["compile", "triplet"]),
        ("compile.loss_params={gama: 2}", ["`loss_params`", "'gama'"]),
        ("compile.loss_weights=[1, 2]", ["`loss_weights`", "[1, 2]"]),
        ("fit.metrics=[hamming_loss]", ["fit", "'hamming_loss'"]),
        ("fit.metrics=[ndcg]", ["fit", "'ndcg@10'"]),
    ],
)
def test_what_the_library_refuses_is_told_at_its_place(override, words):
    found = only(GOOD, override)
    assert found.startswith("--set ")
    for word in words:
        assert word in found, found


def test_the_options_of_a_scheduler():
    overrides = ["compile.scheduler=exponential", "compile.scheduler_params={gama: 1}"]
    found = only(GOOD, *overrides)
    assert found.startswith(f"--set {overrides[1]}: ")
    assert "Did you mean 'gamma'?" in found


def test_a_monitor_must_be_computed():
    found = only(GOOD, "data.validation_split=0.5", "fit.monitor=logloss")
    assert found == (
        "--set fit.monitor=logloss: fit: `monitor` must be one of auc, valid_loss; got 'logloss'."
    )


TWO = ("model.name=ShareBottom", "model.params={target: [label, click]}", "fit.epochs=1")


def test_a_monitor_may_be_the_mean_over_the_targets():
    valid = (*TWO, "data.validation_split=0.5")
    assert problems(GOOD, *valid, "fit.monitor=auc") == []
    assert problems(GOOD, *valid, "fit.monitor=auc_click") == []
    found = only(GOOD, *valid, "fit.monitor=mse")
    assert "must be one of auc_label, auc_click, auc, valid_loss; got 'mse'" in found


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("  loss_weights: pcgrd\n", "16:17: compile: `loss_weights` must be one of"),
        (
            "  loss_weights: cagrad\n  loss_weights_params: {cc: 1}\n",
            "17:24: compile: `loss_weights_params` must be one of c",
        ),
        (
            "  loss_weights: cagrad\n  loss_weights_params: {c: -1}\n",
            "17:24: compile: loss_weights_params: `c` must be a number of at least 0",
        ),
        (
            "  loss_weights_params: {c: 1}\n",
            "16:24: compile: `loss_weights_params` must be absent",
        ),
    ],
)
def test_wrong_balancers_are_told_with_their_line(lines, found):
    text = GOOD.replace("  optimizer: adam\n", "  optimizer: adam\n" + lines)
    assert f"c.yaml:{found}" in only(text, *TWO)
    good = GOOD.replace("  optimizer: adam\n", "  optimizer: adam\n  loss_weights: PCGrad\n")
    assert problems(good, *TWO) == []


@pytest.mark.parametrize("loss", ["focal", "[focal]", "weighted_bce"])
def test_good_losses(loss):
    assert problems(GOOD, f"compile.loss={loss}") == []


def test_common_arguments_of_all_models():
    params = "{task: [binary, regression], target: [click, stay], id_columns: user, seed: 3, "
    params += "embedding_l2_reg: 1e-5, device: cpu, early_stop_patience: 2, optimizer: adam}"
    text = GOOD.replace("compile:\n  optimizer: adam\n", "")
    assert problems(text, f"model.params={params}", "fit.metrics={click: auc, stay: [mse]}") == []
