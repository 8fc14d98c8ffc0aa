"""What a ``.pkl`` file of 0.3.1's ``DataProcessor`` holds, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LegacyNumeric:
    """A numeric feature."""

    scaler: str
    fill_na: float | None
    """What the user asked for."""
    fill_value: float | None
    """What ``fit`` found that missing numbers are to be; ``None`` when it found none missing."""
    statistics: Mapping[str, float] | None
    """scikit-learn's attributes (``mean_``, ``scale_``...); ``None``: no scaler was fitted."""


@dataclass(frozen=True)
class LegacySparse:
    """A sparse feature."""

    encode_method: str
    hash_size: int | None
    fill_na: str
    tokens: tuple[str, ...] | None
    """By code; ``None``: hashed or not fitted."""


@dataclass(frozen=True)
class LegacySequence:
    """A sequence feature."""

    encode_method: str
    hash_size: int | None
    max_len: int
    pad_value: int
    truncate: str
    separator: str
    tokens: tuple[str, ...] | None
    """By code; ``None``: hashed or not fitted."""


@dataclass(frozen=True)
class LegacyTarget:
    """A target."""

    target_type: str
    label_map: Mapping[str, int] | None
    """Class by the text of a label, given or fitted."""


@dataclass(frozen=True)
class LegacyProcessor:
    """All that a ``.pkl`` file of 0.3.1 holds."""

    path: str
    version: str
    is_fitted: bool
    numeric: Mapping[str, LegacyNumeric] = field(default_factory=dict)
    sparse: Mapping[str, LegacySparse] = field(default_factory=dict)
    sequence: Mapping[str, LegacySequence] = field(default_factory=dict)
    targets: Mapping[str, LegacyTarget] = field(default_factory=dict)
