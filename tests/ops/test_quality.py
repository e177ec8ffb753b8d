"""The quality of a whole image, on images whose quality is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.ops.features import Quality
from medpipe.ops.registry import make
from medpipe.recipe.recipe import load_recipe
from medpipe.types import Companions, Geometry, Region, Volume

SHAPE = (12, 48, 52)
SPACING_MM = (3.0, 1.0, 1.0)


def measured(data, region=None, *, modality="MR", axes="zyx", spacing_mm=SPACING_MM, padding=None):
    geometry = Geometry(shape=data.shape, axes=axes, spacing_mm=spacing_mm)
    volume = Volume(data=data, geometry=geometry, modality=modality, padding=padding)
    if region is None:
        region = make("regions", {"op": "whole"}, "x")(volume, Companions())[0]
    return {name.removeprefix("qc_"): value for name, value in Quality()(volume, region).items()}


def head():
    z, y, x = (axis - (size - 1) / 2 for axis, size in zip(np.indices(SHAPE), SHAPE, strict=True))
    return (z * 3) ** 2 + y**2 + x**2 < 17.0**2


def magnitude(sigma=4.0, seed=6, shape=SHAPE):
    rng = np.random.default_rng(seed)
    clean = np.where(head(), 100.0, 0.0)
    return np.hypot(clean + rng.normal(0, sigma, shape), rng.normal(0, sigma, shape)).astype(np.float32)


def test_noise_and_ratios_of_a_magnitude_are_those_that_were_put_in():
    found = measured(magnitude())
    assert found["noise_air"] == pytest.approx(4.0, rel=0.03)
    assert found["noise_detail"] == pytest.approx(4.0, rel=0.4)
    assert found["fg_share"] == pytest.approx(head().mean(), rel=0.15)
    assert found["snr_air"] == pytest.approx(100.0 / 4.0, rel=0.05)
    rayleigh_mean, rayleigh_sd = 4.0 * math.sqrt(math.pi / 2), 4.0 * math.sqrt((4 - math.pi) / 2)
    assert found["bg_mean"] == pytest.approx(rayleigh_mean, rel=0.02)
    assert found["bg_sd"] == pytest.approx(rayleigh_sd, rel=0.02)
    assert found["cnr"] == pytest.approx((100.0 - rayleigh_mean) / rayleigh_sd, rel=0.05)
    assert found["fber"] == pytest.approx((100.0 / (4.0 * math.sqrt(2 * math.log(2)))) ** 2, rel=0.05)
    assert found["artefact"] == 0.0
    assert found["missing"] == found["padding"] == 0.0


def test_a_region_is_the_foreground():
    data, mask = magnitude(), np.zeros(SHAPE, bool)
    mask[4:8, 20:28, 20:30] = True
    found = measured(data, Region(mask=mask, name="gtv"))
    inside = data[mask].astype(float)
    assert found["fg_mean"] == pytest.approx(inside.mean(), rel=1e-6)
    assert found["snr"] == pytest.approx(np.median(inside) / inside.std(ddof=1), rel=1e-5)
    whole = measured(data)
    same = ("efc", "noise_detail", "noise_laplace", "noise_air", "laplacian_var", "gradient_mean", "at_min")
    assert all(found[name] == whole[name] for name in same)


def test_the_foreground_of_ct_is_the_body_above_its_threshold():
    data = np.where(head(), 30.0, -1000.0) + np.random.default_rng(1).normal(0, 10, SHAPE)
    found = measured(data.astype(np.float32), modality="CT")
    assert found["fg_share"] == pytest.approx(head().mean(), rel=0.03)
    assert found["fg_mean"] == pytest.approx(30.0, abs=1.0)
    assert math.isnan(found["noise_air"])
    assert math.isnan(found["snr_air"])
    assert found["noise_detail"] == pytest.approx(10.0, rel=0.2)


def test_more_noise_motion_and_clipping_are_seen():
    good, noisy = measured(magnitude()), measured(magnitude(12.0))
    assert noisy["snr_air"] < 0.5 * good["snr_air"]
    assert noisy["efc"] > good["efc"]
    ghost = magnitude() + 0.25 * np.roll(np.where(head(), 100.0, 0.0), 26, axis=2)
    ghosted = measured(ghost.astype(np.float32))
    assert ghosted["artefact"] > 0.02
    assert ghosted["fber"] < good["fber"]
    clipped = measured(np.minimum(magnitude(), 100.0))
    assert clipped["at_max"] > 0.05 > good["at_max"]


def test_padding_and_missing_voxels_count_in_their_own_shares_alone():
    data = magnitude()
    framed = np.full((SHAPE[0], SHAPE[1], SHAPE[2] + 8), -2000.0, np.float32)
    framed[:, :, 4:-4] = data
    framed[3, :2, 4:6] = np.nan
    found = measured(framed, padding=(-2000.0, -2000.0))
    assert found["padding"] == pytest.approx(8 / 60)
    assert found["missing"] == pytest.approx(4 / framed.size)
    bare = measured(data)
    for name in ("noise_air", "bg_median", "fg_median", "efc"):
        assert found[name] == pytest.approx(bare[name], rel=0.02), name


@pytest.mark.parametrize("value", [0.0, 7.0, -3.0])
def test_a_constant_image_has_no_noise_no_edges_and_no_foreground(value):
    found = measured(np.full(SHAPE, value, np.float32))
    assert (found["at_min"], found["at_max"], found["fg_share"]) == (1.0, 1.0, 0.0)
    assert [found[name] for name in ("noise_detail", "noise_laplace", "laplacian_var", "gradient_mean")] == [0.0] * 4
    assert (found["bg_median"], found["artefact"]) == (value, 0.0)
    assert all(math.isnan(found[name]) for name in ("snr", "cnr", "fg_mean", "fwhm_x", "tsnr"))


def test_an_image_of_missing_voxels_says_so_and_nothing_else():
    found = measured(np.full(SHAPE, np.nan, np.float32))
    assert {name: value for name, value in found.items() if not math.isnan(value)} == {"missing": 1.0, "padding": 0.0}


@pytest.mark.parametrize("shape", [(1, 48, 52), (1, 1, 9), (3, 2, 2), (1, 1, 1)])
def test_a_slice_a_line_and_a_voxel_are_measured_as_far_as_that_goes(shape):
    data = np.random.default_rng(4).gamma(2.0, 30.0, shape).astype(np.float32)
    found = measured(data)
    assert found["missing"] == 0.0
    assert not math.isnan(found["at_min"])
    assert math.isnan(found["fwhm_z"]) or shape[0] > 1
    assert not any(math.isinf(value) for value in found.values())


def test_frames_are_measured_by_their_mean_and_in_time():
    frames = np.stack([magnitude(seed=seed) for seed in range(24)])
    found = measured(frames, axes="tzyx")
    mean = measured(frames.mean(axis=0))
    assert {name: found[name] for name in found if name[:3] != "at_" and name != "tsnr"} == pytest.approx(
        {name: mean[name] for name in mean if name[:3] != "at_" and name != "tsnr"}, nan_ok=True
    )
    assert found["tsnr"] == pytest.approx(100.0 / 4.0, rel=0.1)
    assert found["at_max"] == 1 / frames.size
    assert math.isnan(measured(np.stack([magnitude()] * 3), axes="czyx")["tsnr"])


def test_without_spacing_all_but_lengths_is_measured():
    found, known = measured(magnitude(), spacing_mm=None), measured(magnitude())
    assert {name for name in found if math.isnan(found[name])} == {"fwhm_z", "fwhm_y", "fwhm_x", "tsnr"}
    assert found["snr"] == known["snr"]


def test_an_empty_region_has_no_values_and_another_grid_is_refused():
    data = magnitude()
    assert all(math.isnan(value) for value in measured(data, Region(mask=np.zeros(SHAPE, bool), name="x")).values())
    with pytest.raises(Rejected, match="E_GRID"):
        measured(data, Region(mask=np.ones((2, 2, 2), bool), name="x"))


def test_integers_are_measured_like_the_floats_they_are():
    data = np.rint(magnitude()).astype(np.int16)
    assert measured(data) == pytest.approx(measured(data.astype(np.float32)), nan_ok=True)


def test_the_shipped_recipe_measures_every_kind_of_image():
    (route,) = load_recipe("archive-quality").routes
    row = {"modality": "US", "kind": "colour", "body_part": None, "verdict": "single", "shape": [1, 4, 4]}
    assert route.where.takes(row) is None
    assert route.where.takes(row | {"kind": "segmentation"}) is not None
    assert replace(route.features[0].op) == Quality()
