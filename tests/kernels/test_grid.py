from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medpipe.kernels.grid import GridAxis, centred_axis
from medpipe.kernels.resample import resample, resample_mask


def test_points_by_hand() -> None:
    # 4 voxels of 3 mm span 12 mm: 6 voxels of 2 mm, the first centre 1 mm from the edge.
    axis = centred_axis(4, spacing_mm=3.0, target_mm=2.0)
    assert axis.count == 6
    assert axis.start == pytest.approx(-1.0 / 6.0)
    assert axis.step == pytest.approx(2.0 / 3.0)


@given(st.integers(1, 600), st.floats(0.2, 8.0), st.floats(0.2, 8.0))
def test_both_grids_share_their_centre(size: int, spacing_mm: float, target_mm: float) -> None:
    axis = centred_axis(size, spacing_mm=spacing_mm, target_mm=target_mm)
    assert axis.start + axis.step * (axis.count - 1) / 2 == pytest.approx((size - 1) / 2, abs=1e-6)
    assert axis.count * target_mm >= size * spacing_mm - 1e-6


@given(st.integers(1, 500), st.sampled_from([0.1, 0.3, 0.7, 0.977, 1.0, 3.0]))
def test_the_same_spacing_gives_the_same_grid(size: int, spacing_mm: float) -> None:
    assert centred_axis(size, spacing_mm=spacing_mm, target_mm=spacing_mm) == GridAxis(count=size, start=0.0, step=1.0)


def test_a_part_of_the_grid_is_the_grid_seen_from_a_crop() -> None:
    image = np.random.default_rng(1).normal(0.0, 100.0, (1, 1, 50)).astype(np.float32)
    one, whole = GridAxis(count=1, start=0.0, step=1.0), centred_axis(50, spacing_mm=1.0, target_mm=0.7)
    part = whole.part(20, 30, size=50)
    first = round((part.start - whole.start) / whole.step)
    expected = resample(image, (one, one, whole), order=1, integral=False)[..., first : first + part.count]
    cropped = resample(image[..., 19:32], (one, one, part.shifted(19)), order=1, integral=False)
    np.testing.assert_allclose(cropped, expected, rtol=1e-5, atol=1e-4)


def test_a_part_of_the_grid_holds_every_point_of_the_mask() -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        mask = np.zeros((12, 11, 10), dtype=bool)
        low = [int(rng.integers(0, size - 1)) for size in mask.shape]
        high = [int(rng.integers(start, size)) for start, size in zip(low, mask.shape, strict=True)]
        mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))] = True
        target = rng.uniform(0.3, 2.5, 3)
        whole = tuple(centred_axis(n, spacing_mm=1.0, target_mm=t) for n, t in zip(mask.shape, target, strict=True))
        part = tuple(axis.part(a, b, size=size) for axis, a, b, size in zip(whole, low, high, mask.shape, strict=True))
        assert resample_mask(mask, part).sum() == resample_mask(mask, whole).sum()


def test_half_a_voxel_belongs_to_the_mask() -> None:
    mask = np.zeros((1, 1, 4), dtype=bool)
    mask[..., :2] = True
    one = GridAxis(count=1, start=0.0, step=1.0)
    assert resample_mask(mask, (one, one, GridAxis(count=2, start=1.5, step=0.1))).tolist() == [[[True, False]]]
