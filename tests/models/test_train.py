"""Training: honest splits, stable digests, and clear refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.contracts.protocols import ScoreInput
from medpipe.errors import ConfigError, IntegrityError
from medpipe.models import train as train_module
from medpipe.models.algorithms import assert_disjoint, grouped_splits
from medpipe.models.evaluate import auc
from medpipe.models.package import load
from medpipe.models.samples import gather
from medpipe.models.train import TrainSpec, train

from .cohort import EVERY, feature_row, make_cohort, make_spec


def test_the_order_of_rows_and_of_columns_does_not_change_the_model(cohort, packages):
    rows, labels, groups = cohort
    order = np.random.default_rng(1).permutation(len(rows))
    turned = [rows[i] | {"values": dict(reversed(rows[i]["values"].items()))} for i in order]
    again = train(turned, [labels[i] for i in order], [groups[i] for i in order], spec=make_spec(folds=3))
    assert again.digest == packages["logistic"].digest


def test_other_pseudonyms_do_not_change_the_model(cohort, packages):
    rows, labels, groups = cohort
    renamed = [row | {"region_key": row["region_key"][::-1] + "x"} for row in rows]
    again = train(renamed, labels, [group[::-1] + "y" for group in groups], spec=make_spec(folds=3))
    assert again.digest == packages["logistic"].digest


def test_no_patient_is_on_both_sides_of_a_split(cohort):
    samples = gather(*cohort, inputs=EVERY)
    tested = []
    for train_rows, test_rows in grouped_splits(samples.y, samples.groups, folds=5, seed=3):
        assert not set(samples.groups[train_rows]) & set(samples.groups[test_rows])
        tested += test_rows.tolist()
    assert sorted(tested) == list(range(samples.y.size))


def test_a_leak_is_an_alarm():
    with pytest.raises(IntegrityError, match="both sides"):
        assert_disjoint(np.array([1, 2, 3]), np.array([3, 4]))


def test_nothing_is_fitted_outside_the_folds(cohort, monkeypatch):
    fitted = []
    real = train_module.fit

    def spy(algorithm, x, y, groups, *, seed):
        fitted.append(frozenset(groups.tolist()))
        return real(algorithm, x, y, groups, seed=seed)

    monkeypatch.setattr(train_module, "fit", spy)
    train(*cohort, spec=make_spec(folds=4))
    everyone = fitted[-1]
    held_out = [everyone - part for part in fitted[:-1]]
    assert len(held_out) == 4
    assert all(held_out)
    assert frozenset().union(*held_out) == everyone


def test_labels_that_mean_nothing_score_about_one_half():
    rows, _, groups = make_cohort(n_patients=60)
    rng = np.random.default_rng(11)
    by_patient = {group: "ab"[int(rng.integers(2))] for group in sorted(set(groups))}
    card = train(rows, [by_patient[group] for group in groups], groups, spec=make_spec()).card
    assert 0.3 < card.metrics["auc"] < 0.7
    assert card.metrics["auc_lower"] < 0.5 < card.metrics["auc_upper"]


def test_a_column_that_marks_the_patient_does_not_help():
    """Random labels and a value unique to each patient: splits by row would score near 1."""
    rng = np.random.default_rng(2)
    rows, labels, groups = [], [], []
    for patient in range(40):
        mark = rng.normal()
        for lesion in range(5):
            rows.append(feature_row({"mark": mark + 1e-3 * rng.normal()}, key=f"{patient}-{lesion}"))
            labels.append("ab"[patient % 2])
            groups.append(patient)
    card = train(rows, labels, groups, spec=make_spec(algorithm="gradient_boosting")).card
    assert card.metrics["auc"] < 0.75


def test_separable_classes_are_told_apart():
    rows, labels, groups = make_cohort()
    shifted = [
        row | {"values": row["values"] | {"stat_mean": 1e4 * (label == "malignant") + i}}
        for i, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    card = train(shifted, labels, groups, spec=make_spec(algorithm="random_forest")).card
    assert card.metrics["auc"] > 0.99
    assert card.threshold is not None
    assert card.positive == "malignant"


def test_columns_that_say_nothing_are_dropped_with_the_reason(packages):
    card = packages["logistic"].card
    assert card.dropped == {
        "original/radiomics/always_same": "constant",
        "original/radiomics/never_there": "all missing",
    }
    assert len(card.inputs) == 6


def test_an_input_s_distribution_is_on_the_card(cohort, packages):
    values = [row["values"]["stat_mean"] for row in cohort[0] if row["values"]["stat_mean"] is not None]
    item = next(item for item in packages["logistic"].card.inputs if item.column == "stat_mean")
    assert (item.low, item.high) == (min(values), max(values))
    assert (item.mean, item.sd) == pytest.approx((np.mean(values), np.std(values)))
    assert item.extraction_digest == "d" * 64


def test_the_positive_class_turns_the_threshold_not_the_auc(cohort):
    card = train(*cohort, spec=make_spec(positive="benign")).card
    other = train(*cohort, spec=make_spec()).card
    assert card.positive == "benign"
    assert card.metrics["auc"] == pytest.approx(other.metrics["auc"], abs=1e-12)


@pytest.mark.parametrize("algorithm", ["logistic", "gradient_boosting", "svm"])
def test_three_classes_give_three_probabilities(algorithm):
    rows, labels, groups = make_cohort(n_patients=36, classes=("a", "b", "c"))
    package = train(rows, labels, groups, spec=make_spec(algorithm=algorithm, folds=3))
    records = load(package)(rows[:1])
    assert [record["class"] for record in records] == ["a", "b", "c"]
    assert sum(record["value"] for record in records) == pytest.approx(1)
    assert package.card.threshold is None
    assert 0.5 < package.card.metrics["auc"] <= 1


def test_rows_of_two_images_make_one_sample():
    rows, labels, groups = make_cohort(n_patients=12)
    twin = [row | {"image": "final", "values": {"lbp_0": float(i)}} for i, row in enumerate(rows)]
    inputs = (*EVERY, ScoreInput(region="nodule", image="final", extraction="radiomics", column="lbp_0"))
    samples = gather(rows + twin, labels * 2, groups * 2, inputs=inputs)
    assert samples.x.shape == (24, 9)
    assert sorted(samples.x[:, -1]) == list(range(24))


def test_named_columns_alone_are_used(cohort):
    inputs = tuple(replace(EVERY[0], column=name) for name in ("morph_volume", "stat_mean"))
    card = train(*cohort, spec=make_spec(inputs=inputs)).card
    assert [item.column for item in card.inputs] == ["morph_volume", "stat_mean"]


def test_rows_of_other_regions_are_left_out(cohort):
    rows, labels, groups = cohort
    noise = [row | {"region": "body", "region_key": f"b{i}"} for i, row in enumerate(rows)]
    samples = gather(rows + noise, labels * 2, groups * 2, inputs=EVERY)
    assert samples.y.size == len(rows)


def one_class():
    rows, labels, groups = make_cohort(n_patients=8)
    return rows, ["a"] * len(labels), groups


def few_patients():
    return make_cohort(n_patients=4)


def no_label():
    rows, labels, groups = make_cohort(n_patients=8)
    return rows, [None, *labels[1:]], groups


def two_digests():
    rows, labels, groups = make_cohort(n_patients=8)
    return [rows[0] | {"extraction_digest": "e" * 64}, *rows[1:]], labels, groups


def doubled():
    rows, labels, groups = make_cohort(n_patients=8)
    return [rows[0], *rows], [labels[0], *labels], [groups[0], *groups]


def nothing_varies():
    rows, labels, groups = make_cohort(n_patients=20)
    return [row | {"values": {"x": 1.0}} for row in rows], labels, groups


def wrong_region():
    rows, labels, groups = make_cohort(n_patients=8)
    return [row | {"region": "body"} for row in rows], labels, groups


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (one_class, "one class"),
        (few_patients, "smallest of 2 patients"),
        (no_label, "no label"),
        (two_digests, "two digests"),
        (doubled, "doubled"),
        (nothing_varies, "no input column"),
        (wrong_region, "no row is of region"),
    ],
)
def test_what_cannot_be_trained_on_is_one_clear_line(make, match):
    with pytest.raises(ConfigError, match=match) as caught:
        train(*make(), spec=make_spec())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"algorithm": "magic"}, {"folds": 1}, {"seed": -1}, {"name": "No Name"}, {"positive": "none"}]
)
def test_a_wrong_spec_is_refused(cohort, change):
    with pytest.raises(ConfigError):
        train(*cohort, spec=make_spec(**change))


def test_the_reported_auc_is_that_of_the_out_of_fold_scores(cohort):
    spec: TrainSpec = make_spec()
    samples = gather(*cohort, inputs=spec.inputs)
    kept, _ = train_module._kept_columns(samples)
    probability = train_module._out_of_fold(samples.x[:, kept], samples, ("benign", "malignant"), spec)
    expected = auc(samples.y == "malignant", probability[:, 1])
    assert train(*cohort, spec=spec).card.metrics["auc"] == expected
