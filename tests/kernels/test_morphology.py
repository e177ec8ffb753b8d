from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage, special

from medpipe.kernels import autocorrelation
from medpipe.kernels.autocorrelation import moran_geary
from medpipe.kernels.morphology import (
    ellipsoid_area_mm2,
    ellipsoid_semi_axes_mm,
    intensity_shape_features,
    shape_features,
)

SPACING = (3.0, 0.7, 1.1)


def _blob(seed: int, shape: tuple[int, int, int] = (6, 9, 7)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_semi_axes_equal_the_covariance_of_voxel_centres(seed: int) -> None:
    mask = _blob(seed)
    points = np.argwhere(mask) * SPACING
    expected = 2.0 * np.sqrt(np.sort(np.linalg.eigvalsh(np.cov(points.T)))[::-1])
    assert ellipsoid_semi_axes_mm(mask, spacing_mm=SPACING) == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize("axes", [(3.0, 2.0, 1.0), (5.0, 4.5, 4.0), (9.0, 1.0, 0.5)])
def test_the_area_of_an_ellipsoid_equals_the_printed_series(axes: tuple[float, float, float]) -> None:
    a, b, c = axes
    alpha, beta = math.sqrt(1 - (b / a) ** 2), math.sqrt(1 - (c / a) ** 2)
    x = (alpha**2 + beta**2) / (2 * alpha * beta)
    series = sum((alpha * beta) ** v / (1 - 4 * v * v) * special.eval_legendre(v, x) for v in range(21))
    assert ellipsoid_area_mm2(axes) == pytest.approx(4 * math.pi * a * b * series, rel=1e-12)


@pytest.mark.parametrize("near", [(2.0, 2.0, 1.5), (2.0, 1.5, 1.5)])
def test_the_area_of_a_spheroid_is_the_limit(near: tuple[float, float, float]) -> None:
    a, b, c = near
    assert ellipsoid_area_mm2(near) == pytest.approx(ellipsoid_area_mm2((a * (1 + 1e-9), b, c * (1 - 1e-9))), rel=1e-7)


def test_the_area_of_a_sphere_is_exact() -> None:
    assert ellipsoid_area_mm2((5.0, 5.0, 5.0)) == pytest.approx(4 * math.pi * 25.0, rel=1e-14)


def _by_all_pairs(image: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    points, values = np.argwhere(mask) * SPACING, image[mask].astype(np.float64)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    weight = np.divide(1.0, distance, out=np.zeros_like(distance), where=distance > 0)
    z = values - values.mean()
    n, total, scatter = len(z), weight.sum(), (z**2).sum()
    moran = n / total * (weight * np.outer(z, z)).sum() / scatter
    geary = (n - 1) / (2 * total) * (weight * (z[:, None] - z[None]) ** 2).sum() / scatter
    return moran, geary


@pytest.mark.parametrize("at_once", [1, 2**20])
@pytest.mark.parametrize("shape", [(4, 5, 6), (7, 3, 9), (9, 4, 2), (2, 11, 3), (1, 1, 5), (6, 1, 1), (1, 8, 7)])
def test_autocorrelation_equals_all_pairs(
    shape: tuple[int, int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autocorrelation, "_LEAST_BYTES", at_once)
    mask = _blob(sum(shape), shape)
    mask.reshape(-1)[[0, -1]] = True
    image = np.random.default_rng(4).normal(40.0, 200.0, shape).astype(np.float32)
    assert moran_geary(image, mask, spacing_mm=SPACING) == pytest.approx(_by_all_pairs(image, mask), rel=1e-10)


@pytest.mark.parametrize("shape", [(40, 60, 60), (60, 60, 12)])
def test_autocorrelation_takes_less_than_three_boxes_of_float32(shape: tuple[int, int, int]) -> None:
    image, mask = np.random.default_rng(1).random(shape, dtype=np.float32), _blob(1, shape)
    moran_geary(image[:4, :4, :4], mask[:4, :4, :4], spacing_mm=SPACING)
    tracemalloc.start()
    moran_geary(image, mask, spacing_mm=SPACING)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    stated = autocorrelation.moran_geary_bytes(shape, most_voxels=image.size) + image[mask].nbytes
    assert peak <= min(stated, max(3 * image.nbytes, 2**20 + image.nbytes))


def test_autocorrelation_of_one_voxel_or_of_equal_values_is_nan() -> None:
    one = np.zeros((3, 3, 3), dtype=bool)
    one[1, 1, 1] = True
    assert all(math.isnan(value) for value in moran_geary(np.ones((3, 3, 3)), one, spacing_mm=SPACING))
    flat = moran_geary(np.full((3, 3, 3), 0.1), np.ones((3, 3, 3), dtype=bool), spacing_mm=SPACING)
    assert all(math.isnan(value) for value in flat)


def test_the_shift_of_the_centre_of_mass_equals_scipy() -> None:
    mask = _blob(5)
    image = np.random.default_rng(5).uniform(1.0, 9.0, mask.shape)
    kept = mask & (image > 2.0)
    found = intensity_shape_features(image, mask, kept, spacing_mm=SPACING, autocorrelation=False)
    shape_centre = np.array(ndimage.center_of_mass(mask.astype(float))) * SPACING
    mass_centre = np.array(ndimage.center_of_mass(image * kept)) * SPACING
    assert found["com"] == pytest.approx(float(np.linalg.norm(shape_centre - mass_centre)), rel=1e-12)
    assert math.isnan(found["moran_i"])


def test_a_ball_is_nearly_round() -> None:
    z, y, x = np.ogrid[-16:17, -16:17, -16:17]
    found = shape_features(z * z + y * y + x * x <= 225, spacing_mm=(1.0, 1.0, 1.0))
    # The stairs of voxels make the surface of a mesh about 8 % larger than the ball's.
    assert 0.9 < found["sphericity"] < 1.0
    assert found["comp_2"] == pytest.approx(found["sphericity"] ** 3, rel=1e-12)
    assert found["asphericity"] == pytest.approx(found["sph_dispr"] - 1.0, rel=1e-12)
    assert found["pca_elongation"] == pytest.approx(1.0, abs=1e-9)
    assert found["pca_maj_axis"] == pytest.approx(4.0 * math.sqrt(225 / 5), rel=0.01)
    assert found["vol_dens_aee"] == pytest.approx((5**1.5) / 8, rel=0.02)
    assert found["vol_dens_conv_hull"] < 1.0
    assert found["area_dens_conv_hull"] > 1.0
