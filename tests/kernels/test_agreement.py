"""Intraclass correlation against a published example and against analysis of variance spelled out."""

import math

import numpy as np
import pytest

from medpipe.kernels.agreement import KINDS, Agreement

JUDGED = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
"""Six subjects and four judges (Shrout and Fleiss 1979, table 2)."""

PUBLISHED = {"1_1": 0.17, "2_1": 0.29, "3_1": 0.71, "1_k": 0.44, "2_k": 0.62, "3_k": 0.91}


def agreement(values):
    """Return the agreement of values (subjects, repeats, quantities)."""
    sums = Agreement(values.shape[1], values.shape[2])
    for subject in values:
        sums.add(subject)
    return sums


def by_hand(values):
    """Return the coefficients of values (subjects, repeats) from sums of squares around means."""
    n, k = values.shape
    grand = values.mean()
    rows = sum(k * (row.mean() - grand) ** 2 for row in values) / (n - 1)
    columns = sum(n * (column.mean() - grand) ** 2 for column in values.T) / (k - 1)
    within = sum((value - row.mean()) ** 2 for row in values for value in row) / (n * (k - 1))
    left = sum(
        (values[i, j] - values[i].mean() - values[:, j].mean() + grand) ** 2 for i in range(n) for j in range(k)
    ) / ((n - 1) * (k - 1))
    return {
        "1_1": (rows - within) / (rows + (k - 1) * within),
        "2_1": (rows - left) / (rows + (k - 1) * left + k * (columns - left) / n),
        "3_1": (rows - left) / (rows + (k - 1) * left),
        "1_k": (rows - within) / rows,
        "2_k": (rows - left) / (rows + (columns - left) / n),
        "3_k": (rows - left) / rows,
    }


def test_the_published_example():
    found = agreement(JUDGED[..., None]).coefficients()
    assert {kind: round(float(found[kind][0]), 2) for kind in KINDS} == PUBLISHED


def test_the_intervals_of_the_example_are_those_of_its_f_ratios():
    ends = {
        kind: (float(low[0]), float(high[0])) for kind, (low, high) in agreement(JUDGED[..., None]).intervals().items()
    }
    # as the R package psych gives them for these data
    assert ends["1_1"] == pytest.approx((-0.133, 0.723), abs=1e-3)
    assert ends["3_1"] == pytest.approx((0.342, 0.946), abs=1e-3)


@pytest.mark.parametrize(("subjects", "repeats", "offset"), [(2, 2, 0.0), (7, 5, 0.0), (30, 10, 1e6)])
def test_coefficients_equal_an_analysis_of_variance(subjects, repeats, offset):
    rng = np.random.default_rng(subjects)
    shape = (subjects, repeats, 4)
    values = offset + rng.normal(0, 3, (subjects, 1, 4)) + rng.normal(0, 1, (1, repeats, 4)) + rng.normal(0, 1, shape)
    found = agreement(values).coefficients()
    for place in range(4):
        expected = by_hand(values[..., place])
        assert {kind: found[kind][place] for kind in KINDS} == pytest.approx(expected, rel=1e-6)


def test_a_subject_without_a_value_is_left_out_of_that_quantity_alone():
    values = np.stack([JUDGED, JUDGED**2], axis=-1)
    holed = values.copy()
    holed[2, 1, 0] = np.nan
    sums = agreement(holed)
    assert sums.count.tolist() == [5, 6]
    found = sums.coefficients()
    assert found["3_1"][0] == pytest.approx(by_hand(np.delete(JUDGED, 2, axis=0))["3_1"])
    assert found["3_1"][1] == pytest.approx(by_hand(JUDGED**2)["3_1"])


def test_perfect_agreement_is_1_and_of_nothing_there_is_none():
    same = np.repeat(np.arange(5.0)[:, None, None], 3, axis=1)
    sums = agreement(same)
    assert {float(value[0]) for value in sums.coefficients().values()} == {1.0}
    assert {float(end[0]) for ends in sums.intervals().values() for end in ends} == {1.0}
    # the sum of three or seven times 0.1, and of seven times 7.7, over their number is not what they are
    alike = [np.full((4, repeats, 1), value) for repeats in (3, 7) for value in (0.1, 7.7, -1e9 / 7)]
    for values in (same * 0, same[:1], same[:, :1], np.full((4, 3, 1), np.nan), *alike):
        empty = agreement(values)
        assert all(math.isnan(value[0]) for value in empty.coefficients().values())
        assert all(math.isnan(end[0]) for ends in empty.intervals().values() for end in ends)
