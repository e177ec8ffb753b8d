"""Fixtures: the invented cohort, and a model of each algorithm trained on it."""

from __future__ import annotations

import pytest

from medpipe.models.package import Package
from medpipe.models.train import train

from .cohort import make_cohort, make_spec


@pytest.fixture(scope="session")
def cohort():
    return make_cohort()


@pytest.fixture(scope="session")
def packages(cohort) -> dict[str, Package]:
    names = ("logistic", "random_forest", "gradient_boosting", "svm")
    return {name: train(*cohort, spec=make_spec(algorithm=name, folds=3)) for name in names}
