"""Train and evaluate a model on the bundled MovieLens-small ratings: ``make quickstart``.

Task: will a user like a movie (a rating of at least 4)? The last fifth of each user's ratings is
the test set. The model must beat what a user's and a movie's mean ratings say on their own.
"""

from __future__ import annotations

import logging

import nextrec
from nextrec.data.datasets import bias_baseline, movielens_small_ctr
from nextrec.metrics import Evaluator, resolve_metrics
from nextrec.training.logging import setup_logger

METRICS = ["auc", "gauc", "logloss"]


def main() -> None:
    train, test, schema = movielens_small_ctr(history_len=20)
    features = schema.features(embedding_dim=16)
    model = nextrec.DIN(
        sparse_features=features.sparse,
        sequence_features=features.sequence,
        mlp_params={"dims": [64, 32], "dropout": 0.3},
        target="label",
        id_columns="user_id",
        embedding_l2_reg=1e-5,
        optimizer_params={"lr": 2e-3},
        seed=1,
    )
    model.fit(
        train,
        metrics=METRICS,
        validation_split=0.1,
        split_by="user_time",
        split_column="timestamp",
        epochs=12,
        batch_size=512,
        early_stop_patience=3,
        seed=1,
    )
    scores = {
        "bias baseline": baseline_metrics(model, test, bias_baseline(train, test)),
        model.model_name: model.evaluate(test, METRICS),
    }
    print(f"\n{'test set':<16}" + "".join(f"{name:>10}" for name in METRICS))
    for name, values in scores.items():
        print(f"{name:<16}" + "".join(f"{values[metric]:>10.4f}" for metric in METRICS))
    bundle = model.save(model.session_path / "bundle")
    print(f"\nsession {model.session_path}\nbundle  {bundle}")
    print(f"report  {model.session_path / 'report.html'}")


def baseline_metrics(model: nextrec.BaseModel, test, probabilities) -> dict[str, float]:
    evaluator = Evaluator(resolve_metrics(METRICS, model.tasks), model.tasks)
    labels = test[["label"]].to_numpy()
    evaluator.update(probabilities[:, None], labels, groups=test["user_id"].to_numpy())
    return evaluator.compute()


if __name__ == "__main__":
    setup_logger()
    logging.getLogger("nextrec").setLevel(logging.INFO)
    main()
