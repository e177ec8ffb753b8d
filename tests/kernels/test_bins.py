"""Bins of values that are near to each other and far from 0, or as far apart as float32 goes."""

import numpy as np
import pytest

from medpipe.kernels.bins import counted
from medpipe.kernels.classes import otsu_threshold, otsu_thresholds
from medpipe.kernels.foreground import foreground
from medpipe.kernels.histogram import equalized
from medpipe.kernels.stripe import density
from tests.device.standing import stand_in

NARROW = (1e6 + np.random.default_rng(3).integers(0, 3, (4, 12, 12))).astype(np.float32)
WIDE = np.linspace(-3.4e38, 3.4e38, 600).astype(np.float32).reshape(6, 10, 10)


@pytest.mark.parametrize("x", [NARROW, WIDE], ids=["narrow", "wide"])
def test_all_values_are_counted_where_float32_has_no_room_for_edges(x):
    for bins in (64, 256):
        counts, edges = counted(x, bins=bins)
        expected = np.histogram(x.astype(np.float64), bins=bins)
        np.testing.assert_array_equal(counts, expected[0])
        np.testing.assert_array_equal(edges, expected[1])
    everywhere = np.ones(x.shape, bool)
    assert x.min() <= otsu_threshold(x) < x.max()
    first, second = otsu_thresholds(x, classes=3)
    assert first < second
    ranks = equalized(x, everywhere)
    assert np.isfinite(ranks).all()
    assert (np.diff(ranks.reshape(-1)[np.argsort(x.reshape(-1))]) >= 0).all()
    assert np.isfinite(density(x.reshape(-1))[1]).all()


def test_where_float32_has_room_the_edges_are_those_of_numpy():
    x = np.random.default_rng(4).normal(100, 30, 5000).astype(np.float32)
    for found, expected in zip(counted(x, bins=256), np.histogram(x, bins=256), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype


def test_a_foreground_is_found_of_three_values_far_from_0():
    x = np.full((6, 16, 16), 1e6, np.float32)
    x[1:5, 4:12, 4:12] += 2
    found = foreground(x)
    assert found[2:4, 6:10, 6:10].all()
    assert not found[:, :2].any()


LARGE = np.random.default_rng(5).uniform(0, 2**26, (4, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("x", [NARROW, WIDE, LARGE], ids=["narrow", "wide", "large"])
def test_a_device_counts_what_the_host_counts(x):
    with stand_in() as cupy:
        found = [part.get() for part in counted(cupy.asarray(x), bins=64)]
    for one, expected in zip(found, counted(x, bins=64), strict=True):
        np.testing.assert_array_equal(one, expected)
        assert one.dtype == expected.dtype
