"""One small case for every model of the zoo, built from features alone."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from nextrec.features import DenseFeature, FeatureSet, SequenceFeature, SparseFeature
from nextrec.models.base import BaseModel
from nextrec.models.zoo import load_zoo

VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "AFN": {"plus": {"num_neurons": 7, "dnn_params": {"dims": [8]}}},
    "AITM": {
        "consistent": {"consistent": True, "bottom_params": {"dims": [12]}},
        "towers": {
            "bottom_params": {"dims": [16, 8], "norm": "layer"},
            "tower_params_list": [{"dims": [8], "norm": "layer"}, {"dims": [6], "norm": "none"}],
            "calibrator_weight": 0.0,
        },
    },
    "APG": {
        "features": {"condition_feature_names": ["user", "city"], "rank": 4, "inner_dim": None},
        "one": {"condition_feature_names": "item", "mlp_params": {"dims": [12], "norm": "layer"}},
    },
    "AutoInt": {"plus": {"mlp_params": {"dims": [8]}, "att_layer_num": 1, "att_scaled": True}},
    "BST": {
        "mean": {"output": "mean", "num_blocks": 2},
        "candidate": {"output": "candidate", "position_dim": 4, "num_heads": 3},
    },
    "CrossStitch": {
        "units": {"per_unit": True, "network_params": {"dims": [8], "norm": "layer"}},
    },
    "DCN": {"deep": {"mlp_params": {"dims": [16]}}},
    "DCNv2": {
        "stacked": {"architecture": "stacked"},
        "crossnet": {"architecture": "crossnet_only"},
        "low_rank": {"low_rank": 4, "num_experts": 3},
    },
    "DCNv3": {"heads": {"num_heads": 2, "batch_norm": True}},
    "DIEN": {
        "mlp": {"attention_hidden_units": [16, 8]},
        "agru": {"gru_type": "agru", "gru_hidden_size": 8},
        "aigru": {"gru_type": "aigru", "attention_activation": "sigmoid"},
        "auxiliary": {"use_negsampling": True},
    },
    "DIN": {"softmax": {"attention_use_softmax": True, "attention_activation": "sigmoid"}},
    "DMR": {"alone": {"auxiliary_weight": 0.0, "attention_dim": 5}},
    "DMIN": {
        "dice": {"attention_activation": "dice", "attention_hidden_units": [16]},
        "auxiliary": {"use_negsampling": True},
    },
    "EDCN": {
        "concatenation": {"bridge_type": "concatenation", "norm": "layer", "temperature": 0.5},
        "attention": {"bridge_type": "attention_pooling"},
        "addition": {"bridge_type": "pointwise_addition", "norm": "none"},
    },
    "ESCM2": {"ips": {"estimator": "ips", "counterfactual_weight": 1.0}},
    "ESMM": {"two": {"ctr_params": {"dims": [16]}, "cvr_params": {"dims": [8, 8]}}},
    "ETA": {
        "few": {"top_k": 2, "short_len": 3, "hash_bits": 16},
        "long": {"short_len": 0, "num_heads": 4},
    },
    "EulerNet": {"deep": {"order_units": [5, 9], "layer_norm": True}},
    "FinalMLP": {
        "contexts": {"fs1_context": ["user"], "fs2_context": ["item", "price"], "num_heads": 4},
        "without_fs": {"use_fs": False},
    },
    "FinalNet": {
        "gated": {"use_field_gate": True},
        "one_sum": {
            "block_type": "1B",
            "residual_type": "sum",
            "interaction_activation": "relu",
            "use_field_gate": True,
        },
    },
    "FmFM": {"vector": {"interaction": "vector"}, "scalar": {"interaction": "scalar"}},
    "FwFM": {"LW": {"linear_type": "LW"}, "FeLV": {"linear_type": "FeLV"}},
    "GDCN": {
        "stacked": {"architecture": "stacked"},
        "crossnet": {"architecture": "crossnet_only"},
    },
    "HiFormer": {
        "low_rank": {"rank": 5, "head_dim": 3, "num_layers": 1},
        "fields": {"composite": False, "num_heads": 4},
    },
    "HoME": {
        "groups": {
            "task_groups": [["buy"], ["click"]],
            "num_experts": 1,
            "num_feature_gates": 1,
            "expert_params": {"dims": [16]},
        },
    },
    "M2M": {
        "deep": {
            "meta_layers": 2,
            "residual_layers": 1,
            "expert_params": {"dims": [6]},
            "tower_params_list": [{"dims": [8]}, {"dims": [5]}],
        },
    },
    "MaskNet": {"serial": {"model_type": "serial"}},
    "MMOE": {"layer": {"num_experts": 2, "expert_params": {"dims": [16, 8], "norm": "layer"}}},
    "NFM": {"plain": {"pooling_norm": False, "mlp_params": {"norm": "none", "dims": [16]}}},
    "OneTrans": {
        "one": {"behavior_feature_name": "history", "num_layers": 1, "num_tokens": 3},
        "groups": {
            "behavior_feature_name": ["tags", "history"],
            "token_groups": [["user", "item"], ["city", "price", "image"]],
            "pyramid": False,
        },
    },
    "PEPNet": {
        "two": {
            "tower_params_list": [{"dims": [16, 8]}, {"dims": [8], "norm": "none"}],
            "gate_hidden_dim": 8,
        },
    },
    "PLE": {
        "own_shapes": {
            "shared_expert_params": {"dims": [8]},
            "specific_expert_params": [{"dims": [8]}, {"dims": [12, 8], "activation": "prelu"}],
            "num_specific_experts": 2,
            "num_levels": 3,
        },
        "without_shared": {"num_shared_experts": 0, "num_specific_experts": 2},
        "without_specific": {"num_shared_experts": 3, "num_specific_experts": 0},
    },
    "PNN": {"both": {"product_type": "both", "outer_product_dim": 3}},
    "POSO": {
        "mmoe": {"architecture": "mmoe", "expert_hidden_dims": [16, 8], "num_experts": 3},
        "ple": {
            "architecture": "ple",
            "expert_hidden_dims": [16, 8],
            "num_specific_experts": 2,
            "num_levels": 2,
            "transfer": "logit",
        },
        "sequence": {"architecture": "ple", "expert_hidden_dims": [16], "chain": True},
    },
    "RankMixer": {
        "groups": {
            "token_groups": [["user", "price"], ["item", "history", "tags"], ["city", "image"]],
            "token_dim": 24,
        },
    },
    "SDIM": {"long": {"short_len": 0, "num_hashes": 12, "signature_width": 2}},
    "SIM": {"few": {"top_k": 3, "short_len": 0}},
    "SNRTrans": {
        "one": {
            "num_levels": 1,
            "num_experts": 4,
            "expert_params": {"dims": [16, 8], "norm": "layer"},
            "tower_params_list": [{"dims": [8], "norm": "layer"}] * 2,
        },
    },
    "STAR": {"deep": {"mlp_params": {"dims": [16, 8, 8], "activation": "prelu"}}},
    "STEM": {
        "levels": {"num_levels": 2, "num_specific_experts": 2, "expert_params": {"dims": [16]}},
    },
    "WuKong": {
        "attentive": {"attention_params": {"dims": [8]}, "rank": 3, "num_fmb": 3, "num_lcb": 4},
        "full": {"rank": None, "num_layers": 1},
    },
    "xDeepFM": {"whole": {"split_half": False, "cin_size": [6, 5], "cin_activation": "relu"}},
}
"""Settings that change a model's structure, beside its defaults."""

