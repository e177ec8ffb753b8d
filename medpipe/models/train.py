"""Training: from feature rows to a packaged model with honest metrics.

Metrics are out of fold: each sample is scored by a model that saw none of its patient's rows,
not even for imputing or scaling. The packaged model is then fitted on all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medpipe.contracts.protocols import ScoreInput
from medpipe.errors import ConfigError
from medpipe.keys import finite_or_none
from medpipe.models.algorithms import ALGORITHMS, Algorithm, Array, fit, grouped_splits
from medpipe.models.card import ModelCard, ModelInput, check_name
from medpipe.models.evaluate import Index, auc, evaluate, with_limits, youden_threshold
from medpipe.models.package import Package, pack
from medpipe.models.samples import Samples, gather
from medpipe.models.score import one_thread

RELATIVE_CONSTANT = 1e-12
"""Standard deviation, relative to the largest magnitude, below which a column is constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSpec:
    """What to train.

    Attributes
    ----------
    name, target : str
        Of the model (see :class:`ModelCard`).
    inputs : tuple of ScoreInput
        Of one region; a column ``*`` stands for every column of its extraction.
    algorithm : {"logistic", "random_forest", "gradient_boosting", "svm"}
    positive : str
        Class the metrics speak of; empty for the last of two classes in alphabetical order.
    seed : int
        Of splits, estimators and the bootstrap.
    folds : int
        Folds of the cross-validation; each class needs as many patients.
    demonstration : bool
    description : str
    """

    name: str
    target: str
    inputs: tuple[ScoreInput, ...]
    algorithm: Algorithm = "logistic"
    positive: str = ""
    seed: int = 0
    folds: int = 5
    demonstration: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.algorithm not in ALGORITHMS:
            raise ConfigError(f"algorithm: {self.algorithm!r} is none of {', '.join(ALGORITHMS)}")
        if self.folds < 2 or not 0 <= self.seed < 2**32:
            raise ConfigError("training: folds must be at least 2, and the seed in 0 ... 2**32 - 1")


def train(
    rows: Sequence[Mapping[str, Any]], labels: Sequence[Any], groups: Sequence[Any], *, spec: TrainSpec
) -> Package:
    """Train a classification and package it.

    Parameters
    ----------
    rows : sequence of mapping
        Feature rows (see :func:`medpipe.models.samples.gather`).
    labels : sequence
        Class of each row.
    groups : sequence
        Patient of each row; no patient is on both sides of a split.
    spec : TrainSpec

    Returns
    -------
    Package
        The same for the same rows, in whatever order and under whatever pseudonyms.

    Raises
    ------
    ConfigError
        If there is one class only, a class has fewer patients than folds, or no column varies.
    """
    samples = gather(rows, labels, groups, inputs=spec.inputs)
    classes = tuple(np.unique(samples.y).tolist())
    if len(classes) < 2:
        raise ConfigError("training: all labels are of one class; two or more are needed")
    positive = _positive(spec, classes)
    kept, dropped = _kept_columns(samples)
    x = samples.x[:, kept]
    probability = _out_of_fold(x, samples, classes, spec)
    metrics, threshold = _metrics(samples, probability, classes, positive, spec)
    card = ModelCard(
        name=spec.name,
        target=spec.target,
        kind="classification",
        inputs=tuple(_described(samples, place) for place in kept),
        trained_on=samples.cohort,
        classes=classes,
        positive=positive,
        algorithm=spec.algorithm,
        seed=spec.seed,
        imputes=True,
        metrics={name: value for name, value in metrics.items() if finite_or_none(value) is not None},
        threshold=threshold,
        dropped=dropped,
        demonstration=spec.demonstration,
        description=spec.description,
    )
    return pack(fit(spec.algorithm, x, samples.y, samples.groups, seed=spec.seed), card)


def _positive(spec: TrainSpec, classes: tuple[str, ...]) -> str:
    if spec.positive:
        if spec.positive not in classes:
            raise ConfigError("training: no label is of the positive class named")
        return spec.positive
    return classes[-1] if len(classes) == 2 else ""


def _kept_columns(samples: Samples) -> tuple[list[int], dict[str, str]]:
    kept, dropped = [], {}
    for place, item in enumerate(samples.inputs):
        values = samples.x[:, place]
        values = values[~np.isnan(values)]
        name = f"{item.image}/{item.extraction}/{item.column}"
        if not values.size:
            dropped[name] = "all missing"
        elif values.std() <= RELATIVE_CONSTANT * np.abs(values).max():
            dropped[name] = "constant"
        else:
            kept.append(place)
    if not kept:
        raise ConfigError("training: no input column has values that vary")
    return kept, dropped


def _described(samples: Samples, place: int) -> ModelInput:
    item = samples.inputs[place]
    values = samples.x[:, place]
    return ModelInput(
        region=item.region,
        image=item.image,
        extraction=item.extraction,
        column=item.column,
        extraction_digest=samples.extraction_digests[item.image, item.extraction],
        low=float(np.nanmin(values)),
        high=float(np.nanmax(values)),
        mean=float(np.nanmean(values)),
        sd=float(np.nanstd(values)),
    )


def _out_of_fold(x: Array, samples: Samples, classes: tuple[str, ...], spec: TrainSpec) -> Array:
    """Return a probability per sample and class, each from a model that never saw its patient."""
    probability = np.full((len(x), len(classes)), np.nan)
    for train_rows, test_rows in grouped_splits(samples.y, samples.groups, folds=spec.folds, seed=spec.seed):
        estimator = fit(
            spec.algorithm, x[train_rows], samples.y[train_rows], samples.groups[train_rows], seed=spec.seed
        )
        with one_thread():
            probability[test_rows] = estimator.predict_proba(x[test_rows])
    return probability


def _metrics(
    samples: Samples, probability: Array, classes: tuple[str, ...], positive: str, spec: TrainSpec
) -> tuple[dict[str, float], float | None]:
    if len(classes) == 2:
        truth = samples.y == positive
        score = probability[:, classes.index(positive)]
        return evaluate(truth, score, samples.groups, seed=spec.seed), youden_threshold(truth, score)
    return _metrics_of_many(samples, probability, classes, spec.seed), None


def _metrics_of_many(samples: Samples, probability: Array, classes: tuple[str, ...], seed: int) -> dict[str, float]:
    """Return macro averages over classes: one-against-rest AUC, recall, and the summed Brier score."""
    truth = samples.y[:, None] == np.array(classes)[None, :]
    decided = np.argmax(probability, axis=1)[:, None] == np.arange(len(classes))[None, :]

    def macro_auc(at: Index) -> float:
        return float(np.mean([auc(truth[at, k], probability[at, k]) for k in range(len(classes))]))

    def balanced_accuracy(at: Index) -> float:
        with np.errstate(invalid="ignore"):
            return float(np.mean((truth & decided)[at].sum(axis=0) / truth[at].sum(axis=0)))

    def summed_brier(at: Index) -> float:
        return float(np.mean(np.sum((probability[at] - truth[at]) ** 2, axis=1)))

    result: dict[str, float] = {"n": float(truth.shape[0]), "n_groups": float(samples.cohort.n_groups)}
    for name, metric in (("auc", macro_auc), ("balanced_accuracy", balanced_accuracy), ("brier", summed_brier)):
        result |= with_limits(name, metric, samples.groups, seed=seed)
    return result
