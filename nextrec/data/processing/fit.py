"""Fitting: every thread fills states of its own, the states merge, the transforms learn.

Because states merge exactly, the result does not depend on how many threads there were, which of
them read what, or where the data was cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import pyarrow as pa

from nextrec.data.prefetch import in_order
from nextrec.data.processing.pieces import Piece
from nextrec.data.processing.rates import Rate, Rates
from nextrec.data.processing.recipe import Recipe, arrays_of, missing_rows
from nextrec.data.transforms.base import Payload, State, Transform
from nextrec.errors import ConfigError, DataError


class FitStates:
    """The states of all transforms of a recipe, over some of the data."""

    def __init__(self, recipe: Recipe, states: Mapping[str, State] | None = None) -> None:
        self.recipe = recipe
        made = {name: each.state() for name, each in recipe.transforms.items()}
        self.states: dict[str, State] = made if states is None else dict(states)
        self.rates = Rates()

    def update(self, table: pa.Table, first_row: int) -> None:
        """Take in one piece of the data."""
        for name, transform in self.recipe.transforms.items():
            columns = arrays_of(table, transform.fit_inputs, transform.as_written)
            self.states[name].update(columns, first_row)
            inputs = columns[: len(transform.inputs)]
            missing = missing_rows(inputs, transform.as_written)
            self.rates.add(name, Rate(table.num_rows, missing))
        self.rates.rows += table.num_rows

    def merge(self, other: FitStates) -> None:
        """Take in what other states have seen."""
        for name, state in self.states.items():
            state.merge(other.states[name])
        self.rates.merge(other.rates)

    def dump(self) -> Payload:
        """Plain values, to be sent to another process."""
        states = {name: state.dump() for name, state in self.states.items()}
        return {"states": states, "rates": self.rates.to_dict()}

    @classmethod
    def load(cls, recipe: Recipe, payload: Payload) -> FitStates:
        """The states that :meth:`dump` wrote."""
        states = {
            name: each.state_type().load(payload["states"][name])
            for name, each in recipe.transforms.items()
        }
        loaded = cls(recipe, states)
        loaded.rates = Rates.from_dict(payload["rates"])
        return loaded


def fit_local(recipe: Recipe, pieces: Iterable[Piece], threads: int) -> FitStates:
    """States of the whole data, filled by threads."""
    mine = threading.local()
    all_states: list[FitStates] = []
    lock = threading.Lock()

    def states_of_this_thread() -> FitStates:
        if not hasattr(mine, "states"):
            mine.states = FitStates(recipe)
            with lock:
                all_states.append(mine.states)
        return mine.states

    def job(piece: Piece) -> None:
        states_of_this_thread().update(piece.read(), piece.first_row)

    jobs = ((lambda piece=piece: job(piece)) for piece in pieces)
    for _ in in_order(jobs, threads, ahead=threads + 1):
        pass
    whole = all_states[0] if all_states else FitStates(recipe)
    for other in all_states[1:]:
        whole.merge(other)
    return whole


def learn(transforms: Mapping[str, Transform], fitted: FitStates) -> None:
    """Let every transform learn from the states of the whole data.

    ``fitted.rates`` then also knows which tokens were left out, as too rare or too many.

    Raises:
        DataError: there are no rows, or a column does not allow what is asked of it.
    """
    for transform, state in _merged(transforms, fitted):
        transform.learn(state)
        tokens, left_out = transform.tokens_in_fit()
        fitted.rates.add(transform.name, Rate(tokens=tokens, unknown=left_out))


def extend(transforms: Mapping[str, Transform], fitted: FitStates) -> dict[str, int]:
    """Add new tokens to the vocabularies; the number of them by output column."""
    return {each.name: each.extend(state) for each, state in _merged(transforms, fitted)}


def _merged(
    transforms: Mapping[str, Transform], fitted: FitStates
) -> Iterable[tuple[Transform, State]]:
    """Each transform with the state it learns from: of a shared vocabulary, that of all readers."""
    if not fitted.rates.rows:
        raise DataError("the data is empty: it has no rows.")
    shared: dict[str, State] = {}
    for name, transform in transforms.items():
        if transform.shares is not None:
            state = fitted.states[name]
            known = shared.setdefault(transform.shares, state)
            if known is not state:
                known.merge(state)
    for name, transform in transforms.items():
        vocabulary = transform.shares
        yield transform, fitted.states[name] if vocabulary is None else shared[vocabulary]


def check_shared(transforms: Iterable[Transform]) -> None:
    """Refuse readers of one vocabulary that shape it differently."""
    first: dict[str, Transform] = {}
    for transform in transforms:
        if transform.shares is None:
            continue
        other = first.setdefault(transform.shares, transform)
        mine, theirs = transform.vocabulary_options(), other.vocabulary_options()
        differing = sorted(key for key in mine if mine[key] != theirs.get(key))
        if differing:
            raise ConfigError(
                f"DataProcessor: {other.name!r} and {transform.name!r} share the vocabulary "
                f"{transform.shares!r}, but differ in {', '.join(differing)}."
            )
