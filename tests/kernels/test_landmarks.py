from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.exposure import match_histograms

from medpipe.errors import Rejected
from medpipe.kernels.landmarks import distinct, landmarks, matched, standardize


def everywhere(x):
    return np.ones(x.shape, dtype=bool)


def noise(seed=6, shape=(5, 6, 7)):
    return np.random.default_rng(seed).gamma(3, 40, shape).astype(np.float32)


def test_landmarks_are_numpys_percentiles_of_the_finite_values_in_a_mask():
    x = noise()
    mask = x > 60
    holed = x.copy()
    holed[0, 0, 0] = np.nan
    known = mask & np.isfinite(holed)
    expected = np.percentile(holed[known], [1, 50, 99])
    np.testing.assert_array_equal(landmarks(holed, mask, percentiles=[1, 50, 99]), expected)


def test_landmarks_go_where_the_standard_says_by_hand():
    x = np.array([[[0, 10, 15, 20, 40, 60, np.nan]]], np.float32)
    found = standardize(x, own=[10, 20, 40], standard=[1, 2, 100])
    np.testing.assert_allclose(found.ravel(), [0, 1, 1.5, 2, 100, 198, np.nan], rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 50), st.floats(-500, 500))
def test_a_standard_forgets_scale_and_offset(scale, offset):
    x = noise()
    moved = (scale * x.astype(np.float64) + offset).astype(np.float32)
    shares, standard = [1, 25, 50, 75, 99], [1, 20, 40, 70, 100]
    results = [
        standardize(one, own=landmarks(one, everywhere(one), percentiles=shares), standard=standard)
        for one in (x, moved)
    ]
    np.testing.assert_allclose(results[0], results[1], atol=0.02)


def test_inside_the_landmarks_it_is_numpys_interpolation():
    x = noise()
    own = landmarks(x, everywhere(x), percentiles=[0, 20, 40, 60, 80, 100])
    standard = [1, 10, 30, 50, 60, 100]
    np.testing.assert_allclose(standardize(x, own=own, standard=standard), np.interp(x, own, standard), atol=1e-4)


def test_equal_landmarks_count_once_with_the_mean_of_the_standard():
    values, targets = distinct([0, 0, 0, 5, 9], [1, 2, 6, 10, 100])
    np.testing.assert_array_equal(values, [0, 5, 9])
    np.testing.assert_array_equal(targets, [3, 10, 100])
    with pytest.raises(Rejected, match="E_CONSTANT"):
        standardize(noise(), own=[4, 4, 4], standard=[1, 2, 3])


def test_matching_to_a_whole_reference_equals_scikit_image():
    x, reference = np.rint(noise(7)), np.rint(noise(8, (6, 7, 8)) * 2 + 30)
    values, counts = np.unique(reference, return_counts=True)
    found = matched(x, everywhere(x), shares=np.cumsum(counts) / counts.sum(), values=values)
    np.testing.assert_allclose(found, match_histograms(x, reference), atol=1e-3)


def test_a_mask_decides_what_is_matched_and_the_rest_follows():
    x = noise(9)
    mask = x > 80
    found = matched(x, mask, shares=[0, 0.5, 1], values=[0, 10, 20])
    np.testing.assert_allclose(found[mask], match_to_ramp(x[mask]), atol=1e-4)
    assert (found[~mask] == found[mask].min()).all()
    assert np.isnan(matched(np.where(mask, x, np.nan), mask, shares=[0, 1], values=[0, 1])).sum() == (~mask).sum()


def match_to_ramp(values):
    return 20 * (np.argsort(np.argsort(values)) + 1) / values.size
