"""Events a second into histories, negatives and evaluation candidates.

    python benchmarks/events.py [--events 1000000] [--users 50000] [--out FILE.json]

Users are uniform, items follow Zipf's law. Each measurement is the best of several repeats; beside
it stands the loop over a pandas groupby (or over users) that one would write by hand, on a smaller
sample of whole users, and the ratio of the two speeds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from nextrec.data.sampling import (
    SeenItems,
    add_negatives,
    build_eval_candidates,
    build_histories,
    build_sequences,
    in_batch_negatives,
    sample_negatives,
    split,
)

MAX_LEN = 50


def best(function: Callable[[], Any], repeats: int) -> float:
    """Seconds of the fastest run."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def make_events(rows: int, users: int, items: int) -> pd.DataFrame:
    random = np.random.default_rng(0)
    item = np.minimum(random.zipf(1.2, rows), items) - 1
    return pd.DataFrame(
        {
            "user": random.integers(0, users, rows),
            "item": item,
            "time": random.integers(1_600_000_000, 1_700_000_000, rows),
            "category": item % 50,
            "label": random.integers(0, 2, rows),
        }
    )


def histories_by_hand(events: pd.DataFrame) -> pd.DataFrame:
    """What a groupby and a loop over each user's events take."""
    history: dict[int, list[int]] = {}
    for _, own in events.sort_values("time", kind="stable").groupby("user"):
        times, items = own["time"].to_numpy(), own["item"].tolist()
        before = np.searchsorted(times, times)  # events of one time do not see each other
        for row, stop in zip(own.index, before, strict=True):
            history[row] = items[max(0, stop - MAX_LEN) : stop]
    return events.assign(hist_item=pd.Series(history))


def negatives_by_hand(events: pd.DataFrame, items: int, count: int) -> list[list[int]]:
    """What a loop over events takes that draws until it has enough unseen items."""
    random = np.random.default_rng(0)
    seen = events.groupby("user")["item"].agg(set).to_dict()
    drawn = []
    for user in events["user"]:
        found: list[int] = []
        while len(found) < count:
            item = int(random.integers(items))
            if item not in seen[user] and item not in found:
                found.append(item)
        drawn.append(found)
    return drawn


def candidates_by_hand(events: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """What a loop over users takes that looks for each one's rows in the whole frame."""
    random = np.random.default_rng(0)
    every = set(items["item"])
    rows = []
    for user in events["user"].unique():
        own = events[events["user"] == user]
        left = np.array(sorted(every - set(own["item"])))
        for item in own.loc[own["label"] == 1, "item"].unique()[:5]:
            rows.append((user, item, 1))
            rows += [(user, other, 0) for other in random.choice(left, 50, replace=False)]
    return pd.DataFrame(rows, columns=["user", "item", "label"]).merge(items, "left", "item")


def measure(options: argparse.Namespace) -> tuple[dict[str, float], dict[str, float]]:
    """Things a second, and how many times the speed of the loop by hand."""
    events = make_events(options.events, options.users, options.items)
    few = events[events["user"] < options.users // 50].reset_index(drop=True)
    arrow, named = pa.Table.from_pandas(events), pl.from_pandas(events)
    named = named.with_columns(pl.format("user {}", "user"), pl.format("item {}", "item"))
    named = named.with_columns(pl.from_epoch("time"))
    items = pd.DataFrame({"item": np.arange(options.items)})
    items["price"] = items["item"] / 7
    people = pd.DataFrame({"user": np.arange(options.users), "age": 30})
    codes, columns = events["user"].to_numpy(), ("user", "item", "time")
    seen = SeenItems(codes, events["item"], options.items)
    popularity = np.bincount(events["item"], minlength=options.items)
    drawn_for = codes[: options.events // 5]
    speeds: dict[str, float] = {}
    ratios: dict[str, float] = {}

    def rate(name: str, count: int, function: Callable[[], Any]) -> None:
        speeds[name] = count / best(function, options.repeats)

    def against(name: str, count: int, function: Callable[[], Any]) -> None:
        ratios[name] = speeds[name] * best(function, 1) / count

    def histories(data: Any, **more: Any) -> None:
        rate(more.pop("name"), len(events), lambda: build_histories(data, *columns, **more))

    histories(events, name="histories, pandas")
    against("histories, pandas", len(few), lambda: histories_by_hand(few))
    histories(arrow, name="histories, Arrow")
    histories(arrow.sort_by("time"), name="histories, Arrow, sorted by time")
    histories(named, name="histories, text ids, Polars")
    more = {"columns": ["category"], "only": events["label"] == 1, "min_age": 60, "ages": True}
    histories(arrow, name="histories, two columns, ages, gap, mask", **more)
    crowded = events.assign(user=events["user"] % max(1, options.users // 50))
    histories(crowded, name="histories, all of length 50")
    rate("sequences", len(events), lambda: build_sequences(events, *columns))
    for method in ("random", "time", "user_time"):
        given = {} if method == "random" else {"values": "time", "groups": "user"}
        rate(f"split, {method}", len(events), lambda m=method, g=given: split(events, 0.2, m, **g))

    for method in ("uniform", "popularity"):
        for count in (1, 5, 50):
            draw = {"count": count, "method": method, "popularity": popularity}
            users = drawn_for[:: 10 if count == 50 else 1]
            rate(
                f"negatives, {method}, {count} a row",
                len(users) * count,
                lambda u=users, d=draw: sample_negatives(u, seen, options.items, **d),
            )
    hand = few[:20_000]
    name = "negatives, uniform, 5 a row"
    against(name, 5 * len(hand), lambda: negatives_by_hand(hand, options.items, 5))
    fifth = events[: options.events // 5]
    rate("negative rows, 4 a positive", 5 * len(fifth), lambda: with_negatives(fifth, items))
    size = 4096
    batch = (codes[:size], events["item"].to_numpy()[:size], seen)
    rate("in-batch masks of 4096 x 4096", 1, lambda: in_batch_negatives(*batch))

    names = ("user", "item", "label")
    made = len(build_eval_candidates(events, *names, people, items))
    rate("candidates", made, lambda: build_eval_candidates(events, *names, people, items))
    hand = events[events["user"] < 40]
    made = len(candidates_by_hand(hand, items))
    against("candidates", made, lambda: candidates_by_hand(hand, items))
    return speeds, ratios


def with_negatives(events: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    return add_negatives(events.drop(columns="label"), "user", "item", items=items)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    speeds, ratios = measure(options)
    for name, value in speeds.items():
        ratio = f"{ratios[name]:8.0f} x by hand" if name in ratios else ""
        print(f"{name:42} {value:14,.1f} /s {ratio}")
    if options.out:
        settings = {"events": options.events, "users": options.users, "items": options.items}
        report = {
            "machine": machine.describe(),
            "settings": {**settings, "max_len": MAX_LEN},
            "per_second": speeds,
            "times_by_hand": ratios,
        }
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
