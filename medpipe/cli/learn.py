"""Commands that learn from a lake, bring what was learnt elsewhere, list both and take names back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medpipe.cli.options import JSON, KEY, LAKE_ARGUMENT
from medpipe.cli.root import app
from medpipe.cli.show import print_json, print_pairs, print_table


@app.command()
def train(
    *,
    lake: LAKE_ARGUMENT,
    labels: Annotated[Path, typer.Option(help="CSV with series_instance_uid (or series_key) and the target column")],
    target: Annotated[str, typer.Option(help="column of the CSV to predict")],
    name: Annotated[str, typer.Option(help="name of the model")],
    region: Annotated[str, typer.Option(help="region whose features are the inputs")],
    extraction: Annotated[list[str] | None, typer.Option(help="extractions to use (default: all)")] = None,
    algorithm: Annotated[str, typer.Option(help="logistic, random_forest, gradient_boosting or svm")] = "logistic",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="seed of the folds")] = 0,
    folds: Annotated[int, typer.Option(min=2, help="folds of the cross-validation, by patient")] = 5,
    key: KEY = None,
    as_json: JSON = False,
) -> int:
    """Train a model on the features table, grouped by patient, and keep it in the lake."""
    from medpipe.app.train import TrainRequest, train_model

    request = TrainRequest(
        lake=lake,
        labels=labels,
        target=target,
        name=name,
        region=region,
        extractions=tuple(extraction or ()),
        algorithm=algorithm,
        seed=seed,
        folds=folds,
        key=key,
    )
    facts = train_model(request).facts()
    print_json(facts) if as_json else print_pairs("model", facts)
    return 0


@app.command()
def register(
    *,
    lake: LAKE_ARGUMENT,
    network: Annotated[Path, typer.Argument(readable=False, help="ONNX file, numbers and all")],
    card: Annotated[Path, typer.Option(readable=False, help="TOML that says what the network takes and gives")],
    name: Annotated[str, typer.Option(help="name of the network (default: that of the card)")] = "",
    as_json: JSON = False,
) -> int:
    """Try a network in a sandbox and keep it in the lake, for the ops learned and deep."""
    from medpipe.app.networks import RegisterRequest, register_network

    request = RegisterRequest(lake=lake, network=network, card=card, name=name)
    facts = register_network(request).facts()
    print_json(facts) if as_json else print_pairs("network", facts)
    return 0


@app.command()
def unregister(
    *,
    lake: LAKE_ARGUMENT,
    name: Annotated[str, typer.Argument(help="name of a model or network of the lake")],
    fit: Annotated[bool, typer.Option("--fit", help="it is the name of a fit")] = False,
    as_json: JSON = False,
) -> int:
    """Take the name of a model, network or fit back: recipes that name it are refused, those that pin it go on."""
    from medpipe.app.unregister import unregister as take_back

    facts = take_back(lake, name, fit=fit).facts()
    print_json(facts) if as_json else print_pairs("taken back", facts)
    return 0


@app.command()
def models(*, lake: LAKE_ARGUMENT, as_json: JSON = False) -> int:
    """List the models a recipe may name: the lake's own and the shipped ones."""
    from medpipe.app.models import list_models

    rows = list_models(lake)
    columns = ("name", "digest", "from", "target", "algorithm", "auc", "demonstration")
    if as_json:
        print_json(rows)
    else:
        print_table(columns, [[row.get(column) for column in columns] for row in rows])
    return 0


@app.command()
def fit(
    *,
    lake: LAKE_ARGUMENT,
    recipe: Annotated[str, typer.Option("-r", "--recipe", help="name of the recipe whose run observed the landmarks")],
    extraction: Annotated[str, typer.Option(help="its extraction by the op landmarks, of the region whole")],
    name: Annotated[str, typer.Option(help="name of the fit")],
    kind: Annotated[str, typer.Option(help="nyul (for the op nyul) or quantiles (for match)")] = "nyul",
    refit: Annotated[bool, typer.Option("--refit", help="let it become the latest of a name that is there")] = False,
    as_json: JSON = False,
) -> int:
    """Fit a standard over the images of a recipe's last run, and keep it in the lake."""
    from medpipe.app.fit import FitRequest, fit_standard

    request = FitRequest(lake=lake, recipe=recipe, extraction=extraction, name=name, kind=kind, refit=refit)
    facts = fit_standard(request).facts()
    print_json(facts) if as_json else print_pairs("fit", facts)
    return 0


@app.command()
def fits(*, lake: LAKE_ARGUMENT, as_json: JSON = False) -> int:
    """List the standards a recipe may name, with the ops their images had gone through."""
    from medpipe.app.standards import list_fits

    rows = list_fits(lake)
    columns = ("name", "digest", "kind", "images", "after")
    if as_json:
        print_json(rows)
    else:
        print_table(columns, [[row.get(column) for column in columns] for row in rows])
    return 0
