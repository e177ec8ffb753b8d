from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from skimage.restoration import denoise_tv_chambolle

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.noise import air_noise, detail_noise
from medpipe.ops.denoise import (
    Anscombe,
    Bilateral,
    CurvatureDiffusion,
    Gaussian,
    Lee,
    Median,
    MpPca,
    NonLocalMeans,
    PeronaMalik,
    Srad,
    TotalVariation,
    Wavelet,
)
from medpipe.ops.registry import make, spec_of
from medpipe.types import Geometry, Volume


def volume(shape=(6, 10, 12), *, axes="zyx", spacing_mm=(2.0, 1.0, 0.5)):
    data = np.random.default_rng(1).normal(0, 100, shape).astype(np.float32)
    geometry = Geometry(shape=shape, axes=axes, spacing_mm=spacing_mm)
    return Volume(data=data, geometry=geometry, unit="HU", modality="CT")


def test_gaussian_binds_sigma_to_the_spacing():
    given = volume()
    result = Gaussian(sigma_mm=1.0)(given)
    expected = ndi.gaussian_filter(given.data, [0.5, 1.0, 2.0], mode="nearest")
    np.testing.assert_allclose(result.data, expected, rtol=0, atol=1e-6 * np.ptp(given.data))
    assert (result.unit, result.modality, result.geometry) == ("HU", "CT", given.geometry)
    assert Gaussian(sigma_mm=1.0).halo(given.geometry) == (2, 4, 8)


def test_gaussian_refuses_a_volume_without_spacing():
    given = volume(spacing_mm=None)
    assert Gaussian(sigma_mm=1.0).halo(given.geometry) is None
    with pytest.raises(Rejected, match="E_SPACING"):
        Gaussian(sigma_mm=1.0)(given)


def test_median_and_tv_do_what_the_libraries_do():
    given = volume()
    np.testing.assert_array_equal(Median()(given).data, ndi.median_filter(given.data, 3, mode="nearest"))
    expected = denoise_tv_chambolle(given.data, weight=50, eps=0, max_num_iter=12)
    np.testing.assert_allclose(TotalVariation(weight=50.0, iterations=12)(given).data, expected, atol=1e-3)


def test_median_takes_an_odd_size_only():
    with pytest.raises(ConfigError, match="even"):
        Median(size=4)


@pytest.mark.parametrize("op", [Gaussian(sigma_mm=1.0), Median(), TotalVariation(weight=50.0)])
def test_each_frame_of_a_leading_axis_is_filtered_alone(op):
    series = volume((3, 4, 6, 7), axes="tzyx")
    result = op(series).data
    for place, frame in enumerate(series.data):
        alone = Volume(data=frame, geometry=Geometry(shape=frame.shape, spacing_mm=(2.0, 1.0, 0.5)))
        np.testing.assert_array_equal(result[place], op(alone).data)


def sphere(shape=(32, 32, 32), *, low=0.0, high=100.0, radius=10.0):
    away = sum((axis - (n - 1) / 2) ** 2 for axis, n in zip(np.indices(shape), shape, strict=True))
    return np.where(away < radius**2, high, low).astype(np.float32)


def of(data, *, modality="MR", axes="zyx", spacing_mm=(1.0, 1.0, 1.0)):
    geometry = Geometry(shape=data.shape, axes=axes, spacing_mm=spacing_mm)
    return Volume(data=data, geometry=geometry, modality=modality)


def gain_db(truth, noisy, found):
    return 10 * np.log10(((noisy - truth) ** 2).mean() / ((found - truth) ** 2).mean())


@pytest.mark.parametrize(
    ("op", "least_db", "measured_db"),
    [
        (NonLocalMeans(), 6.0, 13.86),
        (Wavelet(), 4.0, 5.95),
        (TotalVariation(weight=20.0), 5.0, 12.06),
        (Bilateral(sigma_mm=1.5, sigma_value=50.0), 5.0, 11.50),
        (PeronaMalik(edge=40.0), 5.0, 18.09),
        (CurvatureDiffusion(), 4.0, 12.84),
        (Gaussian(sigma_mm=1.0), 5.0, 6.12),
        (Median(size=3), 5.0, 8.95),
    ],
    ids=lambda part: getattr(part, "name", None),
)
def test_noise_on_a_sphere_falls_as_it_did(op, least_db, measured_db):
    truth = sphere()
    noisy = truth + np.random.default_rng(11).normal(0, 20, truth.shape).astype(np.float32)
    gain = gain_db(truth, noisy, op(of(noisy)).data)
    assert gain > least_db
    # what was measured once may not drift unseen
    assert gain == pytest.approx(measured_db, abs=0.2)


