from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from medpipe.app.models import list_models, package_of, resolver
from medpipe.app.train import TrainRequest, train_model
from medpipe.cli import main
from medpipe.contracts.tables import FEATURE_DICTIONARY, SERIES, features_schema
from medpipe.errors import ConfigError, LakeError
from medpipe.lake.lake import Lake
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import load_secret
from medpipe.ranges import placed
from tests.cli.commands import write_key
from tests.lake.at_once import publish_tables
from tests.models.cohort import COLUMNS, make_cohort

DIGEST = "d" * 64


@pytest.fixture
def cohort(tmp_path):
    """Return (request, labels): features of 40 patients in a lake, and a file of what they have."""
    key = write_key(tmp_path / "home")
    secret = load_secret(key)
    lake = Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=secret)
    rows, labels, groups = make_cohort(missing=0.0)
    names = Pseudonyms(secret)
    series = [f"1.2.{place}" for place in range(len(rows))]
    keys = [placed(names.key("series", uid), names.key("study", uid)) for uid in series]
    places = list(zip(rows, keys, groups, strict=True))
    features = [
        {
            "series_key": key_,
            "volume_key": row["region_key"],
            "region_key": row["region_key"],
            "region": "nodule",
            "image": "original",
            "extraction": "radiomics",
            "extraction_digest": DIGEST,
            "status": "ok",
            **{name: row["values"][name] for name in COLUMNS},
        }
        for row, key_, _ in places
    ]
    other = [{**row, "region": "body", "region_key": f"b{row['region_key']}"} for row in features]
    dictionary = [{"extraction": "radiomics", "extraction_digest": DIGEST, "name": name} for name in COLUMNS]
    tables = {
        "features": (features_schema(COLUMNS), features + other),
        "feature_dictionary": (FEATURE_DICTIONARY, dictionary),
        "series": (SERIES, [{"series_key": key_, "patient_key": group} for _, key_, group in places]),
    }
    publish_tables(lake, recipe_name="mine", snapshot="ab" * 16, tables=tables)
    path = tmp_path / "labels.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("series_instance_uid", "kind"), *zip(series, labels, strict=True)])
    request = TrainRequest(lake=lake.root, labels=path, target="kind", name="mine", region="nodule", key=key)
    return request, dict(zip(keys, labels, strict=True))


def test_a_model_is_trained_on_the_regions_that_have_a_label(cohort):
    request, labels = cohort
    card = train_model(request).package.card
    assert card.trained_on.n_rows == len(labels)
    assert card.trained_on.n_groups == 40
    assert card.metrics["auc"] > 0.7
    assert {(item.region, item.extraction_digest) for item in card.inputs} == {("nodule", DIGEST)}
    assert card.classes == ("benign", "malignant")


def test_labels_by_key_and_by_uid_train_the_same_model(cohort):
    request, labels = cohort
    by_uid = train_model(request).package.digest
    with request.labels.open("w", newline="") as file:
        csv.writer(file).writerows([("series_key", "kind"), *labels.items()])
    assert train_model(request).package.digest == by_uid


def test_the_same_training_gives_the_same_package_and_is_registered_once(cohort):
    request, _ = cohort
    first, second = train_model(request).package, train_model(request).package
    assert first.digest == second.digest
    found = [row for row in list_models(request.lake) if row["from"] == "lake"]
    assert [row["name"] for row in found] == ["mine"]
    assert package_of(Lake.open(request.lake), first.digest).card.name == "mine"


def test_the_latest_of_a_name_is_what_a_recipe_gets(cohort):
    request, _ = cohort
    train_model(request)
    latest = train_model(replace(request, seed=1)).package.digest
    assert resolver(Lake.open(request.lake))("mine@latest").digest == latest
    assert resolver(Lake.open(request.lake))(f"mine@{latest[:8]}").digest == latest


def test_series_without_a_label_are_left_out(cohort):
    request, labels = cohort
    kept = dict(list(labels.items())[:60])
    with request.labels.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("series_key", "kind"), *kept.items(), (list(labels)[70], ""), ("0" * 32, "benign")]
        )
    assert train_model(request).package.card.trained_on.n_rows == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "labels.csv: cannot be read"),
        ("", "columns series_instance_uid or series_key, and kind, are needed"),
        ("series_instance_uid,sort\n1.2.0,benign\n", "and kind, are needed"),
        ("series,kind\n1.2.0,benign\n", "columns series_instance_uid or series_key"),
        ("series_instance_uid,kind\n9.9.9,benign\n", "no features of region 'nodule' belong to a series of labels.csv"),
        ("series_instance_uid,kind\n1.2.0,benign\n", ""),
    ],
)
def test_labels_that_do_not_do_are_refused_and_register_nothing(cohort, text, said):
    request, _ = cohort
    request.labels.unlink()
    if text is not None:
        request.labels.write_text(text)
    with pytest.raises(ConfigError) as refused:
        train_model(request)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [row for row in list_models(request.lake) if row["from"] == "lake"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": "liver"}, "region 'liver'"),
        ({"extractions": ("wavelet",)}, "no features"),
        ({"algorithm": "oracle"}, "oracle"),
        ({"name": "My Model"}, "model name"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(cohort, changes, said):
    request, _ = cohort
    with pytest.raises(ConfigError) as refused:
        train_model(replace(request, **changes))
    assert said in str(refused.value)


def test_another_key_is_refused_since_it_knows_other_series(cohort, tmp_path):
    request, _ = cohort
    with pytest.raises(LakeError, match="was made with key"):
        train_model(replace(request, key=write_key(tmp_path / "other", digit="6")))


def test_the_command_prints_what_was_trained(cohort, capsys):
    request, _ = cohort
    words = [
        "--labels",
        request.labels,
        "--target",
        "kind",
        "--name",
        "mine",
        "--region",
        "nodule",
        "--key",
        request.key,
    ]
    assert main.run([str(word) for word in ("train", request.lake, *words)]) == 0
    shown = capsys.readouterr().out
    assert "80 regions of 40 patients" in shown
    assert "auc" in shown
    assert main.run(["models", str(request.lake)]) == 0
    assert "mine" in capsys.readouterr().out
