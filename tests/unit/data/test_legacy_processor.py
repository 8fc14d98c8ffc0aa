"""Fixtures: files that the published package nextrec 0.3.1 wrote.

``processor-0.3.1.pkl`` was fitted on ``FRAME`` in memory and then used, ``-streamed`` on the same
rows as a CSV file in two chunks, without the robust scaler. ``CODES`` is what 0.3.1 made of FRAME.
"""

import io
import logging
import pickle
import random
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn import preprocessing

from nextrec.data.legacy_processor import LegacyProcessor, read_legacy, to_transforms
from nextrec.errors import CheckpointError, NotFittedError

FIXTURES = Path(__file__).parent / "fixtures"
MEMORY = FIXTURES / "processor-0.3.1.pkl"
STREAMED = FIXTURES / "processor-0.3.1-streamed.pkl"
FRAME = {
    "standard": [1.0, 2.0, None, 4.0],
    "minmax": [10.0, 20.0, 30.0, None],
    "robust": [1.0, 2.0, 3.0, 100.0],
    "maxabs": [-4.0, 2.0, 1.0, 0.0],
    "log": [0.0, 1.0, None, 9.0],
    "none": [1.0, 2.0, 3.0, 4.0],
    "city": ["Rome", "Paris", None, "Zürich"],
    "age": [30, 4, 30, 100],
    "user": ["u1", "u2", "u3", "u4"],
    "clicks": ["5,3,10", "3", "", None],
    "tags": ["a|b", "c", "b", "a"],
    "hashed": ["x,y", "z", "x", "y"],
    "click": [0, 1, 1, 0],
    "bought": ["no", "yes", "no", "yes"],
    "grade": [10, 9, 10, 11],
    "level": ["low", "mid", "high", "low"],
    "price": [1.5, 2.5, 3.5, 4.5],
}
CODES = {
    "city": [2, 1, 0, 3],  # 0 is the token <UNK> of the missing city
    "age": [1, 2, 1, 0],
    "clicks": [[2, 1, 0], [1], [], []],
    "tags": [[0, 1], [2], [1], [0]],
    "click": [0, 1, 1, 0],
    "bought": [0, 1, 0, 1],
    "grade": [1, 0, 1, 2],
    "level": [0, 1, 2, 0],
    "price": [1.5, 2.5, 3.5, 4.5],
}


@pytest.fixture(scope="module")
def legacy() -> LegacyProcessor:
    return read_legacy(MEMORY)


def test_statistics_are_those_of_scikit_learn(legacy):
    columns = {name: np.array(FRAME[name], float) for name in legacy.numeric}
    columns["standard"][2] = np.nanmean(columns["standard"])
    columns["minmax"][3] = 0.5
    for name, scaler in (
        ("standard", preprocessing.StandardScaler()),
        ("minmax", preprocessing.MinMaxScaler()),
        ("robust", preprocessing.RobustScaler()),
        ("maxabs", preprocessing.MaxAbsScaler()),
    ):
        scaler.fit(columns[name][:, None])
        assert legacy.numeric[name].scaler == name
        for attribute, value in legacy.numeric[name].statistics.items():
            assert value == pytest.approx(getattr(scaler, attribute)[0], rel=1e-14), attribute
    assert legacy.numeric["log"].statistics is None
    assert legacy.numeric["minmax"].fill_na == 0.5
    assert [legacy.numeric[name].fill_value for name in ("standard", "log", "none")] == [
        pytest.approx(7 / 3), pytest.approx(10 / 3), None
    ]  # fmt: skip


def test_everything_else_is_read_as_it_was_set(legacy):
    assert (legacy.version, legacy.is_fitted) == ("0.3.1", True)
    assert list(legacy.numeric) == ["standard", "minmax", "robust", "maxabs", "log", "none"]
    city = preprocessing.LabelEncoder().fit(["Rome", "Paris", "<UNK>", "Zürich"])
    assert legacy.sparse["city"].tokens == tuple(city.classes_)
    assert legacy.sparse["age"].tokens == ("100", "30", "4")
    assert legacy.sparse["age"].fill_na == "-1"
    user = legacy.sparse["user"]
    assert (user.encode_method, user.hash_size, user.tokens) == ("hash", 100, None)
    clicks, tags = legacy.sequence["clicks"], legacy.sequence["tags"]
    assert (clicks.max_len, clicks.truncate, clicks.separator) == (4, "pre", ",")
    assert (tags.max_len, tags.truncate, tags.separator) == (3, "post", "|")
    assert clicks.tokens == ("10", "3", "5")
    assert tags.tokens == ("a", "b", "c")
    assert legacy.targets["grade"].label_map == {"9": 0, "10": 1, "11": 2}
    assert legacy.targets["price"].target_type == "regression"
    assert legacy.targets["price"].label_map is None


