"""Diffusion against its definition voxel by voxel, and against ITK."""

import numpy as np
import pytest
import SimpleITK as sitk

from medpipe.kernels import slabs
from medpipe.kernels.diffusion import adaptive_diffusion, perona_malik

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 1.0, 0.5)]


def noisy(shape=(9, 14, 15), seed=0):
    rng = np.random.default_rng(seed)
    return (np.indices(shape).sum(0) // 7 % 2 * 100 + rng.normal(0, 20, shape)).astype(np.float32)


def by_definition(x, *, edge, step, conductance, spacing_mm):
    lengths = np.array(spacing_mm) / min(spacing_mm)
    result = x.astype(np.float64)
    for place in np.ndindex(x.shape):
        for axis in range(3):
            for side in (-1, 1):
                other = list(place)
                other[axis] += side
                if 0 <= other[axis] < x.shape[axis]:
                    slope = (float(x[tuple(other)]) - float(x[place])) / lengths[axis]
                    size = (slope / edge) ** 2
                    passed = np.exp(-size) if conductance == "exponential" else 1 / (1 + size)
                    result[place] += step * passed * slope / lengths[axis]
    return result


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("conductance", ["exponential", "rational"])
@pytest.mark.parametrize("shape", [(4, 6, 7), (1, 8, 9)])
def test_a_step_is_what_perona_and_malik_say(shape, conductance, spacing_mm):
    x = noisy(shape)
    settings = {"edge": 40.0, "step": 0.15, "conductance": conductance, "spacing_mm": spacing_mm}
    expected = by_definition(by_definition(x, **settings), **settings)
    np.testing.assert_allclose(perona_malik(x, iterations=2, **settings), expected, atol=1e-3)


def test_what_flows_out_of_one_voxel_flows_into_another():
    x = noisy()
    found = perona_malik(x, edge=40.0, iterations=8, step=1 / 6, conductance="rational", spacing_mm=(2.0, 1.0, 1.0))
    assert found.mean(dtype=np.float64) == pytest.approx(x.mean(dtype=np.float64), abs=1e-4)
    assert x.min() <= found.min() <= found.max() <= x.max()


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize(
    ("equation", "peer"),
    [("curvature", sitk.CurvatureAnisotropicDiffusion), ("gradient", sitk.GradientAnisotropicDiffusion)],
)
def test_it_is_what_itk_does(equation, peer, spacing_mm):
    x = noisy()
    image = sitk.GetImageFromArray(x)
    image.SetSpacing(spacing_mm[::-1])
    expected = sitk.GetArrayFromImage(peer(image, timeStep=0.03, conductanceParameter=2.0, numberOfIterations=4))
    found = adaptive_diffusion(x, conductance=2.0, iterations=4, step=0.03, equation=equation, spacing_mm=spacing_mm)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.ptp(x))


@pytest.mark.parametrize("equation", ["curvature", "gradient"])
def test_a_constant_stays_and_a_missing_voxel_spreads_by_a_voxel_a_step(equation):
    settings = {"conductance": 3.0, "iterations": 2, "step": 0.05, "equation": equation, "spacing_mm": (1.0, 1.0, 1.0)}
    constant = np.full((5, 6, 7), 3.0, np.float32)
    np.testing.assert_array_equal(adaptive_diffusion(constant, **settings), constant)
    holed = noisy()
    holed[4, 7, 7] = np.nan
    away = np.abs(np.indices(holed.shape) - np.array([4, 7, 7])[:, None, None, None]).max(axis=0)
    missing = np.isnan(adaptive_diffusion(holed, **settings))
    assert missing[away == 0].all()
    assert not missing[away > 2].any()


def test_the_number_of_planes_worked_on_at_a_time_is_of_no_consequence(monkeypatch):
    x = noisy()
    settings = {"edge": 40.0, "iterations": 3, "step": 0.1, "conductance": "exponential", "spacing_mm": (2.0, 1.0, 1.0)}
    together = perona_malik(x, **settings)
    monkeypatch.setattr(slabs, "SLAB_VOXELS", 500)
    assert len(list(slabs.slab_ranges(x.shape))) > 3
    np.testing.assert_array_equal(perona_malik(x, **settings), together)
