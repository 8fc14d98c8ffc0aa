"""The memory that ``nextrec doctor`` tells: of a config, or of the first config it would write."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextrec.cli.features import Listed
from nextrec.cli.guesses import Guess, share_tables
from nextrec.cli.init import batch_size, guesses_of, model_name
from nextrec.cli.labels import choose_targets, target_of
from nextrec.cli.sizes import Size, sizes_before_fitting
from nextrec.data.diagnosis import Diagnosis, Finding
from nextrec.errors import ConfigError, DataError
from nextrec.features import FEATURE_KINDS, BaseFeature, Feature, FeatureSet

if TYPE_CHECKING:
    from nextrec.cli.check import Checked
    from nextrec.data.preprocessor import DataProcessor
    from nextrec.models.forecast import Forecast

FITTED_ROWS = 5_000_000
"""Up to so many rows the processor is fitted to know the sizes; above, they are counted."""


@dataclass(frozen=True)
class Memory:
    """A forecast, or why there is none; and how well the sizes of its tables are known."""

    forecast: Forecast | None
    why_none: str = ""
    bounds: tuple[str, ...] = ()
    """Features whose vocabulary is only bounded."""
    refused: str = ""
    """Why the processor can't be fitted on the data."""

    def to_text(self) -> str:
        """The forecast, and what of it is a bound."""
        if self.forecast is None:
            return self.why_none
        text = self.forecast.to_text()
        if self.bounds:
            names = ", ".join(self.bounds)
            text += f"\n  a bound, as not all tokens were counted: the rows of {names}"
        return text

    def to_dict(self) -> dict[str, Any] | None:
        """Plain values; ``None`` without a forecast."""
        if self.forecast is None:
            return None
        return {**self.forecast.to_dict(), "bounds": list(self.bounds)}


# -- a first config ------------------------------------------------------------------------------


def reasons_to_leave_out(findings: Sequence[Finding]) -> dict[str, str]:
    """Columns that the draft must not read, each with the reason."""
    reasons = {}
    for each in findings:
        if each.column is None:
            continue
        if each.kind == "label_leak":
            reasons[each.column] = f"gives the label away: AUC {each.values['auc']:.4g} by itself"
        elif each.kind == "duplicate_column":
            reasons.setdefault(each.column, f"the same as {each.values['of']} in every row")
    return reasons


def memory_of_draft(diagnosis: Diagnosis) -> Memory:
    """The memory of the first config, its vocabularies as large as was counted."""
    if not diagnosis.rows:
        return Memory(None, "there is no row")
    try:
        chosen = choose_targets(diagnosis.schema, diagnosis.targets, "doctor")
    except ConfigError as error:
        return Memory(None, str(error))
    targets = [target_of(each) for each in chosen]
    guesses = guesses_of(diagnosis.schema, chosen, reasons_to_leave_out(diagnosis.findings))
    features = planned_features(guesses)
    if not features:
        return Memory(None, "no column can be a feature as it is")
    from nextrec.models.forecast import forecast

    params: dict[str, Any] = {
        "target": [each.name for each in targets],
        "task": [each.task for each in targets],
    }
    classes = [each.num_classes for each in targets if each.num_classes is not None]
    if classes:
        params["num_classes"] = classes
    told = forecast(
        model_name(targets, guesses),
        FeatureSet.of(features),
        params,
        batch_size=batch_size(diagnosis.rows),
        rows=diagnosis.rows,
    )
    return Memory(told, bounds=tuple(each.name for each in guesses if _is_bound(each)))


def planned_features(guesses: Sequence[Guess]) -> list[Feature]:
    """The draft's features; those that the processor learns with the tokens that were counted."""
    share_tables(guesses)
    return [
        FEATURE_KINDS[each.role](name=name, **arguments)
        for each in guesses
        if each.role in FEATURE_KINDS
        for name, arguments in each.features()
    ]


def _is_bound(guess: Guess) -> bool:
    learned = guess.learn is not None and guess.learn[0] in ("sparse", "sequence")
    return learned and guess.tokens is None


# -- a config that exists ------------------------------------------------------------------------


def memory_of_config(checked: Checked, diagnosis: Diagnosis, data: Any) -> Memory:
    """The memory of training as a config says, with the sizes that its processor would learn."""
    from nextrec.cli.model_names import feature_lists
    from nextrec.cli.train import model_arguments
    from nextrec.models.forecast import forecast
    from nextrec.models.options import COMPILE_KEYS

    sizes, refused = learned_sizes(checked.processor, diagnosis, data)
    learned = {name: sizes[name] for name in checked.learned if name in sizes}
    listed = [Listed(_sized(each.feature, learned), each.path) for each in checked.features]
    arguments = model_arguments(checked, None)
    lists = feature_lists(checked.config.features.groups, listed)
    training = {key: arguments.pop(key) for key in COMPILE_KEYS if key in arguments}
    told = forecast(
        checked.model,
        lists,
        {key: value for key, value in arguments.items() if key not in lists},
        optimizer=training.get("optimizer", "adam"),
        optimizer_params=training.get("optimizer_params"),
        batch_size=checked.config.fit.batch_size,
        rows=diagnosis.rows,
    )
    bounds = tuple(sorted(name for name, size in learned.items() if not size.is_known))
    return Memory(told, bounds=bounds, refused=refused)


def learned_sizes(
    processor: DataProcessor | None, diagnosis: Diagnosis, data: Any
) -> tuple[dict[str, Size], str]:
    """The tables' rows of a processor's columns, and why it can't be fitted, where it can't."""
    if processor is None:
        return {}, ""
    refused = ""
    if diagnosis.rows <= FITTED_ROWS:
        try:
            fitted = copy.deepcopy(processor).fit(data)
        except DataError as error:
            refused = str(error)
        else:
            return {name: Size(rows, True) for name, rows in fitted.get_vocab_sizes().items()}, ""
    profiles = {profile.name: profile for profile in diagnosis.schema}
    return sizes_before_fitting(processor.transforms, profiles, diagnosis.rows), refused


def _sized(feature: Feature, sizes: Mapping[str, Size]) -> Feature:
    """A feature of the config, a learned one with the rows that its table will have."""
    if feature.name not in sizes:
        return feature
    return BaseFeature.from_dict({**feature.to_dict(), "vocab_size": sizes[feature.name].rows})
