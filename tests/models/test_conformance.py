"""What every model runtime must do; each packaged algorithm and a regression is held to it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from medpipe.contracts.protocols import Scorer
from medpipe.contracts.tables import SCORES
from medpipe.models.card import Cohort, ModelCard
from medpipe.models.package import Package, load, pack, read_package, write_package
from medpipe.models.resolve import read_shipped, shipped
from medpipe.reasons import REASONS

from .cohort import COLUMNS, feature_row

RUNTIMES = ["logistic", "random_forest", "gradient_boosting", "svm", "ridge"]


def regression(like: ModelCard, *, imputer: bool) -> Package:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, len(like.inputs))) * [i.sd for i in like.inputs] + [i.mean for i in like.inputs]
    steps = [("imputer", SimpleImputer())] * imputer + [("scaler", StandardScaler()), ("model", Ridge())]
    card = ModelCard(
        name="volume",
        target="growth",
        kind="regression",
        inputs=like.inputs,
        trained_on=Cohort(digest="0" * 64, n_rows=50, n_groups=50),
        imputes=imputer,
    )
    return pack(Pipeline(steps).fit(x, x[:, 0] - x[:, 1]), card)


@pytest.fixture(scope="module", params=[*RUNTIMES, *[f"shipped:{item.digest[:12]}" for item in shipped()]])
def package(request, packages):
    if request.param.startswith("shipped:"):
        return read_shipped(next(item for item in shipped() if request.param.endswith(item.digest[:12])))
    if request.param == "ridge":
        return regression(packages["logistic"].card, imputer=True)
    return packages[request.param]


@pytest.fixture(scope="module")
def scorer(package):
    return load(package)


def rows_for(card, *, labels=(1,), step=0.0, digest=None):
    """Return the rows of one case with the training means, ``step`` deviations away."""
    rows = []
    for label in labels:
        values: dict[tuple[str, str], dict[str, float]] = {}
        for item in card.inputs:
            values.setdefault(item.place, {})[item.column] = item.mean + step * label * item.sd
        for (image, extraction), named in values.items():
            own = next(item.extraction_digest for item in card.inputs if item.place == (image, extraction))
            rows.append(
                {
                    "region": card.region,
                    "label": label,
                    "image": image,
                    "extraction": extraction,
                    "extraction_digest": digest or own,
                    "values": named,
                }
            )
    return rows


def test_it_is_a_scorer(scorer, package):
    assert isinstance(scorer, Scorer)
    assert (scorer.name, scorer.digest) == (package.card.name, package.digest)
    assert tuple(scorer.inputs) == package.card.inputs


def test_records_fit_the_scores_table(scorer):
    known = {field.name for field in SCORES.fields}
    records = scorer(rows_for(scorer.card))
    assert len(records) == max(1, len(scorer.card.classes))
    for record in records:
        assert set(record) - {"region", "label"} == known - {"series_key", "volume_key", "region_key", "modality"}
        assert type(record["value"]) is float
        assert record["status"] == "ok"
        assert (record["model"], record["target"]) == (scorer.name, scorer.card.target)


def test_probabilities_are_of_the_classes_in_order_and_sum_to_one(scorer):
    records = scorer(rows_for(scorer.card))
    if scorer.card.kind == "regression":
        assert [record["class"] for record in records] == [None]
        return
    assert tuple(record["class"] for record in records) == scorer.card.classes
    assert sum(record["value"] for record in records) == pytest.approx(1, abs=1e-12)


def test_scoring_again_and_after_a_round_trip_gives_the_same_bits(scorer, package, tmp_path):
    rows = rows_for(scorer.card, labels=(1, 2, 3), step=0.4)
    write_package(package, tmp_path / "m")
    assert scorer(rows) == scorer(rows) == load(read_package(tmp_path / "m"))(rows)


def test_permuted_columns_and_rows_give_equal_scores(scorer):
    rows = rows_for(scorer.card, labels=(1, 2, 3), step=0.4)
    turned = [row | {"values": dict(reversed(row["values"].items()))} for row in reversed(rows)]
    assert scorer(turned) == scorer(rows)


def test_a_score_does_not_depend_on_the_other_regions(scorer):
    rows = rows_for(scorer.card, labels=(1, 2, 3), step=0.4)
    per_place = len({item.place for item in scorer.card.inputs})
    alone = [record for start in range(0, len(rows), per_place) for record in scorer(rows[start : start + per_place])]
    assert scorer(rows) == alone


def test_other_regions_images_and_columns_are_ignored(scorer):
    rows = rows_for(scorer.card)
    extra = [row | {"region": "elsewhere", "values": {}} for row in rows]
    extra += [row | {"image": "elsewhere", "extraction_digest": "0" * 64, "values": {}} for row in rows]
    wide = [row | {"values": row["values"] | {"not_an_input": 1e9}} for row in rows]
    assert scorer(extra + wide) == scorer(rows)


def test_a_case_without_the_region_gives_no_record(scorer):
    assert scorer([]) == []
    assert scorer([row | {"region": "elsewhere"} for row in rows_for(scorer.card)]) == []


def test_another_extraction_gives_no_value_but_a_reason(scorer):
    (record,) = scorer(rows_for(scorer.card, digest="0" * 64))
    assert (record["value"], record["class"], record["status"]) == (None, None, "E_MODEL_INPUT")


def test_a_doubled_row_gives_no_value_but_a_reason(scorer):
    rows = rows_for(scorer.card)
    assert [record["status"] for record in scorer(rows + rows[:1])] == ["E_MODEL_INPUT"]


@pytest.mark.parametrize("lack", [None, float("nan"), float("inf"), 1e300, "gone"])
def test_without_any_value_there_is_no_score_but_a_reason(scorer, lack):
    rows = [
        row | {"values": {} if lack == "gone" else dict.fromkeys(row["values"], lack)} for row in rows_for(scorer.card)
    ]
    (record,) = scorer(rows)
    assert (record["value"], record["status"]) == (None, "MISSING_FEATURE")
    assert record["status"] in REASONS


def test_a_fifth_of_the_inputs_may_be_missing_and_no_more(scorer):
    if not scorer.card.imputes or len(scorer.card.inputs) < 5:
        pytest.skip("needs an imputer and five inputs")
    rows = rows_for(scorer.card)
    allowed = len(scorer.card.inputs) // 5
    for item in scorer.card.inputs[:allowed]:
        rows[0]["values"][item.column] = None
    assert {record["status"] for record in scorer(rows)} == {"ok"}
    rows[0]["values"][scorer.card.inputs[allowed].column] = None
    assert {record["status"] for record in scorer(rows)} == {"MISSING_FEATURE"}


def test_no_input_is_written_to(scorer):
    rows = rows_for(scorer.card, labels=(2, 1))
    before = [row | {"values": dict(row["values"])} for row in rows]
    scorer(rows)
    assert rows == before


def test_without_an_imputer_one_missing_input_is_no_score(packages):
    scorer = load(regression(packages["logistic"].card, imputer=False))
    rows = rows_for(scorer.card)
    rows[0]["values"][scorer.card.inputs[0].column] = None
    assert [record["status"] for record in scorer(rows)] == ["MISSING_FEATURE"]


def test_regions_are_scored_by_label_each_with_its_own_values(packages):
    scorer = load(packages["logistic"])
    rows = rows_for(scorer.card, labels=(12, 2, 7), step=0.2)
    records = scorer(rows)
    assert [record["label"] for record in records] == [2, 2, 7, 7, 12, 12]
    assert len({record["value"] for record in records}) == 6


def test_values_far_out_of_training_are_scored_without_an_accident(packages):
    for name in RUNTIMES[:-1]:
        values = dict.fromkeys(COLUMNS, 1e29)
        records = load(packages[name])([feature_row(values)])
        assert all(record["status"] == "ok" and 0 <= record["value"] <= 1 for record in records)


def test_a_prediction_that_is_not_finite_is_no_value(packages):
    class Endless:
        def predict_proba(self, x):
            return np.full((len(x), 2), np.nan)

    scorer = load(packages["logistic"])
    scorer.estimator = Endless()
    assert [record["status"] for record in scorer(rows_for(scorer.card))] == ["E_MODEL_INPUT"]
