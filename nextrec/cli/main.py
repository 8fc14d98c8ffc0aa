"""The command ``nextrec``. Each subcommand imports what it needs when it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from nextrec.errors import ConfigError, NextRecError

app = typer.Typer(
    name="nextrec",
    help="Train, evaluate and use recommendation models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

data_app = typer.Typer(
    help="Public data sets: what they are, and whether a folder holds one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(data_app, name="data")

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL", help="A bundle, a .model file or a session folder.")
]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A CSV or Parquet file, a folder or a pattern.")
]
UserId = Annotated[str, typer.Option(help="Column that groups GAUC and the metrics at k.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps or auto.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Rows at a time.")]


@contextmanager
def told(debug: bool) -> Iterator[None]:
    """Print NextRec's own errors without a traceback: 2 for a wrong config, 1 for the rest."""
    try:
        yield
    except NextRecError as error:
        if debug:
            raise
        typer.echo(str(error), err=True)
        raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from None


def _version(wanted: bool) -> None:
    if wanted:
        from nextrec import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Train, evaluate and use recommendation models."""


@app.command()
def train(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file; `nextrec init` writes one.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="A value, such as fit.epochs=3."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with a session's folder or checkpoint.")
    ] = None,
    session: Annotated[str | None, typer.Option(help="Name of the session.")] = None,
    debug: Debug = False,
) -> None:
    """Train a model as a config says, and save it as a bundle."""
    with told(debug):
        from nextrec.cli.check import check_config

        given = list(overrides or ())
        if session is not None:
            given.append(f"output.session={json.dumps(session)}")
        checked = check_config(config, given)
        from nextrec.cli.train import train as run

        run(checked, resume)


@app.command()
def evaluate(
    model: Model,
    data: Data,
    metrics: Annotated[str, typer.Option(help="Names, with commas between them.")] = "",
    user_id_column: UserId = "user_id",
    weight_column: Annotated[str | None, typer.Option(help="Column of sample weights.")] = None,
    batch_size: BatchSize = 4096,
    device: Device = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    debug: Debug = False,
) -> None:
    """Print the metrics of a saved model on labelled data."""
    with told(debug):
        from nextrec.cli.evaluate import evaluate as run

        names = [name.strip() for name in metrics.split(",") if name.strip()]
        run(model, data, names, user_id_column, weight_column, batch_size, device, as_json)


@app.command()
def predict(
    model: Model,
    data: Data,
    out: Annotated[str, typer.Option(help="File to write, .csv or .parquet.")],
    ids: Annotated[
        bool | None,
        typer.Option("--ids/--no-ids", help="Id columns too; default: if the model has any."),
    ] = None,
    batch_size: BatchSize = 4096,
    device: Device = "cpu",
    debug: Debug = False,
) -> None:
    """Write the predictions of a saved model to a file."""
    with told(debug):
        from nextrec.cli.predict import predict as run

        run(model, data, out, ids, batch_size, device)


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Show this model whole.")
    ] = None,
    debug: Debug = False,
) -> None:
    """List the models with their parameters."""
    with told(debug):
        from nextrec.cli.models import show_models

        show_models(name)


@app.command()
def init(
    data: Data,
    out: Annotated[str, typer.Option(help="Config to write; - prints it.")] = "config.yaml",
    target: Annotated[list[str] | None, typer.Option(help="Label column; may be repeated.")] = None,
    debug: Debug = False,
) -> None:
    """Write a first config from the columns of data."""
    with told(debug):
        from nextrec.cli.init import init as run

        run(data, out, target or [])


@app.command()
def doctor(
    data: Data,
    target: Annotated[list[str] | None, typer.Option(help="Label column; may be repeated.")] = None,
    time: Annotated[str | None, typer.Option(help="Column that says when.")] = None,
    user: Annotated[str | None, typer.Option(help="Column of user ids.")] = None,
    item: Annotated[str | None, typer.Option(help="Column of item ids.")] = None,
    test: Annotated[str | None, typer.Option(help="Data to test on, to compare with.")] = None,
    config: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a first config here.")
    ] = None,
    check: Annotated[
        str | None,
        typer.Option("--for", metavar="CONFIG", help="Judge this config's features and memory."),
    ] = None,
    leak_auc: Annotated[
        float, typer.Option(help="AUC of one column alone that counts as a leak.")
    ] = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when there is an error.")] = False,
    debug: Debug = False,
) -> None:
    """Look through data for leaks and faults, and forecast the memory of training."""
    with told(debug):
        from nextrec.cli.doctor import Request
        from nextrec.cli.doctor import doctor as run

        run(
            Request(
                data,
                tuple(target or ()),
                time,
                user,
                item,
                test,
                config,
                check,
                leak_auc,
                as_json,
                strict,
            )
        )


@app.command("config-schema")
def config_schema() -> None:
    """Print the JSON Schema of training configs, for editors."""
    from nextrec.cli.config import TrainConfig

    typer.echo(json.dumps(TrainConfig.model_json_schema(), indent=2))


DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="As `nextrec data list` has it.")]


@data_app.command("list")
def data_list(debug: Debug = False) -> None:
    """List the public data sets that have a loader."""
    with told(debug):
        from nextrec.cli.data import show_list

        show_list()


@data_app.command("show")
def data_show(name: DatasetName, debug: Debug = False) -> None:
    """Show one whole: its files, columns, counts, terms and citation."""
    with told(debug):
        from nextrec.cli.data import show_one

        show_one(name)


@data_app.command("check")
def data_check(
    name: DatasetName,
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where its files are.")],
    category: Annotated[
        str | None, typer.Option(help="Which of amazon-reviews, such as Beauty.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when a count differs.")] = False,
    debug: Debug = False,
) -> None:
    """Load a data set from a folder and compare its counts with those published."""
    with told(debug):
        from nextrec.cli.data import check

        check(name, folder, category, strict)


def main() -> None:
    """Entry point of the command."""
    app()
