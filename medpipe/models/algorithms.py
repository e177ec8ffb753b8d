"""The algorithms ``train`` offers: each a pipeline with everything it learns inside.

A support vector machine keeps standardized training rows (its support vectors) in its file;
the others keep only what they derived. Who shares models of patients should know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from medpipe.errors import ConfigError, IntegrityError
from medpipe.models.score import one_thread

Algorithm = Literal["logistic", "random_forest", "gradient_boosting", "svm"]
Array = np.ndarray[Any, Any]

CALIBRATION_FOLDS = 3
"""Inner folds on which the probabilities of a support vector machine are scaled."""


def fit(algorithm: Algorithm, x: Array, y: Array, groups: Array, *, seed: int) -> Any:
    """Return a fitted estimator.

    Parameters
    ----------
    algorithm : {"logistic", "random_forest", "gradient_boosting", "svm"}
    x : array of float64, shape (n, p)
        NaN where missing; the pipelines impute the median.
    y : array of str, shape (n,)
    groups : array of int, shape (n,)
        Patients; inner splits keep each on one side.
    seed : int

    Raises
    ------
    ConfigError
        If there are too few patients for the inner folds.
    """
    with one_thread():
        estimator = ALGORITHMS[algorithm](x, y, groups, seed).fit(x, y)
    if algorithm == "svm":
        # the splits were the training's; kept, they would only put row numbers into the file
        estimator.set_params(cv=None)
    return estimator


def grouped_splits(y: Array, groups: Array, *, folds: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """Yield (train, test) row numbers: classes balanced, no patient on both sides.

    Raises
    ------
    ConfigError
        If a class has fewer patients than folds, or a training side lacks a class.
    IntegrityError
        If a patient is on both sides.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes = np.unique(y)
    fewest = min(np.unique(groups[y == name]).size for name in classes)
    if classes.size < 2 or fewest < folds:
        raise ConfigError(
            f"training: {classes.size} class(es), the smallest of {fewest} patients; {folds} folds need more"
        )
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(np.zeros((y.size, 1)), y, groups):
        assert_disjoint(groups[train], groups[test])
        if np.unique(y[train]).size < classes.size:
            raise ConfigError("training: a fold would train without one of the classes; use fewer folds")
        yield train, test


def assert_disjoint(train_groups: Array, test_groups: Array) -> None:
    """Check that no patient is on both sides of a split.

    Raises
    ------
    IntegrityError
        If one is: every metric of such a split would be too good.
    """
    if np.intersect1d(train_groups, test_groups).size:
        raise IntegrityError("training: a patient is on both sides of a split")


def _imputer() -> Any:
    from sklearn.impute import SimpleImputer

    # a column may be all missing in one fold; dropping it there would shift the others
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _scaled(model: Any) -> Any:
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline([("imputer", _imputer()), ("scaler", StandardScaler()), ("model", model)])


def _logistic(_x: Array, _y: Array, _groups: Array, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return _scaled(LogisticRegression(C=0.1, max_iter=5000, random_state=seed))


def _random_forest(_x: Array, _y: Array, _groups: Array, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import Pipeline

    forest = RandomForestClassifier(n_estimators=200, min_samples_leaf=3, random_state=seed, n_jobs=1)
    return Pipeline([("imputer", _imputer()), ("model", forest)])


def _gradient_boosting(_x: Array, _y: Array, _groups: Array, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.pipeline import Pipeline

    boosting = GradientBoostingClassifier(n_estimators=100, max_depth=2, random_state=seed)
    return Pipeline([("imputer", _imputer()), ("model", boosting)])


def _svm(_x: Array, y: Array, groups: Array, seed: int) -> Any:
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.svm import SVC

    splits = list(grouped_splits(y, groups, folds=CALIBRATION_FOLDS, seed=seed))
    return CalibratedClassifierCV(_scaled(SVC(C=1.0)), cv=splits, ensemble=False)


ALGORITHMS: Mapping[str, Callable[[Array, Array, Array, int], Any]] = {
    "logistic": _logistic,
    "random_forest": _random_forest,
    "gradient_boosting": _gradient_boosting,
    "svm": _svm,
}
"""Makers of unfitted estimators by name, of (x, y, groups, seed)."""