def test_a_streamed_fit_is_read_too():
    streamed = read_legacy(STREAMED)
    assert streamed.numeric["standard"].statistics["mean_"] == pytest.approx(7 / 3)
    assert streamed.numeric["minmax"].statistics["data_max_"] == 30.0
    assert streamed.numeric["maxabs"].statistics == {"max_abs_": 4.0, "n_samples_seen_": 4.0}
    assert streamed.sparse["city"].tokens == ("<UNK>", "Paris", "Rome", "Zürich")
    for each in to_transforms(streamed):
        each.apply([pa.array(FRAME[each.name])], 0)


def converted(legacy):
    return {each.name: each for each in to_transforms(legacy)}


def test_codes_become_ids_two_higher_and_labels_stay(legacy):
    transforms = converted(legacy)
    assert list(transforms) == list(FRAME)
    for name, codes in CODES.items():
        values = transforms[name].apply([pa.array(FRAME[name])], 0).values.to_pylist()
        if name in legacy.sparse:
            codes = [code + 2 for code in codes]
        elif name in legacy.sequence:
            codes = [[code + 2 for code in row] for row in codes]
        if name == "city":
            assert values[2] == 1  # missing is unknown now
            values[2] = codes[2]
        assert values == codes, name
    assert transforms["city"].apply([pa.array(["Oslo"])], 0).values.to_pylist() == [1]
    assert transforms["city"].vocab_size == 6
    assert transforms["user"].vocab_size == 100


def test_numbers_are_scaled_as_0_3_1_did(legacy):
    transforms = converted(legacy)
    expected = {
        "standard": [-1.2344267996967355, -0.308606699924184, 0.0, 1.5430334996209192],
        "minmax": [0.3220338983050847, 0.6610169491525424, 1.0, 0.0],
        "robust": [-0.058823529411764705, -0.0196078431372549, 0.0196078431372549, 3.8235294117647],
        "maxabs": [-1.0, 0.5, 0.25, 0.0],
        "log": [0.0, 0.6931471805599453, 1.4663370687934272, 2.302585092994046],
        "none": [1.0, 2.0, 3.0, 4.0],
    }
    for name, values in expected.items():
        output = transforms[name].apply([pa.array(FRAME[name])], 0).values.to_numpy()
        np.testing.assert_allclose(output, values, rtol=1e-6, atol=1e-12)
        again = converted(read_legacy(MEMORY))[name]
        missing = again.apply([pa.array([None], pa.float64())], 0).values[0].as_py()
        assert np.isfinite(missing)


def test_hashes_come_with_a_warning(legacy, caplog):
    with caplog.at_level(logging.WARNING):
        to_transforms(legacy)
    warned = [record.getMessage() for record in caplog.records]
    assert [each.split("'")[1] for each in warned] == ["user", "hashed"]
    assert all("MD5" in each for each in warned)


def saved(tmp_path, **changes):
    content = {
        "numeric_features": {}, "sparse_features": {}, "sequence_features": {},
        "target_features": {}, "is_fitted": True, "scalers": {}, "label_encoders": {},
        "target_encoders": {}, "processor_version": "0.3.1", **changes,
    }  # fmt: skip
    path = tmp_path / "saved.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


def encoder_of(tokens):
    return preprocessing.LabelEncoder().fit(np.array(tokens, object))


def sparse_ids(tmp_path, tokens, values, **options):
    config = {"encode_method": "label", "hash_size": None, "fill_na": "<UNK>", **options}
    path = saved(tmp_path, sparse_features={"c": config}, label_encoders={"c": encoder_of(tokens)})
    return converted(read_legacy(path))["c"].apply([pa.array(values)], 0).values.to_pylist()


