"""``nextrec predict``: predictions of a saved model as a file."""

from __future__ import annotations

from pathlib import Path

import typer

from nextrec.cli.tables import short_path
from nextrec.errors import ConfigError, invalid
from nextrec.models.bundle import load

ENDINGS = (".csv", ".parquet")


def predict(
    model: str, data: str, out: str, ids: bool | None, batch_size: int, device: str
) -> None:
    """Load, predict piece by piece, say where the file is."""
    if Path(out).suffix.lower() not in ENDINGS:
        raise ConfigError(invalid("predict", "--out", f"a file in {' or '.join(ENDINGS)}", out))
    path = load(model, device=device).predict(
        data,
        batch_size=batch_size,
        save_path=Path(out).absolute(),
        include_ids=ids,
        return_dataframe=False,
    )
    typer.echo(f"predictions  {short_path(path)}")
