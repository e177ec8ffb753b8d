from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.feature import canny as of_scikit_image

from medpipe.kernels import slabs
from medpipe.kernels.canny import canny, enclosed, steepness


def image(shape, kind="noise", seed=0):
    """Return noise, steps with noise, or few grey levels, where slopes are often equal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 10, shape)
    if kind == "steps":
        z, y, along = np.indices(shape)
        x = 0.3 * x + 100.0 * ((y // 9 + along // 11 + z) % 2)
    if kind == "levels":
        x = np.rint(x / 10)
    return x.astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 40, 37), (1, 3, 30), (2, 25, 4), (4, 2, 9), (1, 1, 1), (1, 64, 64)])
@pytest.mark.parametrize("kind", ["noise", "steps", "levels"])
@pytest.mark.parametrize(("sigma", "low", "high"), [(1.0, 1.0, 4.0), (2.2, 0.0, 0.3), (0.6, 3.0, 3.0)])
def test_edges_are_voxel_for_voxel_those_of_scikit_image(monkeypatch, shape, kind, sigma, low, high):
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 2000)
    x = image(shape, kind)
    found = canny(x, sigma_mm=sigma, spacing_mm=(3.0, 1.0, 1.0), low=low, high=high)
    for plane, given in zip(found, x, strict=True):
        # Sobel's differences are eight times the slope
        expected = of_scikit_image(given, sigma, 8 * low, 8 * high, mode="nearest")
        np.testing.assert_array_equal(plane, expected)


def test_the_oracle_finds_something_to_agree_on():
    x = image((1, 64, 64), "steps")
    assert 100 < canny(x, sigma_mm=1.0, spacing_mm=(1.0, 1.0, 1.0), low=1.0, high=4.0).sum() < 2000


def test_slopes_are_in_mm_and_follow_the_spacing():
    x = np.broadcast_to(np.arange(30, dtype=np.float32) * 3.0, (2, 20, 30)).copy()
    inside = (slice(None), slice(8, 12), slice(12, 18))
    np.testing.assert_allclose(steepness(x, sigma_mm=0.5, spacing_mm=(5.0, 2.0, 0.5))[inside], 6.0, rtol=1e-4)
    np.testing.assert_allclose(
        steepness(x.transpose(0, 2, 1).copy(), sigma_mm=0.5, spacing_mm=(5.0, 0.5, 2.0)).transpose(0, 2, 1)[inside],
        6.0,
        rtol=1e-4,
    )


def test_a_circle_in_mm_has_one_line_around_it_whatever_the_pixels_are():
    spacing = (1.0, 0.6, 1.4)
    y, x = (
        (n - (size - 1) / 2) * step for n, size, step in zip(np.indices((100, 44)), (100, 44), spacing[1:], strict=True)
    )
    disc = (100.0 * (np.hypot(y, x) < 18.0)).astype(np.float32)[None]
    (lines,) = canny(disc, sigma_mm=2.0, spacing_mm=spacing, low=5.0, high=10.0)
    assert np.abs(np.hypot(y, x)[lines] - 18.0).max() < 1.5
    labels, count = ndi.label(~lines)
    assert count == 2
    assert labels[50, 22] != labels[0, 0]


def test_a_flat_image_has_no_edges():
    x = np.full((2, 9, 9), 7.0, np.float32)
    assert not canny(x, sigma_mm=1.0, spacing_mm=(1.0, 1.0, 1.0), low=0.0, high=0.0).any()


def test_what_closed_lines_enclose_is_kept_and_open_lines_are_not():
    lines = np.zeros((2, 12, 14), bool)
    lines[0, 2:9, 2], lines[0, 2:9, 7], lines[0, 2, 2:8], lines[0, 8, 2:8] = True, True, True, True
    lines[0, 8, 8:12] = True  # a tail
    lines[1, 2:9, 2] = True
    expected = np.zeros_like(lines)
    expected[0, 2:9, 2:8] = True
    np.testing.assert_array_equal(enclosed(lines), expected)
    # a step across a corner closes a line
    diamond = np.abs(np.indices((1, 9, 9))[1:] - 4).sum(axis=0) == 3
    assert enclosed(diamond).sum() == (np.abs(np.indices((9, 9)) - 4).sum(axis=0) <= 3).sum()


def square():
    plane = np.zeros((1, 40, 40))
    plane[0, 10:30, 10:30] = 100.0
    return plane


def test_the_edges_of_a_square_are_its_outline():
    given = {"sigma_mm": 1.0, "spacing_mm": (1.0, 1.0, 1.0)}
    (edges,) = canny(square(), low=6.0, high=15.0, **given)
    outline = np.zeros(edges.shape, bool)
    outline[9:31, 9:31] = True
    outline[11:29, 11:29] = False
    assert not (edges & ~outline).any()
    assert edges.sum() == pytest.approx(4 * 19, abs=5)
    assert not canny(square(), low=24.0, high=60.0, **given).any()


def test_weak_edges_go_on_where_a_strong_one_begins():
    given = {"sigma_mm": 1.0, "spacing_mm": (1.0, 1.0, 1.0)}
    plane = np.zeros((1, 30, 60))
    plane[0, 15:, :30], plane[0, 15:, 30:] = 100.0, 60.0
    steep = float(steepness(plane, **given)[0, :, 10].max())
    assert steepness(plane, **given)[0, :, 50].max() < 0.9 * steep
    (edges,) = canny(plane, low=0.36 * steep, high=0.9 * steep, **given)
    assert edges[:, 10].any()
    assert edges[:, 50].any()
    plane[0, 15:, :30] = 60.0
    assert not canny(plane, low=0.36 * steep, high=0.9 * steep, **given).any()
