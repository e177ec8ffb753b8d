"""Outlines drawn otherwise, by their definitions."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from medpipe.kernels.outlines import ALWAYS, NEVER, redrawn, resized

SPACING_MM = (3.0, 1.0, 1.0)


def ball(shape=(9, 30, 32)):
    z, y, x = (np.indices(shape).T - (np.array(shape) - 1) / 2).T
    return (3 * z) ** 2 + y**2 + x**2 < 9.0**2


def rng():
    return np.random.default_rng(4)


@pytest.mark.parametrize("share", [0.6, 0.95, 1.0, 1.05, 1.5])
def test_the_number_of_voxels_is_what_was_asked_for_and_the_nearest_come_or_go(share):
    mask = ball()
    voxels = round(share * mask.sum())
    found, reach_mm = resized(mask, voxels=voxels, spacing_mm=SPACING_MM, rng=rng())
    assert found.sum() == voxels
    if share > 1.0:
        assert not (mask & ~found).any()
        far = distance_transform_edt(~mask, sampling=SPACING_MM)
        assert far[found & ~mask].max() == reach_mm <= far[~found].min() + 1e-6
    if share < 1.0:
        assert not (found & ~mask).any()
        deep = distance_transform_edt(mask, sampling=SPACING_MM)
        assert deep[mask & ~found].max() <= deep[found].min() + 1e-6


def test_resizing_goes_no_further_than_one_voxel_and_all():
    mask = ball()
    assert resized(mask, voxels=0, spacing_mm=SPACING_MM, rng=rng())[0].sum() == 1
    assert resized(mask, voxels=10**9, spacing_mm=SPACING_MM, rng=rng())[0].all()


def test_what_touches_the_border_shrinks_from_there_too():
    mask = np.ones((1, 9, 9), bool)
    found, _ = resized(mask, voxels=1, spacing_mm=(1.0, 1.0, 1.0), rng=rng())
    inner = np.zeros(mask.shape, bool)
    inner[0, 1:-1, 1:-1] = True
    assert not (found & ~inner).any()


def contrast(mask, level=100.0):
    noise = np.random.default_rng(7).normal(0, 3.0, mask.shape)
    return (level * mask + noise).astype(np.float32)


def test_a_clear_outline_is_drawn_again_and_a_vague_one_otherwise():
    mask = ball()
    clear = redrawn(contrast(mask), mask, spacing_mm=SPACING_MM, size_mm3=30.0, rng=rng())
    vague = redrawn(contrast(mask, 0.0), mask, spacing_mm=SPACING_MM, size_mm3=30.0, rng=rng())
    overlaps = [2 * (found & mask).sum() / (found.sum() + mask.sum()) for found in (clear, vague)]
    assert overlaps[0] > 0.95 > overlaps[1] > 0.7


def test_supervoxels_are_taken_whole_by_their_share(monkeypatch):
    labels = np.zeros((1, 10, 40), np.int64)
    labels[0] = 1 + np.arange(40) // 10
    mask = np.zeros(labels.shape, bool)
    for number, share in enumerate((1.0, 0.9, 0.5, 0.1)):
        mask[0, : round(10 * share), number * 10 : (number + 1) * 10] = True
    monkeypatch.setattr("medpipe.kernels.outlines._supervoxels", lambda *_: labels)
    image = np.zeros(labels.shape, np.float32)
    found = [
        redrawn(image, mask, spacing_mm=(1.0, 1.0, 1.0), size_mm3=9.0, rng=np.random.default_rng(seed))
        for seed in range(200)
    ]
    taken = np.mean([[one[0, 0, ten] for ten in (5, 15, 25, 35)] for one in found], axis=0)
    assert (taken[0], taken[1], taken[3]) == (1.0, 1.0, 0.0)
    assert taken[2] == pytest.approx(0.5, abs=0.1)
    assert all((one[0, :, ten] == one[0, 0, ten]).all() for one in found for ten in (5, 15, 25, 35))
    assert NEVER < 0.5 < ALWAYS


def test_something_is_always_left():
    mask = np.zeros((1, 12, 12), bool)
    mask[0, 5, 5] = True
    image = np.full(mask.shape, np.nan, np.float32)
    for seed in range(5):
        found = redrawn(image, mask, spacing_mm=(1.0, 1.0, 1.0), size_mm3=200.0, rng=np.random.default_rng(seed))
        assert found.any()