def test_the_noise_is_estimated_once_for_the_volume_unless_it_is_given():
    noisy = sphere() + np.random.default_rng(1).normal(0, 20, (32, 32, 32)).astype(np.float32)
    sigma = detail_noise(noisy)
    for estimating, given in [
        (NonLocalMeans(), NonLocalMeans(sigma=sigma)),
        (Wavelet(), Wavelet(sigma=sigma)),
    ]:
        np.testing.assert_array_equal(estimating(of(noisy)).data, given(of(noisy)).data)
    geometry = of(noisy).geometry
    assert NonLocalMeans().halo(geometry) is None
    assert NonLocalMeans(sigma=20.0).halo(geometry) == (3, 3, 3)
    assert NonLocalMeans(sigma=20.0, distance=5, patch_size=5).halo(geometry) == (7, 7, 7)
    assert Lee().halo(geometry) is Srad().halo(geometry) is None
    assert (Lee(speckle=0.1).halo(geometry), Srad(speckle=0.1, iterations=4).halo(geometry)) == ((2,) * 3, (8,) * 3)


def test_noise_that_is_nothing_in_float32_is_refused_and_little_noise_is_not():
    x = sphere() + np.random.default_rng(1).normal(0, 20, (32, 32, 32)).astype(np.float32)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        NonLocalMeans()(of(x * np.float32(1e-23)))
    small = np.float32(2.0**-43)
    np.testing.assert_allclose(NonLocalMeans()(of(x * small)).data / small, NonLocalMeans()(of(x)).data, rtol=1e-4)


def test_a_magnitude_loses_the_bias_of_its_noise():
    clean = sphere(high=60.0, radius=12.0)
    rng = np.random.default_rng(2)
    x = np.hypot(clean + rng.normal(0, 20, clean.shape), rng.normal(0, 20, clean.shape)).astype(np.float32)
    assert air_noise(x) == pytest.approx(20.0, rel=0.05)
    inside = sphere(radius=9.0) > 0
    plain, rician = (
        NonLocalMeans(noise=noise, distance=3)(of(x)).data[inside].mean() for noise in ("gaussian", "rician")
    )
    assert abs(rician - 60.0) < 1.0 < 3.0 < abs(plain - 60.0)


@pytest.mark.parametrize("op", [NonLocalMeans(noise="rician"), NonLocalMeans(noise="rician", sigma=3.0), Lee(), Srad()])
def test_what_takes_magnitudes_refuses_values_below_zero(op):
    with pytest.raises(Rejected, match="E_NEGATIVE"):
        op(volume())


@pytest.mark.parametrize("op", [NonLocalMeans(), NonLocalMeans(noise="rician"), Wavelet(), Lee(), Srad()])
def test_noise_that_is_not_given_cannot_be_told_of_a_constant_image(op):
    with pytest.raises(Rejected, match="E_CONSTANT"):
        op(of(np.full((6, 7, 8), 12.0, np.float32)))


@pytest.mark.parametrize(
    "op",
    [
        NonLocalMeans(sigma=2.0),
        NonLocalMeans(sigma=2.0, noise="rician"),
        Wavelet(sigma=2.0),
        Bilateral(sigma_mm=1.0, sigma_value=5.0),
        PeronaMalik(edge=5.0),
        CurvatureDiffusion(),
        Lee(speckle=0.1),
        Srad(speckle=0.1, iterations=3),
        MpPca(),
    ],
    ids=lambda op: op.name,
)
def test_a_constant_image_stays(op):
    expected = np.sqrt(100.0**2 - 8.0) if getattr(op, "noise", "") == "rician" else 100.0
    for shape in [(6, 7, 8), (1, 9, 9), (1, 1, 1)]:
        found = op(of(np.full(shape, 100.0, np.float32))).data
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("op", [Bilateral(sigma_mm=1.0, sigma_value=5.0), PeronaMalik(edge=5.0), CurvatureDiffusion()])
def test_what_goes_by_lengths_refuses_a_volume_without_spacing(op):
    given = volume(spacing_mm=None)
    assert op.halo(given.geometry) is None
    with pytest.raises(Rejected, match="E_SPACING"):
        op(given)


@pytest.mark.parametrize("op", [Wavelet(), Wavelet(sigma=10.0)])
def test_a_missing_voxel_stays_the_only_one_missing(op):
    data = volume((12, 20, 22)).data.copy()
    data[3, 4, 5] = np.nan
    found = op(of(data)).data
    np.testing.assert_array_equal(np.isnan(found), np.isnan(data))


