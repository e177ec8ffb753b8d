from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import find_contours

from medpipe.kernels.squares import square_outline

SPACING = (2.0, 0.5)


def test_one_pixel_is_a_rhombus() -> None:
    found = square_outline(np.ones((1, 1), bool), spacing_mm=SPACING)
    assert found.area_mm2 == pytest.approx(2.0 * 0.5 / 2)
    assert found.perimeter_mm == pytest.approx(4 * math.hypot(1.0, 0.25))
    assert found.diameter_mm == pytest.approx(2.0)


def test_pixels_that_share_a_corner_are_cut_apart() -> None:
    apart = square_outline(np.eye(2, dtype=bool), spacing_mm=(1.0, 1.0))
    one = square_outline(np.ones((1, 1), bool), spacing_mm=(1.0, 1.0))
    assert (apart.area_mm2, apart.perimeter_mm) == pytest.approx((2 * one.area_mm2, 2 * one.perimeter_mm))


@settings(deadline=None, max_examples=40)
@given(arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))).filter(np.any))
def test_the_outline_is_that_of_contours_at_one_half(mask: np.ndarray) -> None:
    contours = find_contours(np.pad(mask, 1).astype(float), 0.5, fully_connected="low")
    lines = [contour * SPACING for contour in contours]
    area = sum(float(np.sum(a[:-1, 0] * a[1:, 1] - a[1:, 0] * a[:-1, 1])) / 2 for a in lines)
    length = sum(float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()) for line in lines)
    points = np.concatenate(lines)
    farthest = float(np.linalg.norm(points[:, None] - points[None], axis=2).max())
    found = square_outline(mask, spacing_mm=SPACING)
    assert (found.area_mm2, found.perimeter_mm, found.diameter_mm) == pytest.approx((abs(area), length, farthest))
