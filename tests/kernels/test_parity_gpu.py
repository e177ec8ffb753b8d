"""Every kernel of the image ops on CPU and GPU, side by side: on a device, and on the strict stand-in of one."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from medpipe.kernels import (
    affine,
    anscombe,
    bands,
    bilateral,
    canny,
    chan_vese,
    classes,
    components,
    diffusion,
    foreground,
    gaussian,
    growing,
    histogram,
    intensity,
    labels,
    landmarks,
    laplacian,
    laws,
    median,
    mppca,
    nlm,
    noise,
    projection,
    resample,
    separable,
    slopes,
    speckle,
    spectral,
    straighten,
    stripe,
    total_variation,
    unsharp,
    voi,
    wavelet,
    waves,
)
from medpipe.xp import backend_of, is_cupy, to_device, to_numpy

SHAPE = (12, 40, 150)
SPACING_MM = (2.5, 0.9, 0.8)
AXES = resample.centred_grid(SHAPE, spacing_mm=SPACING_MM, target_mm=(1.7, 1.3, 1.1))
SHIFTS = np.stack([np.linspace(0, 7.3, 12), np.linspace(0.4, -0.4, 12)], axis=1)
TURNED = np.array([[0.99, 0.01, 0.0, 0.3], [-0.03, 0.97, 0.02, 2.1], [0.05, -0.04, 1.1, -0.4]])
BODY_MM = {"radius_mm": 2.6, "spacing_mm": SPACING_MM}
LAPLACIAN = laplacian.laplacian_terms(sigma_mm=1.5, truncate=4.0, spacing_mm=SPACING_MM, by_slice=False)
WAVE = waves.Wave(sigma_mm=2.0, wavelength_mm=3.0, gamma=0.8, angles_deg=(0.0, 45.0, 90.0, 135.0))

IMAGES = {
    "gaussian": lambda x, _: gaussian.gaussian(x, sigma_mm=1.5, spacing_mm=SPACING_MM),
    "median of 27": lambda x, _: median.median(x, size=3),
    "median of 125": lambda x, _: median.median(x, size=5),
    "total variation": lambda x, _: total_variation.total_variation(x, weight=30.0, iterations=20),
    "non-local means": lambda x, _: nlm.non_local_means(x, patch_size=3, distance=2, h=10.0, sigma=10.0, rician=False),
    "non-local means of a magnitude": lambda x, _: nlm.non_local_means(
        abs(x), patch_size=3, distance=1, h=10.0, sigma=10.0, rician=True
    ),
    "bilateral": lambda x, _: bilateral.bilateral(x, sigma_mm=1.2, sigma_value=30.0, spacing_mm=SPACING_MM),
    "perona and malik": lambda x, _: diffusion.perona_malik(
        x, edge=20.0, iterations=5, step=0.125, conductance="exponential", spacing_mm=SPACING_MM
    ),
    "curvature": lambda x, _: diffusion.adaptive_diffusion(
        x, conductance=3.0, iterations=4, step=0.05, equation="curvature", spacing_mm=SPACING_MM
    ),
    "wavelet": lambda x, _: wavelet.bayes_shrink(x, sigma=10.0, levels=2),
    "anscombe and back": lambda x, _: anscombe.unbiased_inverse(anscombe.anscombe(x, gain=3.0), gain=3.0),
    "lee": lambda x, _: speckle.lee(abs(x), size=5, speckle=0.2),
    "srad": lambda x, _: speckle.srad(abs(x), speckle=0.2, decay=0.1, iterations=4, step=0.3),
    "components of a series": lambda x, _: mppca.mp_pca(x.reshape(12, 4, 10, 150)[:, :, :, :20], size=3),
    "window": lambda x, _: intensity.window(x, center=40.0, width=400.0),
    "clip": lambda x, _: intensity.clip(x, low=-50.0, high=60.0),
    "planes by their factors": lambda x, _: intensity.scale_planes(x, factors=[1.1 + k / 7 for k in range(len(x))]),
    "zscore": intensity.zscore,
    "percentile scale": lambda x, mask: intensity.percentile_scale(x, mask, low=1.0, high=99.0),
    "resample nearest": lambda x, _: resample.resample(x, AXES, order=0, integral=False),
    "resample linear": lambda x, _: resample.resample(x, AXES, order=1, integral=False),
    "straightened": lambda x, _: straighten.straightened(
        x, planes=np.linspace(0, 11, 19), shifts=SHIFTS, plane_shape=(48, 150), fill=-3.0
    ),
    "slope": lambda x, _: slopes.slope(x, sigma_mm=1.5, spacing_mm=SPACING_MM),
    "second differences": lambda x, _: slopes.curvature(x, sigma_mm=1.5, spacing_mm=SPACING_MM),
    "slope within slices": lambda x, _: canny.steepness(x, sigma_mm=1.5, spacing_mm=SPACING_MM),
    "window of whole numbers": lambda x, _: voi.linear(x, center=40.0, width=400.0),
    "sigmoid": lambda x, _: voi.sigmoid(x, center=40.0, width=100.0),
    "table": lambda x, _: voi.looked_up(x, backend_of(x).xp.arange(200, dtype=np.float32), first=-70.0),
    "unsharp": lambda x, _: unsharp.unsharp(x, sigma_mm=1.5, amount=2.0, spacing_mm=SPACING_MM),
    "equalized": histogram.equalized,
    "clahe": lambda x, _: histogram.clahe(x, tile=(4, 10, 30), limit=0.02),
    "standardized": lambda x, mask: landmarks.standardize(
        x, own=landmarks.landmarks(x, mask, percentiles=[1, 50, 99]), standard=[1, 30, 100]
    ),
    "matched": lambda x, mask: landmarks.matched(x, mask, shares=[0, 0.4, 1], values=[-3, 20, 70]),
    "white stripe": lambda x, mask: stripe.white_stripe(x, mask, which="largest", half_width=0.05),
    "affine sample": lambda x, _: affine.affine_sample(x, matrix=TURNED, shape=(9, 33, 120)),
    "highest along x": lambda x, _: projection.project(x, axis=2, how="max"),
    "mean along z": lambda x, _: projection.project(x, axis=0, how="mean"),
    "resample cubic": lambda x, _: resample.resample(x, AXES, order=3, integral=False),
    "mean of a window": lambda x, _: separable.convolved(
        x, [separable.mean_term(5, by_slice=False)], joined="sum", boundary="reflect"
    ),
    "laplacian of a gaussian": lambda x, _: separable.convolved(x, LAPLACIAN, joined="sum", boundary="nearest"),
    "laws": lambda x, _: laws.laws(
        x, ("L5", "E5", "E5"), rotation_invariant=True, pooling="max", delta=2, boundary="constant"
    ),
    "band of a wavelet": lambda x, _: bands.band(
        x,
        "LHH",
        taps=bands.wavelet_taps("db3"),
        level=2,
        rotation_invariant=True,
        pooling="mean",
        boundary="wrap",
    ),
    "gabor": lambda x, _: waves.gabor(
        x, wave=WAVE, spacing_mm=SPACING_MM, by_slice=False, pooling="mean", boundary="reflect"
    ),
    "riesz transform of simoncelli": lambda x, _: spectral.filtered(
        x, transfer=spectral.Transfer(level=1, orders=(1, 1, 0)), by_slice=False
    ),
    "riesz transform of a laplacian": lambda x, _: spectral.riesz_of(
        x,
        lambda part: separable.convolved(part, LAPLACIAN, joined="sum", boundary="reflect"),
        orders=(0, 2, 0),
        reach=separable.reach_of(LAPLACIAN),
        boundary="reflect",
        by_slice=False,
    ),
}
MASKS = {
    "largest component": lambda _, mask: components.largest_component(mask),
    "enclosed components": lambda _, mask: components.enclosed_components(mask, least_voxels=5, at_most=2),
    "slice holes": lambda _, mask: components.fill_slice_holes(mask),
    "volume holes": lambda _, mask: components.fill_holes(mask),
    "components above a size": lambda _, mask: labels.chosen_components(mask, lambda n: n > 9, neighbours=26, slab=5),
    "erosion": lambda _, mask: components.erosion(mask, **BODY_MM),
    "grown": lambda x, _: growing.grown(x, [(6, 20, 70), (2, 3, 4)], low=-30.0, high=90.0),
    "grown by confidence": lambda x, _: growing.grown_by_confidence(
        x, [(6, 20, 70)], radius=1, multiplier=2.5, iterations=3
    ),
    "hysteresis": lambda x, mask: slopes.connected_to_strong(mask, mask & (x > 90)),
    "canny": lambda x, _: canny.canny(x, sigma_mm=1.5, spacing_mm=SPACING_MM, low=8.0, high=20.0),
    "enclosed by lines": lambda _, mask: canny.enclosed(mask),
    "chan vese": lambda x, mask: chan_vese.chan_vese(x, mask, iterations=5, smoothing=1, inside=1.0, outside=1.0),
    "dilation": lambda _, mask: components.dilation(mask, **BODY_MM),
    "opening": lambda _, mask: components.opening(mask, **BODY_MM),
    "closing": lambda _, mask: components.closing(mask, **BODY_MM),
    "resample mask": lambda _, mask: resample.resample_mask(mask, AXES),
    "foreground": lambda x, _: foreground.foreground(x),
}


@pytest.fixture(scope="module")
def arrays(cuda):
    rng = np.random.default_rng(23)
    smooth = gaussian.gaussian(rng.normal(0, 1, SHAPE).astype(np.float32), sigma_mm=2.0, spacing_mm=SPACING_MM)
    image = (smooth / smooth.std() * 60 + rng.normal(0, 10, SHAPE)).astype(np.float32)
    return image, image > 20


def both(kernel, arrays):
    on_device = kernel(*(to_device(array, device="cuda") for array in arrays))
    assert is_cupy(on_device)
    return kernel(*arrays), to_numpy(on_device)


@pytest.mark.parametrize("name", IMAGES)
def test_images_agree_within_a_ten_thousandth_of_their_range(arrays, name):
    expected, result = both(IMAGES[name], arrays)
    assert result.dtype == expected.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-4 * float(np.nanmax(expected) - np.nanmin(expected)))


@pytest.mark.parametrize("name", ["median of 27", "median of 125", "clip"])
def test_what_only_picks_values_is_identical(arrays, name):
    expected, result = both(IMAGES[name], arrays)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", MASKS)
def test_masks_agree_but_for_a_voxel_in_ten_thousand(arrays, name):
    expected, result = both(MASKS[name], arrays)
    assert result.dtype == expected.dtype == bool
    assert (result != expected).mean() <= 1e-4


def test_missing_values_agree(arrays):
    image, mask = arrays[0].copy(), arrays[1]
    image[3, 4, 5] = np.nan
    for name in ("median of 27", "zscore", "percentile scale"):
        expected, result = both(IMAGES[name], (image, mask))
        np.testing.assert_array_equal(np.isnan(result), np.isnan(expected))


def test_the_threshold_agrees_within_a_bin(arrays):
    image, _ = arrays
    expected = classes.otsu_threshold(image)
    result = classes.otsu_threshold(to_device(image, device="cuda"))
    assert result == pytest.approx(expected, abs=float(np.ptp(image)) / 256)


def test_the_level_of_noise_agrees(arrays):
    image, _ = arrays
    on_device = to_device(image, device="cuda")
    assert noise.detail_noise(on_device) == pytest.approx(noise.detail_noise(image), rel=1e-4)
    assert speckle.speckle_of(abs(on_device)) == pytest.approx(speckle.speckle_of(abs(image)), rel=1e-4)
    assert anscombe.gain_of(abs(on_device)) == pytest.approx(anscombe.gain_of(abs(image)), rel=1e-4)
    air = np.random.default_rng(4).rayleigh(7.0, SHAPE).astype(np.float32)
    assert noise.air_noise(to_device(air, device="cuda")) == pytest.approx(noise.air_noise(air), rel=1e-4)


def test_the_gpu_gives_the_same_bytes_twice(arrays, cuda):
    if cuda == "stand-in":
        # by the tests before this one: it knows what a device adds up in another order each time
        assert sys.modules["cupy"].standin.counts().unordered == 0
        return
    on_device = [to_device(array, device="cuda") for array in arrays]
    for kernel in (*IMAGES.values(), *MASKS.values()):
        assert to_numpy(kernel(*on_device)).tobytes() == to_numpy(kernel(*on_device)).tobytes()