def test_numbers_that_0_3_1_wrote_with_a_point_are_found(tmp_path):
    assert sparse_ids(tmp_path, ["30.0", "4.0", "<UNK>"], [30, 4, 5]) == [2, 3, 1]
    assert sparse_ids(tmp_path, ["2", "2.0", "3"], [2.0, 3.0]) == [2, 4]  # a code each, one number
    assert sparse_ids(tmp_path, ["-1", "1.5"], [None, 1.5], fill_na=-1) == [2, 3]
    assert sparse_ids(tmp_path, ["1.0", "x"], ["1.0", "1"]) == [2, 1]


def test_truth_values_are_known_as_values_and_as_text(tmp_path):
    assert sparse_ids(tmp_path, ["False", "True"], [True, False]) == [3, 2]
    assert sparse_ids(tmp_path, ["False", "True"], ["True", "False"]) == [3, 2]


def test_tokens_of_sequences_are_stripped_without_moving_ids(tmp_path):
    config = {
        "encode_method": "label", "hash_size": None, "max_len": 5, "pad_value": 9,
        "truncate": "pre", "separator": ",",
    }  # fmt: skip
    path = saved(
        tmp_path,
        sequence_features={"s": config},
        label_encoders={"s": encoder_of([" y", " z", "x", "y"])},
    )
    values = converted(read_legacy(path))["s"].apply([pa.array(["x, y, z"])], 0).values
    assert values.to_pylist() == [[4, 5, 3]]


@pytest.mark.parametrize(
    ("label_map", "values", "expected"),
    [
        ({"0": 0}, [0, 1], [0, 1]),
        ({"1": 0}, [1], [0]),
        ({"0.0": 0, "1.0": 1}, [0, 1, None], [0, 1, None]),
        ({"False": 0, "True": 1}, [True, False], [1, 0]),
    ],
)
def test_targets_of_any_form(tmp_path, label_map, values, expected):
    config = {"target_type": "binary", "label_map": label_map}
    path = saved(tmp_path, target_features={"y": config}, target_encoders={"y": label_map})
    target = converted(read_legacy(path))["y"]
    assert target.apply([pa.array(values)], 0).values.to_pylist() == expected


def test_an_unfitted_processor_keeps_its_settings(tmp_path):
    config = {"scaler": None, "fill_na": None}
    path = saved(
        tmp_path,
        is_fitted=False,
        numeric_features={"x": config},
        target_features={"y": {"target_type": "binary", "label_map": {"a": 0, "b": 1}}},
    )
    numeric, target = to_transforms(read_legacy(path))
    assert (numeric.scaler, numeric.fill_na, numeric.learned()) == ("none", None, {})
    assert target.label_map == {"a": 0, "b": 1}
    with pytest.raises(NotFittedError):
        target.apply([pa.array(["a"])], 0)


def test_arrays_and_numbers_of_numpy_in_every_protocol(tmp_path):
    for protocol in (4, 5):
        content = {
            "numeric_features": {
                "x": {"scaler": "none", "fill_na": np.float32(2.5), "fill_na_value": np.int64(3)}
            },
            "sparse_features": {"c": {"encode_method": "label", "hash_size": np.int32(7)}},
            "sequence_features": {},
            "target_features": {"y": {"target_type": "binary", "label_map": {"a": np.int64(1)}}},
            "label_encoders": {"c": preprocessing.LabelEncoder().fit(["b", "ä"])},
        }
        path = tmp_path / "saved.pkl"
        path.write_bytes(pickle.dumps(content, protocol=protocol))
        legacy = read_legacy(path)
        assert (legacy.numeric["x"].fill_na, legacy.numeric["x"].fill_value) == (2.5, 3.0)
        assert legacy.sparse["c"].hash_size == 7
        assert legacy.sparse["c"].tokens == ("b", "ä")
        assert legacy.targets["y"].label_map == {"a": 1}
        assert (legacy.version, legacy.is_fitted) == ("unknown", False)


class Runs:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def stack_global(module, name):
    parts = [struct.pack("<BB", 0x8C, len(each)) + each.encode() for each in (module, name)]
    return parts[0] + parts[1] + b"\x93"


