from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels.stripe import density, peak, white_stripe


def brain(seed=3, n=30_000):
    """Return intensities of three tissues; the brightest is the largest."""
    rng = np.random.default_rng(seed)
    parts = [rng.normal(300, 40, n // 6), rng.normal(600, 40, n // 3), rng.normal(900, 35, n // 2)]
    return np.concatenate(parts).astype(np.float32)


def test_the_density_is_the_sum_of_a_gaussian_for_each_value():
    values = brain(n=3000)
    grid, found = density(values)
    width = values.max() / 80
    exact = np.exp(-0.5 * ((grid[:, None] - values.astype(np.float64)) / width) ** 2).sum(axis=1)
    exact /= values.size * width * np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, exact, atol=1e-3 * exact.max())
    assert np.trapezoid(found, grid) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize(("which", "tissue"), [("last", 900), ("largest", 900), ("first", 300)])
def test_peaks_are_where_the_tissues_are(which, tissue):
    assert peak(brain(), which=which) == pytest.approx(tissue, abs=15)


def test_white_matter_gets_mean_0_and_deviation_1_over_the_stripe():
    x = brain().reshape(30, 40, 25)
    found = white_stripe(x, np.ones(x.shape, bool), which="last", half_width=0.05)
    values = np.sort(x.ravel())
    rank = (values < peak(x.ravel(), which="last")).mean()
    low, high = np.quantile(values, [rank - 0.05, rank + 0.05])
    stripe = (x >= low) & (x <= high)
    assert stripe.mean() == pytest.approx(0.1, abs=0.001)
    assert found[stripe].mean(dtype=np.float64) == pytest.approx(0, abs=1e-4)
    assert found[stripe].std(dtype=np.float64) == pytest.approx(1, abs=1e-4)


def test_two_scans_of_one_head_become_the_same():
    x = brain().reshape(30, 40, 25)
    everywhere = np.ones(x.shape, bool)
    first, second = (white_stripe(one, everywhere, which="last", half_width=0.05) for one in (x, 3.7 * x))
    np.testing.assert_allclose(first, second, atol=0.01)


def test_what_has_no_stripe_is_rejected():
    flat = np.zeros((4, 5, 6), np.float32)
    everywhere = np.ones(flat.shape, bool)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        white_stripe(flat, everywhere, which="last", half_width=0.05)
    flat[0, 0, 0] = 1
    with pytest.raises(Rejected, match="E_CONSTANT"):
        white_stripe(flat, everywhere, which="last", half_width=0.05)
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        white_stripe(flat, ~everywhere, which="last", half_width=0.05)
