"""Train and evaluate a model on the bundled MovieLens-small ratings: ``make quickstart``.

Task: will a user like a movie (a rating of at least 4)? The last fifth of each user's ratings is
the test set. The model must beat what a user's and a movie's mean ratings say on their own.

The number of epochs is chosen on the latest tenth of each user's training ratings; then a model is
trained for as long on all of them.
"""

from __future__ import annotations

import nextrec
from nextrec.data.datasets import bias_baseline, movielens_small_ctr
from nextrec.metrics import auc, gauc, logloss
from nextrec.training.logging import setup_logger

METRICS = ["auc", "gauc", "logloss"]


def build(schema) -> nextrec.DeepFM:
    """DeepFM with small vectors: most movies have few ratings."""
    features = schema.features(embedding_dim=8)
    return nextrec.DeepFM(
        sparse_features=features.sparse,
        sequence_features=features.sequence,
        mlp_params={"dims": [32], "norm": "none"},
        embedding_l2_reg=1e-4,
        id_columns="user_id",
        seed=1,
    )


def main() -> None:
    setup_logger()
    train, test, schema = movielens_small_ctr(history_len=20)
    tried = build(schema).fit(
        train,
        metrics=METRICS,
        validation_split=0.1,
        split_by="user_time",
        split_column="timestamp",
        epochs=8,
        batch_size=256,
        early_stop_patience=2,
        seed=1,
    )
    best = max(tried.history, key=lambda epoch: epoch["auc"])
    model = build(schema).fit(train, epochs=best["epoch"], batch_size=256, seed=1, report=False)

    labels, users = test["label"], test["user_id"]
    baseline = bias_baseline(train, test)
    rows = {
        "bias baseline": {
            "auc": auc(labels, baseline),
            "gauc": gauc(labels, baseline, users),
            "logloss": logloss(labels, baseline),
        },
        f"DeepFM, {best['epoch']} epochs": model.evaluate(test, METRICS),
    }
    print(f"\n{'test set':<18}" + "".join(f"{name:>10}" for name in METRICS))
    for name, values in rows.items():
        print(f"{name:<18}" + "".join(f"{values[metric]:>10.4f}" for metric in METRICS))
    bundle = model.save(model.session_path / "bundle")
    print(f"\nsession  {tried.session_path}")
    print(f"report   {tried.session_path / 'report.html'}")
    print(f"bundle   {bundle}")


if __name__ == "__main__":
    main()
