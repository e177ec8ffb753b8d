"""``medpipe demo``: phantoms, the whole recipe, a model trained on its features, the scores.

The runner is given, so that the command line and the Prefect flow show the same work.
"""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Progress
from medpipe.app.query import query_lake
from medpipe.app.run_report import RunReport
from medpipe.app.site import Site
from medpipe.app.train import Trained, TrainRequest, train_model
from medpipe.recipe.recipe import shipped_recipes
from medpipe.synth import make_archive

RECIPE = "whole-archive"
MODEL = "nodule-kind"
SEED = 7
FEW = 20
"""Fewer studies than this give fewer folds."""

_COUNTS = """
    SELECT v.modality, v.kind, v.verdict, count(*) AS volumes, count(store) AS stored
    FROM volumes v GROUP BY ALL ORDER BY ALL
"""
_OUTCOMES = "SELECT outcome, code, count(*) AS files FROM instances GROUP BY ALL ORDER BY files DESC, outcome, code"
_FEATURES = """
    SELECT volume_key[:8] AS volume, region, extraction, stat_mean, morph_volume, cm_contrast_3D_avg
    FROM features WHERE extraction = 'radiomics' AND region = 'gtv' ORDER BY volume_key LIMIT 4
"""
_SCORES = """
    SELECT model, target, class, count(*) AS rows, round(min(value), 3) AS lowest, round(max(value), 3) AS highest
    FROM scores GROUP BY ALL ORDER BY ALL
"""

_NEXT = "SELECT * FROM quarantine"

Runner = Callable[[RunRequest, Progress], RunReport]


def run_demo(out: Path, *, studies: int, site: Site, run: Runner, progress: Progress) -> list[str]:
    """Do the whole way once in a folder; return the lines to show.

    A second call in the same folder finds everything committed and is quick.
    """
    phantoms, lake = out / "phantoms", out / "lake"
    if not phantoms.exists():
        _synthesize(phantoms, studies, progress)
    request = RunRequest(recipe=RECIPE, archives=(phantoms / "archive",), lake=lake, site=site)
    first = run(request, progress)
    progress.stage("train", None)
    trained = train_model(_training(lake, phantoms / "truth" / "labels.csv", folds=5 if studies >= FEW else 3))
    recipe = _recipe_with_model(out / "demo.toml")
    second = run(replace(request, recipe=str(recipe)), progress)
    return _shown(out, lake, first, second, trained)


def _synthesize(phantoms: Path, studies: int, progress: Progress) -> None:
    progress.stage("synth", studies)
    # written aside, so that phantoms which are there are whole, whatever ended a call before this one
    aside = phantoms.with_name(".phantoms")
    shutil.rmtree(aside, ignore_errors=True)
    make_archive(aside, studies=studies, seed=SEED, on_progress=lambda _done, _all: progress.advance())
    aside.rename(phantoms)


def _training(lake: Path, labels: Path, *, folds: int) -> TrainRequest:
    return TrainRequest(
        lake=lake,
        labels=labels,
        target="nodule_kind",
        name=MODEL,
        region="gtv",
        extractions=("radiomics",),
        folds=folds,
        demonstration=True,
        description="Trained on phantoms; shows the way and is of no use on people",
    )


def _recipe_with_model(path: Path) -> Path:
    """Write the shipped recipe again, its CT route scoring with the model just trained."""
    tables = tomllib.loads(shipped_recipes()[RECIPE])
    tables["name"] = "demo"
    for route in tables["route"]:
        if route["name"] == "ct":
            route["models"] = [*route["models"], f"{MODEL}@latest"]
    path.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return path


def _shown(out: Path, lake: Path, first: RunReport, second: RunReport, trained: Trained) -> list[str]:
    metrics = trained.facts()["held-out patients"]
    ran_again = (
        f"{second.planned} cases with the model just trained, {second.executed} executed, {second.seconds:.1f} s"
    )
    return [
        "",
        f"first run:   {first.planned} cases, {first.executed} executed, {first.seconds:.1f} s",
        f"second run:  {ran_again}: features were taken, only scores computed",
        "",
        "Files by outcome",
        *_asked(lake, _OUTCOMES),
        "",
        "Volumes by modality",
        *_asked(lake, _COUNTS),
        "",
        "Features (a few rows and columns)",
        *_asked(lake, _FEATURES),
        "",
        "Scores",
        *_asked(lake, _SCORES),
        "",
        f"Model {MODEL}: AUC {metrics['auc']:.3f} on held-out patients ({trained.facts()['trained on']}); phantoms, a demonstration",
        "",
        f"The lake is {lake}. What to type next:",
        f"  medpipe query {lake} '{_NEXT}'",
        f"  medpipe status {lake}",
        f"  medpipe export {lake} features -o {out / 'features.csv'}",
        f"  medpipe run YOUR_ARCHIVE --lake YOUR_LAKE -r {RECIPE}",
    ]


def _asked(lake: Path, sql: str) -> list[str]:
    columns, rows = query_lake(lake, sql)
    return _aligned([columns, *rows])


def _aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [
        [f"{value:.5g}" if isinstance(value, float) else str("-" if value is None else value) for value in row]
        for row in rows
    ]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]
