"""Train the demonstration models that are shipped with the whole-archive recipe.

``make models`` runs this: phantoms of a fixed seed, the shipped recipe without models, one
model per modality that tells a noisy series from a clean one by its body region. The packages
replace those in ``medpipe/models/shipped``.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path

import tomli_w

from medpipe.app.prepare import RunRequest
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.app.train import TrainRequest, train_model
from medpipe.cli.progress import make_progress
from medpipe.models.package import write_package
from medpipe.models.resolve import SHIPPED_FOLDER
from medpipe.recipe.recipe import shipped_recipes
from medpipe.synth import make_archive

STUDIES = 60
SEED = 20260101
MODELS = {"phantom-ct-noise": "CT", "phantom-mr-noise": "MR", "phantom-pet-noise": "PT"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="medpipe-models-") as folder, make_progress() as progress:
        work = Path(folder)
        os.environ["XDG_CONFIG_HOME"] = str(work / "config")
        make_archive(work / "phantoms", studies=STUDIES, seed=SEED)
        recipe = _without_models(work / "recipe.toml")
        lake = work / "lake"
        archives = (work / "phantoms" / "archive",)
        run_archive(RunRequest(recipe=str(recipe), archives=archives, lake=lake, site=Site()), progress)
        for name, modality in MODELS.items():
            labels = _labels(work / "phantoms" / "truth" / "series.csv", modality, work / f"{name}.csv")
            trained = train_model(
                TrainRequest(
                    lake=lake,
                    labels=labels,
                    target="noise",
                    name=name,
                    region="body",
                    extractions=("radiomics",),
                    demonstration=True,
                    description="Tells noisy from clean phantoms; a demonstration, of no use on people",
                )
            )
            shutil.rmtree(SHIPPED_FOLDER / name, ignore_errors=True)
            write_package(trained.package, SHIPPED_FOLDER / name)
            print(name, trained.package.digest[:16], "AUC", trained.package.card.metrics["auc"], file=sys.stderr)


def _without_models(path: Path) -> Path:
    tables = tomllib.loads(shipped_recipes()["whole-archive"])
    for route in tables["route"]:
        route.pop("models", None)
    path.write_text(tomli_w.dumps(tables), encoding="utf-8")
    return path


def _labels(series: Path, modality: str, out: Path) -> Path:
    with series.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["modality"] == modality and row["role"] != "localizer"]
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["series_instance_uid", "noise"])
        writer.writerows([row["series_instance_uid"], "noisy" if row["noisy"] == "1" else "clean"] for row in rows)
    return out


if __name__ == "__main__":
    main()