def programs(marker):
    import builtins
    import functools
    import os
    import subprocess

    command = f"touch {marker}"
    start = b"\x80\x04"
    calls = {
        "os.system": Runs(os.system, command),
        "eval": Runs(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "exec": Runs(builtins.exec, f"open({str(marker)!r}, 'w')"),
        "open": Runs(open, str(marker), "w"),
        "getattr": Runs(getattr, "text", "upper"),
        "import": Runs(__import__, "os"),
        "popen": Runs(subprocess.Popen, ["touch", str(marker)]),
        "partial": Runs(functools.partial, os.system, command),
        "nested": {"numeric_features": [{"x": Runs(map, Runs(os.system, command), [1])}]},
        "load": Runs(np.load, str(marker)),
        "pickle in pickle": Runs(pickle.loads, pickle.dumps(Runs(os.system, command))),
    }
    texts = {
        "protocol 0": f"cposix\nsystem\n(S'{command}'\ntR.".encode(),
        "inst": f"(S'{command}'\niposix\nsystem\n.".encode(),
        "copyreg": start + stack_global("copyreg", "_reconstructor") + b")R.",
        "copyreg add_extension": start + stack_global("copyreg", "add_extension") + b")R.",
        "extension": start + b"\x82\x01.",
        "persistent": start + b"\x8c\x01xQ.",
        "dotted": start + stack_global("numpy", "ndarray.__class__") + b".",
        "dunder": start + stack_global("numpy.core.multiarray", "__builtins__") + b".",
        "module": start + stack_global("sklearn.preprocessing._label", "np.load") + b".",
        "case": start + stack_global("Sklearn.preprocessing._label", "LabelEncoder") + b".",
        "big memo": start + b"Nr\xff\xff\xff\x7f.",
    }
    return {**{name: pickle.dumps(each) for name, each in calls.items()}, **texts}


@pytest.mark.parametrize("name", programs("x"))
def test_a_program_is_refused_and_not_run(name, tmp_path):
    marker = tmp_path / "run"
    path = tmp_path / "evil.pkl"
    path.write_bytes(programs(marker)[name])
    with pytest.raises(CheckpointError, match="refused, for it holds") as caught:
        read_legacy(path)
    assert str(path) in str(caught.value)
    assert not marker.exists()


def test_a_program_inside_a_real_file_is_refused(tmp_path):
    marker = tmp_path / "run"
    content = MEMORY.read_bytes()
    call = pickle.dumps(Runs(exec, f"open({str(marker)!r}, 'w')"), protocol=4)
    path = tmp_path / "evil.pkl"
    path.write_bytes(content[:-1] + call[11:-1] + b".")  # what was there, then the call
    with pytest.raises(CheckpointError, match=r"builtins\.exec"):
        read_legacy(path)
    assert not marker.exists()


def test_known_names_can_only_make_inert_things(tmp_path):
    """States put into the stand-ins themselves, not into what they make."""
    start, state = b"\x80\x04", b"}\x8c\x01xK\x01s"
    for module, name in (
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy._core.multiarray", "scalar"),
        ("numpy._core.numeric", "_frombuffer"),
        ("sklearn.preprocessing._label", "LabelEncoder"),
    ):
        for changed in (state, b"N" + state + b"\x86"):  # __dict__, then setattr
            path = tmp_path / "evil.pkl"
            path.write_bytes(start + stack_global(module, name) + changed + b"b.")
            with pytest.raises(CheckpointError):
                read_legacy(path)
    assert read_legacy(MEMORY).is_fitted


class Odd:
    """Pickles as a NumPy array with a state of our own."""

    def __init__(self, shape, dtype, data):
        self.state = (1, shape, dtype, False, data)

    def __reduce__(self):
        return (np.ndarray.__reduce__(np.zeros(1))[0], (np.ndarray, (0,), b"b"), self.state)


@pytest.mark.parametrize(
    "array",
    [
        Odd((10**12,), np.dtype("f8"), b""),
        Odd((10**12,), np.dtype("U0"), b""),
        Odd((2,), np.dtype("f8"), b"12345678"),
        Odd((-1,), np.dtype("f8"), b""),
        Odd((1, 1), np.dtype("f8"), b"12345678"),
        Odd((1,), np.dtype("O"), b"12345678"),
        Odd((1,), np.dtype([("a", "f8")]), b"12345678"),
        Odd((1,), np.dtype("M8[s]"), b"12345678"),
        Odd((1,), "f8", b"12345678"),
    ],
    ids=range(9),
)
def test_arrays_that_are_no_lists_of_values_are_refused(tmp_path, array):
    path = saved(tmp_path, scalers={"x": array})
    with pytest.raises(CheckpointError, match=r"saved\.pkl"):
        read_legacy(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"numeric_features": []},
        {"numeric_features": {"x": 3}},
        {"numeric_features": {1: {}}},
        {"numeric_features": {"x": {"scaler": "cube", "fill_na": None}}},
        {"numeric_features": {"x": {"scaler": "none", "fill_na": "mean"}}},
        {"numeric_features": {"x": {"scaler": "none", "fill_na": 10**400}}},
        {"sparse_features": {"x": {"encode_method": "label", "hash_size": "10"}}},
        {"sparse_features": {"x": {"encode_method": "lable"}}},
        {"sparse_features": {"x": {"encode_method": "label"}}, "label_encoders": {"x": {"a": 1}}},
        {"target_features": {"y": {"target_type": "binary", "label_map": ["a"]}}},
        {"target_features": {"y": {"target_type": "binary", "label_map": {"a": "b"}}}},
        {"target_features": {"y": {"target_type": "binary", "label_map": {10**5000: 1}}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_content_of_another_kind_is_refused(tmp_path, changes):
    with pytest.raises(CheckpointError, match=r"saved\.pkl: not a processor of NextRec 0\.3\.1"):
        read_legacy(saved(tmp_path, **changes))


def test_a_scaler_of_several_columns_or_without_statistics_is_refused(tmp_path):
    config = {"x": {"scaler": "standard", "fill_na": None}}
    two = preprocessing.StandardScaler().fit(np.eye(2))
    with pytest.raises(CheckpointError, match="a scaler of one column"):
        read_legacy(saved(tmp_path, numeric_features=config, scalers={"x": two}))
    unfitted = saved(
        tmp_path, numeric_features=config, scalers={"x": preprocessing.StandardScaler()}
    )
    with pytest.raises(CheckpointError, match="has no mean_"):
        to_transforms(read_legacy(unfitted))


def test_settings_that_mean_nothing_are_refused(tmp_path):
    config = {"c": {"encode_method": "hash", "hash_size": 1}}
    with pytest.raises(CheckpointError, match=r"saved\.pkl: sparse feature 'c'.*`hash_size`"):
        to_transforms(read_legacy(saved(tmp_path, sparse_features=config)))
    label_map = {"a": 1, "b": 2, "c": 3}
    config = {"y": {"target_type": "multiclass", "label_map": label_map}}
    with pytest.raises(CheckpointError, match=r"target of column 'y'.*`label_map`"):
        to_transforms(read_legacy(saved(tmp_path, target_features=config)))


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"garbage", b"PK\x03\x04", b"\x80\x04N."])
def test_garbage_is_refused(tmp_path, content):
    path = tmp_path / "garbage.pkl"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"garbage\.pkl"):
        read_legacy(path)


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    content = MEMORY.read_bytes()
    path = tmp_path / "short.pkl"
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(CheckpointError, match=r"short\.pkl"):
            read_legacy(path)


def test_a_file_with_wrong_bytes_is_read_or_refused(tmp_path):
    content = MEMORY.read_bytes()
    chance = random.Random(0)
    path = tmp_path / "wrong.pkl"
    refused = 0
    for _ in range(400):
        wrong = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            wrong[chance.randrange(len(wrong))] = chance.randrange(256)
        path.write_bytes(wrong)
        try:
            read_legacy(path)
        except CheckpointError:
            refused += 1
    assert refused > 100


def test_an_absent_and_a_giant_file_are_refused(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match="nowhere"):
        read_legacy(tmp_path / "nowhere.pkl")
    monkeypatch.setattr("nextrec.data.legacy_processor.LARGEST_FILE", 100)
    with pytest.raises(CheckpointError, match="too many"):
        read_legacy(MEMORY)


def test_the_fixtures_are_what_pickle_itself_reads():
    content = pickle.load(io.BytesIO(MEMORY.read_bytes()))
    assert content["label_encoders"]["city"].classes_.tolist() == [
        "<UNK>",
        "Paris",
        "Rome",
        "Zürich",
    ]
    assert content["processor_version"] == "0.3.1"
