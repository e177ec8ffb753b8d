"""Metrics of a classification, and their confidence limits over patients.

Everything is plain NumPy: a score and a truth per sample, and a group (the patient) that a
bootstrap draws whole. What is undefined is NaN, never a neutral-looking number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from medpipe.errors import ConfigError

Floats = np.ndarray[Any, np.dtype[np.float64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Index = np.ndarray[Any, np.dtype[np.intp]]

RESAMPLES = 1000
"""Bootstrap draws; the limits of a 95 % interval are then its 25th values from either end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Counts of a binary decision, and what follows from them (NaN where undefined)."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def sensitivity(self) -> float:
        """Share of the positives found: tp / (tp + fn)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the negatives found: tn / (tn + fp)."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return _ratio(self.tp + self.tn, self.tp + self.tn + self.fp + self.fn)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity; NaN unless both classes are there."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def precision(self) -> float:
        """Share of right among the positive decisions: tp / (tp + fp)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and sensitivity: 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float:
        """Matthews correlation coefficient; NaN where a row or a column of the table is empty."""
        sides = (self.tp + self.fp) * (self.tp + self.fn) * (self.tn + self.fp) * (self.tn + self.fn)
        return _ratio(self.tp * self.tn - self.fp * self.fn, math.sqrt(sides))


def confusion(truth: Bools, decided: Bools) -> Confusion:
    """Return the counts of a decision.

    Parameters
    ----------
    truth, decided : array of bool, shape (n,)
    """
    return Confusion(
        tp=int(np.sum(truth & decided)),
        fp=int(np.sum(~truth & decided)),
        tn=int(np.sum(~truth & ~decided)),
        fn=int(np.sum(truth & ~decided)),
    )


def auc(truth: Bools, score: Floats) -> float:
    """Return the area under the ROC curve; NaN with one class.

    The probability that a positive scores above a negative, ties counting half: from the sum
    of the positives' mid-ranks (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747).

    Parameters
    ----------
    truth : array of bool, shape (n,)
    score : array of float64, shape (n,)
    """
    positives = int(truth.sum())
    negatives = truth.size - positives
    if positives == 0 or negatives == 0:
        return math.nan
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    mid_rank = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mid_rank[place][truth].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def brier(truth: Bools, score: Floats) -> float:
    """Return the mean squared difference of probability and truth (0 is best; NaN if empty)."""
    return float(np.mean((score - truth) ** 2)) if truth.size else math.nan


def calibration_error(truth: Bools, score: Floats, *, bins: int = 10) -> float:
    """Return the expected calibration error over bins of equal mass; NaN if empty.

    Sum over bins of n_b / n * ``|mean truth - mean score|``, samples sorted by score.
    """
    if not truth.size:
        return math.nan
    order = np.argsort(score, kind="stable")
    parts = [part for part in np.array_split(order, bins) if part.size]
    gaps = [abs(float(truth[part].mean() - score[part].mean())) * part.size for part in parts]
    return sum(gaps) / truth.size


def youden_threshold(truth: Bools, score: Floats) -> float:
    """Return the score at which sensitivity + specificity is highest (the lowest such score)."""
    levels = np.unique(score)
    gains = [_informedness(confusion(truth, score >= level)) for level in levels]
    return float(levels[int(np.nanargmax(gains))])


def bootstrap_interval(
    metric: Callable[[Index], float],
    groups: np.ndarray[Any, Any],
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return percentile limits of a metric over draws of whole groups, with replacement.

    Parameters
    ----------
    metric : callable
        Value for the samples at the given indices, an index appearing as often as drawn.
    groups : array, shape (n,)
        The patient of each sample.
    seed : int
    resamples : int
    level : float
        Share of the draws between the limits.

    Returns
    -------
    (float, float)
        NaN where no draw defines the metric; draws that do not are left out.
    """
    rng = np.random.default_rng(seed)
    _, place = np.unique(groups, return_inverse=True)
    order = np.argsort(place, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(place))[:-1])
    drawn = (rng.integers(len(members), size=len(members)) for _ in range(resamples))
    values = np.array([metric(np.concatenate([members[group] for group in draw])) for draw in drawn])
    values = values[np.isfinite(values)]
    if not values.size:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def evaluate(
    truth: Bools,
    score: Floats,
    groups: np.ndarray[Any, Any] | None = None,
    *,
    threshold: float = 0.5,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, float]:
    """Return the metrics of a probability against the truth.

    Parameters
    ----------
    truth : array of bool, shape (n,)
        Whether the sample is of the positive class.
    score : array of float, shape (n,)
        Probability of the positive class.
    groups : array, shape (n,), optional
        The patient of each sample; without it every sample is its own.
    threshold : float
        Score from which the decision is positive.
    seed, resamples : int
        Of the bootstrap.

    Returns
    -------
    dict of str to float
        ``auc``, ``balanced_accuracy`` and ``brier`` with ``_lower`` and ``_upper`` (95 %), and
        ``accuracy``, ``sensitivity``, ``specificity``, ``precision``, ``f1``, ``mcc``,
        ``calibration_error``, ``threshold``, ``n``, ``n_positive``, ``n_groups``.

    Raises
    ------
    ConfigError
        If the arrays differ in length, are empty, or a score is not finite.
    """
    truth = np.asarray(truth, dtype=bool)
    score = np.asarray(score, dtype=np.float64)
    groups = np.arange(truth.size) if groups is None else np.asarray(groups)
    if not truth.size or not truth.shape == score.shape == groups.shape:
        raise ConfigError("evaluation: truth, score and groups must be lists of one length, not empty")
    if not np.isfinite(score).all():
        raise ConfigError("evaluation: a score is not finite; leave rows without a score out")
    result = _at_threshold(confusion(truth, score >= threshold))
    measured: dict[str, Callable[[Index], float]] = {
        "auc": lambda at: auc(truth[at], score[at]),
        "balanced_accuracy": lambda at: confusion(truth[at], score[at] >= threshold).balanced_accuracy,
        "brier": lambda at: brier(truth[at], score[at]),
    }
    for name, metric in measured.items():
        result |= with_limits(name, metric, groups, seed=seed, resamples=resamples)
    result["calibration_error"] = calibration_error(truth, score)
    counts = {"n": truth.size, "n_positive": truth.sum(), "n_groups": np.unique(groups).size}
    return result | {name: float(count) for name, count in counts.items()} | {"threshold": threshold}


def with_limits(
    name: str, metric: Callable[[Index], float], groups: np.ndarray[Any, Any], *, seed: int, resamples: int = RESAMPLES
) -> dict[str, float]:
    """Return a metric over all samples with its 95 % limits: ``name``, ``name_lower``, ``name_upper``."""
    low, high = bootstrap_interval(metric, groups, seed=seed, resamples=resamples)
    return {name: metric(np.arange(groups.size)), f"{name}_lower": low, f"{name}_upper": high}


def _at_threshold(counts: Confusion) -> dict[str, float]:
    names = ("accuracy", "sensitivity", "specificity", "precision", "f1", "mcc")
    return {name: getattr(counts, name) for name in names}


def _informedness(counts: Confusion) -> float:
    return counts.sensitivity + counts.specificity - 1


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
