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
from nextrec.data.processing.fit import check_shared
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
    made: dict[str, KeyPath] = {}
    for kind in COLUMNS:
        for number, entry in enumerate(section.get(kind) or ()):
            path = ("processor", kind, number)
            if not findings.touches(path) and entry is not None:
                _add_entry(findings, processor, made, path, entry)
    if not processor.transforms and not findings.touches(("processor",)):
        findings.add_key(("processor",), "processor: at least one column is needed.")
    if not findings.touches(("processor",)):
        try:
            processor.unfitted()
        except ConfigError as error:
            findings.add_key(("processor",), f"processor: {error}")
    return processor


def _add_entry(
    findings: Findings,
    processor: DataProcessor,
    made: dict[str, KeyPath],
    path: KeyPath,
    entry: Any,
) -> None:
    """Add the columns of one entry to the processor, unless it is wrong or stands there already.

    Args:
        made: the output columns so far, each with the entry that makes it.
    """
    from nextrec.data.preprocessor import DataProcessor

    arguments = {"name": entry} if isinstance(entry, str) else dict(entry)
    alone = DataProcessor()
    try:
        getattr(alone, ADDERS[str(path[1])])(**arguments)
    except (ConfigError, FeatureError, TypeError) as error:
        findings.add(path, f"processor: {error}")
        return
    for name, transform in alone.transforms.items():
        if name in made:
            kind, line = made[name][1], findings.document.value(made[name]).line
            where = f"under {kind}" + (f", on line {line}" if line else "")
            findings.add(path, f"processor: {name!r} is described already {where}.")
            return
        sharing = [each for each in processor.transforms.values() if each.shares is not None]
        first = [each for each in sharing if each.shares == transform.shares][:1]
        try:
            check_shared([*first, transform])
        except ConfigError as error:
            findings.add(path, str(error).replace("DataProcessor", "processor", 1))
    getattr(processor, ADDERS[str(path[1])])(**arguments)
    made.update(dict.fromkeys(alone.transforms, path))


def complete_features(document: Document) -> frozenset[str]:
    """Write into the document what the processor will know: features, sizes, shared tables.

    Runs before the shape is checked, so it takes what it can read and leaves the rest alone.

    Returns:
        Names of the features whose vocabulary size is still to be learned.
    """
    section = document.get(("processor",))
    if not isinstance(section, dict) or not isinstance(document.values, dict):
        return frozenset()
    for kind in COLUMNS:  # a single column may stand without a list around it
        if isinstance(section.get(kind), (str, dict)):
            document.wrap(("processor", kind))
    outputs = _outputs(document)
    named = {*outputs, *named_outputs(section)}
    if document.get(("features",)) is None:
        lists = _all_features(outputs, section.get("embedding_dim", 16))
        document.put(("features",), lists, document.key(("processor",)))
    learned = set()
    for kind in ("sparse", "sequence"):
        entries = document.get(("features", kind))
        for number, entry in enumerate(entries if isinstance(entries, list) else ()):
            path: KeyPath = ("features", kind, number)
            name = entry.get("name") if isinstance(entry, dict) else entry
            if name not in named:
                continue
            place = document.value(path)
            if isinstance(entry, str):
                document.put(path, {"name": name}, place)
            if document.get((*path, "vocab_size")) is None:
                learned.add(name)
                document.put((*path, "vocab_size"), PLACEHOLDER, place)
            shares = name in outputs and outputs[name].shares is not None
            shared = outputs[name].embedding_name if shares else None  # type: ignore[attr-defined]
            if shared is not None and document.get((*path, "embedding_name")) is None:
                document.put((*path, "embedding_name"), shared, place)
    return frozenset(learned)


def _outputs(document: Document) -> dict[str, Transform]:
    """The processor's columns but targets, as far as the section can be read."""
    from nextrec.cli.shapes import check_shape

    findings = Findings(document)
    check_shape(findings)
    processor = build_processor(findings)
    made = {} if processor is None else processor.transforms
    return {name: each for name, each in made.items() if each.role != "target"}


def named_outputs(section: Mapping[str, Any]) -> set[str]:
    """Names of the columns of all entries, of those too that have other faults.

    Their features would otherwise be told to lack what the entry is to teach.
    """
    names = set()
    for kind, entries in section.items():
        for entry in entries if isinstance(entries, list) and kind != "target" else ():
            name = entry.get("name") if isinstance(entry, dict) else entry
            if not isinstance(name, str):
                continue
            names.add(name)
            parts = entry.get("parts") if isinstance(entry, dict) else None
            if kind == "datetime":
                known = parts if isinstance(parts, list) else ["hour", "weekday"]
                names |= {f"{name}_{part}" for part in known}
    return names


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