ITEMS, LENGTH = 30, 6


@dataclass(frozen=True)
class Case:
    name: str
    cls: type[BaseModel]
    params: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 1, **changes: Any) -> BaseModel:
        targets = ["click", "buy"] if self.multi_task else ["click"]
        options = {"target": targets, "seed": seed, **self.params, **changes}
        return self.cls(**feature_arguments(self.cls), **options)

    @property
    def multi_task(self) -> bool:
        return "tower_params_list" in inspect.signature(self.cls.__init__).parameters


def cases() -> list[Case]:
    zoo = load_zoo()
    plain = [Case(name, zoo[name]) for name in zoo]
    shaped = [
        Case(f"{name}-{variant}", zoo[name], params)
        for name, variants in VARIANTS.items()
        for variant, params in variants.items()
    ]
    return sorted(plain + shaped, key=lambda case: case.name)


def features() -> FeatureSet:
    width = {"embedding_dim": 8, "init_params": {"std": 0.1}}
    return FeatureSet(
        dense=[DenseFeature("price"), DenseFeature("image", input_dim=3)],
        sparse=[
            SparseFeature("user", 20, **width),
            SparseFeature("item", ITEMS, embedding_name="items", **width),
            SparseFeature("city", 12, padding_idx=0, **width),
        ],
        sequence=[
            SequenceFeature("history", ITEMS, LENGTH, embedding_name="items", **width),
            SequenceFeature("tags", 9, 4, combiner="sum", **width),
        ],
    )


def feature_arguments(cls: type[BaseModel]) -> dict[str, Any]:
    """All features for a plain model; a share of them for each group of a grouped one."""
    everything = features()
    if not cls.groups:
        return {
            "dense_features": list(everything.dense),
            "sparse_features": list(everything.sparse),
            "sequence_features": list(everything.sequence),
        }
    arguments: dict[str, Any] = {}
    for position, group in enumerate(cls.groups):
        last = position == len(cls.groups) - 1
        arguments[f"{group}_dense_features"] = [] if last else list(everything.dense)
        arguments[f"{group}_sparse_features"] = list(
            everything.sparse[-1:] if last else everything.sparse[:-1]
        )
        arguments[f"{group}_sequence_features"] = [] if last else list(everything.sequence)
    return arguments


def frame(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of every feature and two planted targets that depend on item, user and history."""
    rng = np.random.default_rng(seed)
    data: dict[str, np.ndarray] = {
        "user": rng.integers(2, 20, rows),
        "item": rng.integers(2, ITEMS, rows),
        "city": rng.integers(0, 12, rows),
        "price": rng.normal(size=rows).astype(np.float32),
        "image": rng.normal(size=(rows, 3)).astype(np.float32),
    }
    for name, vocab, length in (("history", ITEMS, LENGTH), ("tags", 9, 4)):
        ids = rng.integers(1, vocab, (rows, length))
        lengths = rng.integers(0, length + 1, (rows, 1))
        data[name] = np.where(np.arange(length) < lengths, ids, 0)
    appeal = np.random.default_rng(99).normal(size=ITEMS)
    logit = 3.0 * appeal[data["item"]] + 1.5 * data["price"]
    data["click"] = (logit + 0.3 * rng.normal(size=rows) > 0).astype(np.float32)
    data["buy"] = (logit - 0.5 + 0.3 * rng.normal(size=rows) > 0).astype(np.float32)
    return data


def tensors(rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(np.ascontiguousarray(values))
        for name, values in frame(rows, seed).items()
        if name not in ("click", "buy")
    }
