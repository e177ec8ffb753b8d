"""Metrics: by hand, by law, and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from medpipe.errors import ConfigError
from medpipe.models.evaluate import (
    auc,
    bootstrap_interval,
    brier,
    calibration_error,
    confusion,
    evaluate,
    youden_threshold,
)


def draw(seed, n=200, levels=None):
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    score = np.clip(0.5 * rng.random(n) + 0.3 * truth, 0, 1)
    return truth, np.round(score * levels) / levels if levels else score


@pytest.mark.parametrize("levels", [None, 10, 2])
@pytest.mark.parametrize("seed", range(5))
def test_auc_equals_scikit_learn_with_and_without_ties(seed, levels):
    truth, score = draw(seed, levels=levels)
    assert auc(truth, score) == pytest.approx(oracle.roc_auc_score(truth, score), abs=1e-12)


def test_auc_of_four_samples_by_hand():
    truth = np.array([False, True, False, True])
    assert auc(truth, np.array([0.1, 0.4, 0.4, 0.8])) == 0.875
    assert auc(truth, np.zeros(4)) == 0.5


@pytest.mark.parametrize("truth", [[True, True], [False, False], []])
def test_auc_with_one_class_is_nan_not_one_half(truth):
    assert math.isnan(auc(np.array(truth, dtype=bool), np.linspace(0, 1, len(truth))))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60))
def test_auc_of_turned_scores_is_one_minus_auc(pairs):
    truth = np.array([pair[0] for pair in pairs])
    score = np.array([pair[1] for pair in pairs], dtype=float)
    value = auc(truth, score)
    assert math.isnan(value) or auc(truth, -score) == pytest.approx(1 - value, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_decision_metrics_equal_scikit_learn(seed):
    truth, score = draw(seed)
    result = evaluate(truth, score, threshold=0.45, resamples=10)
    decided = score >= 0.45
    expected = {
        "accuracy": oracle.accuracy_score(truth, decided),
        "balanced_accuracy": oracle.balanced_accuracy_score(truth, decided),
        "sensitivity": oracle.recall_score(truth, decided),
        "specificity": oracle.recall_score(~truth, ~decided),
        "precision": oracle.precision_score(truth, decided),
        "f1": oracle.f1_score(truth, decided),
        "mcc": oracle.matthews_corrcoef(truth, decided),
        "brier": oracle.brier_score_loss(truth, score),
        "auc": oracle.roc_auc_score(truth, score),
    }
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_what_is_undefined_is_nan():
    counts = confusion(np.array([True, True]), np.array([True, False]))
    assert counts.sensitivity == 0.5
    assert math.isnan(counts.specificity)
    assert math.isnan(counts.balanced_accuracy)
    assert math.isnan(counts.mcc)
    assert math.isnan(brier(np.zeros(0, bool), np.zeros(0)))


def test_calibration_error_by_hand():
    truth = np.array([False, True, True, True])
    score = np.array([0.2, 0.4, 0.6, 1.0])
    assert calibration_error(truth, score, bins=2) == pytest.approx(0.5 * 0.2 + 0.5 * 0.2)
    assert calibration_error(truth, truth.astype(float)) == 0


def test_youden_threshold_parts_separable_scores():
    truth = np.array([False, False, True, True])
    assert youden_threshold(truth, np.array([0.1, 0.2, 0.7, 0.9])) == 0.7


def test_bootstrap_draws_whole_patients():
    groups = np.array(["a", "a", "b", "b", "c"])
    seen = []
    bootstrap_interval(lambda at: seen.append(at) or 0.0, groups, seed=1, resamples=20)
    for at in seen:
        counts = np.bincount(at, minlength=5)
        assert counts[0] == counts[1]
        assert counts[2] == counts[3]


def test_bootstrap_interval_is_seeded_and_holds_the_value():
    truth, score = draw(3, n=120)
    groups = np.arange(120) // 2
    first = evaluate(truth, score, groups, seed=5, resamples=200)
    assert first == evaluate(truth, score, groups, seed=5, resamples=200)
    assert first["auc_lower"] < first["auc"] < first["auc_upper"]
    assert first["n_groups"] == 60


def test_bootstrap_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(100):
        values = np.repeat(rng.normal(size=40), 3)
        low, high = bootstrap_interval(
            lambda at, v=values: float(v[at].mean()), np.arange(120) // 3, seed=seed, resamples=200
        )
        covered += low <= 0 <= high
    assert 86 <= covered <= 100


def test_evaluation_refuses_what_it_cannot_measure():
    with pytest.raises(ConfigError, match="one length"):
        evaluate(np.array([True]), np.array([0.1, 0.2]))
    with pytest.raises(ConfigError, match="not finite"):
        evaluate(np.array([True, False]), np.array([0.1, np.nan]))