@pytest.mark.parametrize("name", ["nlm", "lee", "mp_pca"])
def test_a_window_around_a_voxel_is_odd(name):
    size = "patch_size" if name == "nlm" else "size"
    with pytest.raises(ConfigError, match=f"route.0.image.1: {size}: 4 is even"):
        make("image", {"op": name, size: 4}, "route.0.image.1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"op": "nlm", "sigma": -1.0}, "here.sigma: -1.0 is below 1e-15"),
        ({"op": "nlm", "sigma": 1e-200}, "here.sigma: 1e-200 is below 1e-15"),
        ({"op": "nlm", "strength": 1e-200}, "here.strength: 1e-200 is below 0.001"),
        ({"op": "bilateral", "sigma_mm": 1, "sigma_value": 1e-200}, "here.sigma_value: 1e-200 is below 1e-15"),
        ({"op": "bilateral", "sigma_mm": 0, "sigma_value": 1}, "here.sigma_mm: 0.0 is not above 0.0 mm"),
        ({"op": "perona_malik", "edge": 1, "step": 0.2}, "here.step: 0.2 is above"),
        ({"op": "srad", "iterations": 0}, "here.iterations: 0 is below 1"),
        ({"op": "anscombe"}, "here.denoiser: required"),
        ({"op": "anscombe", "denoiser": "gaussian"}, "here.denoiser.op: None is no image op"),
        ({"op": "anscombe", "denoiser": {"op": "zscore"}}, "here: denoiser: zscore is none of"),
        ({"op": "anscombe", "denoiser": {"op": "tv", "weight": 0}}, "here.denoiser.weight: 0.0 is not above"),
        ({"op": "anscombe", "denoiser": {"op": "median", "version": 99}}, "here.denoiser.version: no such parameter"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_path(given, message):
    with pytest.raises(ConfigError, match=message):
        make("image", given, "here")


@pytest.mark.parametrize("denoiser", [Wavelet(), NonLocalMeans(sigma=1.0)])
@pytest.mark.parametrize("gain", [None, 0.5])
def test_counts_are_denoised_and_their_total_stays(denoiser, gain):
    truth = sphere(low=2.0, high=30.0)
    x = (np.random.default_rng(3).poisson(truth) * 0.5).astype(np.float32)
    found = Anscombe(denoiser=denoiser, gain=gain)(of(x, modality="PT"))
    assert found.modality == "PT"
    assert found.data.sum(dtype=np.float64) == pytest.approx(x.sum(dtype=np.float64), rel=0.01)
    assert gain_db(0.5 * truth, x, found.data) > 2.5


@pytest.mark.parametrize("mean", [0.5, 1.5, 20.0])
def test_the_mean_of_few_counts_comes_back_without_bias(mean):
    x = np.random.default_rng(8).poisson(mean, (20, 24, 24)).astype(np.float32)
    found = Anscombe(denoiser=Gaussian(sigma_mm=2.0), gain=1.0)(of(x)).data
    assert found.mean(dtype=np.float64) == pytest.approx(x.mean(dtype=np.float64), rel=0.01)


def test_the_op_within_is_part_of_the_spec_and_of_the_halo():
    op = make("image", {"op": "anscombe", "gain": 1, "denoiser": {"op": "gaussian", "sigma_mm": 1.0}}, "here")
    assert op == Anscombe(gain=1.0, denoiser=Gaussian(sigma_mm=1.0))
    assert spec_of(op)["denoiser"] == {"op": "gaussian", "version": Gaussian.version, "sigma_mm": 1.0}
    geometry = volume().geometry
    assert op.halo(geometry) == Gaussian(sigma_mm=1.0).halo(geometry)
    assert Anscombe(denoiser=Gaussian(sigma_mm=1.0)).halo(geometry) is None


def test_a_series_is_denoised_across_its_frames_and_a_volume_or_its_channels_are_not():
    rng = np.random.default_rng(5)
    clean = np.tensordot(rng.normal(0, 1, (12, 2)), rng.uniform(50, 100, (2, 6, 7, 8)), axes=1)
    noisy = (clean + rng.normal(0, 4, clean.shape)).astype(np.float32)
    assert gain_db(clean, noisy, MpPca(size=3)(of(noisy, axes="tzyx")).data) > 5.0
    np.testing.assert_array_equal(MpPca()(of(noisy, axes="czyx")).data, noisy)
    np.testing.assert_array_equal(MpPca()(of(noisy[0])).data, noisy[0])


@pytest.mark.parametrize("op", [Lee(), Srad(iterations=10, step=0.5)])
def test_speckle_falls(op):
    truth = sphere(low=60.0, high=140.0)
    noisy = truth * np.maximum(1 + np.random.default_rng(7).normal(0, 0.2, truth.shape), 0.05).astype(np.float32)
    assert gain_db(truth, noisy, op(of(noisy, modality="US")).data) > 3.0


def test_total_variation_takes_less_than_six_times_the_image():
    geometry = Geometry(shape=(300, 512, 512))
    image = 4 * 300 * 512 * 512
    assert image + TotalVariation(weight=50.0).memory(geometry) < 6 * image
