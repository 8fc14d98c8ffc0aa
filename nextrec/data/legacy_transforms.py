"""What a processor of 0.3.1 had learned, as today's transforms.

Codes become ids: the token of code ``c`` has id ``c + 2``, for 0 is padding and 1 is unknown. So a
table that was trained with 0.3.1 fits after two rows are put before it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nextrec.data.legacy_content import (
    LegacyNumeric,
    LegacyProcessor,
    LegacySequence,
    LegacySparse,
    LegacyTarget,
)
from nextrec.data.transforms.base import Payload, Transform
from nextrec.data.transforms.categorical import Encode, Hash
from nextrec.data.transforms.labels import Label, label_of
from nextrec.data.transforms.numeric import Scale
from nextrec.data.transforms.sequences import EncodeSequence
from nextrec.data.transforms.targets import Target
from nextrec.data.transforms.token_text import TEXT, number_text
from nextrec.errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)
_STAND_INS = ("<UNK>", "<PAD>")


@dataclass(frozen=True)
class _Plan:
    """``type_(**settings)``, then ``restore(learned)``."""

    type_: type[Transform]
    settings: dict[str, Any]
    learned: Payload | None
    """``None``: it was not fitted."""

    def built(self) -> Transform:
        transform = self.type_(**self.settings)
        if self.learned is not None:
            transform.restore(self.learned)
        return transform


def to_transforms(legacy: LegacyProcessor) -> list[Transform]:
    """The transforms of a processor that 0.3.1 saved, fitted if it was: numeric ones first, then
    sparse, sequence and target.

    What can't be the same is logged as a warning: hashed ids, padding with another value than 0,
    truth values as categories, and targets that 0.3.1 had fitted with one class only.

    Raises:
        CheckpointError: a scaler lacks what it must have learned, or settings are those that
            0.3.1 let pass and that mean nothing.
    """
    plans = [_scale(legacy, name, each) for name, each in legacy.numeric.items()]
    plans += [_sparse(name, each) for name, each in legacy.sparse.items()]
    plans += [_sequence(name, each) for name, each in legacy.sequence.items()]
    plans += [_target(name, each, legacy.is_fitted) for name, each in legacy.targets.items()]
    try:
        return [plan.built() for plan in plans]
    except ConfigError as error:
        raise CheckpointError(f"{legacy.path}: {error}") from error


def _scale(legacy: LegacyProcessor, name: str, numeric: LegacyNumeric) -> _Plan:
    settings = {"name": name, "scaler": numeric.scaler, "fill_na": numeric.fill_na}
    if not legacy.is_fitted:
        return _Plan(Scale, settings, None)
    statistics = numeric.statistics
    learned: Payload = {}
    if numeric.scaler not in ("log", "none"):
        if statistics is None:  # the column was absent when the processor was fitted
            return _Plan(Scale, settings, None)
        try:
            center, scale = _affine(numeric.scaler, statistics)
        except KeyError as error:
            message = f"the {numeric.scaler} scaler of {name!r} has no {error.args[0]}."
            raise CheckpointError(f"{legacy.path}: {message}") from None
        learned = {"center": center, "scale": scale or 1.0}
    learned["fill"] = _fill(numeric)
    return _Plan(Scale, settings, learned)


def _affine(scaler: str, statistics: Any) -> tuple[float, float]:
    """Center and scale of ``(x - center) / scale``."""
    if scaler == "standard":
        return statistics["mean_"], statistics["scale_"]
    if scaler == "minmax":
        return statistics["data_min_"], statistics["data_range_"]
    if scaler == "robust":
        return statistics["center_"], statistics["scale_"]
    return 0.0, statistics["max_abs_"]


def _fill(numeric: LegacyNumeric) -> float:
    """What a missing number becomes: 0.3.1 ignored ``fill_na`` where it had seen none missing."""
    if numeric.fill_value is not None:
        return numeric.fill_value
    if numeric.fill_na is not None:
        return numeric.fill_na
    return (numeric.statistics or {}).get("mean_", 0.0)


def _sparse(name: str, sparse: LegacySparse) -> _Plan:
    settings: dict[str, Any] = {"name": name, "fill_na": sparse.fill_na}
    if sparse.encode_method == "hash":
        _warn_of_hash(name)
        return _Plan(Hash, {**settings, "hash_size": sparse.hash_size}, {})
    if sparse.tokens is None:
        return _Plan(Encode, settings, None)
    return _Plan(Encode, settings, _vocabulary(name, sparse.tokens, sparse.fill_na))


def _sequence(name: str, sequence: LegacySequence) -> _Plan:
    settings = {
        "name": name,
        "encode_method": sequence.encode_method,
        "hash_size": sequence.hash_size if sequence.encode_method == "hash" else None,
        "max_len": sequence.max_len,
        "truncate": sequence.truncate,
        "separator": sequence.separator,
    }
    if sequence.pad_value:
        logger.warning(
            "Sequence %r was padded with %d; ids are padded with 0 now.", name, sequence.pad_value
        )
    longest = {"longest": sequence.max_len}
    if sequence.encode_method == "hash":
        _warn_of_hash(name)
        return _Plan(EncodeSequence, settings, longest)
    if sequence.tokens is None:
        return _Plan(EncodeSequence, settings, None)
    # 0.3.1 stripped a token when it looked it up, but not when it fitted.
    tokens = _distinct([token.strip() for token in sequence.tokens], sequence.tokens)
    return _Plan(EncodeSequence, settings, {**_vocabulary(name, tokens, None), **longest})


def _vocabulary(name: str, tokens: Sequence[str], fill_na: str | None) -> Payload:
    """The payload of a vocabulary with these tokens in this order."""
    written = number_text(pa.array(tokens, TEXT)).to_pylist()
    real = [place for place, token in enumerate(tokens) if token not in (fill_na, *_STAND_INS)]
    numeric = bool(real) and all(written[place] is not None for place in real)
    if numeric:  # 0.3.1 wrote 30 as "30.0" where a column had a gap
        wanted = [number or token for number, token in zip(written, tokens, strict=True)]
        tokens = _distinct(wanted, tokens)
    elif real and {tokens[place] for place in real} <= {"True", "False"}:
        tokens = [token.lower() if token in ("True", "False") else token for token in tokens]
    none = pa.array([], pa.int64())
    return {
        "tokens": pa.array(tokens, TEXT),
        "counts": pa.array(np.zeros(len(tokens), np.int64)),
        "waiting_tokens": pa.array([], TEXT),
        "waiting_counts": none,
        "numeric": numeric,
    }


def _distinct(wanted: Sequence[str], original: Sequence[str]) -> list[str]:
    """The wanted tokens; where two would be one, the later keeps its text, so ids stay."""
    taken = {old for new, old in zip(wanted, original, strict=True) if new == old}
    result = []
    for new, old in zip(wanted, original, strict=True):
        chosen = old if new != old and new in taken else new
        taken.add(chosen)
        result.append(chosen)
    return result


def _target(name: str, target: LegacyTarget, is_fitted: bool) -> _Plan:
    settings: dict[str, Any] = {"name": name, "target_type": target.target_type}
    nothing = {"labels": [], "codes": [], "counts": [], "rows": 0, "observed": 0}
    if target.target_type == "regression":
        return _Plan(Target, settings, {"fitted": False, **nothing})
    if target.label_map is None:
        return _Plan(Target, settings, None)
    if len(target.label_map) == 1:
        logger.warning("Target %r had one class, which 0.3.1 calls 0: fit it again.", name)
    codes = dict(_labels(name, target))
    if target.target_type == "binary" and codes == {0: 0}:
        codes = {0: 0, 1: 1}
    if any(label != code for label, code in codes.items()):
        settings["label_map"] = dict(target.label_map)
    if not is_fitted:
        return _Plan(Target, settings, None)
    learned = {
        **nothing,
        "labels": list(codes),
        "codes": list(codes.values()),
        "counts": [0] * len(codes),
    }
    return _Plan(Target, settings, {"fitted": True, **learned})


def _labels(name: str, target: LegacyTarget) -> Iterator[tuple[Label, int]]:
    for text, code in (target.label_map or {}).items():
        try:
            label = label_of(text)
        except ValueError:
            raise CheckpointError(f"target {name!r}: {text!r} can't be a label.") from None
        if label is not None:
            yield label, code


def _warn_of_hash(name: str) -> None:
    logger.warning(
        "Column %r is hashed: 0.3.1 used MD5, ids come from xxHash64 now, so a model that was "
        "trained on its old ids does not fit.",
        name,
    )
