"""The processor of a config: what it makes known before data is touched, and the processor itself.

A feature whose column stands under ``processor`` needs no ``vocab_size``: it is filled in when the
processor has been fitted. Until then a small number stands in its place, so that everything else
about features and model can be checked.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nextrec.cli.config import COLUMNS
from nextrec.cli.document import Document, KeyPath
from nextrec.cli.findings import Findings
from nextrec.errors import ConfigError, FeatureError
from nextrec.features import BaseFeature, Feature

if TYPE_CHECKING:
    from nextrec.data.preprocessor import DataProcessor
    from nextrec.data.transforms import Transform

ADDERS = {
    "numeric": "add_numeric_feature",
    "bucket": "add_bucket_feature",
    "missing": "add_missing_indicator",
    "sparse": "add_sparse_feature",
    "cross": "add_cross_feature",
    "datetime": "add_datetime_feature",
    "target_encoding": "add_target_encoding",
    "sequence": "add_sequence_feature",
    "target": "add_target",
}
KIND_OF_ROLE = {"numeric": "dense", "sparse": "sparse", "sequence": "sequence"}
PLACEHOLDER = 3
"""Stands for a vocabulary size that is not known yet: padding, unknown and one token."""


def build_processor(findings: Findings) -> DataProcessor | None:
    """The processor that the config describes, not fitted; ``None`` without such a section."""
    section = findings.good_part().get(("processor",))
    if not isinstance(section, dict):
        return None
    from nextrec.data.preprocessor import DataProcessor

    processor = DataProcessor()
    first: dict[str, KeyPath] = {}
    for kind in COLUMNS:
        for number, entry in enumerate(section.get(kind) or ()):
            path = ("processor", kind, number)
            if findings.touches(path) or entry is None:
                continue
            arguments = {"name": entry} if isinstance(entry, str) else dict(entry)
            before = set(processor.transforms)
            try:
                getattr(processor, ADDERS[kind])(**arguments)
            except (ConfigError, FeatureError, TypeError) as error:
                findings.add(path, f"processor: {error}")
                continue
            made = set(processor.transforms) - before
            if not made:
                name = arguments["name"]
                line = findings.document.value(first.get(name, path)).line
                findings.add(path, f"processor: {name!r} is described already, on line {line}.")
            first |= dict.fromkeys(made, path)
    if not processor.transforms and not findings.touches(("processor",)):
        findings.add_key(("processor",), "processor: at least one column is needed.")
    return processor


def complete_features(document: Document) -> frozenset[str]:
    """Write into the document what the processor will know: features, sizes, shared tables.

    Runs before the shape is checked, so it takes what it can read and leaves the rest alone.

    Returns:
        Names of the features whose vocabulary size is still to be learned.
    """
    section = document.get(("processor",))
    if not isinstance(section, dict) or not isinstance(document.values, dict):
        return frozenset()
    outputs = _outputs(document)
    if document.get(("features",)) is None:
        lists = _all_features(outputs, section.get("embedding_dim", 16))
        document.put(("features",), lists, document.key(("processor",)))
    learned = set()
    for kind in ("sparse", "sequence"):
        entries = document.get(("features", kind))
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            path: KeyPath = ("features", kind, number)
            name = entry.get("name") if isinstance(entry, dict) else entry
            if name not in outputs:
                continue
            place = document.value(path)
            if isinstance(entry, str):
                document.put(path, {"name": name}, place)
            if document.get((*path, "vocab_size")) is None:
                learned.add(name)
                document.put((*path, "vocab_size"), PLACEHOLDER, place)
            if document.get((*path, "embedding_name")) is None and outputs[name].shares:
                document.put((*path, "embedding_name"), outputs[name].shares, place)
    return frozenset(learned)


def _outputs(document: Document) -> dict[str, Transform]:
    """The processor's columns but targets, as far as the section can be read."""
    from nextrec.cli.shapes import check_shape

    findings = Findings(document)
    check_shape(findings)
    processor = build_processor(findings)
    made = {} if processor is None else processor.transforms
    return {name: each for name, each in made.items() if each.role != "target"}


def _all_features(outputs: Mapping[str, Transform], width: int | None) -> dict[str, list[Any]]:
    lists: dict[str, list[Any]] = {}
    for name, transform in outputs.items():
        kind = KIND_OF_ROLE[transform.role]
        entry: Any = {"name": name, "embedding_dim": width}
        if kind == "sequence" and getattr(transform, "max_len", None):
            entry["max_len"] = transform.max_len  # type: ignore[attr-defined]
        lists.setdefault(kind, []).append(name if kind == "dense" else entry)
    return lists


def fitted_features(
    processor: DataProcessor, listed: Iterable[Feature], learned: Collection[str]
) -> list[Feature]:
    """The listed features, the ``learned`` ones with the sizes that the processor found."""
    made = []
    for feature in listed:
        if feature.name in learned:
            known: Any = processor.transforms[feature.name].feature({})
            values = {**feature.to_dict(), "vocab_size": known.vocab_size}
            feature = BaseFeature.from_dict(values)
        made.append(feature)
    return made
